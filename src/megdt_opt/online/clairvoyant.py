"""What no policy can beat, whatever it knows: bounds of the largest and of the mean flow time of a whole trace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.bounds.flow import earliest_due_ends, largest_flow
from megdt_opt.online.links import Links
from megdt_opt.online.service import Service
from megdt_opt.online.trace import Trace

Array = NDArray[np.float64]

_PASSES = 60
"""Price vectors that are tried for the mean flow time [1]."""

_PIECES = 6
"""Slots of the edge's time for the mean work of a request [1]."""

_MOST_SLOTS = 10**6
"""Most slots of the edge's time [1]."""

_ROUNDING = 1e-11
"""Relative reduction of the bound of the mean flow time that covers the rounding of its sums [1]."""

_HALVINGS = 45
"""Halvings of the interval of the largest flow time where links fade [1]."""


def ready_s(service: Service, trace: Trace, links: Links) -> Array:
    """When each request can be at the edge, (n,) [s]: what goes up is sent as soon as the device has it."""
    begin = trace.arrival_s + service.before_s[trace.user]
    rows = zip(trace.user.tolist(), begin.tolist(), service.uplink_s[trace.user].tolist(), strict=True)
    sent = np.array([links.end(*row) for row in rows])
    delay: Array = service.propagation_s * (service.uplink_s[trace.user] > 0).astype(np.float64)
    return sent + delay


def largest_flow_bound_s(service: Service, trace: Trace) -> float:
    """The clairvoyant optimum of the largest flow time; where links fade, a lower bound within 1e-12 of it [s].

    With D in reach, request k must leave the edge by the latest time from which its picture comes down by r_k + D, and
    the earliest of these dates first keeps all of them whenever any schedule does (`bounds.largest_flow`). Where links
    are constant that is a closed form; else D is enclosed by halving, and the end that is out of reach is returned.

    Parameters
    ----------
    service : Service
    trace : Trace

    Returns
    -------
    float
        [s].
    """
    who, links = trace.user, Links(trace)
    local_s, work_s = service.local_s[who], service.edge_s[who]
    served = np.isfinite(work_s)
    least = float(local_s[~served].max(initial=0.0))
    if not served.any():
        return least
    r, c, g = trace.arrival_s[served], local_s[served], work_s[served]
    if links.constant:
        before, after = service.ready_after_s[who][served], service.rest_s[who][served]
        return max(least, largest_flow(r, g, local_s=c, before_s=before, after_s=after).objective_s)
    ready = ready_s(service, trace, links)[served]
    down_s, user = service.downlink_s[who][served], who[served]
    own_s = (service.after_s + service.propagation_s * (service.downlink_s > 0))[user]

    def in_reach(level: float) -> bool:
        at = c > level
        due = links.latest_start(user[at], r[at] + level - own_s[at], down_s[at])
        return bool((earliest_due_ends(ready[at], due, g[at]) <= due).all())

    low, high = 0.0, float(np.where(np.isfinite(c), c, 0.0).max())
    while not in_reach(high):
        low, high = high, 2 * high + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if in_reach(middle) else (middle, high)
    return max(least, low)


def mean_flow_bound_s(service: Service, trace: Trace, known_s: float, passes: int = _PASSES) -> float:
    """A lower bound of the weighted mean of the flow times of any policy, clairvoyant ones included [s].

    Cut the edge's time into slots s of length d and put a price l_s >= 0 on a second of each. Request k costs least

        min( w_k c_k,  min over slots of the end, and over g_k seconds of the edge up to it, of
             w_k (flow time of the earliest picture with an end in that slot) + prices of these seconds ),

    and sum_k of the least costs - sum_s l_s d is at most the weighted sum of the flow times of every schedule, for any
    prices: a schedule pays no more for its seconds than all seconds cost, and each of its requests costs at least the
    least. So it holds whatever the links do, and whether work is interrupted or not. The prices climb by the
    supergradient (seconds used less seconds there), with steps after Polyak towards `known_s`.

    Parameters
    ----------
    service : Service
    trace : Trace
    known_s : float
        Weighted mean flow time of any policy [s]: how far to climb.
    passes : int
        Price vectors to try [1].

    Returns
    -------
    float
        [s].
    """
    from megdt_opt.online.slot_prices import cheapest

    who, links = trace.user, Links(trace)
    served = np.isfinite(service.edge_s[who])
    weight, local_s = service.weight[who], service.local_s[who]
    slot_s, slots = _cut(service, trace, served, known_s)
    down_s = service.downlink_s
    own_s = service.after_s + service.propagation_s * (down_s > 0)
    least_s = own_s + down_s / np.array([links.fastest(k) for k in range(service.users)])
    picture_s = np.full((slots + 1, 1), -np.inf)
    column = np.zeros(len(trace), dtype=np.int64)
    if not links.constant:
        begins: Array = slot_s * np.arange(slots + 1, dtype=np.float64)
        picture_s = np.stack([links.ends(k, begins, down_s[k]) + own_s[k] for k in range(service.users)], axis=1)
        column = who.copy()
    times_s = (trace.arrival_s, ready_s(service, trace, links), service.edge_s[who], local_s, least_s[who])
    w, r, ready, g, c, least = (np.ascontiguousarray(x, dtype=np.float64) for x in (weight, *times_s))
    goal, best = known_s * weight.sum(), 0.0
    price, step = np.zeros(slots), 1.0
    stale = 0
    for _ in range(passes):
        usage = np.zeros(slots + 1)
        value = cheapest(price, slot_s, w, r, ready, g, c, least, picture_s, column, usage) - slot_s * price.sum()
        if value > best:
            best, stale = value, 0
        else:
            stale += 1
            step = step / 2 if stale % 3 == 0 else step
        slope = usage[:slots] - slot_s
        slope[(price == 0) & (slope < 0)] = 0.0
        size = float(slope @ slope)
        if size == 0 or value >= goal:
            break
        price = np.maximum(price + step * max(goal - value, 0.0) / size * slope, 0.0)
    return float(best / weight.sum()) * (1 - _ROUNDING)


def _cut(service: Service, trace: Trace, served: NDArray[np.bool_], known_s: float) -> tuple[float, int]:
    """Length and number of the slots of the edge's time: some for each mean work, up to the likely last picture."""
    until_s = float(trace.arrival_s[-1]) + 2 * known_s
    work = service.edge_s[trace.user][served]
    mean_s = float(work.mean()) if work.size and work.any() else max(until_s, 1.0)
    slots = int(min(max(until_s / mean_s * _PIECES, 1), _MOST_SLOTS)) + 1
    return max(until_s, mean_s) / slots, slots
