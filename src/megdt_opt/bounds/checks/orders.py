"""Validators of sequencing, of the limits of budgets and of bang-bang cuts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from megdt_opt.bounds import (
    approach_to_unlimited_s,
    bang_bang,
    idle_below,
    reserving_ratio_bound,
    reserving_s,
    sequencing_max,
    sequencing_sum,
    unlimited,
    without,
)
from megdt_opt.bounds.checks import instances, precise
from megdt_opt.bounds.checks.validation import Check, above, apart, reached, validator
from megdt_opt.bounds.limits import budget_of, with_budget
from megdt_opt.errors import Infeasible
from megdt_opt.pricing.scaled import RESOURCES
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving import solve


@validator(
    "order of service",
    covers=("sequencing_sum", "sequencing_max"),
    exact=True,
    loose="nowhere: Smith's and Lawler's orders",
)
def orders(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Both orders against all K! orders."""
    users = int(rng.integers(1, 7))
    g, w = rng.exponential(1.0, users), rng.uniform(0.3, 3.0, users)
    q = rng.exponential(2.0, users) * (rng.random(users) < 0.7)
    for rule, objective in ((sequencing_sum, "sum"), (sequencing_max, "max")):
        found = rule(g, weight=w, fixed_s=q)
        truth = precise.best_order(g.tolist(), w.tolist(), q.tolist(), objective)
        yield Check("digits", apart(found.objective_s, truth), 1.0)


