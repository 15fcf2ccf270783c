"""Best shares for given options: the square-root rule and Newton's method where they apply, else interior points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import EDGE, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.equal_latency import equal_latency
from megdt_opt.shares.interior import Goal, Shares, interior, latencies


def best_shares(
    problem: AllocationProblem, resources: Resources, option: NDArray[np.int64], deadline: float = np.inf
) -> Shares:
    """Optimal shares for given options.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "max", "sum" or "mixed".
    resources : Resources
        The problem, scaled.
    option : array of int, (S, K)
        Option sets.
    deadline : float
        `time.monotonic()` at which to end with what was reached [s].
    """
    option = np.atleast_2d(option)
    rows = np.arange(problem.users)
    good: NDArray[np.bool_] = np.all(resources.open[rows, option], axis=1)
    a, gamma, lo, hi = resources.pick(option)
    fixed = problem.fixed_s[rows, option]
    branch = problem.branch_s[rows, option]
    rule = _square_root_rule(problem, resources, a, hi, fixed, branch)
    if rule is not None and bool((rule.objective[good] < np.inf).all()):
        found = rule
    else:
        goal = Goal(
            weight=problem.weights,
            sum_weight=0.0 if problem.objective == "max" else 1.0,
            max_weight={"max": 1.0, "sum": 0.0, "mixed": float(problem.max_weight or 0.0)}[problem.objective],
        )
        first = _equal_latencies(problem, resources, goal, a, gamma, hi, fixed)
        rest = good if first is None else good & ~np.isfinite(first.objective)
        if first is not None and not rest.any():
            found = first
        else:
            limit = problem.hard_deadline_s - fixed
            found = _joined(interior(goal, a, gamma, lo, hi, fixed, branch, limit, rest, deadline), first)
    objective = np.where(good, found.objective, np.inf)
    return Shares(
        x=found.x,
        objective=objective,
        prices=found.prices,
        bound=np.where(good, found.bound, np.inf),
        tilts=found.tilts,
    )


def _square_root_rule(
    problem: AllocationProblem, resources: Resources, a: Array, hi: Array, fixed: Array, branch: Array
) -> Shares | None:
    """x proportional to sqrt(w a), where nothing but the budgets binds (Cauchy-Schwarz); None elsewhere."""
    if problem.objective != "sum" or not _plain(problem, resources):
        return None
    roots = np.sqrt(problem.weights * a)
    sums = roots.sum(axis=2, keepdims=True)
    x = np.where(sums > 0, roots / np.where(sums > 0, sums, 1.0), 0.0)
    if (x > hi * (1 + 1e-15)).any():
        return None
    objective = (problem.weights * fixed).sum(axis=1) + (sums[:, :, 0] ** 2).sum(axis=1)
    tilts = np.zeros(fixed.shape)
    return Shares(x=x, objective=objective, prices=sums[:, :, 0] ** 2, bound=objective, tilts=tilts)


def _plain(problem: AllocationProblem, resources: Resources) -> bool:
    """Whether only budgets and share caps bind, and times are linear in one over the shares."""
    return (
        resources.linear
        and problem.sequential
        and problem.uplink_airtime_max_s is None
        and not np.isfinite(problem.hard_deadline_s).any()
    )


def _equal_latencies(
    problem: AllocationProblem, resources: Resources, goal: Goal, a: Array, gamma: Array, hi: Array, fixed: Array
) -> Shares | None:
    """Shares for "max" by Newton's method; sets that it does not settle are infinite, None where it cannot serve."""
    if problem.objective != "max" or not _plain(problem, resources):
        return None
    found = equal_latency(a, hi[:, EDGE], fixed, problem.weights)
    objective = goal.value(latencies(a, gamma, found.x, fixed, np.zeros_like(fixed)))
    # a user that is late whatever is shared decides alone: then nothing is worth anything
    priced = objective <= found.level * (1.0 + 1e-9)
    objective = np.where(found.settled & np.isfinite(objective), objective, np.inf)
    return Shares(
        x=found.x, objective=objective, prices=np.where(priced[:, None], found.prices, 0.0), bound=objective,
        tilts=np.zeros(fixed.shape),
    )  # fmt: skip


def _joined(found: Shares, first: Shares | None) -> Shares:
    """`found`, but for the sets that `first` has settled."""
    if first is None:
        return found
    done = np.isfinite(first.objective)
    return Shares(
        *(
            np.where(
                done.reshape(-1, *[1] * (getattr(found, name).ndim - 1)), getattr(first, name), getattr(found, name)
            )
            for name in ("x", "objective", "prices", "bound", "tilts")
        )
    )
