"""The front of the objective against one or two limited costs: what each further unit of a cost buys."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.region import TIMES, require
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.door import solve, solve_again
from megdt_opt.values import integer

MOST_POINTS = 1000
"""Limits of one cost, at most [1]."""


@dataclass(frozen=True, eq=False)
class ParetoPoint:
    """One point of a front: an answer under limits, with what is proven about it.

    Parameters
    ----------
    limit : tuple of float
        The limits under which it was found [the costs' units]: no allocation within them has an objective below the
        allocation's `lower_bound_s`.
    cost : tuple of float
        The totals of the answer, each at most its limit [the costs' units].
    allocation : Allocation
        The answer with its bound, gap and certificate.
    problem : AllocationProblem
        The problem under these limits, which `allocation.certificate.verify` takes.

    Examples
    --------
    >>> from megdt_opt import ParetoPoint, pareto_front
    >>> [field for field in ParetoPoint.__dataclass_fields__]
    ['limit', 'cost', 'allocation', 'problem']
    """

    limit: tuple[float, ...]
    cost: tuple[float, ...]
    allocation: Allocation
    problem: AllocationProblem

    @property
    def objective_s(self) -> float:
        """The objective of the answer [s]."""
        return self.allocation.objective_s


@dataclass(frozen=True, eq=False)
class ParetoFront:
    """Answers of which none is as good as another in the objective and in every cost.

    Parameters
    ----------
    costs : tuple of int
        Numbers of the costs.
    points : tuple of ParetoPoint
        By their first cost, ascending; with one cost the objectives fall from one point to the next.
    beyond : tuple of tuple of float
        Limits that were asked for and that no allocation keeps [the costs' units].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, pareto_front
    >>> problem = AllocationProblem(  # two users: at the edge for 5 J and 4 J of the device, or on it for 20 J and 30 J
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="sum", option_cost=[[[5.0], [20.0]], [[4.0], [30.0]]],
    ... )
    >>> front = pareto_front(problem, points=4)
    >>> [(point.cost[0], round(point.objective_s, 3)) for point in front.points]
    [(9.0, 7.914), (24.0, 6.0)]
    """

    costs: tuple[int, ...]
    points: tuple[ParetoPoint, ...]
    beyond: tuple[tuple[float, ...], ...] = ()


def pareto_front(
    problem: AllocationProblem,
    cost: int | Sequence[int] = 0,
    points: int = 10,
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> ParetoFront:
    """The best objectives under a sequence of limits on one or two costs.

    Each point is the proven optimum, within the gap, of the problem under its limits; other limits of the problem hold
    throughout. The limits are even between the least total of the cost and what the best answer without a limit costs.
    Answers that another one matches or beats in the objective and in all costs are left out.

    Parameters
    ----------
    problem : AllocationProblem
        With `option_cost`; what `cost_max` says of the costs of the front is replaced, and they have no weight.
    cost : int or two of them
        Numbers of the costs.
    points : int
        Limits of each cost, at least 2: with two costs their square is solved.
    gap, time_limit_s
        As for `solve`, for each point [1, s].

    Returns
    -------
    ParetoFront
        The points with their answers, bounds and certificates.

    Raises
    ------
    InvalidInput
        For the objective "missed", costs that do not exist or are weighted, or fewer than 2 points.
    Infeasible
        Where the problem has no allocation even without limits on these costs.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, pareto_front
    >>> problem = AllocationProblem(  # two users: at the edge for 5 J and 4 J of the device, or on it for 20 J and 30 J
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="sum", option_cost=[[[5.0], [20.0]], [[4.0], [30.0]]],
    ... )
    >>> front = pareto_front(problem, points=4)
    >>> [point.allocation.option.tolist() for point in front.points]
    [[0, 0], [1, 0]]
    >>> all(point.allocation.is_proven(point.problem) for point in front.points)
    True
    """
    require(problem, "a Pareto front", "Choose one of them.", objectives=(*TIMES, "mean_cvar"), costs=True)
    check_asked(gap, time_limit_s)
    chosen = _chosen(problem, cost)
    count = integer(points)
    if count is None or not 2 <= count <= MOST_POINTS:
        raise InvalidInput("points", points, f"an integer from 2 to {MOST_POINTS}", "Use the default 10.")
    free = _limited(problem, chosen, (np.inf,) * len(chosen))
    best = solve(free, gap=gap, time_limit_s=time_limit_s)
    most = _totals(free, best, chosen)
    least = _least(free, chosen)
    grids = [np.linspace(high, min(low, high), count).tolist() for low, high in zip(least, most, strict=True)]
    found = [ParetoPoint(most, most, best, _limited(problem, chosen, most))]
    found[0] = replace(found[0], allocation=solve_again(found[0].problem, best, gap, time_limit_s).allocation)
    found[0] = replace(found[0], cost=_totals(problem, found[0].allocation, chosen))
    beyond: list[tuple[float, ...]] = []
    for limit in itertools.product(*grids):
        if any(_within(limit, other) for other in beyond):
            continue
        if any(_within(limit, point.limit) and _within(point.cost, limit) for point in found):
            continue  # an answer under looser limits keeps these as well
        part = _limited(problem, chosen, limit)
        try:
            answer = solve_again(part, found[-1].allocation, gap, time_limit_s).allocation
        except Infeasible:
            beyond.append(limit)
            continue
        found.append(ParetoPoint(limit, _totals(part, answer, chosen), answer, part))
    return ParetoFront(chosen, tuple(sorted(_efficient(found), key=lambda point: point.cost)), tuple(beyond))


def _chosen(problem: AllocationProblem, cost: int | Sequence[int]) -> tuple[int, ...]:
    """The numbers of the costs of a front."""
    if problem.option_cost is None:
        raise InvalidInput("option_cost", None, "costs for a Pareto front", "Add option_cost, (K, O, C).")
    number = problem.option_cost.shape[2]
    given = [cost] if integer(cost) is not None else list(cost) if isinstance(cost, list | tuple) else [None]
    found = [integer(one) for one in given]
    good = tuple(one for one in found if one is not None and 0 <= one < number)
    if len(good) != len(given) or len(set(good)) != len(good) or not 1 <= len(good) <= 2:
        expected = f"one or two different numbers of costs, from 0 to {number - 1}"
        raise InvalidInput("cost", cost, expected, "Name costs of the problem.")
    for c in good:
        if problem.cost_weight_s is not None and problem.cost_weight_s[c] > 0:
            expected = "0 for a cost of a Pareto front, which is no part of the objective [s per unit]"
            raise InvalidInput(f"cost_weight_s (cost {c})", float(problem.cost_weight_s[c]), expected, "Set it to 0.")
    return good


def _limited(problem: AllocationProblem, costs: tuple[int, ...], limit: tuple[float, ...]) -> AllocationProblem:
    """The problem under other limits on some costs."""
    assert problem.option_cost is not None
    most = np.full(problem.option_cost.shape[2], np.inf) if problem.cost_max is None else problem.cost_max.copy()
    most[list(costs)] = limit
    return replace(problem, cost_max=most)


def _totals(problem: AllocationProblem, answer: Allocation, costs: tuple[int, ...]) -> tuple[float, ...]:
    total = problem.evaluate(answer).cost
    assert total is not None
    return tuple(float(total[c]) for c in costs)


def _least(problem: AllocationProblem, costs: tuple[int, ...]) -> tuple[float, ...]:
    """The least total of each cost over the open options, the others left free."""
    assert problem.option_cost is not None
    table: NDArray[np.float64] = np.where(problem.open_options[:, :, None], problem.option_cost, np.inf)
    return tuple(float(table[:, :, c].min(axis=1).sum()) for c in costs)


def _within(totals: tuple[float, ...], limit: tuple[float, ...]) -> bool:
    return all(one <= other for one, other in zip(totals, limit, strict=True))


def _efficient(points: list[ParetoPoint]) -> list[ParetoPoint]:
    """The points that no other matches or beats in the objective and all costs; of equal ones the first."""
    kept: list[ParetoPoint] = []
    for point in sorted(points, key=lambda one: (one.objective_s, one.cost)):
        if not any(_within(other.cost, point.cost) for other in kept):
            kept.append(point)
    return kept
