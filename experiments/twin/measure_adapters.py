"""Measure what the bundled adapters change: on their users' own scenes, over the cut, and on others' scenes.

    python experiments/twin/measure_adapters.py [--scenes 40] [--out experiments/twin/adapters.json]

Held-out scenes of each world, PSNR and SSIM against the world's own render, objects read back. Edge first: the edge
makes the first n of 20 steps without the adapter, the device the rest with it. Device first: the other way round.
Rows that were measured are kept in a file beside, so that an interrupted run goes on.
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
from numpy.typing import NDArray

from megdt_opt.files import write_text
from megdt_opt.models.planned import with_adapter
from megdt_opt.models.registry import find_spec
from megdt_opt.models.twin.adapters import base_layers, bundled_adapters
from megdt_opt.models.twin.detector import detect_all, match
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, render, scene_state
from megdt_opt.models.twin.worlds import WORLDS
from megdt_opt.quality.digest import weights_digest
from megdt_opt.quality.pictures import psnr_db, ssim
from megdt_opt.quality.table import QualityTable, Row

HELD_OUT_SEED = 9_400_000
STEPS, BATCH, CUTS = 20, 20, (0, 2, 5, 10, 15, 18, 20)
SAMPLER = "ddim"
LEVEL, RESAMPLES = 0.9, 2_000

METRICS = ("psnr_truth_db", "ssim_truth", "read")
QUALITY = Path(__file__).parents[2] / "src" / "megdt_opt" / "data" / "quality" / "twin-quality-adapters.json"

Scores = dict[str, list[float]]


def scenes_of(world: str, count: int) -> list[Scene]:
    """Held-out scenes of a world; no training has their seeds."""
    return [WORLDS[world].draw(np.random.default_rng((HELD_OUT_SEED, i))) for i in range(count)]


def pictures(first: Any, then: Any, cut: int, scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """Pictures whose first `cut` steps one model makes, and another the rest."""
    made: list[NDArray[np.uint8]] = []
    how: dict[str, Any] = {"scheduler": SAMPLER, "steps": STEPS}
    for begin in range(0, len(scenes), BATCH):
        part = scenes[begin : begin + BATCH]
        states = torch.from_numpy(np.stack([scene_state(s) for s in part]))
        conditioning = first.encode_prompt({"state": states})
        state = {"latent": torch.cat([first.start(begin + i, **how)["latent"] for i in range(len(part))])}
        if cut > 0:
            state = first.denoise(state, conditioning, first=0, count=cut, **how)
        if cut < STEPS:
            state = then.denoise(state, conditioning, first=cut, count=STEPS - cut, **how)
        made += list(first.decode(state["latent"]).numpy())
    return np.stack(made)


def scores(made: NDArray[np.uint8], scenes: Sequence[Scene], world: str) -> Scores:
    """PSNR [dB], SSIM and share of objects read of each picture, against the world's own render."""
    truth = [render(scene, WORLDS[world].look) for scene in scenes]
    read = [match(d, s) / len(s.objects) for d, s in zip(detect_all(torch.from_numpy(made)), scenes, strict=True)]
    return {
        "psnr_truth_db": [psnr_db(p, t) for p, t in zip(made, truth, strict=True)],
        "ssim_truth": [ssim(p, t) for p, t in zip(made, truth, strict=True)],
        "read": read,
    }


def interval(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean, 5th percentile, deviation, and the mean's bootstrap interval at `LEVEL`."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "mean": float(values.mean()),
        "p05": float(np.quantile(values, 0.05)),
        "std": float(values.std()),
        "low": float(low),
        "high": float(high),
    }


def measured(count: int, kept: Path) -> dict[str, Scores]:
    """Scores by "world / what"; those that `kept` holds are not measured again."""
    rows: dict[str, Scores] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    base = TwinModel.load()
    own = {name: with_adapter(base, name).adapted() for name in WORLDS}
    names = list(WORLDS)
    for name in names:
        scenes = scenes_of(name, count)
        jobs: dict[str, tuple[Any, Any, int]] = {f"edge first {n}": (base, own[name], n) for n in CUTS}
        jobs |= {f"device first {n}": (own[name], base, n) for n in CUTS[1:-1]}
        other = names[(names.index(name) + 1) % len(names)]
        jobs[f"adapter of {other}"] = (own[other], own[other], STEPS)
        for what, (first, then, cut) in jobs.items():
            key = f"{name} / {what}"
            if key not in rows:
                rows[key] = scores(pictures(first, then, cut, scenes), scenes, name)
                write_text(kept, json.dumps(rows))
                print(key, {k: round(float(np.mean(v)), 3) for k, v in rows[key].items()}, flush=True)
        truth = torch.from_numpy(np.stack([render(s, WORLDS[name].look) for s in scenes]))
        for what, shown in (("render", truth), ("autoencoder", base.decode(base.sense(truth)))):
            if f"{name} / {what}" not in rows:
                rows[f"{name} / {what}"] = scores(shown.numpy(), scenes, name)
    return rows


