"""Reserving shares of one edge server against serving its users one after another.

All requests are there at time 0. Reserved, user k's chain advances at its share for as long as it runs and needs
g_k/x_k; in sequence, one chain at a time has the whole server. What follows the edge (fixed_s) uses no shared resource.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.bounds.shares import equal_deadline_rule, square_root_rule
from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequence:
    """The best order of service.

    Parameters
    ----------
    objective_s : float
        Optimum over all orders [s].
    order : array of int, (K,)
        Users, first served first.
    latency_s : array, (K,)
        Completion at the edge + fixed_s [s].

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.sequencing_sum([3.0, 1.0, 2.0]).latency_s.tolist()
    [6.0, 1.0, 3.0]
    """

    objective_s: float
    order: NDArray[np.int64]
    latency_s: Array


def sequencing_sum(work_s: ArrayLike, *, weight: ArrayLike | None = None, fixed_s: ArrayLike | None = None) -> Sequence:
    """Best order of service for the weighted sum.

    Proposition. Smith's order, g/w ascending, is optimal, and its value is
    Σ w (fixed + g) + Σ_{i<j} min(w_i g_j, w_j g_i). Proof. Exchanging two neighbours i before j changes the sum by
    w_i g_j - w_j g_i; fixed parts do not depend on the order. Each pair adds w of the later times g of the earlier, and
    Smith's order takes the smaller of the two for every pair. Region: one server, work at least 0, weights above 0.
    Source: W. E. Smith, Naval Research Logistics Quarterly 3 (1956).

    Parameters
    ----------
    work_s : array_like, (K,)
        Edge work g of each user on the whole server [s].
    weight : array_like, (K,), optional
        Weights [1]; default 1.
    fixed_s : array_like, (K,), optional
        Time after the edge [s]; default 0.

    Returns
    -------
    Sequence
        The optimum, the order and the latencies.

    Raises
    ------
    InvalidInput
        Where the arrays differ in length or a number is out of its range.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> best = bounds.sequencing_sum([3.0, 1.0, 2.0])
    >>> best.order.tolist(), best.objective_s
    ([1, 2, 0], 10.0)
    """
    g, w, q = _users(work_s, weight, fixed_s)
    order = np.argsort(g / w, kind="stable")
    latency = q.copy()
    latency[order] += np.cumsum(g[order])
    return Sequence(objective_s=float(w @ latency), order=order, latency_s=latency)


def sequencing_max(work_s: ArrayLike, *, weight: ArrayLike | None = None, fixed_s: ArrayLike | None = None) -> Sequence:
    """Best order of service for the largest weighted latency.

    Proposition. Fill the order from its end: of the users left, with T their total work, the one with the least
    w (T + fixed) goes last. With equal weights that is the longest fixed part first, earliest due date for the due
    dates D - fixed. Proof. The last of a set ends at T whatever the order before it; putting the cheapest there leaves
    a set whose costs are no larger than in any other order (Lawler). Region: as `sequencing_sum`. Source: E. L. Lawler,
    Management Science 19 (1973); J. R. Jackson (1955) for equal weights.

    Parameters
    ----------
    work_s, weight, fixed_s
        As for `sequencing_sum`.

    Returns
    -------
    Sequence
        The optimum, the order and the latencies.

    Raises
    ------
    InvalidInput
        Where the arrays differ in length or a number is out of its range.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> best = bounds.sequencing_max([3.0, 1.0, 2.0], fixed_s=[0.0, 0.0, 5.0])  # most to do afterwards: first
    >>> best.order.tolist(), best.objective_s
    ([2, 1, 0], 7.0)
    """
    g, w, q = _users(work_s, weight, fixed_s)
    left = list(range(len(g)))
    order: list[int] = []
    while left:
        total = float(g[left].sum())
        last = min(left, key=lambda k: w[k] * (total + q[k]))
        left.remove(last)
        order.insert(0, last)
    latency = q.copy()
    latency[order] += np.cumsum(g[order])
    return Sequence(objective_s=float((w * latency).max()), order=np.array(order), latency_s=latency)


def reserving_s(
    work_s: ArrayLike, *, weight: ArrayLike | None = None, fixed_s: ArrayLike | None = None, objective: str = "sum"
) -> float:
    """Optimum with reserved shares of one edge server [s].

    Proposition. "sum": Σ w fixed + (Σ sqrt(w g))²; "max": the D with Σ g/(D/w - fixed) = 1, and at least every
    w fixed. Proof, region and source: `square_root_rule` and `equal_deadline_rule`, for one resource and no caps.
    (Region: one server, all requests at time 0.)

    Parameters
    ----------
    work_s, weight, fixed_s
        As for `sequencing_sum`.
    objective : str
        "sum" or "max".

    Returns
    -------
    float
        Optimum with reserved shares [s].

    Raises
    ------
    InvalidInput
        Where the arrays differ in length, a number is out of its range, or the objective is neither of the two.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.reserving_s([1.0, 1.0, 1.0]) / bounds.sequencing_sum([1.0, 1.0, 1.0]).objective_s  # 2K/(K + 1)
    1.5
    """
    g, w, q = _users(work_s, weight, fixed_s)
    _objective(objective)
    none = np.zeros((len(g), 1))
    problem = AllocationProblem(
        fixed_s=q[:, None], edge_work_s=g[:, None], downlink_bit=none, uplink_bit=none, downlink_hz=0.0, uplink_hz=0.0,
        weight=w, objective=objective,
    )  # fmt: skip
    return (square_root_rule if objective == "sum" else equal_deadline_rule)(problem).objective_s


def reserving_ratio_bound(users: int, *, weight: ArrayLike | None = None, objective: str = "sum") -> float:
    """Most that reserving can cost, as a multiple of the best order of service [1].

    Proposition. reserved <= ratio * sequenced with

        sum, equal weights:  H_K = 1 + 1/2 + ... + 1/K,
        sum, weights w_1 >= ... >= w_K:  Σ_j w_j/(w_j + ... + w_K)  (less than K),
        max, equal weights:  1/(1 - (1 - 1/K)^K)  (less than e/(e - 1) = 1.582),
        max, other weights:  K.

    The first three are attained (the third with fixed parts), no smaller multiple than K holds for all weights in the
    fourth, and sequencing never costs more than reserving. For identical users without fixed parts the
    ratio of the sums is exactly 2K/(K + 1): the usual value, not the worst.
    Proof. Sum: Smith's order costs Σ_j g_j W_j, W_j = the weights from j on, and by Cauchy and Schwarz
    (Σ sqrt(w g))² <= Σ g_j W_j · Σ w_j/W_j. Exchanging neighbours a, b before a rest T changes Σ w_j/W_j by
    (a - b) a b/((a + b + T)(a + T)(b + T)), so descending weights are the worst order; equality needs
    g_j = w_j/W_j², whose order is Smith's. Fixed parts add the same to both.
    Max, equal weights: let the best order end everybody by 1, with completions C_j, so fixed_j <= 1 - C_j. At
    D = 1 + δ the reserved shares add up to at most Σ (C_j - C_{j-1})/(δ + C_j) = Σ (1 - r_j),
    r_j = (δ + C_{j-1})/(δ + C_j), with the product of the r_j at least δ/(1 + δ); by the inequality of the means the
    sum is at most K (1 - (δ/(1 + δ))^(1/K)), which is 1 at δ/(1 + δ) = (1 - 1/K)^K.
    Max, any weights: shares 1/K give fixed + K g <= K (fixed + C). With w = 1/C and no fixed parts the reserved
    optimum is Σ g/C against 1, which tends to K as each g outgrows the last.
    Never more: run the reserved schedule and let the server work on the users in the order of their reserved ends: each
    ends no later. Region: one server, all requests at time 0. Source: ours; DESIGN mathematics 7 gives 2K/(K + 1),
    which holds for identical users, and for "max" with equal weights as a weaker bound (they are equal at K = 2).

    Parameters
    ----------
    users : int
        K [1].
    weight : array_like, (K,), optional
        Weights [1]; default equal.
    objective : str
        "sum" or "max".

    Returns
    -------
    float
        The ratio, at least 1 [1].

    Raises
    ------
    InvalidInput
        Where K is no integer of at least 1, a weight is not above 0, or the objective is neither of the two.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> round(bounds.reserving_ratio_bound(3), 4)  # 1 + 1/2 + 1/3
    1.8333
    >>> round(bounds.reserving_ratio_bound(3, objective="max"), 4)
    1.4211
    """
    if isinstance(users, bool) or users != int(users) or users < 1:
        raise InvalidInput("users", users, "an integer of at least 1 [1]", "Give the number of users, K.")
    _objective(objective)
    _, w, _ = _users(np.zeros(int(users)), weight, None)
    if objective == "max":
        return 1 / (1 - (1 - 1 / users) ** users) if np.ptp(w) == 0 else float(users)
    falling = np.sort(w)[::-1]
    return float((falling / np.cumsum(falling[::-1])[::-1]).sum())


def _objective(objective: str) -> None:
    if not isinstance(objective, str) or objective not in ("sum", "max"):
        raise InvalidInput("objective", objective, "'sum' or 'max'", "Choose one of them.")


def _users(work_s: ArrayLike, weight: ArrayLike | None, fixed_s: ArrayLike | None) -> tuple[Array, Array, Array]:
    shape = checks.plain("work_s", work_s, "one time per user, shape (K,) [s]").shape
    if len(shape) != 1 or shape == (0,):
        raise InvalidInput("work_s", shape, "one time per user, shape (K,) [s]", "Give a list of times.")
    g = checks.numbers("work_s", work_s, shape, "s", axes=("user",))
    w = np.ones(shape) if weight is None else checks.numbers("weight", weight, shape, "1", zero=False, axes=("user",))
    q = np.zeros(shape) if fixed_s is None else checks.numbers("fixed_s", fixed_s, shape, "s", axes=("user",))
    return g, w, q.copy()
