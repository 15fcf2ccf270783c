"""Compiled: a chunk of scenarios one after the other, without Python between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.batch.maxima import FIXED, S0, S1, S2, MaxRoom, close_max, max_room
from megdt_opt.solving.batch.small import F, Int, new_corral
from megdt_opt.solving.batch.sums import P0, P1, P2, C, SumRoom, close_sum, new_path, sum_room
from megdt_opt.solving.compiled.jit import inner, threaded

EMPTY = 2
"""How a scenario ends where a user has no open option."""


class Batch(NamedTuple):
    """Scenarios as arrays: tables (S, K, O), `scale` (S, K, 3) times at the whole budget per unit of uplink, edge and
    downlink demand (infinite where it is not there), `weight` and `cap` (S, K), the cap as a part of the capacity.

    `allowed` is (1, 1, 1) where all options are.
    """

    fixed: F
    up: F
    edge: F
    down: F
    allowed: NDArray[np.bool_]
    scale: F
    weight: F
    cap: F


class Found(NamedTuple):
    """What is found: `option` (S, K), `shares` (S, 3, K) of uplink, edge and downlink as parts of the budgets,
    `objective` (S,), `how` (S,) it ended, `passes` and `nodes` (S,)."""

    option: Int
    shares: F
    objective: F
    how: Int
    passes: Int
    nodes: Int


@inner
def load_sum(m: SumRoom, batch: Batch, s: int, limited: bool) -> bool:
    """Copy the open options of a scenario; False where a user has none."""
    users, options = batch.fixed.shape[1], batch.fixed.shape[2]
    for k in range(users):
        w = batch.weight[s, k]
        f0, f1, f2 = w * batch.scale[s, k, 0], w * batch.scale[s, k, 1], w * batch.scale[s, k, 2]
        n = 0
        for o in range(options):
            if limited and not batch.allowed[s, k, o]:
                continue
            a0, a1, a2 = batch.up[s, k, o], batch.edge[s, k, o], batch.down[s, k, o]
            m.t[C, k, n] = w * batch.fixed[s, k, o]
            m.t[P0, k, n] = np.sqrt(a0 * f0) if a0 > 0.0 else 0.0
            m.t[P1, k, n] = np.sqrt(a1 * f1) if a1 > 0.0 else 0.0
            m.t[P2, k, n] = np.sqrt(a2 * f2) if a2 > 0.0 else 0.0
            m.ids[k, n] = o
            if m.t[P0, k, n] + m.t[P1, k, n] + m.t[P2, k, n] < 1e150:
                n += 1
        m.count[k] = n
        m.cap[k] = batch.cap[s, k]
        if n == 0:
            return False
    return True


@inner
def sum_shares(m: SumRoom, capped: bool, shares: F) -> None:
    """Shares (3, K) of the best set: the square-root rule, with caps filled."""
    users = m.count.shape[0]
    for i in range(3):
        total = 0.0
        for k in range(users):
            total += m.best[i + 1, k]
        for k in range(users):
            shares[i, k] = m.best[i + 1, k] / total if total > 0.0 else 0.0
    if not capped:
        return
    for _ in range(users + 1):
        free, held = 0.0, 0.0
        for k in range(users):
            if shares[1, k] >= m.cap[k]:
                held += m.cap[k]
            else:
                free += m.best[2, k]
        more = False
        for k in range(users):
            if shares[1, k] >= m.cap[k]:
                shares[1, k] = m.cap[k]
            else:
                shares[1, k] = m.best[2, k] * (1.0 - held) / free if free > 0.0 else 0.0
                more = more or shares[1, k] > m.cap[k]
        if not more:
            break


@threaded
def run_sums(batch: Batch, found: Found, first: int, last: int, gap: float) -> None:
    """Close the scenarios first to last - 1."""
    users, options = batch.fixed.shape[1], batch.fixed.shape[2]
    m, corral, path = sum_room(users, options), new_corral(users), new_path(users)
    limited = batch.allowed.shape[0] > 1 or batch.allowed.shape[2] > 1 or not batch.allowed[0, 0, 0]
    for s in range(first, last):
        if not load_sum(m, batch, s, limited):
            found.how[s] = EMPTY
            continue
        capped = False
        for k in range(users):
            capped = capped or m.cap[k] < 1.0
        best, how, passes, nodes = close_sum(m, corral, path, capped, gap)
        found.objective[s], found.how[s], found.passes[s], found.nodes[s] = best, how, passes, nodes
        for k in range(users):
            found.option[s, k] = m.best_ids[k]
        sum_shares(m, capped, found.shares[s])


@inner
def load_max(m: MaxRoom, batch: Batch, s: int, limited: bool) -> bool:
    """Copy the open options of a scenario; False where a user has none."""
    users, options = batch.fixed.shape[1], batch.fixed.shape[2]
    for k in range(users):
        f0, f1, f2 = batch.scale[s, k, 0], batch.scale[s, k, 1], batch.scale[s, k, 2]
        n = 0
        for o in range(options):
            if limited and not batch.allowed[s, k, o]:
                continue
            a0, a1, a2 = batch.up[s, k, o], batch.edge[s, k, o], batch.down[s, k, o]
            m.t[S0, k, n] = np.sqrt(a0 * f0) if a0 > 0.0 else 0.0
            m.t[S1, k, n] = np.sqrt(a1 * f1) if a1 > 0.0 else 0.0
            m.t[S2, k, n] = np.sqrt(a2 * f2) if a2 > 0.0 else 0.0
            m.t[FIXED, k, n] = batch.fixed[s, k, o]
            m.ids[k, n] = o
            if m.t[S0, k, n] + m.t[S1, k, n] + m.t[S2, k, n] < 1e150:
                n += 1
        m.count[k] = n
        m.cap[k] = batch.cap[s, k]
        m.weight[k] = batch.weight[s, k]
        if n == 0:
            return False
    return True


@threaded
def run_maxima(batch: Batch, found: Found, first: int, last: int, gap: float) -> None:
    """Close the scenarios first to last - 1."""
    users, options = batch.fixed.shape[1], batch.fixed.shape[2]
    m, corral, path = max_room(users, options), new_corral(users), new_path(users)
    limited = batch.allowed.shape[0] > 1 or batch.allowed.shape[2] > 1 or not batch.allowed[0, 0, 0]
    for s in range(first, last):
        if not load_max(m, batch, s, limited):
            found.how[s] = EMPTY
            continue
        capped = False
        for k in range(users):
            capped = capped or m.cap[k] < 1.0
        best, how, passes, nodes = close_max(m, corral, path, capped, gap)
        found.objective[s], found.how[s], found.passes[s], found.nodes[s] = best, how, passes, nodes
        for k in range(users):
            found.option[s, k] = m.best_ids[k]
            for i in range(3):
                found.shares[s, i, k] = m.best_shares[i, k]
