"""What one price vector proves about "sum", and how far the best one can be from the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.bounds._region import require
from megdt_opt.errors import Conflict, Infeasible, InvalidInput, SolverFailure
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem

Array = NDArray[np.float64]

_PASSES = 1000
_DROPS = 64
_FLAT = 1e-11


@dataclass(frozen=True, kw_only=True, eq=False)
class PriceBound:
    """The best bound of a single price vector, and its distance from the optimum.

    Parameters
    ----------
    bound_s : float
        Lower bound of the optimum [s].
    gap_s : float
        The optimum is at most bound_s + gap_s [s].
    prices_s : array, (3,)
        Of the scaled downlink, uplink and edge budgets [s].
    mixing : array of int
        Users for whom several options tie at these prices, so that the mixed optimum uses more than one.
    passes : int
        Price vectors tried [1].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> found = bounds.price_bound(problem)
    >>> found.mixing.tolist()  # who would take two options at once
    []
    """

    bound_s: float
    gap_s: float
    prices_s: Array
    mixing: NDArray[np.int64]
    passes: int


def price_bound_s(problem: AllocationProblem, prices_s: ArrayLike) -> float:
    """Lower bound of "sum" from any prices [s].

    Proposition. For prices l >= 0 of the scaled budgets and p_ik(o) = sqrt(w_k a_ik(o)), the optimum is at least
    Σ_k min_o (w fixed + 2 Σ_i sqrt(l_i) p_i) - Σ_i l_i.
    Proof. For given options the optimum is Σ w fixed + |P|², P = Σ_k p (the square-root rule), and
    |P|² >= 2 x·P - |x|² for every x; take x_i = sqrt(l_i) and the least over each user's options.
    Region: "sum", linear rates, no device branches; share caps, deadlines and airtimes only raise the optimum, so they
    may be there. Source: DESIGN, mathematics 1.

    Parameters
    ----------
    problem : AllocationProblem
    prices_s : array_like, (3,)
        Of the downlink, uplink and edge budgets [s].

    Returns
    -------
    float
        A lower bound of the optimum [s]; its best over the prices is `price_bound`.

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where the prices are not three finite numbers of at least 0.
    Infeasible
        Where a user has no open option.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> round(bounds.price_bound_s(problem, bounds.price_bound(problem).prices_s), 3)
    3.25
    """
    require(problem, objectives=("sum",), linear=True, sequential=True, limits=True)
    price = checks.prices("prices_s", prices_s, "s")
    fixed, root = _tables(problem)
    x = np.sqrt(price)
    return float((fixed + 2 * np.tensordot(x, root, axes=1)).min(axis=1).sum() - price.sum())


def price_bound(problem: AllocationProblem) -> PriceBound:
    """The best bound of a single price vector, with the distance that the optimum keeps from it.

    Proposition. max over prices of `price_bound_s` is the optimum when users may mix options,
    min over distributions π_k of E[Σ w fixed] + |E[P]|². If the mixing users' options have variances Var_k(p_i) under
    the optimal π, then bound <= optimum <= bound + Σ_i Σ_mixing Var_k(p_i), and each variance is at most
    (range of p_i over the options in use)²/4.
    Proof. The first is Fenchel duality of |P|² over the convex hull. For the second draw each user's option by π
    independently: E[Σ w fixed + |P|²] = the mixed value + Σ_i Σ_k Var_k(p_i), so some draw costs no more (Shapley,
    Folkman and Starr's argument); Popoviciu's inequality bounds a variance by range²/4.
    Method: Wolfe's algorithm on the aggregates (Σ w fixed, P), a corral of at most four option sets: at x = E[P] every
    user picks its cheapest option; the set enters; the least value over the corral follows; until nothing is cheaper.
    The bound itself is evaluated at the final prices, so it holds wherever the method stops.
    Region: as `price_bound_s`, and no share cap, deadline or airtime limit (a draw must be allowed for the upper
    side). Source: DESIGN, mathematics 1 and 6.

    Parameters
    ----------
    problem : AllocationProblem

    Returns
    -------
    PriceBound
        The bound, its distance from the optimum, the prices, and the users who mix options.

    Raises
    ------
    Infeasible
        Where a user has no open option.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> from megdt_opt import solve
    >>> found = bounds.price_bound(problem)
    >>> found.bound_s <= solve(problem).objective_s <= found.bound_s + found.gap_s + 1e-9
    True
    """
    require(problem, objectives=("sum",), linear=True, sequential=True)
    _uncapped(problem)
    fixed, root = _tables(problem)
    rows = np.arange(problem.users)
    scale = _scale(fixed, root)
    cost, load = fixed / scale, root / np.sqrt(scale)
    atoms = [cost.argmin(axis=1)]
    weight = np.ones(1)
    best, price = -np.inf, np.zeros(3)
    passes = 0
    while passes < _PASSES:
        passes += 1
        c = np.array([cost[rows, a].sum() for a in atoms])
        P = np.array([load[:, rows, a].sum(axis=1) for a in atoms])
        x = weight @ P
        table = cost + 2 * np.tensordot(x, load, axes=1)
        least = table.min(axis=1).sum() - x @ x
        if least > best:
            best, price = float(least), x**2
        value = weight @ c + x @ x
        fresh = table.argmin(axis=1)
        if value - least <= 1e-13 * abs(value) or any(np.array_equal(fresh, a) for a in atoms):
            break
        atoms.append(fresh)
        c = np.r_[c, cost[rows, fresh].sum()]
        P = np.vstack([P, load[:, rows, fresh].sum(axis=1)])
        weight = _corral(c, P, np.r_[weight, 0.0])
        kept = np.flatnonzero(weight > 0)
        atoms, weight = [atoms[i] for i in kept], weight[kept]
    else:
        raise SolverFailure(f"the prices did not settle in {_PASSES} passes")
    chosen = np.array(atoms)
    mixing = np.flatnonzero((chosen != chosen[0]).any(axis=0))
    used = load[:, rows, chosen]
    mean = np.einsum("j,ijk->ik", weight, used)
    spread = np.einsum("j,ijk->ik", weight, (used - mean[:, None]) ** 2)
    # what the corral's own accuracy leaves open belongs to the distance as well
    open_s = max(float(value - best), 0.0)
    return PriceBound(
        bound_s=best * scale, gap_s=(float(spread[:, mixing].sum()) + open_s) * scale, prices_s=price * scale,
        mixing=mixing.astype(np.int64), passes=passes,
    )  # fmt: skip


def shapley_folkman_gap_s(problem: AllocationProblem) -> float:
    """A bound on optimum - price bound that needs no prices [s].

    Proposition. With m the resources that some option demands, the optimum exceeds the best price bound by at most
    the sum, over the m users with the largest values, of Σ_i (range of p_i over the user's open options)²/4.
    Proof. The mixed optimum (`price_bound`) has a solution with Σ_k (options used - 1) <= m: with the m aggregates E[P]
    held it is a linear program in the π with K + m rows, so a basic solution has at most K + m options in use
    (Shapley and Folkman). So at most m users mix, and `price_bound` bounds what each adds. When budgets grow with K and
    no user dominates, p falls as K^-1/2 and the bound as 1/K while the optimum grows as K: O(K^-2) relative.
    Region and source: as `price_bound`, DESIGN mathematics 6. Loose where ranges are wide but the users who mix, mix
    neighbours, as with many options on a convex front.

    Parameters
    ----------
    problem : AllocationProblem

    Returns
    -------
    float
        Most that the optimum can exceed the best price bound by [s].

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
    Infeasible
        Where a user has no open option.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> bounds.shapley_folkman_gap_s(problem)
    0.8125
    """
    require(problem, objectives=("sum",), linear=True, sequential=True)
    _uncapped(problem)
    _, root = _tables(problem)
    closed = ~Resources.of(problem).open
    high = np.where(closed, -np.inf, root).max(axis=2)
    low = np.where(closed, np.inf, root).min(axis=2)
    each = ((high - low) ** 2).sum(axis=0) / 4
    demanded = int((high > 0).any(axis=1).sum())
    return float(np.sort(each)[::-1][:demanded].sum())


def _tables(problem: AllocationProblem) -> tuple[Array, Array]:
    """w fixed, (K, O), infinite where closed, and p = sqrt(w a), (3, K, O)."""
    scaled = Resources.of(problem)
    empty = np.flatnonzero(~scaled.open.any(axis=1))
    if empty.size:
        raise Infeasible("no option is open", [Conflict(int(k), "open options", 0.0, "") for k in empty])
    w = problem.weights[:, None]
    return np.where(scaled.open, w * problem.fixed_s, np.inf), np.sqrt(w * scaled.a)


def _uncapped(problem: AllocationProblem) -> None:
    if (problem.share_caps < problem.edge_capacity).any():
        k = int(np.flatnonzero(problem.share_caps < problem.edge_capacity)[0])
        raise InvalidInput(
            f"edge_share_max (user {k})",
            float(problem.share_caps[k]),
            f"no cap below the edge's {problem.edge_capacity:g} servers [1]",
            "The distance is proved without caps only; `price_bound_s` takes caps.",
        )


def _scale(fixed: Array, root: Array) -> float:
    """A value of the objective, to make the numbers near 1."""
    picked = np.where(np.isfinite(fixed), fixed + (root**2).sum(axis=0), np.inf).argmin(axis=1)
    rows = np.arange(len(fixed))
    value = float(fixed[rows, picked].sum() + (root[:, rows, picked].sum(axis=1) ** 2).sum())
    return value if value > 0 else 1.0


def _corral(c: Array, P: Array, weight: Array) -> Array:
    """Weights of least c·λ + |λ P|² over the simplex, from a start that is optimal but for the last atom."""
    active = np.ones(len(c), bool)
    for _ in range(_DROPS):
        here = np.flatnonzero(active)
        target = _affine(c[here], P[here], weight[here])
        if (target > 0).all():
            weight = np.zeros(len(c))
            weight[here] = target
            return weight
        # walk towards it until an atom's weight is used up, and drop that atom
        now = weight[here]
        falling = target <= 0
        ratio = np.where(falling, now / np.where(falling, np.maximum(now - target, 1e-300), 1.0), np.inf)
        step = min(float(ratio.min()), 1.0)
        moved = np.maximum(now + step * (target - now), 0.0)
        moved[int(ratio.argmin())] = 0.0
        weight = np.zeros(len(c))
        weight[here] = moved / moved.sum()
        active = weight > 0
    return weight


def _affine(c: Array, P: Array, now: Array) -> Array:
    """Least value over the affine hull; where the load can stay the same, a step beyond the simplex."""
    rows = np.vstack([P.T, np.ones(len(c))])
    _, sizes, vectors = np.linalg.svd(rows, full_matrices=True)
    rank = int((sizes > _FLAT * sizes[0]).sum())
    for direction in vectors[rank:]:
        slope = float(c @ direction)
        if abs(slope) > _FLAT * float(np.abs(c).max() + 1e-300):
            away = -np.sign(slope) * direction
            beyond: Array = now + away * (2.0 / float(np.abs(away).max()))
            return beyond
    n = len(c)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n], system[:n, n], system[n, :n] = 2 * P @ P.T, 1.0, 1.0
    return np.asarray(np.linalg.lstsq(system, np.r_[-c, 1.0], rcond=None)[0][:n], dtype=np.float64)
