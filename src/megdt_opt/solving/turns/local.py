"""Good plans of turns: simple orders, the best options for an order, and moves of single users.

A user's chain may move in the order, and its option change. Many moves are judged at once: ends of turns follow from a
pass over the places of all orders together. For "max" what a move is worth is the band that a level just below the
present one then needs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import TurnCosts, densities, need
from megdt_opt.shares.turns import best_sum
from megdt_opt.solving.turns.labels import Labels, Spending
from megdt_opt.solving.turns.schedule import Choice, Schedule, scheduled

_BEAM = 96
_WIDE = 1_500_000
"""Users of all orders that are judged at once, at most [1]."""

_NEAR = 12
"""Places by which a chain moves where there are too many to try all [1]."""

_SHIFTS = ((0,), (1, 0), (2, 0, 1), (1, 2, 0), (2, 1, 0))
"""Orders of the next users that are tried beside the plan's own."""

_DROPS = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3)


@dataclass(frozen=True)
class Plan:
    """Options and an order, and what they are worth.

    Parameters
    ----------
    schedule : Schedule
    objective : float
        [s]
    price : float
        Of the band, for "sum" [s]; else 0.
    queue : array of int, (K,)
        All users in an order, with turns or not.
    """

    schedule: Schedule
    objective: float
    price: float
    queue: Choice

    @property
    def option(self) -> Choice:
        """Options, (K,)."""
        return self.schedule.option


def worth(costs: TurnCosts, option: Choice, chains: Choice) -> Plan:
    """The plan of options and an order of chains, prefixes among them."""
    p = costs.problem
    schedule = scheduled(costs, option, chains)
    found = p.evaluate(schedule)
    price = 0.0
    if p.objective == "sum":
        price = best_sum(p.weights, costs.a[np.arange(p.users), option], costs.gamma)[1]
    served = chains[chains < p.users]
    others = np.setdiff1d(np.arange(p.users), served)
    return Plan(schedule, found.objective_s, price, np.concatenate([served, others]).astype(np.int64))


