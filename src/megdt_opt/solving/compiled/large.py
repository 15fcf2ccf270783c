"""The compiled search for very many users: a sample of them says where the prices are, a few passes over all do.

With many users one user's choice moves little, so that the prices of a sample of the users, with the same part of the
budgets, are near those of all, and the cheapest options at the best prices are within the gap of the optimum. Where
that is not so, the general search goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.compiled.bounding import new_cuts
from megdt_opt.solving.compiled.curve import brink, curve
from megdt_opt.solving.compiled.driver import Searched, given, laws_of, one_leaf, terms_of
from megdt_opt.solving.compiled.evening import price_kept
from megdt_opt.solving.compiled.kernels import F, Terms
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.rooting import first_sets, root
from megdt_opt.solving.compiled.scanning import Raw, least_alone, look, look_any
from megdt_opt.solving.compiled.tree import MAX_EXCESS, SUM_EXCESS

LARGE = 200_000
"""Users times options from which the sample pays [1]."""

_SAMPLE, _LEAST_USERS = 1024, 4096
_ROUGH = 1e-3
"""Gap of the sample [1]."""

_WIDTH = 0.08
"""Part by which the sample's prices may be off [1]: what could be cheapest within it is kept at once."""

_ROOM = 8
_ROUNDS = 6


def search_large(problem: AllocationProblem, *, gap: float, deadline: float) -> Searched | None:
    """As `driver.search`; None where there are few users, limits on air time, or this way does not close it."""
    users, options = problem.fixed_s.shape
    if users * options < LARGE or users < _LEAST_USERS:
        return None
    raw = _raw(problem)
    if raw is None:
        return None
    kind = SUM if problem.objective == "sum" else MAX
    first = _sampled(problem, kind)
    if first is None:
        return None
    price, level = first
    pass_ = _Passes(raw)
    floor = pass_.floor() if kind == MAX else 0.0
    level = max(level, floor)
    kept, count = _room(raw), np.zeros(users, np.int64)
    begin = np.zeros(users, np.int64)
    best, best_ids, best_price = np.array([HUGE]), np.zeros(users, np.int32), np.ones(3)
    best_shares, shares = np.zeros((3, users)), np.zeros((3, users))
    cuts, scratch = new_cuts(users), new_cuts(users)
    width, passes = _WIDTH, 1
    for _ in range(_ROUNDS):
        value, fresh = pass_.look(kind, level, price, width, kept, count)
        passes += 1
        if value >= HUGE:
            return None
        if kind == MAX and value < 1.0:
            # too high: costs fall about as one over the level, so that this is below the best one or near it, where
            # other options are in time
            _, more = pass_.look(kind, max(level * value, floor), price, width, kept, count)
            passes, fresh = passes + 1, fresh + more
        if best[0] < HUGE and value >= _goal(kind, float(best[0]) * (1.0 - gap)):
            tree = one_leaf(price)
            head = np.broadcast_to(np.arange(options, dtype=np.int32), (users, options))
            return Searched(
                best_ids, best_shares, float(best[0]), float(best[0]) * (1.0 - gap), head, tree, True, 1, passes
            )
        if time.monotonic() > deadline or (fresh == 0 and width == 0.0):
            return None
        box = 16.0 * max(value, float(price.max())) if kind == SUM else 1.0
        level, _ = price_kept(
            kind, kept, begin, count, floor, level, box, gap, price, best, best_ids, best_price,
            best_shares, shares, cuts, scratch,
        )  # fmt: skip
        if best[0] < HUGE:
            level = float(best[0]) * (1.0 - gap)
        width = 0.0
    return None


def _goal(kind: int, target: float) -> float:
    """As `tree.goal_of`, which Python cannot call."""
    return target * (1.0 + SUM_EXCESS) if kind == SUM else 1.0 + MAX_EXCESS


def _raw(problem: AllocationProblem) -> Raw | None:
    """The tables as they are; None where there are limits on air time, or some budget is not there."""
    if problem.uplink_airtime_max_s is not None or not problem.edge_capacity > 0:
        return None
    scale, gamma, cap = laws_of(problem)
    curved = not problem.linear
    if not (np.isfinite(scale).all() and cap.all() and gamma.all() and (not curved or np.isfinite(gamma).any())):
        return None
    limit = np.array(problem.hard_deadline_s)
    edges, full = brink(gamma)
    limited, has_branch = problem.allowed is not None, not problem.sequential
    return Raw(
        fixed=given(problem.fixed_s), branch=given(problem.branch_s if has_branch else np.zeros((1, 1))),
        up=given(problem.uplink_bit), edge=given(problem.edge_work_s), down=given(problem.downlink_bit),
        allowed=given(problem.allowed_mask if limited else np.ones((1, 1), bool)), limited=limited, scale=scale,
        gamma=gamma, brink=edges, full=full, cap=cap, weight=np.array(problem.weights), limit=limit,
        curve=curve().ctypes.data if curved else 0, plain=not (curved or has_branch or np.isfinite(limit).any()),
        has_branch=has_branch,
    )  # fmt: skip


