"""Costs of requests at prices on the edge's time, slot by slot, in compiled code.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import kernel

F = NDArray[np.float64]


@kernel
def cheapest(
    price: F, slot_s: float, weight: F, arrival_s: F, ready_s: F, work_s: F, local_s: F, least_s: F, picture_s: F,
    column: NDArray[np.int64], usage: F,
) -> float:  # fmt: skip
    """Sum of the least costs of all requests; adds to `usage` (S + 1,) what they use of each slot [s].

    A request stays on its device for weight * local_s; or it ends at the edge in some slot: it has then used work_s of
    the slots up to there, the cheapest of them, and its picture is there no sooner than if it had ended when that slot
    begins, nor than if the edge had begun when it came. What is left after the edge takes at least least_s; and what
    leaves the edge when a slot begins is there at `picture_s` (S + 1, m), by the request's column, what leaves later
    no sooner. After the last slot the edge costs nothing.
    """
    slots = price.size
    most = 0
    for k in range(work_s.size):
        if work_s[k] < np.inf:
            most = max(most, int(work_s[k] / slot_s) + 3)
    chosen, width, where = np.empty(most), np.empty(most), np.empty(most, np.int64)
    best_width, best_where = np.empty(most), np.empty(most, np.int64)
    total = 0.0
    for k in range(work_s.size):
        w, r, g = weight[k], arrival_s[k], work_s[k]
        best, best_count, best_cut = w * local_s[k], 0, 0.0
        if g < np.inf:
            first = min(int(ready_s[k] / slot_s), slots)
            count, measure, cost = 0, 0.0, 0.0
            for s in range(first, slots + 1):
                begin = s * slot_s
                end = max(begin, ready_s[k] + g)
                value = w * (max(end + least_s[k], picture_s[s, column[k]]) - r)
                if w * (begin - r) >= best:
                    break
                if s == slots:
                    if value < best:
                        best, best_count, best_cut = value, 0, 0.0
                    break
                there = begin + slot_s - max(begin, ready_s[k])
                p = price[s]
                # keep the cheapest pieces, in rising order of price, that make up the work
                if measure < g or p < chosen[count - 1]:
                    i = count
                    while i > 0 and chosen[i - 1] > p:
                        chosen[i], width[i], where[i] = chosen[i - 1], width[i - 1], where[i - 1]
                        i -= 1
                    chosen[i], width[i], where[i] = p, there, s
                    count += 1
                    measure += there
                    while count > 1 and measure - width[count - 1] >= g:
                        count -= 1
                        measure -= width[count]
                    cost = 0.0
                    for i in range(count):
                        cost += chosen[i] * width[i]
                    cost -= chosen[count - 1] * max(measure - g, 0.0)
                if measure >= g and value + cost < best:
                    best, best_count, best_cut = value + cost, count, measure - g
                    for i in range(count):
                        best_width[i], best_where[i] = width[i], where[i]
        for i in range(best_count):
            usage[best_where[i]] += best_width[i] - (best_cut if i == best_count - 1 else 0.0)
        total += best
    return total
