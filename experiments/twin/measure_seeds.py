"""What merged, 4-bit and coded seeds do to the twin's pictures, and what they weigh beside a JPEG file as good.

    PYTHONPATH=src python experiments/twin/measure_seeds.py [--scenes 60]

The latent of held-out scenes is handed over after some of 20 steps (DDIM), the conditioning with it, in each precision;
`once` is decoded where the steps end, `again` is handed over once more in between. Writes seeds.json and seeds.md.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_hand_over import _one_by_one
from measure_quality import BATCH, HELD_OUT_SEED, STEPS, Picture, compare, prepared, read
from PIL import Image

from megdt_opt.execution.serial import pack
from megdt_opt.files import write_text
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene
from megdt_opt.program.latent_codes import LATENT_CODES
from megdt_opt.program.stages import TensorSpec
from megdt_opt.trials.pictures import psnr_db

CUTS = (1, 5, 10, 15)
PRECISIONS = ("fp16", "int8", *(code.name for code in LATENT_CODES if not code.coded))
"""What is decoded does not depend on the lossless coder."""
QUALITIES = (*range(20, 95, 5), 92, 94, 96, 98, 99, 100)

State = dict[str, torch.Tensor]


def chains(model: TwinModel, scenes: list[Scene]) -> list[tuple[dict[int, State], State]]:
    """States after each step that is cut at, and the conditioning, a batch of scenes at a time."""
    found = []
    chain = {"scheduler": "ddim", "steps": STEPS}
    for begin in range(0, len(scenes), BATCH):
        conditioning, seeds = prepared(model, scenes, begin)
        state = {"latent": torch.cat([model.start(seed, **chain)["latent"] for seed in seeds])}
        states, at = {}, 0
        for cut in (*CUTS, STEPS):
            state = model.denoise(state, conditioning, first=at, count=cut - at, **chain)
            states[cut], at = state, cut
        found.append((states, conditioning))
    return found


def pictures(model: TwinModel, known: list[tuple[dict[int, State], State]], cut: int, precision: str) -> dict[str, Any]:
    """Pictures of hand-overs after `cut` steps: handed over once, and once more before they are decoded."""
    once: list[Picture] = []
    again: list[Picture] = []
    for states, conditioning in known:
        state, told = _one_by_one(states[cut], precision), _one_by_one(conditioning, precision)
        if cut < STEPS:
            state = model.denoise(state, told, first=cut, count=STEPS - cut, scheduler="ddim", steps=STEPS)
            again += list(model.decode(_one_by_one(state, precision)["latent"]).numpy())
        once += list(model.decode(state["latent"]).numpy())
    return {"once": once} | ({"again": again} if again else {})


def payloads(known: list[tuple[dict[int, State], State]]) -> dict[str, float]:
    """Mean payload of a finished latent by precision, headers included [byte]."""
    latents = torch.cat([states[STEPS]["latent"] for states, _ in known])
    spec = (TensorSpec(name="state.latent", shape=(1, *latents.shape[1:])),)
    names = ("fp16", "int8", *(code.name for code in LATENT_CODES))
    return {
        name: float(np.mean([len(pack({"state": {"latent": x[None]}}, spec, name)) for x in latents])) for name in names
    }


def jpegs(whole: list[Picture]) -> list[dict[str, float]]:
    """JPEG files of the unsplit pictures by quality, with and without coarser colour: mean size, that of the coded scan
    alone, and median PSNR."""
    found = []
    for coarser, quality in itertools.product((0, 2), QUALITIES):
        sizes, scans, decibels = [], [], []
        for picture in whole:
            target = io.BytesIO()
            Image.fromarray(picture).save(target, format="JPEG", quality=quality, optimize=True, subsampling=coarser)
            sizes.append(len(target.getvalue()))
            scans.append(len(target.getvalue()) - target.getvalue().index(b"\xff\xda"))
            decibels.append(psnr_db(np.asarray(Image.open(target)), picture))
        found.append({
            "coarser_colour": coarser, "quality": quality, "file_byte": float(np.mean(sizes)),
            "scan_byte": float(np.mean(scans)), "psnr_median_db": float(np.median(decibels)),
        })  # fmt: skip
    return found


def as_good(files: list[dict[str, float]], psnr_db: float, key: str) -> str:
    """Size of the smallest JPEG that is as near, between those that were measured [byte]."""
    found = []
    for coarser in (0, 2):
        own = [f for f in files if f["coarser_colour"] == coarser]
        decibels = [f["psnr_median_db"] for f in own]
        if min(decibels) <= psnr_db <= max(decibels):
            found.append(float(np.interp(psnr_db, decibels, [f[key] for f in own])))
    return f"{min(found):.0f}" if found else f"over {max(f[key] for f in files):.0f}"


def table(result: dict[str, Any]) -> str:
    """The page."""
    rows = [
        f"| {r['precision']} at {r['cut']}, {r['handed']} | {r['psnr_median_db']:.1f} | {r['psnr_p05_db']:.1f} | "
        f"{r['ssim_median']:.4f} | {r['found']} of {r['objects']} ({100 * r['found'] / r['objects']:.1f} %) |"
        for r in result["rows"]
    ]
    beside = []
    for name, byte in result["payload_byte"].items():
        plain = name.removesuffix("+coded")
        (own,) = (r for r in result["rows"] if r["precision"] == plain and r["cut"] == STEPS)
        near = own["psnr_median_db"]
        jpeg = " | ".join(as_good(result["jpeg"], near, key) for key in ("file_byte", "scan_byte"))
        beside.append(f"| {name} | {byte:.0f} | {near:.1f} | {jpeg} |")
    return "\n".join([
        f"# Merged, 4-bit and coded seeds, on {result['scenes']} held-out scenes of the twin model",
        "",
        f"Against the unsplit picture, {STEPS} steps (DDIM), conditioning sent along; torch {result['torch']}. Written "
        "by `measure_seeds.py` with `seeds.json`. Coded precisions give the pictures of those that are not coded.",
        "",
        "| precision and step of the hand-over | PSNR, median [dB] | 5th percentile | SSIM, median | objects read |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "## Payload of the finished latent beside a JPEG of the unsplit picture that is as near to it",
        "",
        "JPEG of Pillow with optimised tables, the smaller of full and of coarser colour; its scan alone is what "
        "travels where both sides know the tables.",
        "",
        "| precision | payload with its header [byte] | PSNR, median [dB] | JPEG file [byte] | its scan [byte] |",
        "|---|---|---|---|---|",
        *beside,
        "",
    ])  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    scenes = [random_scene(np.random.default_rng(HELD_OUT_SEED + i)) for i in range(args.scenes)]
    known = chains(model, scenes)
    whole = [p for states, _ in known for p in model.decode(states[STEPS]["latent"]).numpy()]
    rows = []
    for precision in PRECISIONS:
        for cut in (*CUTS, STEPS):
            for handed, made in pictures(model, known, cut, precision).items():
                judged = {**compare(made, whole), **read(torch.from_numpy(np.stack(made)), scenes)}
                rows.append({"precision": precision, "cut": cut, "handed": handed, **judged})
                print(rows[-1], flush=True)
    result = {"scenes": args.scenes, "torch": torch.__version__, "rows": rows, "payload_byte": payloads(known),
              "jpeg": jpegs(whole)}  # fmt: skip
    here = Path(__file__).parent
    write_text(here / "seeds.json", json.dumps(result, indent=1) + "\n")
    write_text(here / "seeds.md", table(result))


if __name__ == "__main__":
    main()
