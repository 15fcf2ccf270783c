"""What is computed for one cell of a sweep, as plain data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from megdt_opt.errors import Infeasible, MegdtError, SolverFailure
from megdt_opt.planning.baselines import ONLY, RESERVED_SHARES, Baseline, baselines
from megdt_opt.planning.in_batches import COMMON
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import solved
from megdt_opt.program.groups import GROUP_MECHANISMS
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.disciplines import MECHANISMS_OF
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.profile import TimingProfile

TEXTS = ("objective", "status", "reason", "method", "best_single", "best_edge")
"""Columns of text."""

COUNTS = (
    "options",
    "edge_byte",
    "messages",
    "signalling_byte",
    "all_centralised_breaks",
    "all_local_breaks",
    "best_single_breaks",
)
"""Columns of integers [1, byte]."""

TOTALS = ("edge_s", "edge_compute_j", "device_compute_j", "device_radio_j", "messages", "signalling_byte")
"""Columns that add up what the users cost."""

COLUMNS = (
    "objective",
    "status",
    "reason",
    "objective_s",
    "lower_bound_s",
    "cost_part_s",
    "gap",
    "method",
    "build_s",
    "solve_s",
    "options",
    "edge_s",
    "edge_byte",
    "edge_compute_j",
    "device_compute_j",
    "device_radio_j",
    "messages",
    "signalling_byte",
    "all_centralised_s",
    "all_centralised_breaks",
    "all_local_s",
    "all_local_breaks",
    "best_single",
    "best_single_s",
    "best_single_breaks",
    "best_edge",
    "best_edge_s",
    "equal_shares_s",
    "reserved_shares_s",
    "common_batch_s",
)
"""All columns of a cell but those of `users_columns`, which stand behind "options"."""


def mechanisms_of(scenarios: Iterable[Scenario]) -> tuple[str, ...]:
    """The package's mechanisms, and those that the users of some scenarios name beside them."""
    found = list(MECHANISMS)
    for scenario in scenarios:
        found += GROUP_MECHANISMS if (scenario.groups, scenario.grouping) != (None, None) else ()
        found += MECHANISMS_OF[scenario.discipline]
        found += [name for user in scenario.users for name in user.mechanisms or ()]
    return tuple(dict.fromkeys(found))


def users_columns(mechanisms: Iterable[str]) -> tuple[str, ...]:
    """Columns that count the users of each mechanism [1]."""
    return tuple(f"users_{mechanism}" for mechanism in mechanisms)


