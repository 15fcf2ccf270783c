"""Measure how near pictures with shared first steps come to the unsplit ones, by similarity and by shared steps.

    python experiments/twin/measure_prefix.py [--pairs 300]

Scenes come in pairs: the second is the first with some of its objects, colours, headings or its floor changed, or
another one altogether. The first steps follow the first scene's request and seed, the others the second's request. The
picture is compared with the second's unsplit one, made with the same seed or with its own.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_quality import BATCH, HELD_OUT_SEED, STEPS, Picture

from megdt_opt.errors import InvalidInput
from megdt_opt.files import write_text
from megdt_opt.models.similarity import similarities
from megdt_opt.models.twin.catalogue import COLOURS, FLOORS
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene, scene_state
from megdt_opt.quality.pictures import psnr_db

PARTS = tuple(n / 10 for n in range(1, 11))
EDGES = (0.0, 0.3, 0.6, 0.8, 0.9, 0.98, 0.999, 1.0)
"""Edges of the bins of similarity; the last bin holds equal requests alone."""
MOST_DB = 99.0
FOLDER = Path(__file__).parents[2] / "src" / "megdt_opt" / "data" / "quality"


def altered(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene with something changed: nothing, headings, places, colours, objects, the floor, or everything."""
    how = int(rng.integers(7))
    if how == 0:
        return scene
    if how == 1:
        return random_scene(rng)
    if how == 2:
        return replace(scene, floor=str(rng.choice([f for f in FLOORS if f != scene.floor])))
    objects, other = list(scene.objects), random_scene(rng, len(scene.objects)).objects
    for i in rng.choice(len(objects), size=int(rng.integers(1, len(objects) + 1)), replace=False):
        mine = objects[i]
        if how == 3:
            objects[i] = replace(mine, heading_rad=mine.heading_rad + float(rng.normal(0, 0.3)))
        elif how == 4:
            objects[i] = replace(mine, colour=str(rng.choice(list(COLOURS))))
        else:
            new = other[i] if how == 5 else mine
            moved = replace(new, x_px=mine.x_px + float(rng.normal(0, 1.5)), y_px=mine.y_px + float(rng.normal(0, 1.5)))
            objects[i] = moved if how == 6 else replace(new, x_px=mine.x_px, y_px=mine.y_px)
    return replace(scene, objects=tuple(objects))


def pairs(count: int) -> list[tuple[Scene, Scene]]:
    """Pairs of held-out scenes."""
    rng, found = np.random.default_rng(HELD_OUT_SEED + 500_000), []
    while len(found) < count:
        scene = random_scene(rng)
        try:
            found.append((scene, altered(scene, rng)))
        except InvalidInput:  # objects would overlap
            continue
    return found


@torch.no_grad()
def measure(model: TwinModel, made: Sequence[tuple[Scene, Scene]]) -> tuple[np.ndarray, np.ndarray]:
    """PSNR of each pair and part against the unsplit picture of the same seed, and of its own, each (P, X) [dB]."""
    chain: dict[str, Any] = {"scheduler": "ddim", "steps": STEPS}
    equal, own = np.zeros((len(made), len(PARTS))), np.zeros((len(made), len(PARTS)))
    for begin in range(0, len(made), BATCH):
        part = made[begin : begin + BATCH]
        lead, member = (
            model.encode_prompt({"state": torch.from_numpy(np.stack([scene_state(p[i]) for p in part]))})
            for i in range(2)
        )

        def noise(seeds: Sequence[int]) -> dict[str, torch.Tensor]:
            return {"latent": torch.cat([model.start(seed, **chain)["latent"] for seed in seeds])}

        def pictures(state: dict[str, torch.Tensor], first: int) -> list[Picture]:
            if first < STEPS:
                state = model.denoise(state, member, first=first, count=STEPS - first, **chain)  # noqa: B023
            return list(model.decode(state["latent"]).numpy())

        seeds = range(2 * begin, 2 * begin + len(part))
        state = noise(seeds)
        whole = pictures(state, 0), pictures(noise([seed + 1_000_000 for seed in seeds]), 0)
        done = 0
        for column, shared in enumerate(round(share * STEPS) for share in PARTS):
            state = model.denoise(state, lead, first=done, count=shared - done, **chain)
            done = shared
            found = pictures(state, shared)
            for into, references in zip((equal, own), whole, strict=True):
                decibels = [min(psnr_db(p, r), MOST_DB) for p, r in zip(found, references, strict=True)]
                into[begin : begin + len(part), column] = decibels
        print(begin + len(part), "of", len(made), flush=True)
    return equal, own


def table(similarity: np.ndarray, equal: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """Percentiles of each bin of similarity and each shared part."""
    rows = np.searchsorted(EDGES, similarity, side="right") - 1

    def of(values: np.ndarray, percent: float) -> list[list[float]]:
        return [np.percentile(values[rows == row], percent, axis=0).round(2).tolist() for row in range(len(EDGES))]

    return {
        "similarity": list(EDGES), "part": list(PARTS), "steps": STEPS, "pairs": np.bincount(rows).tolist(),
        "machine": {"processor": platform.machine(), "torch": torch.__version__},
        **{f"psnr_{name}_db": {"equal": of(equal, percent), "own": of(own, percent)}
           for name, percent in (("p05", 5), ("median", 50), ("p95", 95))},
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The table as Markdown: 5th percentile, median and 95th percentile."""
    lines = [
        f"# Twin: pictures with shared first steps against the unsplit ones ({sum(found['pairs'])} pairs, "
        f"{found['steps']} steps of DDIM)", "",
        "PSNR, 5th percentile / median / 95th percentile [dB]. Written by `measure_prefix.py`.", "",
    ]  # fmt: skip
    for seeds, words in (("equal", "The unsplit picture has the same seed"), ("own", "It has its own seed")):
        lines += [f"## {words}", "", "| similarity | pairs | " + " | ".join(f"{p:.0%}" for p in found["part"]) + " |"]
        lines.append("|---" * (2 + len(found["part"])) + "|")
        for row, edge in enumerate(found["similarity"]):
            cells = zip(*(found[f"psnr_{name}_db"][seeds][row] for name in ("p05", "median", "p95")), strict=True)
            text = " | ".join("/".join(f"{value:.0f}" for value in cell) for cell in cells)
            name = "1" if edge == 1 else f"{edge:g} to {found['similarity'][row + 1]:g}"
            lines.append(f"| {name} | {found['pairs'][row]} | {text} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    torch.set_num_threads(1)
    made = pairs(parser.parse_args().pairs)
    found = similarities([scene.to_dict() for pair in made for scene in pair], "twin")
    similarity = np.array([found[2 * i, 2 * i + 1] for i in range(len(made))])
    print("similarity", np.percentile(similarity, [0, 10, 25, 50, 75, 90, 100]).round(3), flush=True)
    result = table(similarity, *measure(TwinModel.load(), made))
    write_text(FOLDER / "twin-prefix.json", json.dumps(result, indent=1) + "\n")
    write_text(Path(__file__).with_name("prefix.md"), page(result))


if __name__ == "__main__":
    main()
