"""Solving a changed problem from the certificate of the last one.

A certificate's tree partitions the option sets of every problem of its shape, and prices prove a bound for every
problem (weak duality); so the old tree with the old prices bounds the new problem at once. Where the bound no longer
suffices, the prices of a leaf are moved; where that does not suffice either, a new search is needed.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Branch, Leaf, masks
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.solving import solve
from megdt_opt.solving.allocation import Allocation, relative_gap
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.pool import Mask, Pool

_LEAVES = 200
"""Leaves of the last certificate that are tried at most; a larger tree takes as long as a new search."""

_PASSES = 60
"""New price vectors tried in all, where the old ones no longer suffice."""

_ROUNDS = 5
"""Times that the prices may propose better options."""

_EXCESS = 1e-11
"""What the priced cost of "max" must exceed the budgets by: far above rounding, far below any gap."""


def resolve(
    problem: AllocationProblem, previous: Allocation, gap: float = 1e-6, time_limit_s: float | None = None
) -> Allocation:
    """Solve a problem that resembles another, whose solution is known; raises as `solve` does.

    Parameters
    ----------
    problem : AllocationProblem
        With as many users and options as the other.
    previous : Allocation
        Solution of the other.
    gap, time_limit_s
        As for `solve` [1, s].
    """
    found = proved_again(problem, previous, gap)
    return solve(problem, gap=gap, time_limit_s=time_limit_s) if found is None else found


def proved_again(problem: AllocationProblem, previous: Allocation, gap: float) -> Allocation | None:
    """A solution proved by the previous tree, its prices moved where need be; None where it proves too little."""
    begin = time.perf_counter()
    plan = previous.certificate
    if plan is None or plan.objective != problem.objective:
        return None
    resources = Resources.of(problem)
    if not resources.open.any(axis=1).all():
        return None
    try:
        leaves = list(masks(plan.tree, resources.open))
    except (ValueError, IndexError):
        return None  # the tree of another shape, or of fewer open options
    if not 0 < len(leaves) <= _LEAVES or any(len(leaf.prices) != 3 for leaf, _ in leaves):
        return None
    incumbent = Incumbent(problem, resources)
    incumbent.offer(previous.option[None])
    if not np.isfinite(incumbent.objective):
        return None
    # unlike places only: many leaves share their prices
    prices = list(np.unique(np.array([leaf.prices for leaf, _ in leaves]), axis=0))
    pool = _pool(problem, resources, incumbent, gap, prices)
    for _ in range(_ROUNDS):
        if not incumbent.offer(np.unique(np.vstack([pool.values(mask)[2] for _, mask in leaves]), axis=0)):
            break
        # a better set brings prices of its own, and moves the level of "max"
        pool = _pool(problem, resources, incumbent, gap, prices)
    proofs = _proofs(pool, incumbent, leaves, gap)
    if proofs is None:
        return None
    certificate = Certificate.seal(problem, resources, _replaced(plan.tree, proofs), _target(incumbent, gap))
    found = allocated(problem, incumbent.option, incumbent.x, certificate.bound_s, gap)
    if found.status != "optimal":
        return None
    message = f"{len(leaves)} leaves of the previous certificate, {len(pool.prices)} price vectors"
    return replace(found, certificate=certificate, solve_s=time.perf_counter() - begin, message=message)


def _target(incumbent: Incumbent, gap: float) -> float:
    # a little less than asked, so that rounding cannot push the reported gap over it
    return incumbent.objective * (1.0 - max(0.95 * gap, 1e-10))


def _pool(
    problem: AllocationProblem, resources: Resources, incumbent: Incumbent, gap: float, prices: list[Array]
) -> Pool:
    pool = Pool(problem, resources, _target(incumbent, gap) if problem.objective == "max" else None)
    for place in [incumbent.prices, *prices]:
        pool.add(place)
    return pool


def _proofs(pool: Pool, incumbent: Incumbent, leaves: list[tuple[Leaf, Mask]], gap: float) -> dict[int, Leaf] | None:
    """Prices that prove each leaf out of reach of the target, by the leaf's identity; None where one resists."""
    goal = _target(incumbent, gap) if pool.summed else _EXCESS
    box = 4.0 * incumbent.objective if pool.summed else 1.0
    most = len(pool.prices) + _PASSES
    proofs: dict[int, Leaf] = {}
    for leaf, mask in leaves:
        value, _, _ = pool.values(mask)
        best = int(value.argmax())
        if value[best] < goal:
            reached, best, _, _ = pool.improve(mask, goal, box, max(most - len(pool.prices), 0))
            if reached < goal:
                return None
        proofs[id(leaf)] = Leaf(tuple(float(p) for p in pool.prices[best]))
    return proofs


def _replaced(tree: Branch | Leaf, proofs: dict[int, Leaf]) -> Branch | Leaf:
    """The tree with new leaves; those that no open option reaches stay."""
    if isinstance(tree, Leaf):
        return proofs.get(id(tree), tree)
    return Branch(tree.user, tree.groups, [_replaced(child, proofs) for child in tree.children])


def allocated(
    problem: AllocationProblem, option: NDArray[np.int64], x: Array, bound_s: float, gap: float
) -> Allocation:
    """An allocation of scaled shares, evaluated."""
    down, up, edge = (
        _within(share, budget)
        for share, budget in zip(x, (problem.downlink_hz, problem.uplink_hz, problem.edge_capacity), strict=True)
    )
    edge = np.minimum(edge, problem.share_caps)
    found = evaluate(problem, option, down, up, edge)
    lower = min(bound_s, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return Allocation(
        option=option,
        downlink_hz=down,
        uplink_hz=up,
        edge_share=edge,
        latency_s=found.latency_s,
        objective_s=found.objective_s,
        lower_bound_s=lower,
        gap=reached,
        status=status_of(reached, gap, BoundSource.CERTIFICATE),
        method=Method.PRICES,
        bound_source=BoundSource.CERTIFICATE,
        build_s=0.0,
        solve_s=0.0,
    )


def _within(x: Array, budget: float) -> Array:
    share = np.where(x > 0, x, 0.0) * budget
    total = float(share.sum())
    return share * (budget / total) if total > budget else share