def all_columns(mechanisms: Iterable[str]) -> tuple[str, ...]:
    """All columns of a cell, in their order."""
    behind = COLUMNS.index("options") + 1
    return (*COLUMNS[:behind], *users_columns(mechanisms), *COLUMNS[behind:])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How every cell is solved.

    Parameters
    ----------
    method : str
        Route, as `solve` takes it.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float or None
        Limit on each solution [s].
    compare : bool
        Whether to compute the baselines.
    """

    method: str = "auto"
    gap: float = 1e-6
    time_limit_s: float | None = None
    compare: bool = True


class Solving(TypedDict, total=False):
    """The fields of `Settings`, for functions that take them by name."""

    method: str
    gap: float
    time_limit_s: float | None
    compare: bool


def compute(
    scenario: Scenario,
    profiles: Mapping[str, TimingProfile],
    spec: ModelSpec,
    settings: Settings,
    table: OptionTable | None = None,
) -> dict[str, Any]:
    """Plan one cell, with the table of its scenario where that is there.

    Returns
    -------
    dict
        "cell": a value for each of `all_columns` of the scenario, None where there is none; "users": one dict per user,
        empty where the cell has no plan. A cell whose limits conflict has the status "infeasible", one whose solver
        failed "failed", and the reason.
    """
    begin = time.perf_counter()
    mechanisms = mechanisms_of([scenario])
    row: dict[str, Any] = dict.fromkeys(all_columns(mechanisms))
    row["objective"] = scenario.objective
    if table is None:
        table = OptionTable.build(scenario, profiles, spec=spec)
    row["options"] = len(table.options)
    try:
        table.problem()
        row["build_s"] = time.perf_counter() - begin
        made = solved(table, method=settings.method, gap=settings.gap, time_limit_s=settings.time_limit_s)
    except (Infeasible, SolverFailure) as error:
        row |= {"status": "infeasible" if isinstance(error, Infeasible) else "failed", "reason": str(error)}
        return {"cell": row, "users": []}
    row |= _of_plan(made, mechanisms)
    if settings.compare and scenario.holds is not None:
        row["reason"] = "no baselines: latencies hold at a level, and rivals are worked out at median times"
    elif settings.compare:
        try:
            row |= _of_rivals(baselines(made.table, made.options, gap=settings.gap, time_limit_s=settings.time_limit_s))
        except (Infeasible, SolverFailure) as error:
            row["reason"] = f"no baselines: {error}"  # the plan stands without them
    users = made.to_frame().drop(columns="survives_calibration").to_dict("records")
    return {"cell": row, "users": [{str(name): _plain(value) for name, value in user.items()} for user in users]}


def refused(scenario: Scenario, error: Exception) -> dict[str, Any]:
    """What `compute` would give of a cell that cannot be planned at all: a row with the reason."""
    row: dict[str, Any] = dict.fromkeys(all_columns(mechanisms_of([scenario])))
    reason = str(error) if isinstance(error, MegdtError) else f"{type(error).__name__}: {error}"
    return {"cell": row | {"objective": scenario.objective, "status": "failed", "reason": reason}, "users": []}


def _of_plan(made: Plan, mechanisms: Iterable[str]) -> dict[str, Any]:
    chosen = [user.option.mechanism for user in made.users]

    def total(name: str) -> float | None:
        values = [getattr(user.costs, name) for user in made.users]
        return None if None in values else sum(values)

    return {
        "status": made.status,
        "objective_s": made.objective_s,
        "lower_bound_s": _plain(made.lower_bound_s),
        "cost_part_s": sum((cost.part_s for cost in made.cost_totals), 0.0),
        "gap": _plain(made.gap),
        "method": made.method,
        "solve_s": made.solve_s,
        **{f"users_{mechanism}": chosen.count(mechanism) for mechanism in mechanisms},
        "edge_byte": sum(byte for byte, _ in made.edge_resident.values()),
        **{name: total(name) for name in TOTALS},
    }


def _of_rivals(rivals: tuple[Baseline, ...]) -> dict[str, Any]:
    *others, equal = rivals
    singles = [b for b in others if b.mechanism]
    named = {b.name: b for b in singles}
    found: dict[str, Any] = {"equal_shares_s": _plain(equal.objective_s)}
    found["reserved_shares_s"] = next((b.objective_s for b in others if b.name == RESERVED_SHARES), None)
    found["common_batch_s"] = next((b.objective_s for b in others if b.name == COMMON), None)
    for name in ("all centralised", "all local"):
        if name in named:
            column = name.replace(" ", "_")
            found |= {f"{column}_s": named[name].objective_s, f"{column}_breaks": len(named[name].breaks)}
    edges = [b for b in others if b.name.startswith(ONLY)]
    if edges:
        best = min(edges, key=lambda b: b.objective_s)
        found |= {"best_edge": best.name.removeprefix(ONLY), "best_edge_s": best.objective_s}
    if singles:
        best = min(singles, key=lambda b: b.objective_s)
        found |= {
            "best_single": best.mechanism,
            "best_single_s": best.objective_s,
            "best_single_breaks": len(best.breaks),
        }
    return found


def _plain(value: Any) -> Any:
    """A value that JSON can hold: numbers of NumPy and pandas as Python's, None for what is not finite."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
