"""The command `megdt-opt import-timings`: a timing file of another program as a profile, or what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from megdt_opt.report.grids import from_columns
from megdt_opt.report.numbers import NONE, count
from megdt_opt.report.tables import GridView, profile_table
from megdt_opt.timing.borrow import missing_stages
from megdt_opt.timing.formats.recognise import timing_file
from megdt_opt.timing.importer import choices, import_timings


def run_command(file: Path, output: Path | None, console: Console, **asked: Any) -> None:
    """Write the profile and show it; without an output, show which figures the file holds.

    Parameters
    ----------
    file, output : Path
        The timing file, and the profile to write.
    console : Console
        Where to print.
    **asked
        As `import_timings` takes them.
    """
    if output is None:
        show_choices(file, console)
        return
    profile = import_timings(file, **asked)
    profile.save(output)
    console.print(profile_table(profile))
    missing = missing_stages(profile)
    if missing:
        console.print(
            f"Not in the file: {', '.join(missing)}. Options that need these stages on this device are closed; a "
            "scenario borrows them by naming where from, for example "
            f"borrow: {{{missing[-1]}: DEVICE / MODEL x FACTOR}}.",
            markup=False,
        )
    console.print(f"written: {output}", markup=False)


def show_choices(file: Path, console: Console) -> None:
    """Print what a file holds: a row for each set of figures that a profile can be made of."""
    found = timing_file(file)
    rows = choices(found)
    names = ("device", "model", "precision", "variant")
    stages = [sorted({f.stage for f in found.figures if f.device == device}) for device, *_ in rows]
    columns = {name: [row[number] or NONE for row in rows] for number, name in enumerate(names)}
    grid = from_columns(
        f"{file.name}: {found.kind}",
        {**columns, "stages": [", ".join(those) for those in stages]},
        text=(*names, "stages"),
        notes=(f"{count(len(found.figures), 'figure')}. Method: {found.method}.",),
    )
    console.print(GridView(grid))
