"""Draw the adapters' gain against the cut.

python experiments/twin/plot_adapters.py [--table experiments/twin/adapters.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from megdt_opt.plot.saving import save
from megdt_opt.plot.series import STYLES
from megdt_opt.report.canvas import new_figure, settings


def figure(result: dict[str, Any]) -> Figure:
    """Gain of PSNR against the steps that the edge makes: by user with the edge first, over all either way round."""
    steps = result["steps"]
    with settings():
        made = new_figure(3.5, 3.0)
        axes = made.subplots()
        for style, (user, table) in zip(STYLES, result["users"].items(), strict=False):
            _line(axes, table, "edge first", steps, {**style, "lw": 0.8, "ms": 2.5}, f"{user}, edge first")
        _line(axes, result["all"], "edge first", steps, {**STYLES[5], "ms": 3.5}, "all, edge first", band=True)
        _line(axes, result["all"], "device first", steps, {**STYLES[6], "ms": 3.5}, "all, device first", band=True)
        axes.axhline(0.0, color="#888888", lw=0.6)
        axes.set_xlabel(f"Denoising steps at the edge, of {steps}")
        axes.set_ylabel("Gain of the adapter (PSNR) [dB]")
        axes.legend(fontsize=6, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncol=2)
        made.tight_layout()
    return made


def _line(axes: Any, table: dict[str, Any], way: str, steps: int, style: dict[str, Any], label: str, *,
          band: bool = False) -> None:  # fmt: skip
    """Gains of one way round, with their interval as a band."""
    ends = {"edge first": {}, "device first": {"edge first 0": 0, f"edge first {steps}": steps}}[way]
    at = {what: int(what.rsplit(" ", 1)[1]) for what in table if what.startswith(way)}
    if way == "device first":  # the edge makes what the device leaves
        at = {what: steps - cut for what, cut in at.items()}
    points = sorted((n, table[what]["psnr_truth_db_gain"]) for what, n in {**at, **ends}.items())
    x = [n for n, _ in points]
    axes.plot(x, [gain["mean"] for _, gain in points], label=label, **style)
    if band:
        low, high = [gain["low"] for _, gain in points], [gain["high"] for _, gain in points]
        axes.fill_between(x, low, high, color=style["color"], alpha=0.2, lw=0)


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=Path(__file__).with_name("adapters.json"))
    args = parser.parse_args()
    made = figure(json.loads(args.table.read_text(encoding="utf-8")))
    for ending in (".png", ".pdf"):
        save(made, args.table.with_suffix(ending))


if __name__ == "__main__":
    main()
