"""The complete search of a few users: labels of all sets of chains served, by dynamic programming (Held and Karp 1962).

Labels that cannot come below what has been found are dropped by what the users left spend at least. Nothing else is
left out, so that an end without a better label is a proof by enumeration.
"""

from __future__ import annotations

import time

import numpy as np

from megdt_opt.pricing.turns import TurnCosts
from megdt_opt.shares.turns import best_sum
from megdt_opt.solving.turns.labels import ROOM, Labels, Spending
from megdt_opt.solving.turns.local import Plan, worth

MOST_CHAINS = 12
"""Chains of which all sets are looked at [1]."""

_MOST_LABELS = 4_000_000


class _OutOfReachError(Exception):
    pass


def complete(costs: TurnCosts, plan: Plan, gap: float, deadline: float) -> tuple[Plan, bool]:
    """The best plan, and whether all were looked at: then no plan is better than by the gap.

    Parameters
    ----------
    costs : TurnCosts
    plan : Plan
        To begin with.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` at which to end [s].
    """
    if costs.problem.users + costs.problem.groups > MOST_CHAINS:
        return plan, False
    try:
        while True:
            better = _Sets(costs, plan, gap, deadline).better()
            if better is None:
                return plan, True
            plan = better
            if costs.problem.objective == "sum":
                return plan, True
    except _OutOfReachError:
        return plan, False


class _Sets:
    def __init__(self, costs: TurnCosts, plan: Plan, gap: float, deadline: float) -> None:
        self.costs, self.plan, self.deadline = costs, plan, deadline
        self.target = plan.objective * (1.0 - gap)
        self.leveled = costs.problem.objective == "max"
        try:
            self.spending = Spending(costs, self.target if self.leveled else None, plan.price, not self.leveled)
        except OverflowError:
            raise _OutOfReachError from None
        self.users = costs.problem.users
        self.sets: dict[int, Labels] = {}
        self.count = 0
        p = costs.problem
        horizon = float(np.where(costs.turn, costs.ready, 0.0).max(initial=0.0) + p.prefix_works.sum())
        horizon += float(np.where(costs.turn, p.edge_work_s, 0.0).max(axis=1).sum())
        self.times, self.least = self.spending.least_after(horizon)
        # at the level itself, or below what was found (with the band's price taken off)
        self.room = ROOM if self.leveled else self.target + plan.price

    def better(self) -> Plan | None:
        """A better plan: for "sum" the best, for "max" one that keeps the level; None where there is none."""
        users, groups = self.users, self.costs.problem.groups
        everyone = (1 << users) - 1
        pending: dict[int, list[Labels]] = {0: [Labels.first()]}
        best: tuple[float, int, int] | None = None
        for mask in range(1 << (users + groups)):
            if mask and mask <= everyone:
                self._add_idle(mask, pending)
            if mask not in pending:
                continue
            labels = Labels.joined(pending.pop(mask)).undominated()
            self.sets[mask] = labels
            self.count += len(labels)
            if self.count > _MOST_LABELS or time.monotonic() > self.deadline:
                raise _OutOfReachError
            if mask & everyone == everyone:
                best = self._best(mask, best)
                continue
            self._extend(mask, labels, pending)
        return None if best is None else self._plan(best[1], best[2])

    def _add_idle(self, mask: int, pending: dict[int, list[Labels]]) -> None:
        """Users without a turn are decided before all others, in order."""
        k = mask.bit_length() - 1
        rest = mask & ~(1 << k)
        if rest not in self.sets:
            return
        # every turn takes time
        bare = np.flatnonzero(self.sets[rest].now == 0.0)
        found = self.spending.idled(self.sets[rest].where(bare), k, rest)
        found.before[:, 1] = bare[found.before[:, 1]]
        self._add(mask, found, pending)

    def _extend(self, mask: int, labels: Labels, pending: dict[int, list[Labels]]) -> None:
        p = self.costs.problem
        for k in range(self.users):
            if mask >> k & 1 or not self.spending.turns[k].size:
                continue
            group = int(p.group_of[k])
            if group >= 0 and p.prefix_works[group] > 0 and not mask >> (self.users + group) & 1:
                continue
            self._add(mask | 1 << k, self.spending.served(labels, k, mask), pending)
        for group in range(p.groups):
            bit = 1 << (self.users + group)
            if not mask & bit and p.prefix_works[group] > 0:
                self._add(mask | bit, self.spending.prefixed(labels, group, mask), pending)

    def _add(self, mask: int, labels: Labels, pending: dict[int, list[Labels]]) -> None:
        labels = self._hopeful(labels, mask)
        if len(labels):
            pending.setdefault(mask, []).append(labels)

    def _hopeful(self, labels: Labels, mask: int) -> Labels:
        left = [k for k in range(self.users) if not mask >> k & 1]
        place = np.searchsorted(self.times, labels.now, side="right") - 1
        ahead = self.least[left].sum(axis=0)[place] if left else 0.0
        return labels.where(np.asarray(labels.spent + ahead <= self.room))

    def _best(self, mask: int, best: tuple[float, int, int] | None) -> tuple[float, int, int] | None:
        labels = self.sets[mask]
        if self.leveled:
            at = int(labels.spent.argmin())
            value = float(labels.spent[at])
            return (value, mask, at) if best is None or value < best[0] else best
        known: dict[int, float] = {}
        for at in np.argsort(labels.spent).tolist():
            # the price's bound rises with the order, the truth is above it
            if best is not None and labels.spent[at] - self.plan.price >= best[0]:
                break
            kind = int(labels.kind[at])
            if kind not in known:
                known[kind] = self._extra(kind)
            value = float(labels.spent[at]) + known[kind]
            if value < min(self.target, np.inf if best is None else best[0]):
                best = value, mask, at
        return best

    def _extra(self, kind: int) -> float:
        """What the best shares of given downloads cost more than at the price [s]."""
        a, p = self.spending.demands(kind), self.costs.problem
        x, _ = best_sum(p.weights, a, self.costs.gamma)
        some = a > 0
        gamma, share = self.costs.gamma[some], x[some]
        with np.errstate(invalid="ignore"):
            rate = share if self.costs.linear else share * np.log1p(gamma / share)
        truth = float((p.weights[some] * a[some] / rate).sum())
        at_price = 0.0
        for k in range(self.users):
            o = int(np.flatnonzero(self.costs.open[k] & (self.costs.a[k] == a[k]))[0])
            at_price += float(self.spending.table[k, o] - p.weights[k] * self.costs.fixed[k, o])
        return truth - at_price

    def _plan(self, mask: int, at: int) -> Plan:
        option, chains = np.zeros(self.users, dtype=np.int64), []
        while at >= 0 and mask:
            labels = self.sets[mask]
            chain, o = labels.taken[at].tolist()
            if chain < self.users:
                option[chain] = o
            if chain >= self.users or self.costs.turn[chain, o]:
                chains.append(chain)
            mask, at = labels.before[at].tolist()
        return worth(self.costs, option, np.array(chains[::-1], dtype=np.int64))
