"""What a hand-over that carries the conditioning does to the twin's pictures: as a device that begins sends it.

    PYTHONPATH=src python experiments/twin/measure_hand_over.py [--scenes 100]

Latent and conditioning are handed over after some steps in a precision, and the seed once more before it is decoded;
`measure_quality.py` hands over the latent alone. Writes hand_over.md. The last row is what a wrong picture shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measure_quality import BATCH, HELD_OUT_SEED, STEPS, Picture, generate, hand_over, prepared

from megdt_opt.files import write_text
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene
from megdt_opt.quality.pictures import psnr_db

CUTS = (1, 3, 6, 10, 15, 19)


def split(model: TwinModel, scenes: list[Scene], cut: int, precision: str) -> list[Picture]:
    """Pictures of scenes whose latent and conditioning are handed over after `cut` steps."""
    pictures: list[Picture] = []
    chain = {"scheduler": "ddim", "steps": STEPS}
    for begin in range(0, len(scenes), BATCH):
        conditioning, seeds = prepared(model, scenes, begin)
        state = {"latent": torch.cat([model.start(seed, **chain)["latent"] for seed in seeds])}
        state = model.denoise(state, conditioning, first=0, count=cut, **chain)
        state, conditioning = (_one_by_one(items, precision) for items in (state, conditioning))
        state = model.denoise(state, conditioning, first=cut, count=STEPS - cut, **chain)
        pictures += list(model.decode(_one_by_one(state, precision)["latent"]).numpy())
    return pictures


def _one_by_one(items: dict[str, torch.Tensor], precision: str) -> dict[str, torch.Tensor]:
    """Each scene's tensors are a payload of their own."""
    sent = [
        hand_over({name: value[i : i + 1] for name, value in items.items()}, precision)
        for i in range(len(next(iter(items.values()))))
    ]
    return {name: torch.cat([one[name] for one in sent]) for name in items}


def row(name: str, pictures: list[Picture], references: list[Picture]) -> str:
    """Least, 5th percentile and median against the unsplit pictures."""
    decibels = [psnr_db(p, r) for p, r in zip(pictures, references, strict=True)]
    least, fifth, median, most = np.percentile(decibels, [0, 5, 50, 100])
    return f"| {name} | {least:.1f} | {fifth:.1f} | {median:.1f} | {most:.1f} |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("hand_over.md"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    scenes = [random_scene(np.random.default_rng(HELD_OUT_SEED + i)) for i in range(args.scenes)]
    whole = generate(model, scenes, "ddim")
    lines = [
        f"# Hand-overs that carry the conditioning, on {args.scenes} held-out scenes of the twin model",
        "",
        f"Latent and conditioning after some of {STEPS} steps (DDIM), and the seed again before it is decoded, against "
        f"the unsplit picture; torch {torch.__version__}. Written by `measure_hand_over.py`.",
        "",
        "| precision, step | PSNR, least [dB] | 5th percentile | median | most |",
        "|---|---|---|---|---|",
    ]
    for precision in ("fp16", "int8"):
        lines += [row(f"{precision} at {cut}", split(model, scenes, cut, precision), whole) for cut in CUTS]
    lines.append(row("the picture of another scene", [*whole[1:], whole[0]], whole))
    write_text(args.out, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
