"""The command `megdt-opt sweep`: tables and figures of a sweep in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from rich.console import Console

from megdt_opt.cli.progress import progress
from megdt_opt.cli.terminal import console_of
from megdt_opt.errors import InvalidInput
from megdt_opt.files import try_folder
from megdt_opt.report.canvas import WRITERS, figure_files
from megdt_opt.report.folder import write_folder
from megdt_opt.report.numbers import count
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.sweeping.cell import Solving
from megdt_opt.sweeping.chunks import CHUNK, sweep_into
from megdt_opt.sweeping.grid import Over
from megdt_opt.sweeping.runner import SweepResult, run_sweep
from megdt_opt.sweeping.sweep_file import SweepFile
from megdt_opt.sweeping.trace_rows import ROW
from megdt_opt.yaml_text import parse_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from megdt_opt.timing.profile import TimingProfile

FIGURES = ("latency-*", "mechanisms", "solve-time", "pareto")
"""Names of the figures of `figures_of`, without their endings."""

CACHE = "cache"
"""Folder of the cells' results, inside the output folder."""


OF_A_PART = ("shard", "out")
"""What may be said beside the file of a sweep, as it differs from machine to machine."""


def asked_of(named: str, options: Mapping[str, Any], profiles: Sequence[str]) -> tuple[SweepFile, list[str]]:
    """What a sweep is of, from its file or from a scenario's name and options, and its profiles as "NAME=FILE".

    Raises
    ------
    InvalidInput
        Where an option is given beside the file of a sweep that is not of one part alone, for the file says all; or no
        field is to change.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "out" in given:
        given["out"] = str(given["out"])
    if SweepFile.names(named):
        for name, value in {**given, **({"profile": list(profiles)} if profiles else {})}.items():
            if name not in OF_A_PART:
                expected = "nothing beside the file of a sweep but --shard and --out"
                remedy = f"Write {name} into the file, or name a scenario."
                raise InvalidInput(f"--{name.replace('_', '-')}", value, expected, remedy)
        asked = SweepFile.load(named).model_copy(update=given)
        return asked, [f"{name}={path}" for name, path in asked.profiles.items()]
    if "over" not in given:
        remedy = 'Write for example --over "channel.downlink=1 MHz,2 MHz".'
        raise InvalidInput("--over", None, "a field and its values, or the file of a sweep", remedy)
    given["over"] = read_over(given["over"])
    if "time_limit" in given:
        given["time_limit_s"] = given.pop("time_limit")
    return SweepFile(scenario=named, **given), list(profiles)


def run_asked(
    asked: SweepFile,
    scenario: Scenario,
    profiles: Mapping[str, TimingProfile],
    console: Console,
    figures: Sequence[str] = ("png",),
) -> None:
    """Plan what is asked: tables and figures in one folder, or chunks.

    Parameters
    ----------
    asked : SweepFile
    scenario : Scenario
        The one that it names.
    profiles : mapping of str to TimingProfile
    console : Console
    figures : sequence of str
        Kinds of files of the figures.
    """
    out = Path(asked.out)
    how: Solving = {"method": asked.method, "gap": asked.gap, "time_limit_s": asked.time_limit_s}
    how["compare"] = asked.baselines
    if asked.chunk is None and asked.shard is None:
        try_folder(out)
        run_command(
            scenario, asked.over, out, seeds=asked.seeds, console=console, profiles=profiles, jobs=asked.jobs,
            figures=figures, **how,
        )  # fmt: skip
        return
    drawn = range(asked.seeds) if asked.seeds else None
    with progress(console, "planning the cells") as update:
        found = sweep_into(
            out, scenario, asked.over, drawn, profiles, asked.jobs, update, chunk=asked.chunk or CHUNK,
            shard=asked.part, **how,
        )  # fmt: skip
    now = f"{count(found.computed, 'cell')} planned now, {found.remembered} found in {out}"
    console.print(f"{told(found.cells, found.states)} ({now})")
    console.print(f"To join the chunks: megdt-opt merge {out} --out FOLDER")


def told(cells: int, states: Mapping[str, int]) -> str:
    """How many cells came to what."""
    return f"{count(cells, 'row')}: {', '.join(f'{n} {state}' for state, n in states.items())}"


def run_command(
    scenario: Scenario,
    over: Over,
    out: Path,
    *,
    seeds: int = 0,
    console: Console | None = None,
    profiles: Mapping[str, TimingProfile] | None = None,
    jobs: int | None = None,
    figures: Sequence[str] = ("png",),
    **solving: Unpack[Solving],
) -> SweepResult:
    """Sweep, print a summary, and write sweep.csv, users.csv and the figures: all of them, or none.

    Figures that an earlier sweep left in the folder and the new one does not draw are removed.

    Parameters
    ----------
    scenario : Scenario
    over : mapping
        As `sweep` takes it.
    out : Path
        Folder for the files; made if it is not there. Its subfolder "cache" keeps the cells.
    seeds : int
        Number of seeds [1]; 0 = nothing is redrawn.
    console : Console, optional
        Where to print.
    figures : sequence of str
        Kinds of files of the figures: "png", "pdf", "svg".
    profiles, jobs, method, gap, time_limit_s, compare
        As `sweep` takes them.
    """
    console = console or console_of()
    with progress(console, "planning the cells") as update:
        drawn = range(seeds) if seeds else None
        found = run_sweep(scenario, over, drawn, profiles, jobs, out / CACHE, update, **solving)
    states = {str(state): int(n) for state, n in found.cells["status"].value_counts().items()}
    console.print(
        f"{told(len(found.cells), states)} "
        f"({count(found.computed, 'cell')} planned now, {found.remembered} found in the cache)"
    )
    tables = {"sweep.csv": found.cells, "users.csv": found.users}
    contents = {name: table.to_csv(index=False).encode("utf-8") for name, table in tables.items()}
    for name, figure in figures_of(found):
        contents |= figure_files(name, figure, figures)
    earlier = [path.name for one in FIGURES for kind in WRITERS for path in out.glob(f"{one}.{kind}")]
    left = earlier if (out / "sweep.csv").is_file() else []
    write_folder(out, contents, [name for name in left if name not in contents])
    for name in contents:
        console.print(f"written: {out / name}")
    return found


def read_over(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Paths and values from "PATH=VALUE,VALUE,..."; a value is read as in a scenario file.

    So "null" leaves a limit out, and a value with a comma, a colon or a bracket is quoted or bracketed:
    'edge.profile="published: A100 / sd15",twin-cpu' or "cuts=[2,4],null".

    Raises
    ------
    InvalidInput
        Where a text is of another form, or a path is given twice.
    """
    found: dict[str, list[Any]] = {}
    remedy = 'Write for example "channel.downlink=1 MHz,2 MHz".'
    for text in texts:
        path, equals, listed = (part.strip() for part in text.partition("="))
        try:
            values = parse_yaml(f"[{listed}]", "over").value if equals and listed else []
        except InvalidInput as error:
            raise InvalidInput("over", text, "PATH=VALUE,VALUE,...", f"{error.remedy} {remedy}") from None
        if not path or not values:
            raise InvalidInput("over", text, "PATH=VALUE,VALUE,...", remedy)
        if path in found:
            raise InvalidInput("over", text, "each path once", "Give all its values in one list.")
        found[path] = values
    return found


