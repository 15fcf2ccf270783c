"""Optimal shares of fixed options: the square-root rule (sum) and the equal-deadline rule (max)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.bounds._region import fixed_options, require
from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.evaluation import in_units
from megdt_opt.shares.closed_forms import equal_deadlines, square_root

Array = NDArray[np.float64]

_NEWTON_STEPS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleShares:
    """Optimal shares of fixed options.

    Parameters
    ----------
    objective_s : float
        Optimum [s].
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares [Hz, Hz, 1].
    prices_s : array, (3,)
        Prices of the scaled downlink, uplink and edge budgets: what the objective loses per share of a budget ("sum")
        [s], or the point of the simplex that proves the deadline ("max") [1].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0], [0.0]], edge_work_s=[[1.0], [4.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[0.0], [0.0]],
    ...     downlink_hz=0.0, uplink_hz=0.0, objective="sum",
    ... )
    >>> bounds.square_root_rule(problem).edge_share.round(4).tolist()
    [0.3333, 0.6667]
    """

    objective_s: float
    downlink_hz: Array
    uplink_hz: Array
    edge_share: Array
    prices_s: Array


def square_root_rule(problem: AllocationProblem, option: ArrayLike | None = None) -> RuleShares:
    """Optimum of "sum" for fixed options.

    Proposition. With a_ik the time of user k's demand on resource i with the whole budget, the best part of the budget
    is x_ik = r_ik / Σ_j r_ij, r_ik = sqrt(w_k a_ik), and the optimum is Σ w fixed + Σ_i (Σ_k r_ik)².
    Proof. Σ_k w a/x = Σ_k r²/x >= (Σ_k r)²/Σ_k x by Cauchy and Schwarz, with equality iff x is proportional to r; the
    resources do not interact. The prices are the derivatives (Σ_k r)².
    Region: "sum", linear rates, no device branches, no deadlines or airtime limits, and no share cap that binds at
    these shares. Source: DESIGN, mathematics 1; the rule is classical (Neyman allocation).

    Parameters
    ----------
    problem : AllocationProblem
    option : array_like of int, (K,), optional
        Options; default each user's only open one.

    Returns
    -------
    RuleShares
        The optimum, the shares and the prices.

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where an option is not open, none is given and a user has several, or a share cap binds.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0], [0.0]], edge_work_s=[[1.0], [4.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[0.0], [0.0]],
    ...     downlink_hz=0.0, uplink_hz=0.0, objective="sum",
    ... )
    >>> bounds.square_root_rule(problem).objective_s  # (sqrt(1) + sqrt(4))²
    9.0
    """
    require(problem, objectives=("sum",), linear=True, sequential=True)
    scaled = Resources.of(problem)
    picked = fixed_options(problem, scaled, option)
    rows = np.arange(problem.users)
    root = np.sqrt(problem.weights * scaled.a[:, rows, picked])
    x, price_root = square_root(root, np.ones_like(root))
    _no_cap_binds(problem, x[2])
    price = price_root**2
    return _rule(problem, x, float((problem.weights * problem.fixed_s[rows, picked]).sum() + price.sum()), price)


def equal_deadline_rule(problem: AllocationProblem, option: ArrayLike | None = None) -> RuleShares:
    """Optimum of "max" for fixed options, any number of resources.

    Proposition. For a level D of w L let τ_k = D/w_k - fixed_k, a_ik as in `square_root_rule`, and
    M_ij(D) = Σ_k sqrt(a_ik a_jk)/τ_k. Shares with w L <= D exist iff D >= w (fixed + device branch) for all users and
    the largest eigenvalue of M(D) is at most 1. So the optimum is the larger of max_k w (fixed + branch) and the root
    D* of λ_max(M(D)) = 1; with one resource that is Σ_k a_k/τ_k = 1, where all that demand it end together. With the
    eigenvector v of norm 1 at the optimum the shares are x_ik = sqrt(a_ik) (Σ_j v_j sqrt(a_jk)) / (v_i τ_k).
    Proof. With prices l on the simplex (the deadline test, DESIGN mathematics 2) the least priced shares that serve
    user k in time τ_k cost S_k²/τ_k, S_k = Σ_i sqrt(l_i a_ik), and D is feasible iff Σ_k S_k²/τ_k <= 1 for all l:
    the priced cost is concave in l, and Sion's theorem exchanges max and min. Put l_i = v_i²: the sum becomes the
    quadratic form v'M v on the unit sphere, and M >= 0 has its maximiser there in v >= 0 (Perron and Frobenius). The
    shares given take Σ_i a_ik/x_ik = τ_k, and Σ_k x_ik = (M v)_i/v_i = λ. Where resources fall into groups that no user
    joins, the groups are separate problems and each takes its own eigenvector. λ is convex and decreasing in D, a
    maximum of sums of 1/τ, and 1/λ is concave, so Newton's method on 1/λ from the left climbs to D* without
    overshooting.
    Region: "max", linear rates, no deadlines or airtime limits, no share cap that binds at these shares; device
    branches are allowed. Source: the deadline test is DESIGN's; the eigenvalue form is ours.

    Parameters
    ----------
    problem : AllocationProblem
    option : array_like of int, (K,), optional
        Options; default each user's only open one.

    Returns
    -------
    RuleShares
        The optimum, the shares and the prices.

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where an option is not open, none is given and a user has several, or a share cap binds.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0], [2.0]], edge_work_s=[[3.0], [1.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[0.0], [0.0]],
    ...     downlink_hz=0.0, uplink_hz=0.0, objective="max",
    ... )
    >>> round(float(bounds.equal_deadline_rule(problem).objective_s), 4)  # 3/D + 1/(D - 2) = 1
    4.7321
    """
    require(problem, objectives=("max",), linear=True)
    scaled = Resources.of(problem)
    picked = fixed_options(problem, scaled, option)
    rows = np.arange(problem.users)
    a = scaled.a[:, rows, picked]
    w, fixed = problem.weights, problem.fixed_s[rows, picked]
    floor = (w * (fixed + problem.branch_s[rows, picked])).max(keepdims=True)
    found = equal_deadlines(a[None], np.ones((1, *a.shape)), fixed[None], w, floor)
    level = float(found.level[0])
    if not found.settled[0]:
        raise InvalidInput(
            "edge_work_s", f"times from {a[a > 0].min():.3g} to {level:.3g} s",
            "times on the whole budgets that floats can tell apart in one level [s]",
            "Rescale the demands, or leave out those that are lost in the rounding of the others.",
        )  # fmt: skip
    _no_cap_binds(problem, found.x[0, 2])
    price = found.prices[0]
    return _rule(problem, found.x[0], level, price / max(price.sum(), 1e-300))


def equal_deadline_bound_s(problem: AllocationProblem, prices: ArrayLike, option: ArrayLike | None = None) -> float:
    """Lower bound of "max" for fixed options from any prices [s].

    Proposition. For l >= 0 with Σ l = 1, the level D with Σ_k (Σ_i sqrt(l_i a_ik))²/τ_k(D) = 1 is a lower bound of the
    optimum; it is tight for the prices that `equal_deadline_rule` returns where the bands bind. Proof: at any smaller
    D the priced shares of the users together cost more than Σ l = 1 budget (weak duality); D is the root of a
    decreasing convex function. Region: as `equal_deadline_rule`, except that share caps may bind (they only raise the
    optimum). Source: DESIGN, mathematics 2.

    Parameters
    ----------
    problem : AllocationProblem
    prices : array_like, (3,)
        Of the scaled downlink, uplink and edge budgets; scaled to sum 1 [1].
    option : array_like of int, (K,), optional
        Options; default each user's only open one.

    Returns
    -------
    float
        A lower bound of the optimum for these options [s].

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where the prices are not three finite numbers of at least 0 with a positive sum, or an option is not open.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0], [2.0]], edge_work_s=[[3.0], [1.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[0.0], [0.0]],
    ...     downlink_hz=0.0, uplink_hz=0.0, objective="max",
    ... )
    >>> best = bounds.equal_deadline_rule(problem)
    >>> round(float(bounds.equal_deadline_bound_s(problem, best.prices_s)), 4)
    4.7321
    """
    require(problem, objectives=("max",), linear=True)
    scaled = Resources.of(problem)
    picked = fixed_options(problem, scaled, option)
    price = checks.prices("prices", prices, "1")
    if not price.any():
        raise InvalidInput("prices", prices, "three numbers of which one is above 0 [1]", "Give a price.")
    rows = np.arange(problem.users)
    w, fixed = problem.weights, problem.fixed_s[rows, picked]
    cost = (np.sqrt(price[:, None] / price.sum() * scaled.a[:, rows, picked])).sum(axis=0) ** 2
    floor = float((w * (fixed + problem.branch_s[rows, picked])).max())
    busy = cost > 0
    if not busy.any():
        return floor
    start = float((w * (fixed + cost))[busy].max())
    base, extra = np.maximum(start / w - fixed, cost)[busy], 0.0
    for _ in range(_NEWTON_STEPS):
        tau = base + extra / w[busy]
        step = ((cost[busy] / tau).sum() - 1.0) / (cost[busy] / (tau**2 * w[busy])).sum()
        if not step > 1e-16 * (start + extra):
            break
        extra += step
    return max(floor, start + extra)


def _no_cap_binds(problem: AllocationProblem, edge: Array) -> None:
    over = edge * problem.edge_capacity > problem.share_caps * (1 + 1e-12)
    if over.any():
        k = int(np.flatnonzero(over)[0])
        raise InvalidInput(
            f"edge_share_max (user {k})",
            float(problem.share_caps[k]),
            f"no cap below the rule's share {float(edge[k] * problem.edge_capacity):g} [1]",
            "The rule assumes that no cap binds; use `solve`.",
        )


def _rule(problem: AllocationProblem, x: Array, objective: float, price: Array) -> RuleShares:
    down, up, edge = in_units(problem, x)[0]
    return RuleShares(objective_s=objective, uplink_hz=up, edge_share=edge, downlink_hz=down, prices_s=price)
