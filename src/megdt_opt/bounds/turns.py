"""Turns at one edge server while the devices work, and turns with shared prefixes.

All requests are there at time 0, and the server serves one chain at a time with all its speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from megdt_opt.bounds.sequencing import Sequence, _users
from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks

DEVICE = ("reserved", "after", "before", "both")
"""When a device works on its steps: with reserved shares of the server, or beside its turn."""


def identical_turns_s(users: int, steps: float, edge_step_s: float, device_step_s: float, *, device: str) -> float:
    """Least time in which all of K identical users have their N steps, with the best (real) cuts.

    Proposition. Let q = edge_step_s/device_step_s <= 1 and rho = K q. The least D is

        "reserved", shares of the server:        N device_step_s min(1, rho)
        "after" or "before" the turn, not both:  N device_step_s (1 - (1 - q)^K)
        "both":                                  N device_step_s rho/(1 + rho - q)

    and each is at most the one before it. With whole steps nothing is faster. Proof, with tE, tU for the steps' times.
    Reserved: n steps at the edge with the share n tE/(D - (N - n) tU), which falls with n below D = N tU; so all N
    steps, and K N tE = D. After: whoever is served from t must make n = (t + N tU - D)/(tU - tE) steps there, and more
    do not help, because they delay all others. So s = t + N tU - D grows by the factor 1/(1 - q) with each turn; the
    last user can make n <= N steps while s <= N (tU - tE), hence N tU - D <= N tU (1 - q)^K. Before: the same
    backwards in time. Both: a user whose turn has n steps computes on its device for D - n tE, whenever the turn is, so
    that n (1 - q) = N - D/tU whatever the order, and the turns fill the time: K n tE = D. The order: with p = 1 - q
    the sum (1 - p^K)/q = 1 + p + ... + p^(K-1) is at most K, and at least K/(1 + (K - 1) q), because Bernoulli's
    inequality makes p^-i at least 1 + i q. Region: identical users without weights, one server, linear times, a
    hand-over that takes no time.
    Source: ours.

    Parameters
    ----------
    users : int
        K [1].
    steps : float
        N, denoising steps of each user [1].
    edge_step_s : float
        One step on the whole server [s], at most `device_step_s`.
    device_step_s : float
        One step on a device [s].
    device : str
        "reserved", "after", "before" or "both".

    Returns
    -------
    float
        D, without what comes before and after all steps [s].

    Raises
    ------
    InvalidInput
        Where K is no integer of at least 1, a number is out of its range, the device is faster than the server, or
        `device` is none of the four.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> [round(bounds.identical_turns_s(10, 20, 0.1, 1.0, device=one), 3) for one in ("reserved", "after", "both")]
    [20.0, 13.026, 10.526]
    """
    checks.choice("device", device, DEVICE)
    count = checks.count("users", users, 1, "Give the number of users, K.")
    total = checks.number("steps", steps, "1")
    edge = checks.number("edge_step_s", edge_step_s, "s")
    own = checks.number("device_step_s", device_step_s, "s", zero=False)
    if edge > own:
        expected = f"at most device_step_s = {own:g} [s]"
        raise InvalidInput("edge_step_s", edge, expected, "Where devices are faster, nothing is sent to the server.")
    q, alone = edge / own, total * own
    if device == "reserved":
        return alone * min(1.0, count * q)
    if device == "both":
        return alone * count * q / (1.0 + count * q - q)
    return alone * -float(np.expm1(count * np.log1p(-q))) if q < 1.0 else alone


def sequencing_prefixes(
    work_s: ArrayLike,
    *,
    group: ArrayLike,
    prefix_work_s: ArrayLike,
    weight: ArrayLike | None = None,
    prefix_weight: ArrayLike | None = None,
    fixed_s: ArrayLike | None = None,
) -> Sequence:
    """Best order of service for the weighted sum where a group's prefix is served before its members.

    Proposition. Join each prefix with those of its members, in falling order of w/g, whose w/g is at least that of what
    has been joined so far. Serving these modules and all other users in falling order of weight over work is optimal.
    Proof. A set that is served without a pause, in an order that its precedences allow, can be exchanged with a
    neighbouring set like one job with the sums of its works and weights, and the one with more weight over work goes
    first. Of all sets that begin with the prefix the module has the most weight over work; let something be served
    within it in a best order: if its weight over work is less than that of the part of the module behind it, that part
    moves ahead of it; else it moves ahead of the part of the module before it, which has less than the module because
    the module is the best. Neither costs anything, so that the modules are whole in some best order, and what is left
    has no precedences but those that the falling order keeps: members left out have less than their module. Region: one
    server, all requests at time 0, one prefix to a group. Source: W. A. Horn, SIAM Journal on Applied Mathematics 23
    (1972); J. B. Sidney, Operations Research 23 (1975).

    Parameters
    ----------
    work_s : array_like, (K,)
        Edge work g of each user on the whole server [s].
    group : array_like of int, (K,)
        Group of each user, 0 to G - 1; -1 for none.
    prefix_work_s : array_like, (G,)
        Work of each group's prefix [s].
    weight : array_like, (K,), optional
        Weights [1]; default 1.
    prefix_weight : array_like, (G,), optional
        Weights of the prefixes' ends [1]; default 0.
    fixed_s : array_like, (K,), optional
        Time after the edge [s]; default 0.

    Returns
    -------
    Sequence
        The optimum, the order, in which the prefix of group g is K + g, and the users' latencies.

    Raises
    ------
    InvalidInput
        Where the arrays differ in length, a number is out of its range, or a group has no prefix.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> best = bounds.sequencing_prefixes([1.0, 2.0, 1.5], group=[0, 0, -1], prefix_work_s=[2.0])
    >>> best.order.tolist(), best.objective_s
    ([2, 3, 0, 1], 12.5)
    """
    g, w, q = _users(work_s, weight, fixed_s)
    shape = checks.plain("prefix_work_s", prefix_work_s, "one time per group, shape (G,) [s]").shape
    if len(shape) != 1:
        raise InvalidInput("prefix_work_s", shape, "one time per group, shape (G,) [s]", "Give a list of times.")
    p = checks.numbers("prefix_work_s", prefix_work_s, shape, "s", axes=("group",))
    v = np.zeros(shape) if prefix_weight is None else checks.numbers(
        "prefix_weight", prefix_weight, shape, "1", axes=("group",)
    )  # fmt: skip
    member = checks.plain("group", group, f"integers, shape ({g.size},)")
    expected = f"integers from -1 to {p.size - 1}, shape ({g.size},)"
    if member.shape != g.shape or member.dtype.kind not in "iu" or member.min() < -1 or member.max() >= p.size:
        raise InvalidInput("group", group, expected, "Name a group that has a prefix, or -1.")
    with np.errstate(divide="ignore"):
        density = np.where(g > 0, w / np.where(g > 0, g, 1.0), np.inf)
    modules = [(float(density[k]), [k]) for k in np.flatnonzero(member < 0).tolist()]
    for one in range(p.size):
        joined, work, weights = [g.size + one], float(p[one]), float(v[one])
        for k in sorted(np.flatnonzero(member == one).tolist(), key=lambda k: -density[k]):
            if density[k] * work >= weights or work == 0.0:
                joined, work, weights = [*joined, k], work + float(g[k]), weights + float(w[k])
            else:
                modules.append((float(density[k]), [k]))
        modules.append((weights / work if work > 0 else np.inf, joined))
    order = np.array([c for _, module in sorted(modules, key=lambda one: -one[0]) for c in module], dtype=np.int64)
    end = np.empty(g.size + p.size)
    end[order] = np.cumsum(np.r_[g, p][order])
    latency = end[: g.size] + q
    return Sequence(objective_s=float(w @ latency + v @ end[g.size :]), order=order, latency_s=latency)
