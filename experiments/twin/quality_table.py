"""The measured quality of the twin model as a page of tables.

python experiments/twin/quality_table.py [experiments/twin/quality.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def table(result: Mapping[str, Any]) -> str:
    """Markdown page of what `measure_quality.py` found."""

    def read(row: Mapping[str, Any]) -> str:
        return f"{row['found']} of {row['objects']} ({row['share']:.1%})"

    def row(name: str, measured: Mapping[str, Any]) -> str:
        of = f"{measured['identical']} of {result['scenes']}"
        decibel = "identical" if measured["psnr_median_db"] >= 99 else f"{measured['psnr_median_db']:.1f}"
        low = "identical" if measured["psnr_p05_db"] >= 99 else f"{measured['psnr_p05_db']:.1f}"
        seen = f" {read(measured['read'])} |" if "read" in measured else ""
        return f"| {name} | {decibel} | {low} | {measured['ssim_median']:.4f} | {of} |{seen}"

    columns = "PSNR, median [dB] | PSNR, 5th percentile [dB] | SSIM, median | identical |"
    lines = [
        f"# Quality of the twin model on {result['scenes']} held-out scenes",
        "",
        f"{result['steps']} denoising steps in batches of 20, one thread; torch {result['machine']['torch']}, "
        f"{result['machine']['processor']}. Written by `measure_quality.py` with `quality.json`.",
        "",
        "## Objects that the detector reads (kind, colour, centre within 2 pixels)",
        "",
        "| pictures | read |",
        "|---|---|",
        *(f"| {name} | {read(found)} |" for name, found in result["detector"].items()),
        "",
        "## Against the render",
        "",
        "A render's stains and grain are not part of the state, so a generated picture has its own.",
        "",
        f"| pictures | {columns}",
        "|---|---|---|---|---|",
        row("autoencoder alone", result["reconstruction"]),
        *(row(f"generated, {name}", found) for name, found in result.get("against_render", {}).items()),
        "",
        "## Against the unsplit picture (DDIM): hand-over of the latent",
        "",
        f"| precision, step of the hand-over | {columns} read |",
        "|---|---|---|---|---|---|",
        *(row(name, found) for name, found in result["precision"].items()),
        "",
        "## Against the unsplit picture (DDIM): parallel generation, overlap of 4 latent rows",
        "",
        f"| share of the top band | {columns} read |",
        "|---|---|---|---|---|---|",
        *(row(name, found) for name, found in result["parallel"].items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("quality.json")
    source.with_suffix(".md").write_text(table(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
