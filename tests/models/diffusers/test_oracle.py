"""Latents and pictures are those of diffusers' own pipelines, from the same folder, prompt, noise and sampler.

Unsplit, and handed over as bytes at every cut in both directions, in fp32: to the last bit. The same from a picture.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sampler_table
import tiny_pipelines
import torch
from pipeline_oracle import STEPS, Family, options, picture_for

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.batch_steps import BatchSteps, Member
from megdt_opt.execution.clock import Turns
from megdt_opt.execution.job import ExecutionOptions
from megdt_opt.execution.serial import Store
from megdt_opt.execution.stage_work import StageWork, first_items
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.samplers import state_shapes
from megdt_opt.program.stages import Compute, leaves

DIFFUSION = ("ddim", "euler", "dpmpp", "ddim_eta1", "euler_ancestral", "dpmpp_2m_sde", "dpmpp_2s", "dpmpp_sde", "pndm",
             "lcm")  # fmt: skip
ZERO_SNR = ("ddim", "euler", "dpmpp", "euler_ancestral", "dpmpp_2m_sde", "lcm")
SAMPLERS = {
    "sd1": DIFFUSION,
    "sd1-small-decoder": DIFFUSION,
    "sd2-v": ZERO_SNR,
    "sdxl": DIFFUSION,
    "sdxl-turbo": DIFFUSION,
    "lcm": ("lcm",),
    "sd3": ("flow_euler",),
    "sd3-shifted-by-size": ("flow_euler",),
    "flux": ("flow_euler",),
    "flux-schnell": ("flow_euler",),
    "pixart": ("dpmpp", "ddim", "euler", "ddim_eta1", "euler_ancestral", "dpmpp_2m_sde", "dpmpp_2s", "dpmpp_sde",
               "pndm", "lcm"),
}  # fmt: skip
OWN = {"sd1": "pndm", "sd1-small-decoder": "pndm", "sdxl": "euler", "sdxl-turbo": "euler_ancestral"}
CELLS = [pytest.param(family, name, id=f"{family}-{name}") for family, names in SAMPLERS.items() for name in names]
SEED = 5

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' and transformers' own


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    base: Path = tmp_path_factory.mktemp("pipelines")
    return cache(lambda name: Family(name, base / name))


@pytest.mark.long_list("name")
@pytest.mark.parametrize(("name", "sampler"), CELLS)
def test_every_cut_ends_as_diffusers_own_pipeline(family: Callable[[str], Family], name: str, sampler: str) -> None:
    here = family(name)
    theirs = here.theirs(sampler, SEED)
    for option in options():
        ours, sent = here.ours(option, sampler, SEED)
        assert ours.equals(theirs), option.name
        if "SEU" in option.mechanism:
            (carried,) = (bit for label, bit in sent.items() if "latent" in label)
            state = state_shapes(sampler, here.spec.latent_shape, done=option.cut)
            least = 8 * sum(shape[0] * (1 if len(shape) == 1 else 4 * shape[1] * shape[2]) for shape in state.values())
            assert carried > least, option.name


@pytest.mark.long_list("name")
@pytest.mark.parametrize(
    ("name", "sampler"), [*(cell for cell in CELLS if cell.values[0] != "pixart"), ("sdxl-refiner", "euler")]
)
def test_a_generation_from_a_picture_ends_as_diffusers_own(
    family: Callable[[str], Family], name: str, sampler: str
) -> None:
    here = family(name)
    picture, first = picture_for(here), 2
    theirs = here.theirs_from(picture, sampler, SEED, first)
    option = Option(mechanism="U2E", cut=STEPS, precision="fp32", codec="raw")
    ours, _ = here.ours(option, sampler, SEED, picture=picture, first=first)
    assert ours.equals(theirs)


@pytest.mark.parametrize(("steps", "first"), [(6, 1), (6, 5), (7, 3)])
def test_a_consistency_model_spreads_the_steps_that_are_left_anew(
    family: Callable[[str], Family], steps: int, first: int
) -> None:
    """As `LatentConsistencyModelImg2ImgPipeline`: not the last timesteps of the whole chain."""
    here = family("lcm")
    picture = picture_for(here)
    theirs = here.theirs_from(picture, "lcm", SEED, first, steps)
    option = Option(mechanism="U2E", cut=steps, precision="fp32", codec="raw")
    ours, _ = here.ours(option, "lcm", SEED, steps, picture=picture, first=first)
    assert ours.equals(theirs)


NO_T5 = {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("sdxl", {"force_zeros_for_empty_prompt": False}),
        ("sd3", NO_T5),
        ("sd3-shifted-by-size", NO_T5),
    ],
    ids=["an empty prompt that is encoded", "no T5", "no T5, levels by size"],
)
def test_what_goes_without_the_prompt_is_that_of_diffusers(name: str, index: dict[str, Any], tmp_path: Path) -> None:
    """Silent wrong answers: negative conditioning, and what stands for a text encoder that a folder has not."""
    folder = tiny_pipelines.save(tmp_path / name, name)
    file = folder / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **index}))
    here = Family(name, folder)
    sampler = here.spec.schedulers[0]
    for option in (Option(mechanism="local"), Option(mechanism="SEU", cut=2, precision="fp32")):
        ours, _ = here.ours(option, sampler, SEED, 4)
        assert ours.equals(here.theirs(sampler, SEED, 4)), option.name


@pytest.mark.parametrize(("name", "sampler", "first"), [("lcm", "lcm", 2), ("lcm", "lcm", 5), ("sd1", "euler", 3)])
def test_a_chain_from_a_picture_shares_passes_with_one_from_noise(
    family: Callable[[str], Family], name: str, sampler: str, first: int
) -> None:
    """In the batches of an edge each chain has its own timesteps, those of diffusers' own pipelines."""
    here, picture = family(name), picture_for(family(name))
    ends = {
        "noise": here.theirs(sampler, SEED).latent,
        "picture": here.theirs_from(picture, sampler, SEED, first).latent,
    }
    runs = {
        "noise": here.run_of(Option(mechanism="centralised", cut=STEPS, codec="raw"), sampler, SEED, device="noise"),
        "picture": here.run_of(
            Option(mechanism="U2E", cut=STEPS, precision="fp32", codec="raw"), sampler, SEED, device="picture",
            picture=picture, first=first,
        ),
    }  # fmt: skip
    both = STEPS - first
    planned = BatchSchedule(
        edge="edge", start_s=0.0, slope_s=1e-3, base_s=0.0,
        batches=(("noise", "picture"),) * both + (("noise",),) * first,
    )  # fmt: skip
    planned.check(list(runs.values()))
    batches = BatchSteps(planned, here.model, ExecutionOptions(mode="raw"), Turns())
    stores: dict[str, Store] = {chain: first_items(runs[chain].chains[0], chain) for chain in runs}
    failed: dict[str, BaseException] = {}

    def make(chain: str) -> None:
        run, work = runs[chain], StageWork(here.model, runs[chain], runs[chain].chains[0], stores[chain])
        try:
            numbers = iter(planned.numbers(chain))
            for leaf in (leaf for leaf in leaves(run.program) if isinstance(leaf, Compute)):
                if not planned.batched(chain, leaf):
                    for piece in work.pieces(leaf):
                        piece()
                    continue
                for step in range(leaf.first, leaf.first + leaf.amount):
                    batches.make(next(numbers), chain, Member(work, leaf, step, 0.0), threading.Event())
        except BaseException as error:  # the other thread waits for this one's members
            failed[chain] = error
            batches.leave(chain)

    threads = [threading.Thread(target=make, args=(chain,)) for chain in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not failed
    for chain, latent in ends.items():
        assert torch.allclose(
            stores[chain]["state"]["latent"], latent, rtol=1e-4, atol=1e-4 * float(latent.abs().max())
        )


@pytest.mark.parametrize("sampler", ["euler", "ddim"])
@pytest.mark.parametrize(("steps", "cut"), [(6, 4), (6, 1), (7, 5)])
def test_a_refiner_goes_on_as_diffusers_two_pipelines(
    family: Callable[[str], Family], sampler: str, steps: int, cut: int
) -> None:
    """SDXL's base until `denoising_end`, its refiner from `denoising_start` on the other side of the hand-over."""
    base, refiner = family("sdxl"), family("sdxl-refiner")
    theirs = base.theirs_refined(refiner, sampler, SEED, cut, steps)
    option = Option(mechanism="SEU", cut=cut, precision="fp32")
    ours, sent = base.ours(option, sampler, SEED, steps, refiner=refiner)
    assert ours.equals(theirs)
    assert not ours.equals(base.theirs(sampler, SEED, steps))
    assert any("latent" in label for label in sent)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_familys_samplers_are_these(family: Callable[[str], Family], name: str) -> None:
    offered = family(name).spec.schedulers
    assert set(offered) - {"ddim_eta1"} == set(SAMPLERS[name]) - {"ddim_eta1"}
    assert offered[0] == OWN.get(name, SAMPLERS[name][0])


@pytest.mark.parametrize("words", ["no!", "!", "a! b", "!!"])
@pytest.mark.parametrize("name", ["sdxl", "sd3"])
def test_a_prompt_that_the_second_tokeniser_reads_otherwise_is_refused(
    family: Callable[[str], Family], name: str, words: str
) -> None:
    """It takes the mark with which it fills up for just that."""
    model = family(name).model
    with pytest.raises(InvalidInput, match="prompt.*Leave out '!'"):
        model.request(words)
    assert model.request("a red car")["state"].shape == (1, 8)


def test_the_committed_table_of_families_and_samplers_is_that_of_its_rows() -> None:
    rows = [json.loads(line) for line in sampler_table.ROWS.read_text(encoding="utf-8").splitlines()]
    made = {(row["family"], row["sampler"]): row for row in rows}
    cells = {(family, name) for family, names in SAMPLERS.items() for name in names}
    behind = {(sampler_table.REFINED, sampler) for sampler in sampler_table.REFINED_SAMPLERS}
    assert set(made) - cells == {("sd2-v", "ddim_eta1"), *behind}
    assert len({row["commit"] for row in rows if "refused" not in row}) == 1
    for cell in behind:
        assert made[cell]["identical"] == made[cell]["options"] == STEPS - 1, cell
        assert made[cell]["executed_identical"] == made[cell]["executed"] == 1, cell
    assert cells <= set(made)
    assert "NaN" in made["sd2-v", "ddim_eta1"]["refused"]
    for cell in cells:
        row = made[cell]
        assert row["identical"] == row["options"] == 3 + 2 * (STEPS - 1), cell
        assert row["executed_identical"] == row["executed"] == len(sampler_table.MECHANISMS), cell
        assert row.get("from_picture", cell[0] == "pixart"), cell
        assert row["bit in int8"] < row["bit in fp16"] < row["bit in fp32"], cell
    assert sampler_table.TABLE.read_text(encoding="utf-8") == sampler_table.table(rows)