def _room(raw: Raw) -> Terms:
    """Empty terms with room for a few options a user."""
    users = raw.fixed.shape[0]
    shape = (users, min(_ROOM, raw.fixed.shape[1]))
    none = np.zeros((1, 1))
    tables = [np.empty(shape) for _ in range(4)]
    return Terms(
        fixed=tables[0], branch=np.empty(shape) if raw.has_branch else none, up=tables[1], edge=tables[2],
        down=tables[3], least=none.copy(), ids=np.empty(shape, np.int32), gamma=raw.gamma, brink=raw.brink,
        full=raw.full, cap=raw.cap, weight=raw.weight, limit=raw.limit, curve=raw.curve, plain=raw.plain,
        has_branch=raw.has_branch, has_least=False,
    )  # fmt: skip


def _sampled(problem: AllocationProblem, kind: int) -> tuple[F, float] | None:
    """Prices (3,) and objective of a sample with its part of the budgets, as those of all users; None if it has none.

    The prices belong to the budgets of all, scaled to 1.
    """
    users = problem.users
    # one user from each of as many equal parts of the list: users who are alike often stand together
    rng = np.random.default_rng(0)
    rows = ((np.arange(_SAMPLE) + rng.random(_SAMPLE)) * (users / _SAMPLE)).astype(np.int64)
    part = _SAMPLE / users

    def of(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[rows]

    sample = replace(
        problem,
        fixed_s=problem.fixed_s[rows], downlink_bit=problem.downlink_bit[rows], uplink_bit=problem.uplink_bit[rows],
        edge_work_s=problem.edge_work_s[rows], device_branch_s=of(problem.device_branch_s), allowed=of(problem.allowed),
        weight=of(problem.weight), edge_share_max=of(problem.edge_share_max),
        downlink_efficiency=of(problem.downlink_efficiency), uplink_efficiency=of(problem.uplink_efficiency),
        downlink_snr_hz=of(problem.downlink_snr_hz), uplink_snr_hz=of(problem.uplink_snr_hz),
        deadline_s=of(problem.deadline_s), downlink_hz=problem.downlink_hz * part, uplink_hz=problem.uplink_hz * part,
        edge_capacity=problem.edge_capacity * part,
    )  # fmt: skip
    terms, _, end = terms_of(sample, Resources.of(sample))
    begin, pool = np.zeros(_SAMPLE, np.int64), np.zeros((1, 3))
    best, best_ids, best_price = np.array([HUGE]), np.zeros(_SAMPLE, np.int32), np.ones(3)
    best_shares, shares = np.zeros((3, _SAMPLE)), np.zeros((3, _SAMPLE))
    cuts, scratch = new_cuts(_SAMPLE), new_cuts(_SAMPLE)
    if not end.all() or not first_sets(
        kind, terms, begin, end, _ROUGH, best, best_ids, best_price, best_shares, shares, scratch
    ):
        return None
    if best[0] > 0.0:
        root(
            kind, terms, begin, end, _ROUGH, pool, best, best_ids, best_price, best_shares, shares, cuts, scratch
        )  # fmt: skip
    price = pool[0] / part if kind == SUM else pool[0] / max(pool[0].sum(), 1e-300)
    return np.array(price), float(best[0])


class _Passes:
    """Passes over all options, the users shared among threads."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        users = raw.fixed.shape[0]
        threads = max(1, min(os.cpu_count() or 1, users // 1024))
        edges = np.linspace(0, users, threads + 1).astype(int).tolist()
        self.parts = list(pairwise(edges))

    def _each(self, job: Callable[[int, int, F], bool | None]) -> tuple[list[bool | None], np.ndarray]:
        out = np.zeros((len(self.parts), 2))
        if len(self.parts) == 1:
            return [job(*self.parts[0], out[0])], out
        with ThreadPoolExecutor(len(self.parts)) as pool:
            waiting = [pool.submit(job, *part, row) for part, row in zip(self.parts, out, strict=True)]
            return [one.result() for one in waiting], out

    def floor(self) -> float:
        """Largest over the users of their least weighted latency alone [s]."""
        _, out = self._each(lambda first, last, out: least_alone(self.raw, first, last, out))
        return float(out[:, 0].max())

    def look(
        self, kind: int, level: float, price: F, width: float, kept: Terms, count: np.ndarray
    ) -> tuple[float, int]:
        """Value of the prices over all options, and how many cheapest options were new; HUGE where a user has none."""
        found, out = self._each(
            lambda first, last, out: (look if self.raw.plain else look_any)(
                kind, self.raw, first, last, level, price, width, kept, count, out
            )
        )
        if not all(found):
            return HUGE, 0
        value = float(out[:, 0].sum())
        return (value - float(price.sum()) if kind == SUM else value), int(out[:, 1].sum())
