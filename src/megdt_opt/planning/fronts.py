"""The front of a scenario's objective against one or two of its costs, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.planning.cost_totals import with_names_of_costs
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.scenario.disciplines import check_disciplines
from megdt_opt.scenario.limited_costs import COSTS, CostRule, check_costs
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import Profiles
from megdt_opt.whatif.pareto import ParetoFront, pareto_front

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = {"s": "_s", "J": "_j", "B": "_byte", "dB": "_db", "": ""}
"""How columns say the unit of a cost."""


def cost_column(name: str) -> str:
    """Name of a cost's column, with its unit."""
    return f"{name}{_ENDINGS[COSTS[name].unit]}"


def front_of(
    scenario: Scenario | OptionTable | str | Path,
    costs: Sequence[str],
    points: int = 10,
    profiles: Profiles | None = None,
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> tuple[ParetoFront, pd.DataFrame]:
    """The best plans under a sequence of limits on one or two costs, each proven.

    Parameters
    ----------
    scenario : Scenario, OptionTable, str or Path
        What to plan for; limits that it states on other costs hold, those on these are replaced.
    costs : sequence of str
        Names of one or two costs, as `limited_costs.COSTS` has them.
    points : int
        Limits of each [1].
    profiles : mapping, optional
        As for `plan`.
    gap, time_limit_s
        As for `solve`, for each point [1, s].

    Returns
    -------
    ParetoFront, pandas.DataFrame
        The points, and a row for each: "objective"; the limit and the total of each cost with its unit in the name,
        "objective_s", "lower_bound_s", "gap", "status", and each user's option.

    Raises
    ------
    InvalidInput
        For an unknown cost (names those that there are), one that is weighted, or a scenario that takes no costs.
    Infeasible
        Where no plan keeps the other limits.
    """
    import pandas as pd

    names = tuple(costs)
    for name in names:
        if name not in COSTS:
            raise InvalidInput("cost", name, f"one of {', '.join(COSTS)}", "Choose one of them.")
    if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
        raise InvalidInput("cost", list(names), "one or two different costs", "Name one or two.")
    table = scenario if isinstance(scenario, OptionTable) else OptionTable.build(scenario, profiles)
    asked = table.scenario
    check_costs(asked.objective, len(asked.sites), asked.groups is not None)
    stated = {"costs": list(names)}
    check_disciplines([s.edge for s in asked.sites], asked.edges is None, asked.objective, stated, {})
    rules = dict(asked.costs or {})
    table = replace(
        table, scenario=asked.model_copy(update={"costs": {**rules, **{n: rules.get(n, CostRule()) for n in names}}})
    )
    problem, known = table.problem(), list(table.scenario.costs or {})
    assert isinstance(problem, AllocationProblem)
    try:
        front = pareto_front(problem, [known.index(name) for name in names], points, gap=gap, time_limit_s=time_limit_s)
    except Infeasible as error:
        raise with_names_of_costs(error, table.scenario) from None
    rows: list[dict[str, Any]] = []
    for point in front.points:
        row: dict[str, Any] = {"objective": asked.objective}
        for name, limit, total in zip(names, point.limit, point.cost, strict=True):
            row |= {f"limit_{cost_column(name)}": limit, cost_column(name): total}
        found = point.allocation
        row |= {"objective_s": found.objective_s, "lower_bound_s": found.lower_bound_s, "gap": found.gap}
        row["status"] = str(found.status)
        row |= {
            f"option of {user.name}": table.options[int(o)].name
            for user, o in zip(asked.users, found.option, strict=True)
        }
        rows.append(row)
    return front, pd.DataFrame(rows)
