"""Best shares for given options: in closed form where only budgets and share caps bind, else by interior points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.closed_forms import equal_deadlines, square_root
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import Shares, interior, latencies


def best_shares(
    problem: AllocationProblem, resources: Resources, option: NDArray[np.int64], deadline: float = np.inf
) -> Shares:
    """Optimal shares for given options; the objective counts weighted costs, and is infinite beyond limited ones.

    Parameters
    ----------
    problem : AllocationProblem
        With any objective but "missed".
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
    if problem.cost_limits is not None:
        good &= problem.cost_limits.kept(option)
    more_s = np.zeros(len(option))
    if problem.option_cost_s is not None:
        more_s = problem.option_cost_s[rows, option].sum(axis=1)
    goal = Goal(
        weight=problem.weights,
        sum_weight=0.0 if problem.objective == "max" else 1.0,
        max_weight={"max": 1.0, "mixed": float(problem.max_weight or 0.0)}.get(problem.objective, 0.0),
        cvar=(problem.cvar_level or 0.0, problem.cvar_weight) if problem.cvar_weight else None,
    )
    fixed, branch = problem.fixed_s[rows, option], problem.branch_s[rows, option]
    found = closed_form(problem, resources, option)
    rest = good if found is None else good & ~np.isfinite(found.objective)
    if found is None or rest.any():
        limit = problem.hard_deadline_s - fixed
        found = _joined(interior(goal, *resources.pick(option), fixed, branch, limit, rest, deadline), found)
    return Shares(
        x=found.x,
        objective=np.where(good, found.objective + more_s, np.inf),
        prices=found.prices,
        bound=np.where(good, found.bound + more_s, np.inf),
        tilts=found.tilts,
    )


def closed_form(problem: AllocationProblem, resources: Resources, option: NDArray[np.int64]) -> Shares | None:
    """Optimal shares for option sets (S, K), linear rates; None where there is no closed form.

    What it yields without deadlines, airtime limits and, for "sum", device branches is optimal where it keeps them;
    the objective of the other sets is infinite.
    """
    if not resources.linear or problem.objective not in ("max", "sum") or problem.tilts is not None:
        return None
    rows = np.arange(problem.users)
    a, gamma, lo, hi = resources.pick(option)
    fixed, branch, weight = problem.fixed_s[rows, option], problem.branch_s[rows, option], problem.weights
    if problem.objective == "sum":
        root = np.sqrt(weight * a)
        x, r = square_root(root, hi)
        late = latencies(a, gamma, x, fixed, branch)
        objective, prices = (weight * late).sum(axis=1), r**2
        none = np.zeros_like(fixed)
        kept = (branch <= latencies(a, gamma, x, none, none)) | ~a.any(axis=1)
    else:
        found = equal_deadlines(a, hi, fixed, weight, (weight * (fixed + branch)).max(axis=1))
        x, prices = found.x, found.prices
        late = latencies(a, gamma, x, fixed, branch)
        # beside a device branch that decides alone, the path still ends at prices that prove it
        objective, kept = (weight * late).max(axis=1), found.settled & (prices.any(axis=1) | problem.sequential)
        kept = kept[:, None]
    kept = kept & (late <= problem.hard_deadline_s)
    objective = np.where(kept.all(axis=1) & (x >= lo).all(axis=(1, 2)), objective, np.inf)
    return Shares(x=x, objective=objective, prices=prices, bound=objective, tilts=np.zeros(fixed.shape))


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
