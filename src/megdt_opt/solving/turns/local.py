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

_BEAM = 256
_WIDE = 1_500_000
"""Users of all orders that are judged at once, at most [1]."""

_NEAR = 12
"""Places by which a chain moves where there are too many to try all [1]."""

_DROPS = (0.2, 0.08, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-6)


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
    """

    def __init__(self, costs: TurnCosts, deadline: float) -> None:
        self.costs, self.deadline = costs, deadline
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

    def _neighbours(self, plan: Plan) -> list[tuple[Choice, Choice]]:
        """Options and orders one move away, in batches."""
        queue, n = plan.queue, self.users
        place = np.empty(n, dtype=np.int64)
        place[queue] = np.arange(n)
        k, o = self._options
        other = plan.option[k] != o
        k, o = k[other], o[other]
        everywhere = (k.size + n) * n * n <= _WIDE
        to = np.arange(n) if everywhere or n <= 2 * _NEAR else None
        who = np.r_[k, np.arange(n)] if everywhere else np.arange(n)
        what = np.r_[o, plan.option] if everywhere else plan.option
        if to is None:
            shift = np.r_[-_NEAR:0, 1 : _NEAR + 1]
            target = np.clip(place[who][:, None] + shift, 0, n - 1).ravel()
            who, what = np.repeat(who, shift.size), np.repeat(what, shift.size)
        else:
            target = np.tile(to, who.size)
            who, what = np.repeat(who, n), np.repeat(what, n)
        if not everywhere:
            who, what, target = np.r_[who, k], np.r_[what, o], np.r_[target, place[k]]
        size = max(_WIDE // (4 * n), 1)
        return [self._moved(plan, who[i : i + size], what[i : i + size], target[i : i + size])
                for i in range(0, who.size, size)]  # fmt: skip

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

    def improved(self, plan: Plan, most: int = 400) -> Plan:
        """A plan that no move of a single user improves."""
        for _ in range(most):
            if not self.in_time():
                break
            level = plan.objective * (1.0 - 1e-9)
            best, found = np.inf, None
            for option, queue in self._neighbours(plan):
                value = self.judged(option, queue, plan, level)
                at = int(value.argmin())
                if value[at] < best:
                    best, found = float(value[at]), (option[at], queue[at])
            if found is None or (self.leveled and not best <= 1.0):
                break
            new = self.plan(*found)
            if not new.objective < plan.objective * (1.0 - 1e-12):
                break
            plan = new
        return plan

    # ---- the best options for an order

    def reoptioned(self, plan: Plan) -> Plan:
        """A plan with better options for the same order, where some are found."""
        if not self.leveled:
            return self._with_options(plan, Spending(self.costs, None, plan.price)) or plan
        for drop in _DROPS:
            while self.in_time():
                found = self._with_options(plan, Spending(self.costs, plan.objective * (1.0 - drop)))
                if found is None:
                    break
                plan = found
        return plan

    def _with_options(self, plan: Plan, spending: Spending) -> Plan | None:
        """The best options for the order, by labels of which few are kept."""
        p = self.costs.problem
        stages = [Labels.first()]
        for i, k in enumerate(plan.queue.tolist()):
            labels = stages[-1]
            parts = [spending.idled(labels, k, i)]
            if spending.turns[k].size:
                # the prefix is served with the first member; labels do not tell whether another was before
                parts.append(spending.served(labels, k, i, self.costs.ready if p.groups else None))
            labels = Labels.joined(parts)
            labels.kind[:] = 0
            labels = labels.undominated()
            if len(labels) > _BEAM:
                labels = labels.where(np.linspace(0, len(labels) - 1, _BEAM).astype(np.int64))
            if not len(labels):
                return None
            stages.append(labels)
        best: Plan | None = None
        for at in np.argsort(stages[-1].spent)[:3].tolist():
            option = np.empty(self.users, dtype=np.int64)
            place = at
            for labels in reversed(stages[1:]):
                k, o = labels.taken[place].tolist()
                option[k] = o
                place = int(labels.before[place, 1])
            new = self.plan(option, plan.queue)
            if new.objective < (plan.objective if best is None else best.objective) * (1.0 - 1e-12):
                best = new
        return best

    # ---- where to begin

    def starts(self) -> list[Plan]:
        """Plans of simple rules."""
        p, rows = self.costs.problem, np.arange(self.users)
        alone = np.where(self.costs.a > 0, self.costs.a / np.log1p(np.minimum(self.costs.gamma, 1e300))[:, None], 0.0)
        if self.costs.linear:
            alone = self.costs.a
        own = self.costs.ready * self.costs.turn + p.edge_work_s * self.costs.turn + self.costs.fixed + alone
        own = np.where(self.costs.open, p.weights[:, None] * own, np.inf)
        idle = np.where(self.costs.turn, np.inf, own)
        fastest = own.argmin(axis=1)
        lazy = np.where(np.isfinite(idle).any(axis=1), idle.argmin(axis=1), fastest)
        found = []
        density = densities(self.costs)
        for option in (fastest, lazy):
            tail = p.after_s[rows, option] + alone[rows, option]
            for key in (p.release_s[rows, option], -density[rows, option], -tail * p.weights):
                found.append(self.plan(option, np.argsort(key, kind="stable")))
        return found


def good_plan(costs: TurnCosts, deadline: float, first: list[Plan] | None = None, rounds: int = 3) -> Plan:
    """The best plan of simple rules, each improved.

    Parameters
    ----------
    costs : TurnCosts
    deadline : float
        `time.monotonic()` at which to end [s].
    first : list of Plan, optional
        To begin with, instead of those of simple rules.
    rounds : int
        How many of them are improved [1].
    """
    moves = Moves(costs, deadline)
    starts = first or moves.starts()
    starts = [moves.reoptioned(one) for one in sorted(starts, key=lambda one: one.objective)]
    best = min(starts, key=lambda one: one.objective)
    for start in sorted(starts, key=lambda one: one.objective)[:rounds]:
        plan = start
        while moves.in_time():
            new = moves.reoptioned(moves.improved(plan))
            if not new.objective < plan.objective * (1.0 - 1e-9):
                break
            plan = new
        best = min(best, plan, key=lambda one: one.objective)
    return best
