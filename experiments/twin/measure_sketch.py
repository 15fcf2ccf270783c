"""Measure pictures that the twin makes from sketches, in both directions, beside JPEG files of the same pictures.

    python experiments/twin/measure_sketch.py [--scenes 100] [--out experiments/twin]

Scenes are held out: their seeds were used by no training script. Up (U2E-sketch), the sketch is read off the camera's
picture, the scene's render; down (E2U-sketch), off the picture that the model generates of the request. Either way the
model makes a picture anew from the sketch alone. JPEG is that of the picture whose sketch it is.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_quality import HELD_OUT_SEED, Picture, read, ssim
from PIL import Image
from torch import Tensor

from megdt_opt.files import write_text
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene, render, scene_state
from megdt_opt.program.stages import TensorSpec
from megdt_opt.program.wire import payload_byte
from megdt_opt.trials.pictures import psnr_db

STEPS, BATCH, SCHEDULER = 20, 25, "ddim"
QUALITIES = (5, 10, 15, 20, 30, 50, 70, 90)

Row = dict[str, Any]


def made_of(model: TwinModel, conditionings: Sequence[dict[str, Tensor]]) -> Tensor:
    """Pictures of chains of these conditionings, in batches; all from the same noise."""
    how: dict[str, Any] = {"scheduler": SCHEDULER, "steps": STEPS}
    found = []
    for begin in range(0, len(conditionings), BATCH):
        part = conditionings[begin : begin + BATCH]
        given = {name: torch.cat([one[name] for one in part]) for name in part[0]}
        noise = model.start(0, **how)["latent"].expand(len(part), -1, -1, -1).contiguous()
        found.append(model.decode(model.denoise({"latent": noise}, given, first=0, count=STEPS, **how)["latent"]))
    return torch.cat(found)


def row(pictures: Tensor, sources: Tensor, scenes: Sequence[Scene], byte: Sequence[int]) -> Row:
    """What is read in pictures, how far they are from the renders and from their sources, and their payloads."""
    found = read(pictures, scenes)
    share, count = found["share"], found["objects"]
    z = 1.96  # Wilson's interval of 95 %
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    truth = [render(scene) for scene in scenes]

    def median(of: Callable[[Picture, Picture], float], against: Sequence[Picture]) -> float:
        pairs = zip(pictures.numpy(), against, strict=True)
        return round(float(np.median([min(of(one, other), 99.0) for one, other in pairs])), 4)

    return {
        **found,
        "interval": [round((middle + sign * half) / (1 + z * z / count), 4) for sign in (-1, 1)],
        "psnr_truth_db": median(psnr_db, truth),
        "ssim_truth": median(ssim, truth),
        "psnr_source_db": median(psnr_db, list(sources.numpy())),
        "payload_byte": round(float(np.mean(byte)), 1),
        "payload_byte_p95": round(float(np.percentile(byte, 95)), 1),
    }


def on_the_air(item: str, length: int) -> int:
    """Payload of coded bytes [byte]."""
    return payload_byte((TensorSpec(name=item, shape=(length,), floating=False),), "fp32")


def by_jpeg(sources: Tensor, scenes: Sequence[Scene], quality: int) -> Row:
    """The row of JPEG files of the sources."""
    files = []
    for picture in sources.numpy():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        files.append(file.getvalue())
    shown = torch.from_numpy(np.stack([np.array(Image.open(io.BytesIO(file))) for file in files]))
    return row(shown, sources, scenes, [on_the_air("image.bytes", len(file)) for file in files])


def measured(model: TwinModel, sources: Tensor, scenes: Sequence[Scene]) -> dict[str, Row]:
    """Rows of one direction."""
    sketches = [model.sketch(picture[None]) for picture in sources]
    pictures = made_of(model, [model.read_sketch(sketch) for sketch in sketches])
    byte = [on_the_air("sketch.bytes", len(sketch)) for sketch in sketches]
    rows = {"source": row(sources, sources, scenes, [0]), "sketch": row(pictures, sources, scenes, byte)}
    return rows | {f"jpeg {quality}": by_jpeg(sources, scenes, quality) for quality in QUALITIES}


def table(found: dict[str, Any]) -> str:
    """The rows as a page."""
    lines = [
        f"# Pictures from sketches on {found['scenes']} held-out scenes",
        "",
        f"{STEPS} steps of {SCHEDULER}, one thread; torch {found['torch']}, {found['machine']}. Written by "
        "`measure_sketch.py` with `sketch.json`.",
        "Read: objects whose kind, colour and centre (within 2 pixels) the detector reads, with Wilson's interval of",
        "95 %. The source is the picture whose sketch or JPEG file is sent: the camera's (U2E-sketch), or the",
        "generated one (E2U-sketch). Payloads are whole messages on the air. A picture from a sketch has stains of its",
        "own, so its distances to the render are those of any generated picture. JPEG's tables alone take 600 byte.",
    ]
    for direction, rows in found["directions"].items():
        lines += ["", f"## {direction}", "", "| sent | read | 95 % | PSNR to render [dB] | SSIM to render | PSNR to "
                  "source [dB] | payload, mean [byte] | 95th percentile [byte] |", "|" + "---|" * 8]  # fmt: skip
        for name, one in rows.items():
            sent = ["-", "-"] if name == "source" else [f"{one[f'payload_byte{p}']:.0f}" for p in ("", "_p95")]
            source = "identical" if one["psnr_source_db"] >= 99 else f"{one['psnr_source_db']:.1f}"
            cells = [f"{one['found']} of {one['objects']} ({one['share']:.1%})", "{:.1%} to {:.1%}".format(
                *one["interval"]), f"{min(one['psnr_truth_db'], 99):.1f}" if one["psnr_truth_db"] < 99 else "identical",
                f"{one['ssim_truth']:.3f}", source, *sent]  # fmt: skip
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        least = next((n for n in rows if n.startswith("jpeg") and rows[n]["share"] >= rows["sketch"]["share"]), None)
        if least is not None:
            ratio = rows[least]["payload_byte"] / rows["sketch"]["payload_byte"]
            lines += ["", f"The smallest JPEG in which as many objects are read is {least}: {ratio:.1f} times the "
                      "sketch's payload."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("experiments/twin"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TwinModel.load()
    scenes = [random_scene(np.random.default_rng((HELD_OUT_SEED, i))) for i in range(args.scenes)]
    cameras = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
    asked = [model.encode_prompt({"state": torch.from_numpy(scene_state(scene))[None]}) for scene in scenes]
    found = {
        "scenes": args.scenes,
        "seeds": [HELD_OUT_SEED, 0, args.scenes - 1],
        "steps": STEPS,
        "scheduler": SCHEDULER,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "directions": {
            "U2E-sketch": measured(model, cameras, scenes),
            "E2U-sketch": measured(model, made_of(model, asked), scenes),
        },
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "sketch.json", json.dumps(found, indent=1) + "\n")
    write_text(args.out / "sketch.md", table(found))


if __name__ == "__main__":
    main()
