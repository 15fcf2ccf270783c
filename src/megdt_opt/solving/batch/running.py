"""Compiled: a chunk of scenarios one after the other, without Python between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.batch.forms import KEPT, MaxRoom, max_room
from megdt_opt.solving.batch.maxima import BEST, close_max
from megdt_opt.solving.batch.small import Corral, F, I, Int, move_option, new_corral
from megdt_opt.solving.batch.sums import Path, SumRoom, close_sum, new_path, set_shares, sum_room
from megdt_opt.solving.compiled.jit import inner, threaded
from megdt_opt.solving.compiled.laws import HUGE

EMPTY = 2
"""How a scenario ends where a user has no open option."""


class Batch(NamedTuple):
    """Scenarios as arrays: tables (S, K, O), `scale` (S, K, 3) times at the whole budget per unit of uplink, edge and
    downlink demand (infinite where it is not there), `weight`, `cap` and `deadline` (S, K), the cap as a part of the
    capacity. Device branches and limits on the time on the uplink, `branch` and `airtime`, are empty where there are
    none; "max" alone takes them, and deadlines.
    """

    fixed: F
    up: F
    edge: F
    down: F
    allowed: NDArray[np.bool_]
    scale: F
    weight: F
    cap: F
    branch: F
    airtime: F
    deadline: F


class Found(NamedTuple):
    """What is found: `option` (S, K), `shares` (S, 3, K) of uplink, edge and downlink as parts of the budgets,
    `objective` (S,), `how` (S,) it ended, `passes` and `nodes` (S,), and for "max" `prices` (S, 3) that prove most."""

    option: Int
    shares: F
    objective: F
    how: Int
    passes: Int
    nodes: Int
    prices: F


@inner
def load(batch: Batch, s: int, weighted: bool, limited: bool, t: F, ids: Int, count: I) -> bool:
    """Copy the open options of a scenario into rows 0 to 3 of `t`: fixed latency and roots of the demands.

    `weighted` multiplies latency and demands by the weights. False where a user has no option.
    """
    for k in range(batch.fixed.shape[1]):
        w = batch.weight[s, k] if weighted else 1.0
        n = 0
        for o in range(batch.fixed.shape[2]):
            if limited and not batch.allowed[s, k, o]:
                continue
            a0, a1, a2 = batch.up[s, k, o], batch.edge[s, k, o], batch.down[s, k, o]
            a0 = np.sqrt(w * a0 * batch.scale[s, k, 0]) if a0 > 0.0 else 0.0
            a1 = np.sqrt(w * a1 * batch.scale[s, k, 1]) if a1 > 0.0 else 0.0
            a2 = np.sqrt(w * a2 * batch.scale[s, k, 2]) if a2 > 0.0 else 0.0
            t[0, k, n] = w * batch.fixed[s, k, o]
            t[1, k, n], t[2, k, n], t[3, k, n] = a0, a1, a2
            ids[k, n] = o
            # a resource that is not there makes it infinite
            if a0 + a1 + a2 < 1e150:
                n += 1
        count[k] = n
        if n == 0:
            return False
    return True


@inner
def load_caps(batch: Batch, s: int, cap: F) -> bool:
    """Copy the share caps of a scenario; whether any is below the capacity."""
    capped = False
    for k in range(cap.shape[0]):
        cap[k] = batch.cap[s, k]
        capped = capped or cap[k] < 1.0
    return capped


@inner
def load_limits(batch: Batch, s: int, m: MaxRoom) -> tuple[bool, bool]:
    """Copy device branches, deadlines and limits on the time on the uplink, without the options that cannot keep these;
    whether every user has one, and whether any limit is left."""
    limited = False
    for k in range(m.left.shape[0]):
        m.deadline[k] = batch.deadline[s, k]
        n = 0
        for j in range(m.left[k]):
            o, up = m.ids[k, j], m.t[1, k, j] * m.t[1, k, j]
            most = batch.airtime[s, k, o] if batch.airtime.size > 0 else HUGE
            if up > most * KEPT:
                continue
            move_option(m.t, m.ids, k, j, n)
            m.t[4, k, n] = batch.branch[s, k, o] if batch.branch.size > 0 else 0.0
            m.t[5, k, n] = most if up > 0.0 else HUGE
            limited = limited or m.t[5, k, n] < HUGE
            n += 1
        m.left[k] = n
        if n == 0:
            return False, limited
    return True, limited


@threaded
def run_sums(
    batch: Batch, found: Found, m: SumRoom, corral: Corral, path: Path, limited: bool, first: int, last: int, gap: float
) -> None:
    """Close the scenarios first to last - 1; `limited` says whether `allowed` counts."""
    for s in range(first, last):
        if not load(batch, s, True, limited, m.t, m.ids, m.left):
            found.how[s] = EMPTY
            continue
        capped = load_caps(batch, s, m.cap)
        best, how, passes, nodes = close_sum(m, corral, path, capped, gap)
        found.objective[s], found.how[s], found.passes[s], found.nodes[s] = best, how, passes, nodes
        for k in range(m.cap.shape[0]):
            found.option[s, k] = m.best_ids[k]
        set_shares(m, m.best, capped, found.shares[s])


@threaded
def run_maxima(
    batch: Batch, found: Found, m: MaxRoom, corral: Corral, path: Path, limited: bool, first: int, last: int, gap: float
) -> None:
    """Close the scenarios first to last - 1; `limited` says whether `allowed` counts."""
    for s in range(first, last):
        if not load(batch, s, False, limited, m.t, m.ids, m.left):
            found.how[s] = EMPTY
            continue
        there, limited_time = load_limits(batch, s, m)
        if not there:
            found.how[s] = EMPTY
            continue
        bounded = load_caps(batch, s, m.cap) or limited_time
        for k in range(m.cap.shape[0]):
            m.weight[k] = batch.weight[s, k]
        best, how, passes, nodes = close_max(m, corral, path, bounded, gap)
        found.objective[s], found.how[s], found.passes[s], found.nodes[s] = best, how, passes, nodes
        for k in range(m.cap.shape[0]):
            found.option[s, k] = m.best_ids[k]
            for i in range(3):
                found.shares[s, i, k] = m.best_shares[i, k]
        for i in range(3):
            found.prices[s, i] = m.work[BEST, i] * m.work[BEST, i]


def run(batch: Batch, found: Found, summed: bool, limited: bool, first: int, last: int, gap: float) -> None:
    """Close the scenarios first to last - 1 in the calling thread, without Python between them."""
    users, options = batch.fixed.shape[1:]
    corral, path = new_corral(users), new_path(users)
    if summed:
        run_sums(batch, found, sum_room(users, options), corral, path, limited, first, last, gap)
    else:
        run_maxima(batch, found, max_room(users, options), corral, path, limited, first, last, gap)
