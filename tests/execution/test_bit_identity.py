"""A chain that is handed over in fp32 ends in the same bits as the unsplit one, at every cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from run_builder import make_run
from standin_model import SPEC, StandIn

from megdt_opt.errors import WeightsError
from megdt_opt.execution import DEFAULT_MODEL, Cluster, ExecutionOptions
from megdt_opt.models.codec import compress, decompress
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import Compute, Kind, leaves

STEPS = 4
FAST = ExecutionOptions(mode="raw", timeout_s=60)

pytestmark = pytest.mark.usefixtures("single_thread")


def cuts(precision="fp32", steps=STEPS):
    """Every sequential option, one for each cut and direction, with the picture sent losslessly."""
    whole = [
        Option(mechanism="local"),
        Option(mechanism="E2U", cut=steps, precision=precision),
        Option(mechanism="centralised", cut=steps, codec="raw"),
        Option(mechanism="centralised", cut=steps, codec="png"),
    ]
    inner = [Option(mechanism=m, cut=n, precision=precision) for m in ("SEU", "SEU-UE-first") for n in range(1, steps)]
    return [*whole, *inner]


def run_all(cluster, options, mode=FAST, **more):
    """Execute options three at a time, on three devices."""
    images, latents = {}, {}
    for begin in range(0, len(options), 3):
        runs = [
            make_run(
                o,
                name=o.name,
                device=f"u{n + 1}",
                steps=STEPS,
                rate=1e8,
                edge_share=0.3,
                step_s=0.004,
                **more,
            )
            for n, o in enumerate(options[begin : begin + 3])
        ]
        execution = cluster.run(runs, mode)
        images.update(execution.images)
        latents.update(execution.latents)
    return images, latents


def tensors(arrays):
    return {name: torch.from_numpy(a) for name, a in arrays.items()}


@torch.no_grad()
def unsplit(model, run):
    """The whole chain in this process."""
    how = {"scheduler": run.scheduler, "steps": run.steps}
    conditioning = model.encode_prompt(tensors(run.chains[0].request))
    state = model.start(run.chains[0].seed, **how)
    latent = model.denoise(state, conditioning, first=0, count=run.steps, **how)["latent"]
    return model.decode(latent).numpy(), latent.numpy()


@pytest.mark.parametrize("scheduler", SPEC.schedulers)
def test_every_cut_ends_in_the_bits_of_the_unsplit_chain(cluster, scheduler):
    options = cuts()
    image, latent = unsplit(StandIn.load(), make_run(options[0], steps=STEPS, scheduler=scheduler))
    images, latents = run_all(cluster, options, scheduler=scheduler)
    assert set(images) == {o.name for o in options} == set(latents)
    for option in options:
        assert np.array_equal(images[option.name], image), option.name
        assert np.array_equal(latents[option.name], latent), option.name


def test_paced_runs_have_the_same_bits(cluster):
    options = [
        Option(mechanism="local"),
        Option(mechanism="SEU", cut=2, precision="fp32"),
        Option(mechanism="SEU-UE-first", cut=3, precision="fp32"),
    ]
    image, _ = unsplit(StandIn.load(), make_run(options[0], steps=STEPS, scheduler="dpmpp"))
    images, _ = run_all(cluster, options, ExecutionOptions(timeout_s=60), scheduler="dpmpp")
    for option in options:
        assert np.array_equal(images[option.name], image), option.name


def test_picture_kept_at_the_edge(cluster):
    option = Option(mechanism="SEU-UE-first", cut=2, precision="fp32")
    run = make_run(option, steps=STEPS, shown_at="edge", rate=1e8)
    image, _ = unsplit(StandIn.load(), run)
    assert np.array_equal(cluster.run([run], FAST).images["user"], image)


def test_parallel_regions_equal_their_chains_in_one_process(cluster):
    run = make_run(Option(mechanism="PEU", share=0.5, precision="fp32"), steps=STEPS, scheduler="dpmpp", rate=1e8)
    model, how = StandIn.load(), {"scheduler": "dpmpp", "steps": STEPS}
    regions = {
        leaf.item: leaf.rows for leaf in leaves(run.program) if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE
    }
    conditioning = model.encode_prompt(tensors(run.chains[0].request))
    parts = {
        item: model.denoise(
            model.start(run.chains[0].seed, rows=rows, **how), conditioning, first=0, count=STEPS, rows=rows, **how
        )["latent"]
        for item, rows in regions.items()
    }
    whole = model.fuse(parts["part_a"], regions["part_a"], parts["part_b"], regions["part_b"])
    execution = cluster.run([run], FAST)
    assert np.array_equal(execution.latents["user"], whole.numpy())
    assert np.array_equal(execution.images["user"], model.decode(whole).numpy())


def test_sensed_chain_equals_one_process(cluster):
    run = make_run(
        Option(mechanism="U2E", cut=STEPS, precision="fp32", codec="png"),
        steps=STEPS,
        scheduler="dpmpp",
        rate=1e8,
    )
    first = next(leaf.first for leaf in leaves(run.program) if isinstance(leaf, Compute) and leaf.amount > 1)
    model, how = StandIn.load(), {"scheduler": "dpmpp", "steps": STEPS}
    assert first > 0
    state = model.start_from(
        model.sense(torch.from_numpy(run.chains[0].camera)), run.chains[0].seed, first=first, **how
    )
    conditioning = model.encode_prompt(tensors(run.chains[0].request))
    latent = model.denoise(state, conditioning, first=first, count=STEPS - first, **how)["latent"]
    assert np.array_equal(cluster.run([run], FAST).images["user"], model.decode(latent).numpy())


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 2), ("int8", 12)])
def test_coarser_precisions_come_near(cluster, precision, tolerance):
    options = [
        Option(mechanism="E2U", cut=STEPS, precision=precision),
        Option(mechanism="SEU", cut=2, precision=precision),
        Option(mechanism="SEU-UE-first", cut=2, precision=precision),
    ]
    image, _ = unsplit(StandIn.load(), make_run(options[0], steps=STEPS, scheduler="dpmpp"))
    images, _ = run_all(cluster, options, scheduler="dpmpp")
    for option in options:
        assert np.abs(images[option.name].astype(int) - image).max() <= tolerance, option.name


def test_downloaded_pictures_are_what_their_codec_makes_of_them(cluster):
    options = [Option(mechanism="centralised", cut=STEPS, codec=c) for c in ("raw", "png", "jpeg")]
    images, _ = run_all(cluster, options)
    raw, png, jpeg = (images[o.name] for o in options)
    assert np.array_equal(raw, png)
    assert np.array_equal(decompress(compress(torch.from_numpy(raw), "jpeg"), SPEC.image_shape).numpy(), jpeg)


@pytest.mark.slow
def test_bundled_model_at_every_cut():
    from megdt_opt.models.twin.model import TwinModel

    try:
        model = TwinModel.load()
    except WeightsError as error:
        pytest.skip(f"the bundled weights are not in this tree: {error}")
    with Cluster(["edge", "u1", "u2", "u3"], DEFAULT_MODEL) as cluster:
        for scheduler in model.spec.schedulers:
            options = cuts()
            reference = make_run(options[0], steps=STEPS, scheduler=scheduler, spec=model.spec)
            image, latent = unsplit(model, reference)
            images, latents = run_all(cluster, options, scheduler=scheduler, spec=model.spec)
            for option in options:
                assert np.array_equal(latents[option.name], latent), (scheduler, option.name)
                assert np.array_equal(images[option.name], image), (scheduler, option.name)
