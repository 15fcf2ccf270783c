"""The compiled search for very many users: a sample of them says where the prices are, a few passes over all do.

With many users one user's choice moves little, so that the prices of a sample of the users, with the same part of the
budgets, are near those of all, and the cheapest options at the best prices are within the gap of the optimum. Where
that is not so, the general search goes on.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace

import numpy as np

from megdt_opt.pricing.scaled import EDGE, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate_shares
from megdt_opt.solving.compiled.curve import brink, curve
from megdt_opt.solving.compiled.driver import given, laws_of
from megdt_opt.solving.compiled.engine import CompiledEngine
from megdt_opt.solving.compiled.evening import Kept, Option, Place, Threads, best_place, settle, sum_of
from megdt_opt.solving.compiled.kernels import MAX_EXCESS, SUM_EXCESS, F, Terms
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.scanning import Raw, least_alone, look
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.objectives import Objective
from megdt_opt.solving.search.root import root
from megdt_opt.solving.search.tree import Tree

LARGE = 200_000
"""Users times options from which the sample pays [1]."""

_SAMPLE, _LEAST_USERS = 1024, 4096
_ROUGH = 1e-3
"""Gap of the sample [1]."""

_WIDTH = 0.05
"""Part by which the sample's prices may be off [1]: what could be cheapest within it is kept at once."""

_ROOM = 8
_ROUNDS = 6

_EVEN = 0.1
"""Used budgets are evened out to this part of the gap's root [1]."""

_PART = 0.05
"""Part of the gap that the level is exact to [1]."""

_ABOVE = 0.25
_ROUNDING = 5e-10


@dataclass(frozen=True)
class Searched:
    """What the passes found.

    Parameters
    ----------
    option : array of int, (K,)
    x : array, (3, K)
        Scaled shares [1].
    objective, target : float
        Best objective, and what the prices prove to be out of reach [s].
    price : array, (3,)
    whole : bool
        Whether they do prove it.
    passes : int
    """

    option: Option
    x: F
    objective: float
    target: float
    price: F
    whole: bool
    passes: int


def search_large(problem: AllocationProblem, *, gap: float, deadline: float) -> Searched | None:
    """The best allocation and what is proven of it; None for few users, limits on air time, or if it is not closed."""
    users, options = problem.fixed_s.shape
    if users * options < LARGE or users < _LEAST_USERS:
        return None
    raw = _raw(problem)
    if raw is None:
        return None
    kind = SUM if problem.objective == "sum" else MAX
    first = _sampled(problem, kind, deadline)
    if first is None:
        return None
    threads = Threads(users, os.cpu_count() or 1)
    try:
        return _Search(problem, raw, kind, threads).run(*first, gap=gap, deadline=deadline)
    finally:
        threads.close()


class _Search:
    """Rounds of a pass over all options, best prices of those kept, and the best shares of what is cheapest there."""

    def __init__(self, problem: AllocationProblem, raw: Raw, kind: int, threads: Threads) -> None:
        self.problem, self.raw, self.kind, self.threads = problem, raw, kind, threads
        self.count = np.zeros(problem.users, np.int64)
        self.kept = Kept(kind, _room(raw), self.count, threads)
        self.passes = 0
        self.objective = np.inf
        self.option, self.x = np.zeros(problem.users, np.int32), np.zeros((3, problem.users))

    def run(self, price: F, level: float, *, gap: float, deadline: float) -> Searched | None:
        """From prices and a level near the best ones to a proof; None where this does not close it."""
        kind = self.kind
        # somebody is no faster alone; above this everybody has an option, and a level just above it is as good
        alone = self._floor() if kind == MAX else 0.0
        floor = alone * (1.0 + _ABOVE * gap)
        even = fine = max(_EVEN * gap**0.5, 1e-9)
        place = Place(kind, floor, max(level, floor), price, np.arange(3))
        value, fresh = self.look(place.level, place.price, _WIDTH)
        for _ in range(_ROUNDS):
            if value >= HUGE:
                break
            if fresh == 0:
                if even < fine:
                    break
                even = 0.01 * fine
            place, at = best_place(self.kept, place, even, _PART * gap)
            if at.value >= HUGE:
                break
            self.offer(at.option, place)
            target = self.objective * (1.0 - gap)
            if target < alone * (1.0 - MAX_EXCESS):
                return self._found(target, place.price, whole=True)
            value, fresh = self.look(target, place.price, 0.0)
            proven = self._proves(value, target)
            if proven or time.monotonic() > deadline:
                return self._found(target, place.price, whole=proven)
        return None

    def _proves(self, value: float, target: float) -> bool:
        """Whether prices of this value prove that nothing is below a target; a user without options proves it too."""
        if self.kind == SUM:
            return HUGE > value >= target * (1.0 + SUM_EXCESS)
        return value >= 1.0 + MAX_EXCESS

    def _found(self, target: float, price: F, *, whole: bool) -> Searched | None:
        if not self.objective < np.inf:
            return None
        return Searched(self.option, self.x, self.objective, target, price, whole, self.passes)

    def offer(self, option: Option, place: Place) -> None:
        """Give the options of a set, by their places among those kept, their best shares; keep the best set."""
        x = settle(self.kept, option, place)
        if x is None:
            return
        total = x.sum(axis=1, keepdims=True)
        x = np.divide(x, total, out=np.zeros_like(x), where=total > 0.0)
        np.minimum(x[EDGE], self.raw.cap, out=x[EDGE])
        ids = self.kept.terms.ids[np.arange(option.size), option]
        found = evaluate_shares(self.problem, ids.astype(np.int64), in_units(self.problem, x)[0])
        if found.violation <= _ROUNDING and found.objective_s < self.objective:
            self.objective, self.option, self.x = found.objective_s, ids, x

    def _floor(self) -> float:
        """Largest over the users of their least weighted latency alone [s]."""
        out = np.zeros((len(self.threads.parts), 1))
        rows = {part: row for part, row in zip(self.threads.parts, out, strict=True)}
        self.threads.each(lambda first, last: least_alone(self.raw, first, last, rows[first, last]))
        return float(out.max())

    def look(self, level: float, price: F, width: float) -> tuple[float, int]:
        """Value of the prices over all options, and how many cheapest options were new; HUGE where a user has none."""
        self.passes += 1

        def job(first: int, last: int) -> tuple[bool, F]:
            out = np.zeros(2)
            terms = self.kept.terms
            return look(self.kind, self.raw, first, last, level, price, width, terms, self.count, out), out

        found = self.threads.each(job)
        if not all(there for there, _ in found):
            return HUGE, 0
        value, fresh = sum_of(out for _, out in found)
        return (float(value) - float(price.sum()) if self.kind == SUM else float(value)), int(fresh)


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


def _sampled(problem: AllocationProblem, kind: int, deadline: float) -> tuple[F, float] | None:
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
    engine = CompiledEngine(sample, Resources.of(sample))
    if not engine.heads.any(axis=1).all():
        return None
    best = Incumbent(engine, _ROUGH)
    for choice in engine.first_sets():
        best.offer(choice)
    if not best.objective < np.inf:
        return None
    price = best.prices
    if best.objective > 0.0:
        price = root(Tree(engine, Objective.of(sample), best, _ROUGH, deadline, sample.weights)).prices
    return (price / part if kind == SUM else price / max(float(price.sum()), 1e-300)), best.objective
