"""The evaluation that is the only truth about allocations, for one problem and for many at once.

L_k = fixed + max(device_branch, uplink_bit / rate_u(b_u) + edge_work / f + downlink_bit / rate_d(b_d))
sum b_d <= downlink_hz, sum b_u <= uplink_hz, sum f <= edge_capacity, f <= edge_share_max
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.arrays import Array, ProblemArrays
from megdt_opt.problem.cost_limits import KEPT, totals
from megdt_opt.problem.deviations import Deviations, level_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """An allocation, computed in plain NumPy.

    Parameters
    ----------
    latency_s : array, (K,)
        Latency of each user [s]; infinite where a demanded share is zero.
    objective_s : float
        The objective [s] (for "missed": the sum of weights, [1]).
    violation : float
        Worst relative violation of a budget, cap, deadline or airtime limit; infinite for an option that is not
        allowed or a share that is negative or not a number; 0 where everything holds.
    cost : array, (C,), optional
        Totals of the costs, each in its unit, where options have costs.
    cost_part_s, latency_part_s : float
        The two parts of the objective: what the weighted costs add, and the rest [s].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, evaluate
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> found = evaluate(problem, [0, 0], [0.5e6, 0.5e6], [0.0, 0.0], [0.5, 0.5])
    >>> found.latency_s.tolist(), found.objective_s, found.violation
    ([4.5, 3.5], 4.5, 0.0)
    """

    latency_s: Array
    objective_s: float
    violation: float
    cost: Array | None = None
    cost_part_s: float = 0.0
    latency_part_s: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.latency_part_s):
            object.__setattr__(self, "latency_part_s", self.objective_s)


def evaluate_all(problem: ProblemArrays, option: NDArray[np.integer], shares: Array) -> tuple[Array, Array, Array]:
    """Latencies (..., K) [s], objectives (...) [s] and violations (...) [1] of allocations.

    Parameters
    ----------
    problem : ProblemArrays
        One problem or many.
    option : array of int, (..., K)
        Options that exist.
    shares : array, (..., 3, K)
        Of downlink, uplink and edge [Hz, Hz, 1].
    """
    # places in the tables seen as one row: half the time of an index for each dimension
    places = problem.first_places + option
    uncertain = getattr(problem, "deviations", None), getattr(problem, "samples", None)
    if uncertain == (None, None):
        latency_s, times = _certain(problem, places, shares)
    else:
        latency_s, times = _uncertain(problem, *uncertain, places, shares)
    totals = shares.sum(axis=-1)
    limits = [(totals, problem.budgets[..., 0])]
    if problem.edge_share_max is not None:
        limits.append((shares[..., 2, :], problem.edge_share_max))
    if problem.deadline_s is not None:
        limits.append((latency_s, problem.hard_deadline_s))
    if problem.uplink_airtime_max_s is not None:
        limits.append((times[..., 1, :], problem.uplink_airtime_max_s.take(places)))
    violation = np.zeros(totals.shape[:-1])
    for values, most in limits:
        if not _within(values, most):
            violation = np.maximum(violation, _most_over(values, most))
    # the least of shares of which one is not a number is not one either
    if problem.allowed is not None or not (shares.min(initial=0.0) >= 0 and math.isfinite(totals.sum())):
        holds = (shares.min(axis=(-2, -1)) >= 0) & np.isfinite(totals.sum(axis=-1))
        if problem.allowed is not None:
            holds = holds & problem.allowed.take(places).all(axis=-1)
        violation = np.where(holds, violation, np.inf)
    return latency_s, objective_s(problem, latency_s), violation


def evaluate_shares(problem: ProblemArrays, option: NDArray[np.integer], shares: Array) -> Evaluation:
    """One allocation: options that exist, (K,), and shares of downlink, uplink and edge in one array, (3, K)."""
    latency_s, values, violations = evaluate_all(problem, option, shares)
    value, violation = float(values), float(violations)
    if problem.option_cost is None:
        return Evaluation(latency_s=latency_s, objective_s=value, violation=violation)
    cost, part_s = totals(problem.option_cost, option), 0.0
    if problem.cost_weight_s is not None:
        part_s = float(problem.cost_weight_s @ cost)
    if problem.cost_max is not None:
        within = cost <= problem.cost_max * (1.0 + KEPT)
        violation = max(violation, float(_most_over(cost, np.where(within, np.inf, problem.cost_max))))
    return Evaluation(
        latency_s=latency_s, objective_s=value + part_s, violation=violation, cost=cost, cost_part_s=part_s,
        latency_part_s=value,
    )  # fmt: skip


def objective_s(problem: ProblemArrays, latency_s: Array) -> Array:
    """The objectives (...) of latencies (..., K) [s]."""
    return objective_of(
        problem.objective, latency_s, problem.weights, problem.on_time_s, getattr(problem, "max_weight", None) or 0.0,
        (getattr(problem, "cvar_level", None) or 0.0, getattr(problem, "cvar_weight", None) or 0.0),
    )  # fmt: skip


def objective_of(
    objective: str,
    latency_s: Array,
    weights: Array,
    on_time_s: Array,
    max_weight: float = 0.0,
    cvar: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """An objective (...) of latencies (..., K) [s]; the weight of the late users for "missed" [1].

    Parameters
    ----------
    objective : str
        "max", "sum", "mixed", "missed" or "mean_cvar".
    latency_s, weights, on_time_s : array, (..., K)
        Latencies [s], weights [1], and the latest at which a user is on time [s].
    max_weight : float
        Weight of the worst latency in "mixed" [1].
    cvar : tuple of float
        Level and weight of the conditional value at risk in "mean_cvar" [1].
    """
    if objective == "mean_cvar":
        part = weights / weights.sum(axis=-1, keepdims=True)
        return np.asarray((part * latency_s).sum(axis=-1) + cvar[1] * cvar_s(latency_s, part, cvar[0]))
    weighted = weights * latency_s
    if objective == "max":
        return np.asarray(weighted.max(axis=-1))
    if objective == "missed":
        return np.asarray(np.where(latency_s > on_time_s, weights, 0.0).sum(axis=-1))
    total = np.asarray(weighted.sum(axis=-1))
    return total if objective == "sum" else np.asarray(total + max_weight * weighted.max(axis=-1))


def cvar_s(latency_s: Array, part: Array, level: float) -> Array:
    """Conditional value at risk of latencies (..., K) with probabilities (..., K), (...) [s].

    The mean of the worst 1 - level of the probability, min over t of t + sum_k p_k max(L_k - t, 0) / (1 - level)
    (Rockafellar and Uryasev 2000); at level 0 the mean.
    """
    order = np.argsort(-latency_s, axis=-1, kind="stable")
    late, own = np.take_along_axis(latency_s, order, axis=-1), np.take_along_axis(np.asarray(part), order, axis=-1)
    tail = 1.0 - level
    first = np.minimum((np.cumsum(own, axis=-1) < tail).sum(axis=-1), late.shape[-1] - 1)
    quantile = np.take_along_axis(late, first[..., None], axis=-1)
    with np.errstate(invalid="ignore"):
        over = np.where(late > quantile, late - quantile, 0.0)
    return np.asarray(quantile[..., 0] + (own * over).sum(axis=-1) / tail)


def in_units(problem: ProblemArrays, x: Array) -> tuple[Array, float]:
    """Shares as parts of the budgets, (..., 3, K), in the budgets' units, and the largest sum of parts before.

    What is not a number or negative is 0. The shares of a budget sum to at most the budget, and no cap is exceeded.
    """
    parts = np.fmax(x, 0.0)
    total = parts.sum(axis=-1, keepdims=True)
    shares: Array = parts / np.maximum(total, 1.0) * problem.budgets
    if problem.edge_share_max is not None:
        np.minimum(shares[..., 2, :], problem.edge_share_max, out=shares[..., 2, :])
    return shares, float(total.max(where=problem.budgets > 0, initial=0.0))


def alone_s(problem: ProblemArrays, option: NDArray[np.integer]) -> Array:
    """Latencies (..., K) with certain times of users each of whom has all that it can have [s]."""
    shares = problem.budgets * np.ones((3, problem.users))
    if problem.edge_share_max is not None:
        np.minimum(shares[..., 2, :], problem.edge_share_max, out=shares[..., 2, :])
    return _certain(problem, problem.first_places + option, shares)[0]


def _certain(problem: ProblemArrays, places: NDArray[np.intp], shares: Array) -> tuple[Array, Array]:
    """Latencies (..., K) where nothing deviates, and the stages' times (..., 3, K)."""
    times = _times(problem, places, shares)
    edge_path_s = times[..., 0, :] + times[..., 1, :] + times[..., 2, :]
    branch = problem.device_branch_s
    latency_s = problem.fixed_s.take(places)
    latency_s += edge_path_s if branch is None else np.maximum(branch.take(places), edge_path_s)
    return latency_s, times


