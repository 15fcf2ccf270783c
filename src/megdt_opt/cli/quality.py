"""What `megdt-opt quality` does: it measures a model's pictures on prompts of one's own."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_text

if TYPE_CHECKING:
    from rich.console import Console

    from megdt_opt.models.registry import Subject
    from megdt_opt.program.mechanisms import Option, Setting
    from megdt_opt.quality.table import Row

MOST_PROMPTS = 10_000
"""Most lines of a file of prompts that are read."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is measured.

    Parameters
    ----------
    model : str
        Name, pipeline folder or spec file.
    prompts : Path or None
        File with a prompt a line; None for drawn examples.
    pictures : int
        Pictures of each point [1].
    steps : sequence of int
        Numbers of denoising steps.
    schedulers, precisions : sequence of str
        Samplers, and precisions of the features sent.
    cuts : sequence of float
        Shares of the steps before a hand-over [1].
    seed : int
        Seed of the first picture's noise.
    """

    model: str
    prompts: Path | None = None
    pictures: int = 20
    steps: Sequence[int] = (20,)
    schedulers: Sequence[str] = ("ddim",)
    precisions: Sequence[str] = ("fp16", "int8")
    cuts: Sequence[float] = (0.1, 0.5, 0.9)
    seed: int = 0


def subjects_of(asked: Asked) -> list[Subject]:
    """What the pictures show: the prompts of the file, or numbers that draw examples."""
    if asked.prompts is None:
        return list(range(asked.pictures))
    lines = [line.strip() for line in read_text(asked.prompts, "file of prompts").splitlines()]
    found: list[Subject] = []
    found.extend(line for line in lines[:MOST_PROMPTS] if line)
    if not found:
        raise InvalidInput("file of prompts", str(asked.prompts), "a prompt a line", "Write at least one.")
    return found[: asked.pictures]


def options_of(asked: Asked, setting: Setting) -> tuple[Option, ...]:
    """The options that are measured in a setting: of all that plans may offer, those whose pictures are not known to be
    the ones of one place, each once."""
    from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, catalogue
    from megdt_opt.program.sketches import SKETCH_MECHANISMS
    from megdt_opt.quality.factors import Factors

    steps = setting.steps
    cuts = sorted({min(max(round(share * steps), 1), steps - 1) for share in asked.cuts}) if steps > 1 else []
    own = (*(SKETCH_MECHANISMS if setting.spec.sketch else ()), *MECHANISM_REGISTRY.own)
    found: dict[Factors, Option] = {}
    for option in catalogue(setting, own=own, precisions=asked.precisions, cuts=cuts):
        factors = Factors.of(option, steps=steps, scheduler=setting.scheduler)
        if not factors.exact:
            found.setdefault(factors, option)
    return tuple(found.values())


def measure_model(asked: Asked, output: Path, console: Console) -> None:
    """Measure, print and write a table that scenarios name as their `quality`."""
    from megdt_opt.machine import environment, versions
    from megdt_opt.models.planned import load_planned
    from megdt_opt.models.registry import find_spec
    from megdt_opt.program.mechanisms import Setting
    from megdt_opt.program.precisions import PRECISION_REGISTRY
    from megdt_opt.quality.digest import weights_digest
    from megdt_opt.quality.measure import DEVICE, Bench, measure
    from megdt_opt.quality.table import QualityTable

    for precision in asked.precisions:
        PRECISION_REGISTRY.require(precision, "--precisions")
    subjects, spec = subjects_of(asked), find_spec(asked.model)
    model = load_planned(spec)
    bench = Bench(spec=spec, models={"": model}, subjects=subjects, whole=model, first_seed=asked.seed)
    rows: list[Row] = []

    def tell(row: Row) -> None:
        figures = ", ".join(f"{name} {value.mean:.4g}" for name, value in row.metrics.items())
        told = row.factors
        sent = told.precision or told.codec
        console.print(
            f"{told.mechanism} {told.cut or told.share:.2f} {sent} ({told.steps} {told.scheduler}): {figures}",
            markup=False,
        )

    for scheduler in asked.schedulers:
        for steps in asked.steps:
            options = options_of(asked, Setting(spec=spec, scheduler=scheduler, steps=steps, device=DEVICE))
            rows += measure(bench, options, steps=steps, scheduler=scheduler, tell=tell)
    provenance = {
        "script": "megdt-opt quality", "processor": platform.machine(), "cpu": environment()["cpu"],
        **versions("megdt-opt", "torch", "diffusers"), "seeds": f"{asked.seed} to {asked.seed + len(subjects) - 1}",
        "prompts": "drawn examples" if asked.prompts is None else asked.prompts.name,
    }  # fmt: skip
    table = QualityTable(
        model=spec.name, weights=weights_digest(spec) or "", rows=tuple(rows), provenance=provenance
    )  # fmt: skip
    table.save(output)
    console.print(f"written: {output}, to name as a scenario's quality", markup=False)
