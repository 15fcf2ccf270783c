"""Requests that arrive over time at one edge server, each with a device of its own: the largest flow time.

Request k arrives at r_k. Its device makes the picture in c_k; or the edge works g_k on it, no sooner than b_k after the
arrival (what goes up), and the picture is there a_k after the edge's end (what comes down). The flow time of k is the
time from r_k to its picture. The edge may interrupt work, as a chain of denoising steps can, between two steps.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LargestFlow:
    """The least largest flow time of requests that are all known beforehand.

    Parameters
    ----------
    objective_s : float
        Largest flow time [s].
    at_edge : array of bool, (n,)
        Whose pictures the edge makes.
    flow_s : array, (n,)
        Flow times of that schedule [s].

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.largest_flow([0.0, 0.0], [1.0, 1.0], local_s=[5.0, 1.5]).at_edge.tolist()
    [True, False]
    """

    objective_s: float
    at_edge: NDArray[np.bool_]
    flow_s: Array


def largest_flow(
    arrival_s: ArrayLike,
    edge_s: ArrayLike,
    *,
    local_s: ArrayLike | None = None,
    before_s: ArrayLike | None = None,
    after_s: ArrayLike | None = None,
) -> LargestFlow:
    """Least largest flow time where all arrivals are known: the clairvoyant optimum.

    Proposition. The optimum is the least D such that the edge, serving by earliest due date r_k - a_k those whose
    device needs longer than D and no others, ends each of them by r_k + D - a_k. Proof. With D in reach, who has
    c_k <= D may stay on its device, where it disturbs nobody, and all others must be served at the edge within their
    windows [r_k + b_k, r_k + D - a_k]; the earliest due date keeps all windows whenever any schedule does (exchange),
    and the order of the due dates does not depend on D. A larger D asks for fewer users and later ends, so the levels
    in reach are an interval. For a set A the least D is max (C_k - r_k + a_k) of that schedule, L(A), and the optimum
    is the least of max(c, L({k : c_k > c})) over the values c of c_k and 0: the first grows with c, the second falls.
    Region: one edge server that may interrupt its work; constant links; with b and a the same for all, nothing is ever
    interrupted and the order is that of arrival. Source: J. R. Jackson (1955), W. A. Horn, Naval Research Logistics
    Quarterly 21 (1974) for the due dates; ours for the devices.

    Parameters
    ----------
    arrival_s : array_like, (n,)
        Arrivals r [s].
    edge_s : array_like, (n,)
        Work g at the edge [s].
    local_s : array_like, (n,), optional
        Time c on the device [s]; infinite, the default, where the device cannot make the picture.
    before_s, after_s : array_like, (n,), optional
        Times b before and a after the edge [s]; default 0.

    Returns
    -------
    LargestFlow
        The optimum, and a schedule that attains it.

    Raises
    ------
    InvalidInput
        Where the arrays differ in length or a number is out of its range.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.largest_flow([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]).objective_s
    2.0
    >>> bounds.largest_flow([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], local_s=[9.0, 1.5, 9.0]).objective_s
    1.5
    """
    r, g, c, b, a = _requests(arrival_s, edge_s, local_s, before_s, after_s)
    levels = np.unique(np.concatenate([[0.0], c[np.isfinite(c)]]))

    def served(level: float) -> tuple[Array, float]:
        """Flow times of those whose device needs longer, and the largest."""
        at = np.flatnonzero(c > level)
        ends = earliest_due_ends(r[at] + b[at], r[at] - a[at], g[at]) if at.size else np.zeros(0)
        flow = ends - r[at] + a[at]
        return flow, float(flow.max(initial=0.0))

    low, high = 0, len(levels) - 1  # the first level that is at least what is left for the edge
    while low < high:
        middle = (low + high) // 2
        if levels[middle] >= served(levels[middle])[1]:
            high = middle
        else:
            low = middle + 1
    level = float(min((levels[i] for i in {max(low - 1, 0), low}), key=lambda x: max(x, served(x)[1])))
    flow = c.copy()
    at_edge = c > level
    flow[at_edge] = served(level)[0]
    return LargestFlow(objective_s=float(flow.max()), at_edge=at_edge, flow_s=flow)


def speculation_bound_s(largest_flow_s: float, *, sending_s: float = 0.0) -> float:
    """Most that any flow time is where each device starts at once and the edge serves by due date [s].

    The policy knows nothing of what comes. Each device starts its picture when the request arrives. The edge has a line
    of requests, works on the one there with the least r_k - a_k (between equals the earlier), and drops a request when
    its device is done no later than the edge could be. In the line are at least the requests with c_k > D*, the
    clairvoyant optimum (`largest_flow`): all of them, or those with c_k above the optimum of the arrivals so far,
    which never exceeds D*. Others may fill the time in which nobody of the line is there.

    Proposition. Every flow time is at most max(D*, 2 D* - h), where h is the least b_k + a_k of a request.
    Proof. If c_k <= D*, the device is done by then. Else k is in C = {c > D*}. Let k not be dropped (if it is, its
    flow time is no larger than if it had been kept), let e be its end at the edge, and t the last time before e at
    which the edge did not work on a request of C due no later than k; from t to e it works on such requests alone.
    The clairvoyant must end these by r_k - a_k + D*.
    (1) At t the edge was idle, filled in, or worked on a request due later than k: then no request of C due by k's
    due date was there, all that is served from t on came at t or later, and so e <= r_k - a_k + D*.
    (2) At t it worked on some i due no later than k with c_i <= D*. Nobody there was due before i; so what is served
    after t is due after i or came after t, and came no sooner than r_i - a_i + h. The clairvoyant fits it between that
    time and r_k - a_k + D*, so it takes at most r_k - a_k + D* - r_i + a_i - h. And t <= r_i + c_i - a_i, since i was
    not yet dropped. Together e + a_k - r_k <= c_i + D* - h <= 2 D* - h.
    Region: as `largest_flow`; each request has a device of its own. Source: ours.

    Parameters
    ----------
    largest_flow_s : float
        Clairvoyant optimum D* [s].
    sending_s : float
        Least time h before and after the edge of any request that the edge can serve [s].

    Returns
    -------
    float
        Bound on every flow time of the policy [s]: at most twice the optimum.

    Raises
    ------
    InvalidInput
        Where a time is negative or no number.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.speculation_bound_s(1.5, sending_s=0.25)
    2.75
    """
    optimum = checks.number("largest_flow_s", largest_flow_s, "s")
    sending = checks.number("sending_s", sending_s, "s")
    return max(optimum, 2 * optimum - sending)


def earliest_due_ends(ready_s: Array, due_s: Array, work_s: Array) -> Array:
    """When one server ends each piece of work, (n,) [s], that works on the one there with the earliest due date.

    Between equals the one of the lower number goes first.
    """
    order = np.argsort(ready_s, kind="stable").tolist()
    ready, due, left = ready_s.tolist(), due_s.tolist(), work_s.tolist()
    ends = [0.0] * len(ready)
    there: list[tuple[float, int]] = []
    now, position, n = 0.0, 0, len(ready)
    while position < n or there:
        if not there:
            now = max(now, ready[order[position]])
        while position < n and ready[order[position]] <= now:
            k = order[position]
            heapq.heappush(there, (due[k], k))
            position += 1
        k = there[0][1]
        until = now + left[k]
        if position < n and ready[order[position]] < until:
            left[k] = until - ready[order[position]]
            now = ready[order[position]]
        else:
            heapq.heappop(there)
            ends[k] = now = until
    return np.array(ends)


def _requests(
    arrival_s: ArrayLike,
    edge_s: ArrayLike,
    local_s: ArrayLike | None,
    before_s: ArrayLike | None,
    after_s: ArrayLike | None,
) -> tuple[Array, Array, Array, Array, Array]:
    shape = checks.table_shape("arrival_s", arrival_s, "s", ("n requests",))
    r = checks.numbers("arrival_s", arrival_s, shape, "s", axes=("request",))
    g = checks.numbers("edge_s", edge_s, shape, "s", axes=("request",))
    c = np.full(shape, np.inf)
    if local_s is not None:
        c = times_or_never("local_s", local_s, shape)
    b, a = (
        np.zeros(shape) if value is None else checks.numbers(name, value, shape, "s", axes=("request",))
        for name, value in (("before_s", before_s), ("after_s", after_s))
    )
    return r, g, c, b, a


def times_or_never(name: str, value: ArrayLike, shape: tuple[int, ...], axis: str = "request") -> Array:
    """Times of at least 0, infinite where something is impossible [s]; raises InvalidInput that names the field."""
    found = checks.plain(name, value, f"times [s], infinite for never, shape {shape}")
    if found.shape != shape:
        raise InvalidInput(name, found.shape, f"shape {shape} [s]", "Give the array this shape.")
    never = np.isposinf(found)
    finite = checks.numbers(name, np.where(never, 0.0, found), shape, "s", axes=(axis,))
    return np.where(never, np.inf, finite)