def summary(rows: dict[str, Scores], count: int) -> dict[str, Any]:
    """Means and gains with intervals, by world and over all of them."""
    result: dict[str, Any] = {
        "scenes_per_user": count, "steps": STEPS, "sampler": SAMPLER, "interval": LEVEL,
        "provenance": {
            "model": "twin", "denoiser_sha256": base_layers()[1],
            "adapters_sha256": {name: facts["sha256"] for name, facts in bundled_adapters().items()},
            "torch": torch.__version__, "processor": platform.machine(),
            "scene_seed": HELD_OUT_SEED, "script": "experiments/twin/measure_adapters.py",
        },
        "users": {}, "all": {},
    }  # fmt: skip
    whats = [key.partition(" / ")[2] for key in rows if key.startswith(f"{next(iter(WORLDS))} / ")]
    for user in (*WORLDS, "all"):
        table: dict[str, Any] = {}
        for what in whats:
            if what.startswith("adapter of"):
                continue
            table[what] = _row([(name, what) for name in WORLDS if user in (name, "all")], rows)
        others = [(name, key.partition(" / ")[2]) for name in WORLDS if user in (name, "all")
                  for key in rows if key.startswith(f"{name} / adapter of")]  # fmt: skip
        table["another user's adapter"] = _row(others, rows)
        (result["users"] if user != "all" else result)[user] = table
    return result


def _row(cells: Sequence[tuple[str, str]], rows: dict[str, Scores]) -> dict[str, Any]:
    """Means of some cells, and gains over the base model on the same scenes."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        values = np.array([v for name, what in cells for v in rows[f"{name} / {what}"][metric]])
        base = np.array([v for name, _ in cells for v in rows[f"{name} / edge first {STEPS}"][metric]])
        finite = np.isfinite(values).all()
        found[metric] = interval(values) if finite else None
        found[f"{metric}_gain"] = interval(values - base) if finite else None
    return found


def quality_table(result: dict[str, Any]) -> QualityTable:
    """The rows over all users as the package keeps measured quality: mean, 5th percentile and deviation."""
    mechanisms = {"edge first": "SEU", "device first": "SEU-UE-first"}
    rows = []
    for what, row in result["all"].items():
        way, _, cut = what.rpartition(" ")
        if way not in mechanisms or int(cut) == STEPS:
            continue
        factors: dict[str, Any] = {"mechanism": "local", "steps": STEPS, "scheduler": SAMPLER, "adapter": True}
        if int(cut):
            factors |= {"mechanism": mechanisms[way], "cut": int(cut) / STEPS, "precision": "fp32"}
        metrics = {name: [round(row[name][key], 5) for key in ("mean", "p05", "std")] for name in METRICS}
        count = result["scenes_per_user"] * len(result["users"])
        rows.append(Row.from_dict({**factors, "count": count, "metrics": metrics}))
    weights = weights_digest(find_spec("twin")) or ""
    return QualityTable(model="twin", weights=weights, rows=tuple(rows), provenance=result["provenance"])


def table_of(result: dict[str, Any]) -> str:
    """The measured rows as a page."""
    lines = [
        "# Adapters of users: gain on their own scenes, over the cut",
        "",
        f"{result['scenes_per_user']} held-out scenes of each of {len(result['users'])} users, {STEPS} steps of "
        f"{SAMPLER}; gain over the base model on the same scenes and seeds with its {LEVEL:.0%} bootstrap interval.",
        "PSNR and SSIM are against the user's own render, which has paints, light and floor that the base model has",
        "never seen. Made by `measure_adapters.py`.",
    ]
    for user, table in (("all users", result["all"]), *result["users"].items()):
        head = "| steps | PSNR [dB] | gain [dB] | SSIM | gain | objects read |"
        lines += ["", f"## {user}", "", head, "|---|---|---|---|---|---|"]
        for what, row in table.items():
            if row["psnr_truth_db"] is None:
                lines.append(f"| {what} | | | | | {row['read']['mean']:.1%} |")
                continue
            gain, alike = row["psnr_truth_db_gain"], row["ssim_truth_gain"]
            lines.append(
                f"| {what} | {row['psnr_truth_db']['mean']:.2f} | {gain['mean']:+.2f} ({gain['low']:+.2f} to "
                f"{gain['high']:+.2f}) | {row['ssim_truth']['mean']:.3f} | {alike['mean']:+.3f} ({alike['low']:+.3f} "
                f"to {alike['high']:+.3f}) | {row['read']['mean']:.1%} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("adapters.json"))
    parser.add_argument("--rows", type=Path, default=Path("runs/adapters-rows.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    result = summary(measured(args.scenes, args.rows), args.scenes)
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    write_text(args.out.with_suffix(".md"), table_of(result))
    quality_table(result).save(QUALITY)


if __name__ == "__main__":
    main()
