"""Shadow prices: what a little more or less of a budget is worth, in seconds per unit of it.

Proposition. For given options let V(B) be the optimum over the shares as a function of the budgets. Each time is
convex and decreasing in the share b [Hz or servers] under either rate law, and B stands only on the right of
sum_k b_k <= B_i, so V is convex in B, and dV/dB_i = -m_i with m_i the multiplier of that constraint (Boyd and
Vandenberghe, Convex Optimization, section 5.6.3). The solver states the budget as sum_k b_k / B_i <= 1; its price l_i
[s] belongs to the same constraint divided by B_i, so

    m_i = l_i / B_i                                     [s per Hz, s per server].

This holds for "max", "sum" and "mixed" (the objective is an epigraph in each), for linear and Shannon rates (times
depend on b and not on B), and with caps, deadlines and airtime limits, which do not depend on B either.

Where the multiplier is not unique V has a kink: its slopes on either side are the ends of the interval of multipliers
(for example, caps that together are exactly the capacity: more of it is worth nothing, less of it costs).

With options free the optimum is the least of the V of all option sets, so at a tie (Danskin)

    worth of more = max over the tied sets of their price upward, cost of less = min over them downward.

The tied sets looked at are those that are optimal at B, B (1 + step) and B (1 - step).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.door import solve, solve_again
from megdt_opt.solving.placement import Placement
from megdt_opt.solving.shared_prefix import SharedPrefix
from megdt_opt.tolerances import SOLVER
from megdt_opt.units import show
from megdt_opt.whatif.names import UNNAMED, Names
from megdt_opt.whatif.party_budgets import Parties, worths
from megdt_opt.whatif.said import Said
from megdt_opt.whatif.shares_at import BUDGETS, Valued, checked_options, require_time, value_of, with_field

_NEAR = 1e-4
"""Relative distance at which slopes are looked at for kinks: values carry 12 digits, so a slope keeps 7."""

_BEND = 5e-3
"""Change of the slope across the distance, relative, from which on it is looked at more closely."""

_ALIKE = 1e-4
"""Relative difference of a slope and a multiplier above which the value has a kink here."""


@dataclass(frozen=True, kw_only=True)
class ShadowPrice:
    """Worth of one budget, in seconds of the objective per unit of the budget; positive: more of it helps.

    Parameters
    ----------
    field : str
        "uplink_hz", "edge_capacity" or "downlink_hz".
    budget : float
        The budget [Hz or servers].
    kept_s : float
        Multiplier with the options kept [s per unit].
    more_s, less_s : float
        Seconds that a little more gains and a little less costs, options free [s per unit]; they differ at a kink
        or a tie of option sets. `less_s` is infinite where any less leaves no allocation.
    step_more_s, step_less_s : float
        The same over the whole step, options free: mean seconds per unit [s per unit].
    switch_more, switch_less : tuple of int
        Users whose option is another after the step.
    server : int or None
        Edge server whose budget it is, of several.
    names : Names
        What users and edge servers are called in words.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, shadow_prices
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> price = shadow_prices(problem).prices[2]
    >>> price.field, round(price.kept_s, 3)  # seconds that another server would be worth, at this rate
    ('edge_capacity', 1.989)
    """

    field: str
    budget: float
    kept_s: float
    more_s: float
    less_s: float
    step_more_s: float
    step_less_s: float
    switch_more: tuple[int, ...] = ()
    switch_less: tuple[int, ...] = ()
    server: int | None = None
    names: Names = UNNAMED

    @property
    def unit(self) -> str:
        """ "Hz" or "server"."""
        return "server" if self.field == "edge_capacity" else "Hz"

    @property
    def ms_per_mhz(self) -> float:
        """`kept_s` in ms per MHz; not a number for the edge."""
        return float("nan") if self.unit == "server" else self.kept_s * 1e9

    def __str__(self) -> str:
        name = self.field.split("_")[0] + ("" if self.server is None else f" of {self.names.edge(self.server)}")
        now = show(self.budget, "Hz") if self.unit == "Hz" else f"{self.budget:g} server{'s' * (self.budget != 1)}"
        if math.isnan(self.kept_s):
            return f"{name} ({now}): not known, as there is none of it to begin with"
        text = f"{name} ({now}): {_per(self.kept_s, self.unit)} with these options"
        text += f"; more gains {_per(self.more_s, self.unit)}, less costs {_per(self.less_s, self.unit)}"
        for word, users, mean in (
            ("more", self.switch_more, self.step_more_s),
            ("less", self.switch_less, self.step_less_s),
        ):
            if users:
                who = self.names.several(users[:8]) + (", ..." if len(users) > 8 else "")
                called = who if self.names.users else f"users {who}"
                text += f"; with a step {word} {called} switch ({_per(mean, self.unit)} on average)"
        return text


@dataclass(frozen=True, kw_only=True, repr=False)
class ShadowPrices(Said):
    """Worth of every budget at an allocation.

    Parameters
    ----------
    objective : str
        Objective of the problem.
    objective_s : float
        Its value with the allocation's options and the best shares [s].
    prices : tuple of ShadowPrice
        Downlink, uplink, edge; of several edge servers the downlinks of all of them, then the uplinks, then the edges.
    step : float
        Relative step of the re-solves [1].
    optimal : bool
        False where a re-solve met options that are better than the allocation's here by more than the gap.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, shadow_prices
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> found = shadow_prices(problem)
    >>> [price.field for price in found.prices], found.optimal
    (['downlink_hz', 'uplink_hz', 'edge_capacity'], True)
    """

    objective: str
    objective_s: float
    prices: tuple[ShadowPrice, ...]
    step: float
    optimal: bool

    def __getitem__(self, key: str | tuple[str, int]) -> ShadowPrice:
        field, server = (key, None) if isinstance(key, str) else key
        for price in self.prices:
            if field in (price.field, price.field.split("_")[0]) and price.server == server:
                return price
        raise KeyError(key)

    @property
    def uplink(self) -> ShadowPrice:
        """Of the uplink band, where there is one edge."""
        return self["uplink"]

    @property
    def edge(self) -> ShadowPrice:
        """Of the edge servers, where they are at one edge."""
        return self["edge"]

    @property
    def downlink(self) -> ShadowPrice:
        """Of the downlink band, where there is one edge."""
        return self["downlink"]

    def __str__(self) -> str:
        lines = [
            f'objective "{self.objective}" = {show(self.objective_s, "s", 4)}; a step is {self.step:.3g} of a budget'
        ]
        lines += [f"  {price}" for price in self.prices]
        if not self.optimal:
            lines.append("  note: better options than the allocation's were met; prices hold for the allocation's")
        return "\n".join(lines)

    def with_names(self, names: Names) -> ShadowPrices:
        """The same, which says names in place of numbers."""
        return replace(self, prices=tuple(replace(price, names=names) for price in self.prices))


def shadow_prices(
    problem: AllocationProblem | Parties,
    allocation: Allocation | Placement | SharedPrefix | None = None,
    *,
    step: float = 0.01,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> ShadowPrices:
    """Worth of a little more and a little less of each budget.

    Parameters
    ----------
    problem : AllocationProblem, PlacementProblem or SharedPrefixProblem
        With objective "max", "sum" or "mixed"; of the last with its groups.
    allocation : Allocation, Placement or SharedPrefix, optional
        A solution, whose options and trunks are kept; without it the problem is solved.
    step : float
        Relative step of the re-solves with free options, in (0, 0.5] [1].
    gap, time_limit_s
        As for `solve`, for each re-solve [1, s]. The means over a step carry an error of up to objective * gap /
        (step * budget).

    Returns
    -------
    ShadowPrices
        For each budget, what a little more and a little less of it is worth.

    Raises
    ------
    InvalidInput
        For the objective "missed", a step out of range, or an allocation that is not of this problem.
    Infeasible
        Where the problem has no allocation, or the allocation's options cannot keep its limits.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, shadow_prices
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> down, up, edge = shadow_prices(problem).prices
    >>> down.kept_s > 0, edge.less_s >= edge.more_s > 0
    (True, True)
    """
    if not isinstance(problem, PlacementProblem | SharedPrefixProblem):
        require_time(problem, "shadow prices")
    check_asked(gap, time_limit_s)
    if not 0 < step <= 0.5:
        raise InvalidInput("step", step, "a relative step in (0, 0.5] [1]", "Use the default 0.01.")
    if allocation is None:
        allocation = solve(problem, gap=gap, time_limit_s=time_limit_s)
    if isinstance(problem, PlacementProblem | SharedPrefixProblem):
        assert isinstance(allocation, Placement | SharedPrefix)
        return _of_parties(problem, allocation, step, gap, time_limit_s)
    assert isinstance(allocation, Allocation)
    option = checked_options(problem, allocation.option)
    base = value_of(problem, option)
    if not np.isfinite(base.objective_s):
        raise Infeasible("the allocation's options cannot keep the limits of this problem")
    prices, best = [], base.objective_s
    for i in range(len(BUDGETS)):
        price, here = _price(problem, allocation, base, i, step, gap, time_limit_s)
        prices.append(price)
        best = min(best, here)
    return ShadowPrices(
        objective=problem.objective,
        objective_s=base.objective_s,
        prices=tuple(prices),
        step=step,
        optimal=best >= base.objective_s * (1 - max(gap, SOLVER)),
    )


def _of_parties(
    problem: Parties, answer: Placement | SharedPrefix, step: float, gap: float, time_limit_s: float | None
) -> ShadowPrices:
    base_s, found = worths(problem, answer, step, gap, time_limit_s)
    prices = tuple(
        ShadowPrice(**{name: value for name, value in vars(one).items() if name != "best_s"}) for one in found
    )
    better = min(one.best_s for one in found) < base_s * (1 - max(gap, SOLVER))
    return ShadowPrices(objective=problem.objective, objective_s=base_s, prices=prices, step=step, optimal=not better)


def _price(
    problem: AllocationProblem,
    allocation: Allocation,
    base: Valued,
    resource: int,
    step: float,
    gap: float,
    time_limit_s: float | None,
) -> tuple[ShadowPrice, float]:
    """The price of one budget, and the least objective that any option set met on the way has at the budget [s]."""
    field, option = BUDGETS[resource], allocation.option
    budget = float(getattr(problem, field))
    demands = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)[resource]
    if budget == 0 or not (demands[problem.open_options] > 0).any():
        # with no budget the options that need it are closed, so there is nothing to take a slope of
        zero = 0.0 if budget > 0 or not demands[problem.allowed_mask].any() else float("nan")
        price = ShadowPrice(
            field=field, budget=budget, kept_s=zero, more_s=zero, less_s=zero, step_more_s=zero, step_less_s=zero
        )
        return price, base.objective_s
    kept, up, down = _slopes(problem, option, resource, base)
    tied = [(up, down)]
    best = base.objective_s
    ends: dict[int, tuple[float, tuple[int, ...]]] = {}
    for side in (1, -1):
        there = with_field(problem, field, budget * (1 + side * step))
        try:
            moved = solve_again(there, allocation, gap, time_limit_s).allocation
        except Infeasible:
            ends[side] = (math.inf, ())
            continue
        ends[side] = (moved.objective_s, ())
        if (moved.option == option).all():
            continue
        stay = value_of(there, option).objective_s
        if moved.objective_s >= stay * (1 - gap):
            ends[side] = (min(stay, moved.objective_s), ())
            continue
        ends[side] = (moved.objective_s, tuple(int(k) for k in np.flatnonzero(moved.option != option)))
        here = value_of(problem, moved.option)
        best = min(best, here.objective_s)
        if abs(here.objective_s - base.objective_s) <= SOLVER * base.objective_s:
            tied.append(_slopes(problem, moved.option, resource, here)[1:])
    change = step * budget
    price = ShadowPrice(
        field=field,
        budget=budget,
        kept_s=kept,
        more_s=max(more for more, _ in tied),
        less_s=min(less for _, less in tied),
        step_more_s=(best - ends[1][0]) / change,
        step_less_s=(ends[-1][0] - best) / change,
        switch_more=ends[1][1],
        switch_less=ends[-1][1],
    )
    return price, best


def _slopes(
    problem: AllocationProblem, option: NDArray[np.int64], resource: int, here: Valued
) -> tuple[float, float, float]:
    """Multiplier of a budget with options kept, and the slopes upward and downward where they differ from it.

    The value is convex in the budget, so the multiplier lies between the two slopes.
    """
    field = BUDGETS[resource]
    budget = float(getattr(problem, field))
    scale = here.objective_s / budget
    kept = _clean(here.prices_s[resource] / budget, scale)

    def value(count: int) -> float:
        return value_of(with_field(problem, field, budget * (1 + count * _NEAR)), option).objective_s

    more, less = value(1), value(-1)
    bend = (more - 2 * here.objective_s + less) / (_NEAR * budget)  # the jump of the slope at a kink
    if bend <= _BEND * max(kept, 1e-3 * scale):
        return kept, kept, kept
    slopes = []
    for side, one in ((1, more), (-1, less)):
        two = value(2 * side)
        if not np.isfinite(two):
            slopes.append(np.inf)
            continue
        # second order, so that only a kink can tell it from the multiplier
        slope = side * (3 * here.objective_s - 4 * one + two) / (2 * _NEAR * budget)
        slopes.append(kept if abs(slope - kept) <= _ALIKE * max(kept, 1e-3 * scale) else _clean(slope, scale))
    return kept, min(slopes[0], kept), max(slopes[1], kept)


def _clean(price: float, scale: float) -> float:
    """A price of less than SOLVER of the objective per whole budget is the solver's noise: 0."""
    return 0.0 if price <= SOLVER * scale else float(price)


def _per(value_s: float, unit: str) -> str:
    if unit == "Hz":
        return f"{value_s * 1e9:.4g} ms per MHz"
    return f"{value_s * 1e3:.4g} ms per server"
