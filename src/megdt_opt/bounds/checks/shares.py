"""Validators of the share rules and of the price bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from megdt_opt.bounds import (
    equal_deadline_bound_s,
    equal_deadline_rule,
    price_bound,
    price_bound_s,
    shapley_folkman_gap_s,
    square_root_rule,
)
from megdt_opt.bounds.checks import instances, precise
from megdt_opt.bounds.checks.validation import Check, above, apart, reached, validator
from megdt_opt.bounds.shares import RuleShares
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.solving import solve


def _spent(problem: AllocationProblem, found: RuleShares) -> Check:
    """That the shares keep the budgets and reach the objective that the rule states."""
    option = np.zeros(problem.users, dtype=np.int64)
    seen = evaluate(problem, option, found.downlink_hz, found.uplink_hz, found.edge_share)
    return Check("digits", max(above(seen.objective_s, found.objective_s), seen.violation))


def _by_cones(problem: AllocationProblem, found: RuleShares) -> Iterator[Check]:
    """That no shares are better, by the cone program's dual bound, which knows nothing of the rule."""
    bound = solve(problem, method="convex_allocation", gap=1e-8).lower_bound_s
    yield Check("solver", apart(found.objective_s, bound))
    yield Check("side", above(bound, found.objective_s))


@validator("square-root rule", covers=("square_root_rule",), exact=True, loose="nowhere: Cauchy-Schwarz with equality")
def square_root(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Each resource's price by bisection, the shares by evaluation, the optimum by the cone program."""
    problem = instances.problem(rng, "sum", users=int(rng.integers(1, 13)))
    found = square_root_rule(problem)
    a = Resources.of(problem).a[:, :, 0]
    prices = [precise.square_root_s(problem.weights.tolist(), row.tolist()) for row in a]
    truth = float(problem.weights @ problem.fixed_s[:, 0]) + sum(prices)
    yield Check("digits", apart(found.objective_s, truth), 1.0)
    yield Check("digits", max(apart(float(p), q) for p, q in zip(found.prices_s, prices, strict=True)))
    yield _spent(problem, found)
    if number % 2 == 0:
        yield from _by_cones(problem, found)


@validator(
    "equal-deadline rule", covers=("equal_deadline_rule",), exact=True, loose="nowhere: an eigenvalue equal to 1"
)
def equal_deadline(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """One resource by bisection; several by the dual at its own prices in 50 digits, and by the cone program."""
    users = int(rng.integers(1, 13))
    fields: dict[str, Any] = {}
    if number % 3 == 1:
        # one resource only: the classical case
        none = np.zeros((users, 1))
        fields = {"downlink_bit": none, "uplink_bit": none, "edge_work_s": rng.uniform(0.05, 2.0, (users, 1))}
    if number % 3 == 2:
        fields = {"device_branch_s": rng.uniform(0, 12, (users, 1)) * (rng.random((users, 1)) < 0.5)}
    problem = instances.problem(rng, "max", users=users, **fields)
    found = equal_deadline_rule(problem)
    w, fixed = problem.weights, problem.fixed_s[:, 0]
    floor = float((w * (fixed + problem.branch_s[:, 0])).max())
    cost = np.sqrt(found.prices_s[:, None] * Resources.of(problem).a[:, :, 0]).sum(axis=0) ** 2
    dual = precise.deadline_s(w.tolist(), fixed.tolist(), cost.tolist()) if cost.any() else 0.0
    # the dual proves that no shares are better, the evaluation that these are as good
    yield Check("digits", above(found.objective_s, max(dual, floor)), 1.0)
    yield Check("digits", above(max(dual, floor), found.objective_s))
    yield _spent(problem, found)
    if number % 2 == 0:
        yield from _by_cones(problem, found)


@validator(
    "equal-deadline prices",
    share=1 / 3,
    covers=("equal_deadline_bound_s",),
    loose="prices far from the binding resources: a price on a slack band is wasted",
)
def deadline_prices(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Random prices never exceed the optimum, share caps included; equal to bisection."""
    users = int(rng.integers(1, 9))
    caps: dict[str, Any] = {"edge_share_max": rng.uniform(0.1, 1.0, users)} if number % 2 else {}
    problem = instances.problem(rng, "max", users=users, **caps)
    prices = rng.dirichlet(np.ones(3))
    found = equal_deadline_bound_s(problem, prices)
    w, fixed = problem.weights, problem.fixed_s[:, 0]
    cost = np.sqrt((prices / prices.sum())[:, None] * Resources.of(problem).a[:, :, 0]).sum(axis=0) ** 2
    truth = precise.deadline_s(w.tolist(), fixed.tolist(), cost.tolist()) if cost.any() else 0.0
    yield Check("digits", apart(found, max(truth, float((w * fixed).max()))))
    best = solve(problem, method="enumerate").objective_s
    yield Check("side", above(found, best), reached(found, best))


def _options(rng: np.random.Generator, number: int, **fields: Any) -> AllocationProblem:
    return instances.problem(rng, "sum", users=int(rng.integers(2, 6)), options=int(rng.integers(2, 5)), **fields)


@validator(
    "price bound, any prices",
    share=1 / 3,
    covers=("price_bound_s",),
    loose="prices off the optimal ones (by 2x here), and binding share caps, which it does not see",
)
def any_prices(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Prices around the optimal ones, with caps in every second instance, against enumeration."""
    problem = _options(rng, number)
    best = price_bound(problem)
    prices = best.prices_s * 10 ** rng.normal(0, 0.3, 3)
    if number % 2:
        problem = replace(problem, edge_share_max=rng.uniform(0.1, 1.0, problem.users))
    found = price_bound_s(problem, prices)
    optimum = solve(problem, method="enumerate").objective_s
    yield Check("side", above(found, optimum), reached(max(found, 0.0), optimum))


def _mixed(problem: AllocationProblem) -> float:
    """Optimum when users may mix options, as a cone program [s]."""
    import cvxpy as cp

    scaled = Resources.of(problem)
    w = problem.weights[:, None]
    root = np.sqrt(w * scaled.a)
    mix = cp.Variable(problem.fixed_s.shape, nonneg=True)
    load = cp.hstack([cp.sum(cp.multiply(root[i], mix)) for i in range(3)])
    program = cp.Problem(
        cp.Minimize(cp.sum(cp.multiply(w * problem.fixed_s, mix)) + cp.sum_squares(load)), [cp.sum(mix, axis=1) == 1]
    )
    return float(program.solve(solver=cp.CLARABEL))


@validator(
    "best price bound",
    covers=("price_bound",),
    loose="few users who tie between unlike options: options cannot be mixed",
)
def best_prices(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """bound <= optimum <= bound + gap; no other prices do better, and mixing options reaches it."""
    problem = _options(rng, number)
    found = price_bound(problem)
    optimum = solve(problem, method="enumerate").objective_s
    yield Check("side", above(found.bound_s, optimum), reached(found.bound_s, optimum))
    yield Check("side", above(optimum, found.bound_s + found.gap_s))
    if number % 4 == 0:
        yield Check("solver", apart(found.bound_s, _mixed(problem)))
    for _ in range(5):
        other = price_bound_s(problem, found.prices_s * 10 ** rng.normal(0, 0.02, 3))
        yield Check("digits", above(other, found.bound_s))


@validator(
    "Shapley-Folkman gap",
    covers=("shapley_folkman_gap_s",),
    loose="it takes the widest ranges of any users; those who mix options at the optimum mostly mix neighbours",
)
def shapley_folkman(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """optimum <= best price bound + the gap that needs no prices."""
    problem = _options(rng, number)
    bound = price_bound(problem).bound_s
    ceiling = bound + shapley_folkman_gap_s(problem)
    optimum = solve(problem, method="enumerate").objective_s
    yield Check("side", above(optimum, ceiling), reached(optimum, ceiling))
