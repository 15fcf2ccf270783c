"""Case studies: what the package finds on questions that the literature leaves open, one command each."""

from __future__ import annotations

from importlib import import_module

from case_studies.study import Study

NAMES = (
    "batch_quality", "generation_splitting", "heuristics", "mechanisms", "phone_cell", "phone_leads",
    "quality_against_snr", "refresh", "shared_steps", "turns_and_batches",
)  # fmt: skip
"""Every study is a module of this folder with a `STUDY`."""


def study(name: str) -> Study:
    """A study by its name."""
    found: Study = import_module(f"case_studies.{name}").STUDY
    return found
