"""The command `megdt-opt simulate`: requests over time under several policies, as tables and figures in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from megdt_opt.cli.progress import progress
from megdt_opt.cli.terminal import console_of
from megdt_opt.errors import InvalidInput
from megdt_opt.online.policies import POLICIES, policy_named
from megdt_opt.online.result import Simulation
from megdt_opt.online.service import Service
from megdt_opt.online.simulation import simulate, with_bounds
from megdt_opt.online.trace import Trace
from megdt_opt.report.canvas import figure_files
from megdt_opt.report.folder import write_folder
from megdt_opt.report.grids import Grid, from_columns
from megdt_opt.report.numbers import column


def trace_of(
    service: Service, path: Path | None, links: Path | None, slot_s: float | None, drawn: Mapping[str, Any]
) -> Trace:
    """The trace in a file, or one that is drawn with the same rate for all users.

    Parameters
    ----------
    service : Service
        Whose requests they are.
    path, links : Path or None
        Files as `Trace.load` takes them.
    slot_s : float or None
        Length of a slot [s].
    drawn : mapping
        What `Trace.poisson` takes, with one `rate_per_s` [1/s].

    Raises
    ------
    InvalidInput
        Where neither or both of file and rate are given, or what they hold is wrong.
    """
    rate = drawn["rate_per_s"]
    if (path is None) == (rate is None):
        remedy = "Give for example --rate 0.1, or --trace arrivals.csv."
        raise InvalidInput("rate", rate, "either a rate [1/s] or a trace file", remedy)
    if path is not None:
        if drawn["fading_db"]:
            raise InvalidInput("fading", drawn["fading_db"], "0 dB with a trace file", "Give the factors by --links.")
        return Trace.load(path, service.names, slot_s=slot_s, links=links)
    if links is not None:
        raise InvalidInput("links", str(links), "nothing without a trace file", "Give --trace, or --fading instead.")
    return Trace.poisson(
        np.full(service.users, rate), slot_s=slot_s, **{k: v for k, v in drawn.items() if k != "rate_per_s"}
    )


def run_command(
    service: Service,
    trace: Trace,
    policies: Sequence[str],
    out: Path,
    *,
    console: Console | None = None,
    figures: Sequence[str] = ("png",),
) -> tuple[Simulation, ...]:
    """Simulate, print a table, and write simulation.csv, the requests of each policy and two figures: all, or nothing.

    Parameters
    ----------
    service : Service
    trace : Trace
    policies : sequence of str
        Names of policies; none for all.
    out : Path
        Folder for the files; made if it is not there.
    console : Console, optional
        Where to print.
    figures : sequence of str
        Kinds of files of the figures: "png", "pdf", "svg".
    """
    import pandas as pd

    from megdt_opt import plot
    from megdt_opt.report.tables import GridView

    console = console or console_of()
    names = list(dict.fromkeys(policies or POLICIES))
    for name in names:
        policy_named(name)
    found = []
    with progress(console, "simulating") as update:
        for done, name in enumerate(names):
            update(done, len(names), name)
            found.append(simulate(service, trace, name, bounds=False))
        update(len(names), len(names), "bounds")
        found = list(with_bounds(found))
    console.print(GridView(simulation_grid(found)))
    summary = pd.DataFrame([one.summary() for one in found])
    contents = {"simulation.csv": summary.to_csv(index=False).encode("utf-8")}
    contents |= {f"requests-{one.policy}.csv": one.to_frame().to_csv(index=False).encode("utf-8") for one in found}
    contents |= figure_files("flow-times", plot.flow_time_figure(found), figures)
    contents |= figure_files("ages", plot.age_figure(found), figures)
    write_folder(out, contents)
    for name in contents:
        console.print(f"written: {out / name}")
    return tuple(found)


def simulation_grid(found: Sequence[Simulation]) -> Grid:
    """The table: a row for each policy."""
    rows = [one.summary() for one in found]

    def figures(name: str, factor: float = 1.0) -> list[str]:
        return column([None if row[name] is None else factor * float(row[name]) for row in rows])  # type: ignore[arg-type]

    first = found[0]
    edge = ", ".join(f"{n}: {o or 'nothing'}" for n, o in zip(first.service.names, first.service.options, strict=True))
    return from_columns(
        f"{len(first.trace)} requests over {first.trace.arrival_s[-1]:.4g} s",
        {
            "policy": [one.policy for one in found],
            "largest flow time [s]": figures("largest_flow_s"),
            "times the bound": figures("ratio"),
            "mean [s]": figures("mean_flow_s"),
            "times its bound": figures("mean_ratio"),
            "95 % within [s]": figures("flow_p95_s"),
            "late [%]": figures("late", 100.0),
            "edge used [%]": figures("utilisation", 100.0),
            "age: mean [s]": figures("age_mean_s"),
            "peak [s]": figures("age_peak_s"),
            "device [J]": figures("device_j"),
            "edge [J]": figures("edge_j"),
        },
        text=("policy",),
        notes=(
            f"no policy has a largest flow time below {first.largest_flow_bound_s:.4g} s; energies for each request",
            f"at the edge: {edge}",
        ),
    )