class Moves:
    """Judges orders of users and options; a prefix is served right before the first of its members.

    Parameters
    ----------
    costs : TurnCosts
    deadline : float
        `time.monotonic()` at which to end [s].
    floor_s : float
        No plan is better than this [s].
    """

    def __init__(self, costs: TurnCosts, deadline: float, floor_s: float = 0.0) -> None:
        self.costs, self.deadline, self.floor_s = costs, deadline, floor_s
        self.users = costs.problem.users
        self.leveled = costs.problem.objective == "max"

    def in_time(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() <= self.deadline

    def plan(self, option: Choice, queue: Choice) -> Plan:
        """The plan of options and an order of all users."""
        p = self.costs.problem
        chains, known = [], np.zeros(p.groups, dtype=bool)
        for k in queue.tolist():
            if not self.costs.turn[k, option[k]]:
                continue
            group = int(p.group_of[k])
            if group >= 0 and not known[group]:
                known[group] = True
                chains.append(p.users + group)
            chains.append(k)
        return worth(self.costs, option, np.array(chains, dtype=np.int64))

    def ends(self, option: Choice, queue: Choice) -> tuple[Array, Array]:
        """When users (B, K) end their turns, or are ready without one, and the weighted ends of prefixes (B,)."""
        p = self.costs.problem
        o = np.take_along_axis(option, queue, axis=1)
        turn = self.costs.turn[queue, o]
        ready, work = p.release_s[queue, o], np.where(turn, p.edge_work_s[queue, o], 0.0)
        now, extra = np.zeros(len(queue)), np.zeros(len(queue))
        found = np.empty(queue.shape)
        known = np.zeros((len(queue), p.groups + 1), dtype=bool)
        rows = np.arange(len(queue))
        for i in range(queue.shape[1]):
            served = turn[:, i]
            if p.groups:
                group = p.group_of[queue[:, i]]
                first = served & (group >= 0) & ~known[rows, group]
                known[rows, group] |= first
                now = now + np.where(first, p.prefix_works[group], 0.0)
                extra += np.where(first, p.prefix_weights[group] * now, 0.0)
            now = np.where(served, np.maximum(now, ready[:, i]) + work[:, i], now)
            found[:, i] = np.where(served, now, ready[:, i])
        end = np.empty(queue.shape)
        np.put_along_axis(end, queue, found, axis=1)
        return end, extra

    def judged(self, option: Choice, queue: Choice, plan: Plan, level_s: float) -> Array:
        """What plans (B,) cost: for "sum" about their objectives, for "max" the band that the level needs."""
        p, rows = self.costs.problem, np.arange(self.users)
        end, extra = self.ends(option, queue)
        a, after = self.costs.a[rows, option], p.after_s[rows, option]
        if self.leveled:
            return np.asarray(need(level_s / p.weights - after - end, a, self.costs.gamma)[0].sum(axis=1))
        total = (p.weights * (end + after)).sum(axis=1) + extra
        if self.costs.linear:
            return np.asarray(total + np.sqrt(p.weights * a).sum(axis=1) ** 2)
        return np.asarray(total + self._sending(plan)[rows, option].sum(axis=1))

    def _sending(self, plan: Plan) -> Array:
        cost, _, _ = self.costs.sending(plan.price)
        return np.where(self.costs.open, cost - self.costs.problem.weights[:, None] * self.costs.fixed, np.inf)

    @cached_property
    def _options(self) -> tuple[Choice, Choice]:
        k, o = np.nonzero(self.costs.open)
        return k, o

    def _neighbours(self, plan: Plan) -> list[tuple[Choice, Choice, Choice]]:
        """Moves, in batches: a user, its option, and its place in the order."""
        queue, n = plan.queue, self.users
        place = np.empty(n, dtype=np.int64)
        place[queue] = np.arange(n)
        k, o = self._options
        other = plan.option[k] != o
        k, o = k[other], o[other]
        everywhere = (k.size + n) * n * n <= _WIDE
        # all places, or those nearby; options where the chain is, or with its new place
        near = k.size * (2 * _NEAR + 1) * n <= _WIDE
        if everywhere or near:
            who, what = np.r_[k, np.arange(n)], np.r_[o, plan.option]
        else:
            who, what = np.arange(n), plan.option
        if everywhere or n <= 2 * _NEAR:
            target = np.tile(np.arange(n), who.size)
        else:
            target = np.clip(place[who][:, None] + np.arange(-_NEAR, _NEAR + 1), 0, n - 1).ravel()
        each = target.size // who.size
        who, what = np.repeat(who, each), np.repeat(what, each)
        if not (everywhere or near):
            who, what, target = np.r_[who, k], np.r_[what, o], np.r_[target, place[k]]
        # shuffled, so that a batch has moves of all kinds
        order = np.random.default_rng(who.size).permutation(who.size)
        size = max(_WIDE // (12 * n), 1)
        return [(who[part], what[part], target[part]) for part in np.split(order, range(size, who.size, size))]

    def _moved(self, plan: Plan, who: Choice, what: Choice, target: Choice) -> tuple[Choice, Choice]:
        n, rows = self.users, np.arange(who.size)
        option = np.repeat(plan.option[None], who.size, axis=0)
        option[rows, who] = what
        place = np.empty(n, dtype=np.int64)
        place[plan.queue] = np.arange(n)
        source = place[who][:, None]
        # the chain goes to its target, and those between make room
        slot = np.arange(n)[None]
        down = (slot >= target[:, None]) & (slot < source)
        up = (slot > source) & (slot <= target[:, None])
        new = slot + down.astype(np.int64) - up.astype(np.int64)
        np.put_along_axis(new, source, target[:, None], axis=1)
        queue = np.empty((who.size, n), dtype=np.int64)
        np.put_along_axis(queue, new, np.repeat(plan.queue[None], who.size, axis=0), axis=1)
        return option, queue

    def improved(self, plan: Plan, enough_s: float = 0.0) -> Plan:
        """A plan that no move of a single user improves, or the first that is no longer than `enough_s`."""
        while plan.objective > enough_s:
            before = plan
            for who, what, target in self._neighbours(plan):
                if not self.in_time():
                    return plan
                option, queue = self._moved(plan, who, what, target)
                value = self.judged(option, queue, plan, plan.objective * (1.0 - 1e-9))
                at = int(value.argmin())
                if self.leveled and not value[at] <= 1.0:
                    continue
                new = self.plan(option[at], queue[at])
                if new.objective < plan.objective * (1.0 - 1e-12):
                    plan = new
                if plan.objective <= enough_s:
                    return plan
            if plan is before:
                break
        return plan

    # ---- the best options for an order

    def reoptioned(self, plan: Plan, wide: bool = False) -> Plan:
        """A plan with better options for the same order, or with `wide` for orders nearby, where some are found."""
        if not self.leveled:
            found = self._with_options(plan, Spending(self.costs, None, plan.price), wide)
            while wide and found is not None and self.in_time():
                plan = found
                found = self._with_options(plan, Spending(self.costs, None, plan.price), wide)
            return found or plan
        for drop in _DROPS:
            while self.in_time() and plan.objective * (1.0 - drop) > self.floor_s:
                found = self._with_options(plan, Spending(self.costs, plan.objective * (1.0 - drop)), wide)
                if found is None:
                    break
                plan = found
        return plan

    def _with_options(self, plan: Plan, spending: Spending, wide: bool) -> Plan | None:
        """The best options for the order, by labels of which few are kept."""
        shifts = _SHIFTS if wide else _SHIFTS[:1]
        pending: list[list[Labels]] = [[] for _ in range(self.users + 1)]
        pending[0].append(Labels.first())
        known: dict[int, Labels] = {}
        extra = self.users + 1
        for i in range(self.users + 1):
            if not pending[i] or not self.in_time():
                continue
            known[i] = self._few(pending[i])
            for shift in shifts:
                if i + len(shift) > self.users:
                    continue
                source = i
                for ahead in shift[:-1]:
                    known[extra] = self._few(self._next(spending, known[source], int(plan.queue[i + ahead]), source))
                    source, extra = extra, extra + 1
                last = self._next(spending, known[source], int(plan.queue[i + shift[-1]]), source)
                pending[i + len(shift)].extend(last)
        best: Plan | None = None
        if self.users not in known:
            return None
        for at in np.argsort(known[self.users].spent)[:3].tolist():
            new = self._traced(known, at)
            if new.objective < (plan.objective if best is None else best.objective) * (1.0 - 1e-12):
                best = new
        return best

    def _next(self, spending: Spending, labels: Labels, k: int, source: int) -> list[Labels]:
        parts = [spending.idled(labels, k, source)]
        if spending.turns[k].size:
            # the prefix is served with the first member; labels do not tell whether another was before
            ready = self.costs.ready if self.costs.problem.groups else None
            parts.append(spending.served(labels, k, source, ready))
        return parts

    def _few(self, parts: list[Labels]) -> Labels:
        labels = Labels.joined(parts)
        labels.kind[:] = 0
        labels = labels.undominated()
        if len(labels) > _BEAM:
            labels = labels.where(np.linspace(0, len(labels) - 1, _BEAM).astype(np.int64))
        return labels

    def _traced(self, known: dict[int, Labels], at: int) -> Plan:
        option, queue, place = np.empty(self.users, dtype=np.int64), [], self.users
        while place:
            k, o = known[place].taken[at].tolist()
            option[k] = o
            queue.append(k)
            place, at = known[place].before[at].tolist()
        return self.plan(option, np.array(queue[::-1], dtype=np.int64))

    def polished(self, plan: Plan, enough_s: float = 0.0) -> Plan:
        """A plan that neither moves of single users nor other options for its order (for "sum" for orders nearby too)
        improve; or the first that is no longer than `enough_s`."""
        plan = self.reoptioned(plan)
        while self.in_time() and plan.objective > enough_s:
            new = self.reoptioned(self.improved(plan, enough_s), wide=not self.leveled)
            if not new.objective < plan.objective * (1.0 - 1e-4):
                return min(plan, new, key=lambda one: one.objective)
            plan = new
        return plan

    # ---- where to begin

    def starts(self) -> list[Plan]:
        """Plans of simple rules."""
        p, rows = self.costs.problem, np.arange(self.users)
        alone = self.costs.a
        if not self.costs.linear:
            speed = np.log1p(np.minimum(self.costs.gamma, 1e300))[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                alone = np.where(self.costs.a > 0, self.costs.a / speed, 0.0)
        own = self.costs.ready * self.costs.turn + p.edge_work_s * self.costs.turn + self.costs.fixed + alone
        own = np.where(self.costs.open, p.weights[:, None] * own, np.inf)
        idle = np.where(self.costs.turn, np.inf, own)
        fastest = own.argmin(axis=1)
        lazy = np.where(np.isfinite(idle).any(axis=1), idle.argmin(axis=1), fastest)
        found = []
        density = densities(self.costs)
        for option in (fastest, lazy):
            tail = p.after_s[rows, option] + alone[rows, option]
            keys = [p.release_s[rows, option], -density[rows, option], -tail * p.weights]
            for key in (*keys, np.where(np.isfinite(idle), idle, 0.0).max(axis=1)):
                found.append(self.plan(option, np.argsort(key, kind="stable")))
        return found


def good_plan(costs: TurnCosts, deadline: float, most: int) -> Plan:
    """The best plan of simple rules, with the best options for their orders; some are improved by moves.

    Parameters
    ----------
    costs : TurnCosts
    deadline : float
        `time.monotonic()` at which to end [s].
    most : int
        Plans that are improved [1].
    """
    moves = Moves(costs, deadline)
    tried = {start.queue.tobytes(): start for start in sorted(moves.starts(), key=lambda one: -one.objective)}
    starts = sorted((moves.reoptioned(one) for one in tried.values()), key=lambda one: one.objective)
    return min([starts[0], *(moves.polished(one) for one in starts[:most])], key=lambda one: one.objective)
