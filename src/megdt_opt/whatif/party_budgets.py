"""What a little more or less of each budget is worth at several edge servers, and where groups share steps.

With options, trunks and what servers hold kept, the optimum over the shares is convex in every budget, as at one edge
(`megdt_opt.whatif.shadow`): with "sum" a server's budget concerns its own users alone, with "max" only budgets of the
server whose users are worst are worth anything. Its slopes are taken from the values at the budget and one and two
thousandths away, to second order; the means over a step are those of the problem solved anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.solving.door import solve
from megdt_opt.solving.placement import Placement
from megdt_opt.solving.shared_prefix import SharedPrefix
from megdt_opt.tolerances import SOLVER
from megdt_opt.whatif.shares_at import BUDGETS, checked_options

Parties = PlacementProblem | SharedPrefixProblem

_NEAR = 1e-3
"""Relative distance at which slopes are looked at [1]."""

_GAP = 1e-10
"""To which shares of kept choices are proven [1]."""

_NOISE = 1e-6
"""Part of the objective, per whole budget, below which a slope is the noise of the values [1]."""


@dataclass(frozen=True)
class Worth:
    """What one budget is worth, as `ShadowPrice` has it, and the least objective that was met here [s]."""

    field: str
    server: int | None
    budget: float
    kept_s: float
    more_s: float
    less_s: float
    step_more_s: float
    step_less_s: float
    switch_more: tuple[int, ...]
    switch_less: tuple[int, ...]
    best_s: float


def kept(problem: Parties, answer: Placement | SharedPrefix) -> Parties:
    """The problem in which users and groups have no choice but that of an answer."""
    option = checked_options(problem, answer.option)
    allowed = np.zeros(problem.fixed_s.shape, dtype=bool)
    allowed[np.arange(problem.users), option] = True
    if isinstance(problem, PlacementProblem):
        return replace(problem, allowed=allowed)
    if problem.group is None:
        expected = "the groups, for the shares of groups that are formed depend on them"
        raise InvalidInput("group", None, expected, "Give the problem of a plan, or the groups that were formed.")
    assert isinstance(answer, SharedPrefix)
    runs = np.isin(np.arange(problem.trunks), answer.trunk)
    return replace(problem, allowed=allowed, compatible=problem.compatible & runs)


def value_s(problem: Parties) -> float:
    """Optimum of a problem without choices [s]; infinite where no shares keep the limits."""
    try:
        return solve(problem, gap=_GAP).objective_s
    except (Infeasible, InvalidInput):
        return math.inf


def budgets(problem: Parties) -> Iterator[tuple[str, int | None, float]]:
    """Field, server and size of each budget, in the order of the prices."""
    for field in BUDGETS:
        if isinstance(problem, SharedPrefixProblem):
            yield field, None, float(getattr(problem, field))
            continue
        values = problem.capacities if field == "edge_capacity" else getattr(problem, field)
        yield from ((field, e, float(value)) for e, value in enumerate(values))


def at(problem: Parties, field: str, server: int | None, budget: float) -> Parties:
    """The problem with another budget."""
    changed: dict[str, Any] = {field: budget}
    if server is not None:
        assert isinstance(problem, PlacementProblem)
        values = np.array(problem.capacities if field == "edge_capacity" else getattr(problem, field))
        values[server] = budget
        changed = {field: values}
    return replace(problem, **changed)


def worths(
    problem: Parties, answer: Placement | SharedPrefix, step: float, gap: float, time_limit_s: float | None
) -> tuple[float, list[Worth]]:
    """The optimum with the answer's choices kept [s], and what each budget is worth.

    Raises
    ------
    Infeasible
        Where the answer's choices cannot keep the limits.
    InvalidInput
        Where groups are left to be formed.
    """
    fixed = kept(problem, answer)
    base_s = value_s(fixed)
    if not math.isfinite(base_s):
        raise Infeasible("the allocation's options cannot keep the limits of this problem")
    return base_s, [_worth(problem, fixed, answer, one, base_s, step, gap, time_limit_s) for one in budgets(problem)]


def _worth(
    problem: Parties, fixed: Parties, answer: Placement | SharedPrefix, one: tuple[str, int | None, float],
    base_s: float, step: float, gap: float, time_limit_s: float | None,
) -> Worth:  # fmt: skip
    field, server, budget = one
    asked = _asked(problem, field, server)
    if budget == 0 or not asked:
        nothing = math.nan if asked else 0.0
        return Worth(field, server, budget, nothing, nothing, nothing, nothing, nothing, (), (), base_s)
    up, down = (_slope(fixed, one, side, base_s) for side in (1, -1))
    ends: dict[int, tuple[float, tuple[int, ...]]] = {}
    for side in (1, -1):
        there = at(problem, field, server, budget * (1 + side * step))
        stay_s = value_s(at(fixed, field, server, budget * (1 + side * step)))
        try:
            moved = solve(there, gap=gap, time_limit_s=time_limit_s)
        except (Infeasible, InvalidInput):
            ends[side] = (stay_s, ())
            continue
        switched = moved.objective_s < stay_s * (1 - gap)
        users = tuple(int(k) for k in np.flatnonzero(moved.option != answer.option)) if switched else ()
        ends[side] = (min(stay_s, moved.objective_s), users)
    change = step * budget
    return Worth(
        field, server, budget, up if math.isinf(down) else 0.5 * (up + down), up, down, (base_s - ends[1][0]) / change,
        (ends[-1][0] - base_s) / change, ends[1][1], ends[-1][1], min(base_s, ends[-1][0]),
    )  # fmt: skip


def _slope(fixed: Parties, one: tuple[str, int | None, float], side: int, base_s: float) -> float:
    """Seconds that a unit more gains, or a unit less costs."""
    field, server, budget = one
    near, far = (value_s(at(fixed, field, server, budget * (1 + side * n * _NEAR))) for n in (1, 2))
    if not math.isfinite(far):
        return math.inf
    slope = side * (3 * base_s - 4 * near + far) / (2 * _NEAR * budget)
    return 0.0 if slope <= max(_NOISE, SOLVER) * base_s / budget else float(slope)


def _asked(problem: Parties, field: str, server: int | None) -> bool:
    """Whether some allowed option, or a trunk, demands a budget."""
    name = {"downlink_hz": "downlink_bit", "uplink_hz": "uplink_bit", "edge_capacity": "edge_work_s"}[field]
    demands = (getattr(problem, name) > 0) & problem.allowed_mask
    if isinstance(problem, PlacementProblem):
        return bool((demands & (problem.option_server == server) & (problem.option_server != NO_SERVER)).any())
    trunk = {"downlink_hz": "multicast_bit", "uplink_hz": "trunk_uplink_bit", "edge_capacity": "trunk_edge_work_s"}
    return bool(demands.any() or (getattr(problem, trunk[field]) > 0).any())