def _uncertain(
    problem: ProblemArrays, deviations: Deviations | None, samples: tuple[Array, Array, int] | None,
    places: NDArray[np.intp], shares: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Latencies (..., K) in the worst case or at the level of samples, and the stages' worst times (..., 3, K)."""
    if samples is not None:
        fixed, work, kept = samples
        tables = (problem.downlink_bit, problem.uplink_bit, np.zeros(problem.downlink_bit.shape))
        times = _times(problem, places, shares, tables)
        flat = (problem.downlink_bit.size, fixed.shape[-1])
        own_work = work.reshape(flat)[places]
        with np.errstate(divide="ignore", invalid="ignore"):
            per_share = np.where(shares[..., 2, :] > 0, 1.0 / np.maximum(shares[..., 2, :], 0.0), np.inf)
        return level_of(fixed.reshape(flat)[places], own_work, kept, per_share) + times.sum(axis=-2), times
    assert deviations is not None
    times = _times(problem, places, shares)
    extra_s = _times(problem, places, shares, tuple(deviations.amounts))
    own_s = deviations.fixed_s.take(places)
    along = times.sum(axis=-2) + deviations.worst_s(own_s, extra_s)
    if problem.device_branch_s is not None:
        along = np.maximum(along, problem.device_branch_s.take(places) + deviations.one * own_s)
    worst = deviations.one * np.where(extra_s > 0, extra_s, 0.0) if deviations.budget > 0 else 0.0
    return problem.fixed_s.take(places) + along, times + worst


def _times(
    problem: ProblemArrays, places: NDArray[np.intp], shares: Array, tables: tuple[Array, ...] | None = None
) -> Array:
    """Seconds on downlink, uplink and edge, (..., 3, K), of options by their places, with shares (..., 3, K); of other
    amounts where `tables` (3 of them) say so."""
    if tables is None:
        tables = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)
    amounts = np.empty(shares.shape)
    for row, table in enumerate(tables):
        amounts[..., row, :] = table.take(places)
    speeds = np.maximum(shares, 0.0)
    if problem.linear:
        speeds *= problem.linear_speeds
    else:
        speeds[..., 0, :] = problem.rate("downlink", speeds[..., 0, :])
        speeds[..., 1, :] = problem.rate("uplink", speeds[..., 1, :])
    if not speeds.min() > 0:
        speeds = np.where(amounts > 0, speeds, 1.0)  # nothing to do takes no time
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        amounts /= speeds
    return amounts


def _within(values: Array, limits: Array) -> bool:
    """Whether no value is over its limit."""
    return 0 not in (values <= limits).tobytes()  # a third of the time of `all` on few numbers


def _most_over(values: Array, limits: Array) -> Array:
    """By how much, relatively, the worst of values (..., N) is over its limit; what is no number is over any."""
    within = values <= limits
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        over = np.where(within, 0.0, np.where(limits > 0, (values - limits) / limits, np.inf))
    return np.asarray(np.where(np.isnan(over), math.inf, over).max(axis=-1))