@validator(
    "reserving against sequencing",
    covers=("reserving_s", "reserving_ratio_bound"),
    loose="usual works: the worst ones grow like w/W^2 (sum) or end with fixed parts of just the right length (max)",
)
def reserving(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """sequenced <= reserved <= ratio * sequenced; reserved equals `solve`; worst cases attain the ratio."""
    users = int(rng.integers(1, 9))
    objective = ("sum", "max")[number % 2]
    w = np.ones(users) if number % 4 < 2 else rng.uniform(0.3, 3.0, users)
    g, q = rng.exponential(1.0, users) + 1e-3, rng.exponential(1.0, users) * (rng.random(users) < 0.5)
    if number % 8 >= 6:
        g, w, q = _worst(objective, users)
    ratio = reserving_ratio_bound(users, weight=w, objective=objective)
    sequence = (sequencing_sum if objective == "sum" else sequencing_max)(g, weight=w, fixed_s=q).objective_s
    reserved = reserving_s(g, weight=w, fixed_s=q, objective=objective)
    yield Check("side", above(reserved, ratio * sequence), reached(reserved, ratio * sequence))
    yield Check("side", above(sequence, reserved))
    if number % 8 >= 6:
        yield Check("digits", apart(reserved, ratio * sequence))
    none = np.zeros((users, 1))
    problem = AllocationProblem(
        fixed_s=q[:, None], edge_work_s=g[:, None], uplink_bit=none, downlink_bit=none, uplink_hz=0.0, downlink_hz=0.0,
        weight=w, objective=objective,
    )  # fmt: skip
    yield Check("solver", apart(reserved, solve(problem, method="enumerate").objective_s))
    if users > 1:
        # identical users without fixed parts: exactly 2K/(K + 1) for the sum, 1 for the largest
        same = np.full(users, float(rng.uniform(0.1, 2)))
        known = 2 * users / (users + 1) if objective == "sum" else 1.0
        served = (sequencing_sum if objective == "sum" else sequencing_max)(same).objective_s
        yield Check("digits", apart(reserving_s(same, objective=objective), known * served))


def _worst(objective: str, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Works, weights and fixed parts that attain the ratio of equal weights."""
    w = np.ones(users)
    if objective == "sum":
        return 1.0 / np.arange(users, 0, -1.0) ** 2, w, np.zeros(users)
    # completions such that δ + C_j is a geometric series with the factor K/(K - 1)
    if users == 1:
        return np.ones(1), w, np.zeros(1)
    delta = (1 - 1 / users) ** users / (1 - (1 - 1 / users) ** users)
    ends = delta * (users / (users - 1)) ** np.arange(users + 1) - delta
    return np.diff(ends), w, np.maximum(1 - ends[1:], 0.0)


def _case(rng: np.random.Generator, number: int) -> AllocationProblem:
    """A problem whose users all have a local option, so that every limit exists."""
    users, options = int(rng.integers(1, 4 if number % 2 else 3)), int(rng.integers(2, 5))
    shape = (users, options)
    fields: dict[str, Any] = {}
    if number % 4 >= 2:
        fields |= instances.shannon(rng, users)
    if number % 3 == 1:
        fields["device_branch_s"] = rng.uniform(0, 4, shape) * (rng.random(shape) < 0.5)
    if number % 5 == 2:
        fields["edge_share_max"] = rng.uniform(0.2, 1.0, users)
    problem = instances.problem(rng, ("max", "sum")[number % 2], users=users, options=options, **fields)
    tables = {name: getattr(problem, name).copy() for name in ("uplink_bit", "downlink_bit", "edge_work_s", "fixed_s")}
    for name, table in tables.items():
        table[:, 0] = rng.uniform(1, 9, users) if name == "fixed_s" else 0.0
    return replace(problem, **tables)


@validator(
    "budget to zero, to infinity",
    share=1 / 3,
    covers=("without", "unlimited"),
    loose="budgets between the limits: they are bounds at every budget and meet the optimum only at the ends",
)
def limits(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """unlimited <= optimum <= without, and convergence to both as the budget goes there."""
    problem = _case(rng, number)
    resource = RESOURCES[int(rng.integers(3))]
    low = solve(unlimited(problem, resource), method="enumerate").objective_s
    high = solve(without(problem, resource), method="enumerate").objective_s
    here = solve(problem, method="enumerate").objective_s
    yield Check("side", above(low, here), reached(low, here))
    yield Check("side", above(here, high), reached(here, high))
    # at 1e-9 or 1e9 times the budget what is left of the distance is below a solver's tolerance
    factor, end = (1e-9, high) if number % 4 < 2 else (1e9, low)
    far = solve(with_budget(problem, resource, budget_of(problem, resource) * factor), method="enumerate").objective_s
    yield Check("solver", apart(far, end))


@validator(
    "approach to infinity",
    covers=("approach_to_unlimited_s",),
    loose="scarce budgets, where other options than the limit's are better",
)
def approach(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """optimum <= unlimited + distance at budgets up to a hundred times the drawn one."""
    problem = instances.problem(rng, "sum", users=int(rng.integers(1, 5)), options=int(rng.integers(1, 5)))
    resource = RESOURCES[int(rng.integers(3))]
    problem = with_budget(problem, resource, budget_of(problem, resource) * instances.log(rng, -1, 2))
    limit = solve(unlimited(problem, resource), method="enumerate")
    ceiling = limit.objective_s + approach_to_unlimited_s(problem, resource, limit.option)
    here = solve(problem, method="enumerate").objective_s
    yield Check("side", above(here, ceiling), reached(here, ceiling))
    yield Check("side", above(limit.objective_s, here))


@validator(
    "idle below",
    share=1 / 3,
    covers=("idle_below",),
    loose="several users: each is taken as if it competed with nobody on the other resources; exact for one",
)
def idle(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Just below the budget the optimum is that without the resource; the tightness is the share of the true switch."""
    problem = _case(rng, number * 4 + number % 2)  # linear rates
    resource = RESOURCES[int(rng.integers(3))]
    high = solve(without(problem, resource), method="enumerate").objective_s
    budget = idle_below(problem, resource, high)

    def optimum(value: float) -> float:
        return solve(with_budget(problem, resource, value), method="enumerate").objective_s

    if not np.isfinite(budget):
        # the resource never helps: not even in abundance
        yield Check("solver", apart(optimum(1e12), high), 1.0)
        return
    yield Check("solver", apart(optimum(budget * (1 - 1e-9)), high))
    quick = problem.objective == "sum" and problem.sequential and problem.edge_share_max is None
    if not quick:
        return  # where a solution takes longer, the true switch is not searched for
    low, top = budget, budget * 1e6
    if optimum(top) >= high * (1 - 1e-9):
        yield Check("side", 0.0, 0.0)
        return
    for _ in range(24):
        middle = (low * top) ** 0.5
        low, top = (middle, top) if optimum(middle) >= high * (1 - 1e-9) else (low, middle)
    yield Check("side", 0.0, min(budget / top, 1.0))


@validator(
    "bang-bang cuts",
    share=1 / 3,
    covers=("bang_bang",),
    loose="where the conditions fail for some rates only: it says 'perhaps inside', and the ends may still be best",
)
def cuts(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """All cuts against the ends alone; where it says that an inner cut may pay, a problem where one does."""
    users, steps = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    problem = _chain(rng, users, steps, number)
    said = bang_bang(problem)
    ends = np.zeros(problem.fixed_s.shape, bool)
    ends[:, [0, -1]] = True
    best = solve(problem, method="enumerate").objective_s
    try:
        kept = solve(replace(problem, allowed=ends & problem.allowed_mask), method="enumerate").objective_s
    except Infeasible:
        kept = np.inf
    if said.holds:
        yield Check("solver", apart(best, kept), 1.0)
    else:
        # the ends' optimum can only be worse; how much of it the inner cuts save is what the message is worth
        yield Check("side", above(best, kept), 1.0 if best < kept * (1 - 1e-9) else 0.0)


def _chain(rng: np.random.Generator, users: int, steps: int, number: int) -> AllocationProblem:
    """Cuts 0..N: plain chains, and chains that break one condition."""
    n = np.arange(steps + 1) / steps
    shape = (users, steps + 1)
    inside = (n > 0) & (n < 1)
    device, edge = rng.uniform(1, 15, (users, 1)), rng.uniform(0.2, 2, (users, 1))
    done = np.broadcast_to(n, shape).copy()
    bits = rng.uniform(1e4, 3e5, (users, 1))
    up = np.where(n > 0, np.where(inside, 1.0, rng.uniform(0, 1)), 0.0) * rng.uniform(1e3, 1e5, (users, 1))
    down = np.where(n > 0, np.where(inside, 1.0, rng.uniform(0, 1, (users, 1))), 0.0) * bits
    fields: dict[str, Any] = {}
    kind = number % 6
    if kind == 3:  # an end with a larger payload
        down[:, -1] = bits[:, 0] * rng.uniform(2, 40, users)
    if kind == 4:  # step times that vary along the chain
        done = np.sort(np.hstack([np.zeros((users, 1)), rng.random((users, steps - 1)), np.ones((users, 1))]), axis=1)
    if kind == 5:  # an end that is not allowed
        allowed = np.ones(shape, bool)
        allowed[:, -1] = False
        fields["allowed"] = allowed
    if kind == 2:
        fields |= instances.shannon(rng, users) | {"edge_share_max": rng.uniform(0.3, 1, users)}
    return instances.problem(
        rng, ("max", "sum")[number // 6 % 2], users=users, options=steps + 1,
        fixed_s=device * (1 - np.asarray(n)) + 0.1,
        edge_work_s=edge * done, uplink_bit=up * np.ones(shape), downlink_bit=down, **fields,
    )  # fmt: skip
