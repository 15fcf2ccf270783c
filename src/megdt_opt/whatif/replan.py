"""Planning anew from the last plan, with a cost for switching, starting from the last plan's prices."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.allocation import Allocation, relative_gap
from megdt_opt.certificate import Branch, Certificate, Leaf, masks
from megdt_opt.errors import InvalidInput
from megdt_opt.problem import AllocationProblem, evaluate
from megdt_opt.solving import solve
from megdt_opt.solving.incumbent import Incumbent
from megdt_opt.solving.pool import Mask, Pool
from megdt_opt.solving.resources import Array, Resources
from megdt_opt.solving.shares import best_shares
from megdt_opt.tolerances import EXACT
from megdt_opt.whatif.shares_at import checked_options, require_time, value_of

_LEAVES = 200
"""Leaves of the last certificate that are tried at most; a larger tree takes as long as a new search."""

_PASSES = 20
"""New price vectors tried in a leaf whose old prices no longer suffice."""

_EXCESS = 1e-11
"""What the priced cost of "max" must exceed the budgets by: far above rounding, far below any gap."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Replan:
    """A new plan beside the old one.

    Parameters
    ----------
    allocation : Allocation
        The new plan. Latencies, objective, bound, gap and certificate are of `charged`: switching costs included.
    charged : AllocationProblem
        The problem that was solved: `fixed_s` of every option other than the previous one holds the switching cost.
    settled_s : float
        Objective without switching costs: that of the next pictures, once the switches are paid [s].
    kept_s : float
        Objective of the previous options with new shares [s]; infinite where they cannot keep the limits.
    switched : tuple of int
        Users whose option changes.
    warm : bool
        Whether the previous plan's prices proved the new plan without a new search.
    """

    allocation: Allocation
    charged: AllocationProblem
    settled_s: float
    kept_s: float
    switched: tuple[int, ...]
    warm: bool

    @property
    def objective_s(self) -> float:
        """Objective with switching costs [s]."""
        return self.allocation.objective_s

    @property
    def gain_s(self) -> float:
        """How much better than keeping the options, switching costs paid [s]; infinite where they cannot be kept."""
        return self.kept_s - self.allocation.objective_s

    def __str__(self) -> str:
        who = ", ".join(str(k) for k in self.switched) or "nobody"
        how = "proved by the previous prices" if self.warm else "searched anew"
        return (
            f"switches: {who}; objective {self.objective_s:.6g} s with switching, {self.settled_s:.6g} s after it, "
            f"{self.kept_s:.6g} s with the previous options ({how}, {self.allocation.status}, "
            f"gap {self.allocation.gap:.1e})"
        )


