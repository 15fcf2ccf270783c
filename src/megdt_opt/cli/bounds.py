"""The command `megdt-opt bounds`: every bound validated, as a table."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from megdt_opt.bounds.checks.validation import LIMITS, Outcome, validate
from megdt_opt.cli.progress import progress
from megdt_opt.cli.terminal import console_of
from megdt_opt.report.grids import Grid


def run_command(count: int, seed: int, *, console: Console | None = None) -> bool:
    """Validate every bound and print a row for each; True where all hold.

    Parameters
    ----------
    count : int
        Instances for each bound [1].
    seed : int
        Seed of the instances.
    console : Console, optional
        Where to print.
    """
    from megdt_opt.report.tables import GridView

    console = console or console_of()
    with progress(console, "checking the bounds") as update:
        found = validate(count, seed, on_progress=update)
    console.print(GridView(bounds_grid(found)))
    for outcome in found:
        if not outcome.holds:
            shown = ", ".join(str(n) for n in outcome.failed[:10])
            console.print(f"violated: {outcome.validator.name}, instances {shown} of seed {seed}", style="bold red")
    return all(outcome.holds for outcome in found)


def bounds_grid(outcomes: tuple[Outcome, ...]) -> Grid:
    """The table: instances, worst relative violation by reference, tightness, and where a bound is loose and why."""
    rows = []
    for outcome in outcomes:
        tight = np.array(outcome.tightness)
        rows.append(
            (
                outcome.validator.name,
                str(outcome.instances),
                *(_violation(outcome.worst.get(name)) for name in LIMITS),
                f"{np.median(tight):.4f}" if tight.size else "-",
                f"{tight.min():.4f}" if tight.size else "-",
                outcome.validator.loose,
            )
        )
    return Grid(
        title="Closed forms and bounds",
        headers=(
            "bound",
            "instances",
            *(f"worst violation: {text}" for text in ("50 digits", "solver", "wrong side")),
            "tightness: median",
            "worst",
            "where it is loose, and why",
        ),
        rows=tuple(rows),
        text=(0, 7),
        notes=(
            f"relative violations; allowed {LIMITS['digits']:g} against 50-digit arithmetic or exhaustive search, "
            f"{LIMITS['solver']:g} against a solver or formulation, {LIMITS['side']:g} beyond the optimum",
            "tightness: bound/optimum, or optimum/bound for bounds from above; 1 is exact",
        ),
    )


def _violation(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.1e}"
