"""Measure the twin model's pictures: what a detector reads in them, and what each payload precision costs.

    python experiments/twin/measure_quality.py [--scenes 200] [--out experiments/twin/quality.json]

The detector was trained on rendered scenes only and never saw a generated picture. Scenes are held out: their seeds
were used by no training script.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality_table import table

from megdt_opt.execution.serial import pack, unpack
from megdt_opt.files import write_text
from megdt_opt.models.twin.detector import detect_all, match
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene, render, scene_state
from megdt_opt.program.mechanisms import split_rows
from megdt_opt.program.stages import TensorSpec
from megdt_opt.quality.pictures import Picture, psnr_db, ssim

HELD_OUT_SEED = 9_000_000
STEPS = 20
BATCH = 20
SHARES = (0.25, 0.5, 0.75)


def read(pictures: torch.Tensor, scenes: Sequence[Scene]) -> dict[str, float]:
    """Share of the scenes' objects that the detector reads (kind, colour, centre within 2 pixels)."""
    found = sum(match(d, s) for d, s in zip(detect_all(pictures), scenes, strict=True))
    objects = sum(len(s.objects) for s in scenes)
    return {"found": found, "objects": objects, "share": found / objects}


def compare(pictures: Sequence[Picture], references: Sequence[Picture]) -> dict[str, float]:
    """Median PSNR [dB] and SSIM of pictures against references."""
    decibels = [min(psnr_db(p, r), 99.0) for p, r in zip(pictures, references, strict=True)]
    alike = [ssim(p, r) for p, r in zip(pictures, references, strict=True)]
    return {
        "psnr_median_db": float(np.median(decibels)),
        "psnr_p05_db": float(np.percentile(decibels, 5)),
        "ssim_median": float(np.median(alike)),
        "identical": sum(bool(np.array_equal(p, r)) for p, r in zip(pictures, references, strict=True)),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("quality.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    scenes = [random_scene(np.random.default_rng(HELD_OUT_SEED + i)) for i in range(args.scenes)]
    truth = torch.from_numpy(np.stack([render(s) for s in scenes]))
    result: dict[str, Any] = {
        "scenes": args.scenes,
        "steps": STEPS,
        "machine": {"processor": platform.machine(), "torch": torch.__version__},
        "detector": {"renders": read(truth, scenes), "autoencoder": read(model.decode(model.sense(truth)), scenes)},
        "reconstruction": compare(list(model.decode(model.sense(truth)).numpy()), list(truth.numpy())),
        "against_render": {},
        "precision": {},
        "parallel": {},
    }
    whole: dict[str, list[Picture]] = {}
    for scheduler in model.spec.schedulers:
        pictures = generate(model, scenes, scheduler)
        whole[scheduler] = pictures
        result["detector"][scheduler] = read(torch.from_numpy(np.stack(pictures)), scenes)
        result["against_render"][scheduler] = compare(pictures, list(truth.numpy()))
        print(scheduler, result["detector"][scheduler], flush=True)
    for precision in ("fp32", "fp16", "int8"):
        for cut in (STEPS // 4, STEPS // 2, 3 * STEPS // 4, STEPS):
            pictures = generate(model, scenes, "ddim", cut=cut, precision=precision)
            row = compare(pictures, whole["ddim"]) | {"read": read(torch.from_numpy(np.stack(pictures)), scenes)}
            result["precision"][f"{precision} at {cut}"] = row
            print(precision, cut, row, flush=True)
    for share in SHARES:
        pictures = parallel(model, scenes, share)
        row = compare(pictures, whole["ddim"]) | {"read": read(torch.from_numpy(np.stack(pictures)), scenes)}
        result["parallel"][f"{share:.2f}"] = row
        print("parallel", share, row, flush=True)
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    write_text(args.out.with_suffix(".md"), table(result))


def hand_over(state: dict[str, torch.Tensor], precision: str) -> dict[str, torch.Tensor]:
    """What arrives of a state that is sent: through the serialiser of the execution and back."""
    tensors = [TensorSpec(name=f"state.{name}", shape=tuple(value.shape)) for name, value in state.items()]
    return unpack(pack({"state": state}, tensors, precision), tensors, precision)["state"]


def generate(
    model: TwinModel,
    scenes: Sequence[Scene],
    scheduler: str,
    *,
    cut: int | None = None,
    precision: str = "fp32",
) -> list[Picture]:
    """A picture of each scene; with `cut`, the latent is handed over after so many steps in a precision."""
    pictures: list[Picture] = []
    chain = {"scheduler": scheduler, "steps": STEPS}
    first = STEPS if cut is None else cut
    for begin in range(0, len(scenes), BATCH):
        conditioning, seeds = prepared(model, scenes, begin)
        state = {"latent": torch.cat([model.start(seed, **chain)["latent"] for seed in seeds])}
        state = model.denoise(state, conditioning, first=0, count=first, **chain)
        if cut is not None:
            state = hand_over(state, precision)
        if first < STEPS:
            state = model.denoise(state, conditioning, first=first, count=STEPS - first, **chain)
        pictures += list(model.decode(state["latent"]).numpy())
    return pictures


def prepared(model: TwinModel, scenes: Sequence[Scene], begin: int) -> tuple[dict[str, torch.Tensor], range]:
    """Conditioning and seeds of a batch of scenes."""
    part = scenes[begin : begin + BATCH]
    states = torch.from_numpy(np.stack([scene_state(s) for s in part]))
    return model.encode_prompt({"state": states}), range(begin, begin + len(part))


def parallel(model: TwinModel, scenes: Sequence[Scene], share: float) -> list[Picture]:
    """Pictures of which both sides make a part."""
    pictures: list[Picture] = []
    chain = {"scheduler": "ddim", "steps": STEPS}
    rows = split_rows(model.spec, share, 4)
    for begin in range(0, len(scenes), BATCH):
        conditioning, seeds = prepared(model, scenes, begin)
        parts = []
        for band in rows:
            state = {"latent": torch.cat([model.start(seed, rows=band, **chain)["latent"] for seed in seeds])}
            parts.append(model.denoise(state, conditioning, first=0, count=STEPS, rows=band, **chain)["latent"])
        pictures += list(model.decode(model.fuse(parts[0], rows[0], parts[1], rows[1])).numpy())
    return pictures


if __name__ == "__main__":
    main()
