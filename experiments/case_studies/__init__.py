"""Case studies: what the package finds on questions that the literature leaves open, one command each."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from case_studies.study import RESULTS, Study

NAMES = (
    "batch_quality", "generation_splitting", "heuristics", "mechanisms", "phone_cell", "phone_leads",
    "quality_against_snr", "refresh", "shared_steps", "turns_and_batches",
)  # fmt: skip
"""Every study is a module of this folder with a `STUDY`."""


def study(name: str) -> Study:
    """A study by its name."""
    found: Study = import_module(f"case_studies.{name}").STUDY
    return found


def seconds_of(folder: Path = RESULTS) -> dict[str, float]:
    """Processor time that each study took when its rows were computed [s]."""
    kept = folder / "seconds.json"
    return dict(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else {}


def index(folder: Path = RESULTS) -> str:
    """The page that lists the studies in Markdown: what was asked, what was found, and what it took."""
    took = seconds_of(folder)
    studies = {name: study(name) for name in NAMES}
    lines = [
        f"| [{name}]({name}.md) | {one.lead} | {one.verdict(one.frame(folder))} | {took.get(name, float('nan')):.0f} |"
        for name, one in studies.items()
    ]
    return "\n".join([
        "# Case studies",
        "",
        "`python experiments/case_study.py all` computes every table from scratch and draws every figure, "
        f"one study after another in one process: {sum(took.values()) / 60:.0f} minutes of processor time (user and "
        "system) in all, on one of two cores that others used as well, with kernels kept from an earlier run.",
        "",
        "Plans that are stopped by a time limit (STACKING's setting from 10 users on, batches beside turns, some phone "
        "cells) depend on how fast and how busy the machine is: their bounds, and the plans within them, may be a "
        "little different next time. Everything else is the same to the last digit that is read here.",
        "",
        "| study | put to the test | found | processor time [s] |",
        "|---|---|---|---|",
        *lines,
        "",
    ])  # fmt: skip
