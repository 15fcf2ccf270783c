"""The total costs of a plan that its scenario limits or weighs, and conflicts of limits on them by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from megdt_opt.errors import Conflict, Infeasible
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.scenario.limited_costs import COSTS
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario


@dataclass(frozen=True, kw_only=True)
class CostTotal:
    """One total of a plan.

    Parameters
    ----------
    name : str
        As the scenario names the cost.
    unit : str
        Of the total; "" for a number.
    total : float
        Over all users [`unit`].
    most : float or None
        Its limit [`unit`].
    weight_s : float
        What a unit of it adds to the objective [s per `unit`].
    """

    name: str
    unit: str
    total: float
    most: float | None
    weight_s: float

    @property
    def part_s(self) -> float:
        """What it adds to the objective [s]."""
        return self.total * self.weight_s


def cost_totals(table: OptionTable, options: Sequence[str]) -> tuple[CostTotal, ...]:
    """Totals of the users' options, (K,) by their names; none where the scenario states no costs."""
    rules = table.scenario.costs
    problem = None if rules is None else table.waived_problem()
    if rules is None or not isinstance(problem, AllocationProblem) or problem.option_cost is None:
        return ()
    columns = [table.index(name) for name in options]
    total = problem.option_cost[np.arange(len(columns)), columns].sum(axis=0)
    return tuple(
        CostTotal(
            name=name, unit=COSTS[name].unit, total=float(value), most=rule.max_si, weight_s=rule.weight_s_per_si or 0.0
        )
        for (name, rule), value in zip(rules.items(), total, strict=True)
    )


def cost_part_s(table: OptionTable, options: Sequence[str]) -> float:
    """What the weighted costs of the users' options add to the objective [s]."""
    return sum((total.part_s for total in cost_totals(table, options)), 0.0)


def with_names_of_costs(error: Infeasible, scenario: Scenario) -> Infeasible:
    """The same error with users and costs by the names that the scenario gives them."""
    names = {f"cost_max of cost {c}": name for c, name in enumerate(scenario.costs or ())}

    def named(conflict: Conflict) -> Conflict:
        if conflict.limit not in names:
            return conflict
        name = names[conflict.limit]
        return replace(conflict, limit=f"costs.{name}.max", unit=COSTS[name].unit)

    users = [user.name for user in scenario.users]
    return Infeasible(error.reason, [named(c) for c in error.conflicts], error.users, users, error.hint)
