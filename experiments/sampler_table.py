"""Every family of pipelines with every sampler: calibrated, planned, executed, and equal to diffusers' own pipeline.

    python experiments/sampler_table.py [--only FAMILY ...]

writes `experiments/results/samplers.jsonl`, a row a cell, and `experiments/results/samplers.md`, the table. Pipelines
are tiny, with random weights, on the CPU with one thread. "sdxl + sdxl-refiner" is SDXL's base at the edge and
its refiner on a device that goes on from the hand-over.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pipeline_oracle import STEPS, WORDS, Family, options, picture_for
from tiny_pipelines import FAMILIES

from megdt_opt import InvalidInput, Scenario, TimingProfile, calibrate, execute, plan
from megdt_opt.execution import Cluster
from megdt_opt.models.planned import PlannedModel
from megdt_opt.program.mechanisms import Option
from megdt_opt.quality.pictures import psnr_db

sys.path.insert(0, str(Path(__file__).with_name("execution")))

from several import commit

SEED = 5
RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "samplers.jsonl", RESULTS / "samplers.md"
MECHANISMS = ("SEU", "SEU-UE-first", "centralised")
BASE, REFINER = "sdxl", "sdxl-refiner"
REFINED = f"{BASE} + {REFINER}"
REFINED_SAMPLERS = ("euler", "ddim")
"""Those whose hand-over is the latent alone, from which another model can go on."""


def scenario(model: str, sampler: str) -> Scenario:
    """A user for each mechanism, who asks for the same picture."""
    user = {
        "device": {"profile": "here"},
        "downlink_efficiency": "4 bit/s/Hz",
        "uplink_efficiency": "4 bit/s/Hz",
        "precisions": ["fp32"],
        "codecs": ["raw"],
        "prompt": WORDS,
        "seed": SEED,
    }
    return Scenario(
        model=model,
        steps=STEPS,
        scheduler=sampler,
        edge={"profile": "here"},
        channel={"downlink": "4 MHz", "uplink": "4 MHz"},
        users=[{"name": f"u{k}", "mechanisms": [mechanism], **user} for k, mechanism in enumerate(MECHANISMS)],
    )


def cell(here: Family, halves: Mapping[str, Family], sampler: str, model: str, cluster: Cluster) -> dict[str, Any]:
    """All that is asked of a family and a sampler."""
    began = time.perf_counter()
    theirs = here.theirs(sampler, SEED)
    ends = [here.ours(option, sampler, SEED)[0] for option in options()]
    row: dict[str, Any] = {
        "family": here.name,
        "sampler": sampler,
        "options": len(ends),
        "identical": sum(end.equals(theirs) for end in ends),
        "commit": commit(),
    }
    if "PixArt" not in type(here.pipeline).__name__:
        picture = picture_for(here)
        u2e = Option(mechanism="U2E", cut=STEPS, precision="fp32", codec="raw")
        ours, _ = here.ours(u2e, sampler, SEED, picture=picture, first=2)
        row["from_picture"] = ours.equals(here.theirs_from(picture, sampler, SEED, 2))
    profile = timed(here, sampler)
    row["denoise_step_s"] = round(step_s(profile), 6)
    made = plan(scenario(model, sampler), {"here": profile}, compare=False)
    row["planned"] = [user.option.name for user in made.users]
    done = execute(made, mode="raw", cluster=cluster, all_or_nothing=True)
    row["executed"] = len(done.images)
    row["executed_identical"] = sum(np.array_equal(image, theirs.picture) for image in done.images.values())
    middle = Option(mechanism="SEU", cut=STEPS // 2, precision="fp32")
    for precision in ("fp16", "int8"):
        end, sent = here.ours(Option(mechanism="SEU", cut=STEPS // 2, precision=precision), sampler, SEED)
        row[f"sent in {precision}"] = compared(end.picture, theirs.picture)
        row[f"bit in {precision}"] = next(bit for label, bit in sent.items() if "latent" in label)
    row["bit in fp32"] = next(bit for label, bit in here.ours(middle, sampler, SEED)[1].items() if "latent" in label)
    for precision, other in halves.items():
        try:
            row[f"computed in {precision}"] = compared(other.ours(middle, sampler, SEED)[0].picture, theirs.picture)
        except Exception as error:
            row[f"computed in {precision}"] = {"refused": str(error)[:200]}
    row["wall_s"] = round(time.perf_counter() - began, 2)
    return row


def timed(family: Family, sampler: str) -> TimingProfile:
    """A short calibration of a family."""
    return calibrate(
        family.model, scheduler=sampler, kinds=["encode_prompt", "denoise", "decode"], batches=(1,),
        held_out_batches=(), rows=(), samples=2, warmup=1,
    )  # fmt: skip


def refined(base: Family, refiner: Family, folder: Path, sampler: str) -> dict[str, Any]:
    """What is asked of a base model at the edge and a refiner behind the hand-over."""
    began, cuts = time.perf_counter(), range(1, STEPS)
    theirs = {cut: base.theirs_refined(refiner, sampler, SEED, cut) for cut in cuts}
    ours = {
        cut: base.ours(Option(mechanism="SEU", cut=cut, precision="fp32"), sampler, SEED, refiner=refiner)[0]
        for cut in cuts
    }
    profiles = {family.name: timed(family, sampler) for family in (base, refiner)}
    asked = scenario(str(folder / f"{base.name}.spec.json"), sampler).model_dump(mode="json", exclude_none=True)
    asked["users"] = [user for user in asked["users"] if user["mechanisms"] == ["SEU"]]
    asked["users"][0]["device"] = {"profile": refiner.name, "refiner": str(folder / refiner.name)}
    asked["edge"]["profile"] = base.name
    made = plan(Scenario(**asked), profiles, compare=False)
    done = execute(made, mode="raw", all_or_nothing=True, start_timeout_s=600)
    (user,) = made.users
    return {
        "family": REFINED,
        "sampler": sampler,
        "options": len(ours),
        "identical": sum(ours[cut].equals(theirs[cut]) for cut in cuts),
        "commit": commit(),
        "denoise_step_s": round(step_s(profiles[base.name]), 6),
        "planned": [user.option.name],
        "executed": len(done.images),
        "executed_identical": sum(
            np.array_equal(image, theirs[user.option.cut].picture) for image in done.images.values()
        ),
        "wall_s": round(time.perf_counter() - began, 2),
    }


def compared(picture: NDArray[np.uint8], to: NDArray[np.uint8]) -> dict[str, Any]:
    """How far a picture is from another: PSNR [dB], None where both are the same, and the largest difference."""
    found = psnr_db(picture, to)
    return {
        "psnr_db": None if np.isinf(found) else round(found, 2),
        "largest": int(np.abs(picture.astype(int) - to).max()),
    }


def step_s(profile: TimingProfile) -> float:
    """Median of a denoising step of one picture [s]."""
    return float(np.median(next(c.samples_s for c in profile.cells if str(c.kind) == "denoise" and c.batch == 1)))


def rows_of(families: Iterable[str], base: Path) -> Iterable[dict[str, Any]]:
    """The rows of these families."""
    for name in families:
        if name == REFINED:
            pair = Family(BASE, base / BASE), Family(REFINER, base / REFINER)
            (base / f"{BASE}.spec.json").write_text(json.dumps(pair[0].spec.to_dict()))
            yield from (refined(*pair, base, sampler) for sampler in REFINED_SAMPLERS)
            continue
        here = Family(name, base / name)
        halves = {precision: Family(name, base / name, precision) for precision in ("fp16", "bf16")}
        model = str(base / f"{name}.spec.json")
        Path(model).write_text(json.dumps(here.spec.to_dict()))
        actors = ("edge", *(f"u{k}" for k in range(len(MECHANISMS))))
        with Cluster(actors, PlannedModel(spec=here.spec), start_timeout_s=600) as cluster:
            for sampler in here.spec.schedulers:
                try:
                    yield cell(here, halves, sampler, model, cluster)
                except InvalidInput as error:  # as a number of steps that the sampler cannot make
                    yield {"family": name, "sampler": sampler, "refused": str(error)}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a page."""

    def other(found: Mapping[str, Any] | None) -> str:
        if found is None:
            return ""
        if "refused" in found:
            return "refused"
        return "same" if found["psnr_db"] is None else f"{found['psnr_db']:.1f} dB"

    commits = dict.fromkeys(row.get("commit", "not noted") for row in rows if "refused" not in row)
    heads = ("family", "sampler", "calibrated: step", "planned", "executed, equal", "equal at every cut",
             "from a picture", "sent in fp16", "sent in int8", "computed in fp16", "computed in bf16")  # fmt: skip
    lines = [
        "# Families and samplers",
        "",
        "Tiny pipelines with random weights on the CPU, made by `experiments/sampler_table.py`. Equal: latent and",
        "picture are those of diffusers' own pipeline to the last bit (executed: the picture), from the same folder,",
        f"prompt and seed, over {STEPS} steps. Every cut: local, central, E2U, and each cut of SEU and of",
        "SEU-UE-first, all through the bytes that are sent. From a picture: U2E against diffusers' image-to-image,",
        "the picture encoded by its mean; diffusers has no such pipeline of PixArt. Other precisions: the picture of",
        "SEU in the middle, its hand-over or all networks in that precision, against fp32. Of SDXL with its refiner",
        "behind the hand-over: each cut of SEU, against diffusers' two pipelines.",
        "",
        f"On commit {', '.join(commits)}.",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    for row in rows:
        if "refused" in row:
            lines.append(
                f"| {row['family']} | {row['sampler']} | refused: {row['refused']} |" + " |" * (len(heads) - 3)
            )
            continue
        picture = {True: "1 of 1", False: "0 of 1", None: ""}[row.get("from_picture")]
        lines.append(
            f"| {row['family']} | {row['sampler']} | {1e3 * row['denoise_step_s']:.1f} ms | {len(row['planned'])} | "
            f"{row['executed_identical']} of {row['executed']} | {row['identical']} of {row['options']} | {picture} | "
            + " | ".join(other(row.get(key)) for key in heads[7:])
            + " |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Make rows and table; a family's rows take the place of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[*(name for name in FAMILIES if name != REFINER), REFINED])
    chosen = parser.parse_args().only
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows_of(chosen, Path(folder)):
            kept = [old for old in kept if (old["family"], old["sampler"]) != (row["family"], row["sampler"])] + [row]
            print(json.dumps(row), flush=True)
            ROWS.write_text("".join(json.dumps(one) + "\n" for one in kept))
    TABLE.write_text(table(kept))


if __name__ == "__main__":
    main()