def replan(
    problem: AllocationProblem,
    previous: Allocation | ArrayLike,
    switch_cost_s: float | ArrayLike = 0.0,
    *,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Replan:
    """Choose anew where a switch of a user's option takes `switch_cost_s`.

    What is minimised is the problem's own objective of the latencies

        L'_k = L_k + switch_cost_s  if user k's option is not its previous one, else L_k,

    over all options and shares: the picture with which the switch happens. So with "sum" a switch of user k costs
    w_k * switch_cost_s once; with "max" it costs nothing unless it makes user k the worst; hard deadlines hold for
    L', the switch included. Within the gap the result is optimal in this sense, and in no other: it looks one
    decision ahead, not at what later problems will ask. To weigh a cost that is paid once against a gain that lasts n
    pictures, pass the cost divided by n (exact for "sum": the mean over the n pictures). Shares change freely.

    The previous certificate's tree, which is a valid partition for any problem of the same shape, is evaluated on the
    new problem first. Where its bound is within the gap of the best of the options that it proposes, no new search
    is made.

    Parameters
    ----------
    problem : AllocationProblem
        The new problem, with as many users and options as the previous one.
    previous : Allocation or array_like of int, (K,)
        The last plan, or its options; prices are reused from an Allocation with a certificate.
    switch_cost_s : float or array_like, (K,)
        At least 0 [s].
    gap, time_limit_s
        As for `solve` [1, s].

    Raises
    ------
    InvalidInput
        For the objective "missed", a cost that is negative, or a plan of another shape.
    Infeasible
        Where no allocation keeps the limits with the switching costs.
    """
    require_time(problem, "re-planning")
    plan = previous if isinstance(previous, Allocation) else None
    option = checked_options(problem, previous.option if isinstance(previous, Allocation) else previous)
    charged = _charged(problem, option, switch_cost_s)
    kept_s = value_of(charged, option).objective_s
    allocation = None if plan is None else _warm(charged, plan, option, gap)
    warm = allocation is not None
    if allocation is None:
        allocation = solve(charged, gap=gap, time_limit_s=time_limit_s)
        if kept_s <= allocation.objective_s * (1 + EXACT):
            allocation = _keep(charged, allocation, option, gap)  # a switch that gains nothing is not made
    settled = allocation.evaluate(problem)
    return Replan(
        allocation=allocation,
        charged=charged,
        settled_s=settled.objective_s,
        kept_s=kept_s,
        switched=tuple(int(k) for k in np.flatnonzero(allocation.option != option)),
        warm=warm,
    )


def _charged(
    problem: AllocationProblem, option: NDArray[np.int64], switch_cost_s: float | ArrayLike
) -> AllocationProblem:
    cost = np.asarray(switch_cost_s, dtype=float)
    if cost.shape not in ((), (problem.users,)) or not np.isfinite(cost).all() or (cost < 0).any():
        expected = f"finite numbers of at least 0 [s], one or shape ({problem.users},)"
        raise InvalidInput("switch_cost_s", switch_cost_s, expected, "Use 0 for a free switch.")
    other = np.arange(problem.options)[None, :] != option[:, None]
    return replace(problem, fixed_s=problem.fixed_s + other * np.broadcast_to(cost, (problem.users,))[:, None])


def _keep(charged: AllocationProblem, found: Allocation, option: NDArray[np.int64], gap: float) -> Allocation:
    """The kept options in place of others that are no better, under the same bound."""
    resources = Resources.of(charged)
    x = best_shares(charged, resources, option[None]).x[0]
    if (found.option == option).all() or not x.any():
        return found
    kept = _allocation(charged, option, x, found.lower_bound_s, gap)
    return replace(
        found,
        option=kept.option,
        downlink_hz=kept.downlink_hz,
        uplink_hz=kept.uplink_hz,
        edge_share=kept.edge_share,
        latency_s=kept.latency_s,
        objective_s=kept.objective_s,
        lower_bound_s=kept.lower_bound_s,
        gap=kept.gap,
        status=found.status if kept.gap <= max(gap, found.gap) + 1e-12 else "feasible",
    )


def _warm(charged: AllocationProblem, plan: Allocation, option: NDArray[np.int64], gap: float) -> Allocation | None:
    """The previous tree with its prices, moved where they no longer suffice; None where it proves too little."""
    begin = time.perf_counter()
    if plan.certificate is None or plan.certificate.objective != charged.objective:
        return None
    resources = Resources.of(charged)
    if not resources.open.any(axis=1).all():
        return None
    try:
        leaves = list(masks(plan.certificate.tree, resources.open))
    except (ValueError, IndexError):
        return None  # the certificate of a problem of another shape
    if not 0 < len(leaves) <= _LEAVES:
        return None
    incumbent = Incumbent(charged, resources)
    incumbent.offer(option[None])
    if not np.isfinite(incumbent.objective):
        return None
    for _ in range(3):  # a better set moves the level, and prices at the new level propose others
        pool = _pool(charged, resources, incumbent, gap, [np.array(leaf.prices) for leaf, _ in leaves])
        proposed = [pool.values(mask)[2] for _, mask in leaves]
        if not incumbent.offer(np.unique(np.vstack(proposed), axis=0)):
            break
    pool = _pool(charged, resources, incumbent, gap, [np.array(leaf.prices) for leaf, _ in leaves])
    goal = _target(incumbent, gap) if pool.summed else _EXCESS
    box = 4.0 * incumbent.objective if pool.summed else 1.0
    proofs: dict[int, Leaf] = {}
    for leaf, mask in leaves:
        prices = _prove(pool, mask, goal, box)
        if prices is None:
            return None
        proofs[id(leaf)] = Leaf(tuple(float(p) for p in prices))
    tree = _replaced(plan.certificate.tree, proofs)
    certificate = Certificate.seal(charged, resources, tree, _target(incumbent, gap))
    found = _allocation(charged, incumbent.option, incumbent.x, certificate.bound_s, gap)
    if found.status != "optimal":
        return None
    message = f"{len(leaves)} leaves of the previous certificate, {len(pool.prices)} price vectors"
    return replace(found, certificate=certificate, solve_s=time.perf_counter() - begin, message=message)


def _target(incumbent: Incumbent, gap: float) -> float:
    # a little less than asked, so that rounding cannot push the reported gap over it
    return incumbent.objective * (1.0 - 0.95 * gap)


def _pool(
    problem: AllocationProblem, resources: Resources, incumbent: Incumbent, gap: float, prices: list[Array]
) -> Pool:
    pool = Pool(problem, resources, _target(incumbent, gap) if problem.objective == "max" else None)
    for place in [incumbent.prices, *np.unique(np.array(prices), axis=0)]:
        pool.add(place)
    return pool


def _prove(pool: Pool, mask: Mask, goal: float, box: float) -> Array | None:
    value, _, _ = pool.values(mask)
    best = int(value.argmax())
    if value[best] >= goal:
        return pool.prices[best]
    reached, best, _, _ = pool.improve(mask, goal, box, _PASSES)
    return pool.prices[best] if reached >= goal else None


def _replaced(tree: Branch | Leaf, proofs: dict[int, Leaf]) -> Branch | Leaf:
    """The tree with new leaves; those that no open option reaches stay."""
    if isinstance(tree, Leaf):
        return proofs.get(id(tree), tree)
    return Branch(tree.user, tree.groups, [_replaced(child, proofs) for child in tree.children])


def _allocation(
    problem: AllocationProblem, option: NDArray[np.int64], x: Array, bound_s: float, gap: float
) -> Allocation:
    """An allocation of scaled shares, evaluated."""
    up, edge, down = (
        _within(share, budget)
        for share, budget in zip(x, (problem.uplink_hz, problem.edge_capacity, problem.downlink_hz), strict=True)
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
        status="optimal" if reached <= gap + 1e-12 else "feasible",
        method="prices",
        bound_source="certificate",
        build_s=0.0,
        solve_s=0.0,
    )


def _within(x: Array, budget: float) -> Array:
    share = np.where(x > 0, x, 0.0) * budget
    total = float(share.sum())
    return share * (budget / total) if total > budget else share