def figures_of(found: SweepResult) -> Iterator[tuple[str, Figure]]:
    """Names and figures of what a sweep can show: of one or two parameters with several values each.

    With more of them no figure shows all, so none is drawn: choose rows of the table, and call `megdt_opt.plot`.
    """
    from megdt_opt import plot

    frame = found.cells
    names = [str(name) for name in frame.columns]
    varied = [name for name in names[: names.index("seed")] if frame[name].nunique(dropna=False) > 1]
    if ROW in varied:  # the row of a trace stands for all of its fields
        frame, varied = frame.drop(columns=[name for name in varied if name != ROW]), [ROW]
    if len(varied) == 1:
        yield f"latency-{_file(varied[0])}", plot.latency_figure(frame, varied[0])
    if len(varied) == 2:
        for parameter, other in (varied, varied[::-1]):
            yield f"latency-{_file(parameter)}", plot.latency_figure(frame, parameter, by=other)
        yield "mechanisms", plot.mechanism_map_figure(frame, varied[0], varied[1])
    if "users" in varied and len(varied) < 3 and bool(frame["solve_s"].notna().any()):
        by = next((name for name in varied if name != "users"), None)
        yield "solve-time", plot.solve_time_figure(frame, by=by)
    energy = [name for name in varied if name.endswith("energy_max_j")]
    if energy and len(varied) == 1 and bool(frame["device_compute_j"].notna().any()):
        yield "pareto", plot.pareto_figure(frame, "device_compute_j", "objective_s")


def _file(column: str) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in column.replace("*", "every"))
