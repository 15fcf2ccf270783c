"""The branch tree of the price method, depth first, whoever prices the parties.

A node is what choices the parties have left, and limits on how many users of one kind take which. Where cutting planes
prove that nothing in it beats the target, it becomes a leaf with its prices. Else choices whose reduced cost alone
exceeds the gap are removed, and what the best prices waver between is divided: how many users of a kind take some of
their options, where that is no integer, or the options of the party that is the least decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from megdt_opt.certificate.tree import Branch, Count, Leaf, Mask, Node, Prune, Row
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine, Peak
from megdt_opt.solving.search import counts
from megdt_opt.solving.search.classes import classes
from megdt_opt.solving.search.counts import Limited, Limits
from megdt_opt.solving.search.exchange import evened
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.objectives import Objective
from megdt_opt.solving.search.wavering import shares_of

_PASSES, _LEAF_PASSES = 24, 96
_ROUNDS = 4
_POOL = 5
_MOST_NODES = 1_000_000
_PATIENCE = 2
"""Nodes after which users of one kind are looked for: most trees end before [1]."""

_CROWD = 0.5
"""Part of the parties that the first prices waver about from which on they are looked for at once [1]."""

_CUT_TURNS = 6
"""Turns in which it is found what a leaf proves that was cut short: of "max", about as many; else one [1]."""

_AT_ONCE = 100_000
"""Choices, of all parts together, that are sealed in no time worth keeping back [1]."""

_BELOW = tuple(10.0**n for n in range(-11, 0))
"""How far below the goal it is looked for what prices prove that do not prove it, relatively [1]."""

_FRACTION = 1e-3
"""Distance of a count from an integer from which on it is divided there [1]."""


class _Node(NamedTuple):
    mask: Mask
    limits: Limits
    start: Array
    attach: Callable[[Node], None]


@dataclass
class Tree:
    """A search that goes on until every leaf proves the goal, or the time is over.

    Parameters
    ----------
    engine : Engine
    objective : Objective
    incumbent : Incumbent
        With a first allocation.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` after which the tree is cut short [s].
    weight : array, (K,)
        Of the parties [1].
    part_s : callable
        Tells the time that sealing one part of the tree takes, which is kept back from the deadline [s].
    """

    engine: Engine
    objective: Objective
    incumbent: Incumbent
    gap: float
    deadline: float
    weight: Array
    part_s: Callable[[], float] = lambda: 0.0
    nodes: int = 0
    passes: int = 0
    waiting: int = 0
    pruned: int = 0
    kinds: list[Choice] | None = None

    @property
    def in_time(self) -> bool:
        """Whether to go on: there is time left beyond that of sealing what has been grown.

        A leaf that was cut short takes several turns, until it is known what it proves.
        """
        parts = self.nodes + self.pruned + _CUT_TURNS * self.waiting
        sealing_s = parts * self._part_s if parts * self.engine.heads.size > _AT_ONCE else 0.0
        return time.monotonic() + sealing_s <= self.deadline

    @cached_property
    def _part_s(self) -> float:
        return self.part_s()

    @property
    def target(self) -> float:
        """Objective that is to be proven out of reach [s]."""
        return self.incumbent.objective * (1.0 - self.gap)

    def goal(self) -> tuple[float | None, float]:
        """The level of the costs and the value that prove it."""
        return self.objective.goal(self.incumbent.objective, self.gap)

    def grow(self, start: Array, proven: bool = False) -> Node:
        """The whole tree, from prices to begin with: one leaf where it is known that they prove the goal."""
        if proven:
            return Leaf(tuple(start.tolist()))
        top: list[Node] = []
        pool = [start, self.objective.start(self.incumbent.prices)]
        mask = self.engine.heads
        stack = [_Node(mask, counts.none(mask), start, top.append)]
        while stack:
            node = stack.pop()
            self.nodes, self.waiting = self.nodes + 1, len(stack) + 1
            if not self.in_time or self.nodes > _MOST_NODES:
                node.attach(self._leaf(node, node.start))
                continue
            whole = node.mask
            node, peak = self._narrowed(node, pool)
            if peak.value >= self.goal()[1]:
                node.attach(self._leaf(node, peak.prices))
                if node.mask is whole and not node.limits:
                    pool.insert(1, peak.prices)
                    del pool[_POOL + 1 :]
                continue
            if np.count_nonzero(node.mask) <= len(node.mask):
                node.attach(self._leaf(node, self._settle(node)))
            else:
                stack.extend(reversed(self._divide(node, peak)))
        return top[0]

    def leaf_of(self, prices: Array | None) -> Leaf | None:
        """The whole tree, where the first of some prices, (N, M), that prove it do so for all parties; else None.

        They propose choices too, each of which is tried until one does not help.
        """
        if prices is None or prices.shape[1:] != self.incumbent.prices.shape:
            return None
        tried = np.array([self.objective.start(one) for one in [self.incumbent.prices, *prices]])
        for one in tried:
            found = self.engine.price(self.engine.heads, one, self.goal()[0])
            if not (np.isfinite(found.total) and self.in_time and self.incumbent.offer(found.choice, one)):
                break
        level, goal = self.goal()
        self.passes += len(tried)
        at = self.engine.proving(self.engine.heads, tried, level, goal)
        return None if at is None else Leaf(tuple(tried[at].tolist()))

    def _leaf(self, node: _Node, prices: Array) -> Leaf:
        if not node.limits:
            return Leaf(tuple(prices.tolist()))
        size = len(prices) - len(node.limits)
        return Leaf(tuple(prices[:size].tolist()), node.limits.of_leaf(prices[size:]))

    def _engine_of(self, node: _Node) -> Engine | Limited:
        """What prices a node; its multipliers follow the prices."""
        if not node.limits:
            return self.engine
        return Limited(self.engine, node.limits, self.objective.leveled, lambda: self.in_time)

    def _narrowed(self, node: _Node, pool: list[Array]) -> tuple[_Node, Peak]:
        """The node without the choices that are ruled out in it, and the best prices of the rest."""
        engine, tried = self._engine_of(node), np.array([node.start, *([] if node.limits else pool)])
        for _ in range(_ROUNDS):
            box = self.objective.box(self.incumbent.objective)
            peak, ruled_out = engine.narrow(node.mask, *self.goal(), box, _PASSES, tried)
            self.passes += peak.passes
            for prices, gone in ruled_out:
                node = self._without(node, prices, gone)
            if peak.value >= self.goal()[1]:
                break
            better = False
            for choice in self._proposed(node, peak):
                better |= self.in_time and self.incumbent.offer(choice, peak.prices[: len(self.incumbent.prices)])
            if not better:
                break
            tried = peak.prices[None]
        return node._replace(start=peak.prices), peak

    def _proposed(self, node: _Node, peak: Peak) -> list[Choice]:
        """Choices worth trying where the best prices waver."""
        if self.kinds and len(peak.weights):
            return shares_of(peak, node.mask, self.kinds)
        return [peak.least] if len(peak.least) else []

    def _without(self, node: _Node, prices: Array, gone: Mask) -> _Node:
        """The node without choices that prices rule out."""
        made = Prune(self._leaf(node, prices), np.transpose(gone.nonzero()))
        self.pruned += 1
        node.attach(made)
        return node._replace(mask=node.mask & ~gone, attach=made.children.append)

    def is_crowd(self, peak: Peak) -> bool:
        """Whether prices waver about more parties than they do where these differ (Shapley and Folkman)."""
        if self.kinds is not None or len(peak.weights) < 2:
            return False
        torn = np.count_nonzero((peak.choices != peak.choices[0]).any(axis=0))
        return bool(torn > max(self.engine.budgets, _CROWD * peak.choices.shape[1]))

    def find_kinds(self, mask: Mask, peak: Peak) -> None:
        """Look for users of one kind, and try as many of them at each choice as the best prices have there."""
        if not self.engine.countable:
            return
        self.kinds, best = classes(self.engine, self.weight, lambda: self.in_time), self.incumbent
        if not (self.kinds and self.in_time):
            return
        if len(peak.weights):
            best.offer_all(shares_of(peak, mask, self.kinds), peak.prices[: len(best.prices)])
        if self.objective.leveled:
            even = evened(self.engine, best.choice, self.kinds, peak.prices, best.objective, lambda: self.in_time)
            best.offer(even, peak.prices)

    def _settle(self, node: _Node) -> Array:
        """Prices of the one set that is left: its own prove its value, or that it cannot keep the limits."""
        choice, size = node.mask.argmax(axis=1), len(self.incumbent.prices)
        found = self.engine.settle(choice, self.incumbent.objective, node.start[:size])
        self.incumbent.take(found)
        own = self.objective.start(found.prices)
        starts = [np.r_[own, node.start[size:]], node.start]
        for start, wide in ((starts[0], 1.0), (starts[1], 1.0), (starts[1], 64.0)):
            box = self.objective.box(self.incumbent.objective) * (1.0 if self.objective.leveled else wide)
            peak = self._engine_of(node).climb(node.mask, *self.goal(), box, _LEAF_PASSES, start)
            self.passes += peak.passes
            if peak.value >= self.goal()[1] or not self.in_time:
                return peak.prices
        return self._nearest(node, np.array([starts[0], peak.prices]))

    def _nearest(self, node: _Node, tried: Array) -> Array:
        """Those of some prices, (N, M), of which none proves the goal, that come nearest: the last but for "max", where
        those that cost the most at a level may be far from proving a level close below it."""
        for off in _BELOW if self.objective.leveled and not node.limits else ():
            level, goal = self.objective.goal(self.incumbent.objective * (1.0 - off), self.gap)
            at = self.engine.proving(node.mask, tried, level, goal)
            if at is not None:
                return np.asarray(tried[at])
        return np.asarray(tried[-1])

    def _divide(self, node: _Node, peak: Peak) -> list[_Node]:
        """The two parts of a node, first that in which the better set is expected."""
        if self.kinds is None and (self.nodes >= _PATIENCE or self.is_crowd(peak)):
            self.find_kinds(node.mask, peak)
        # weights of each party's own come with multipliers of each, whose limit the planes of a count do not know
        counted = self._by_count(node, peak) if self.kinds and peak.weights.ndim == 1 else []
        return counted or self._by_party(node, peak)

    def _by_count(self, node: _Node, peak: Peak) -> list[_Node]:
        """By the number of users of a kind that take some options, where the best prices leave that furthest from an
        integer; empty where they leave none so."""
        best, found = _FRACTION, None
        for members in self.kinds or []:
            free = members[node.mask[members].sum(axis=1) > 1]
            if len(free) < 2 or not len(peak.weights):
                continue
            taken = np.zeros(node.mask.shape[1])
            for choice, weight in zip(peak.choices[:, members], peak.weights, strict=True):
                np.add.at(taken, choice, weight)
            for o in np.flatnonzero(taken):
                apart = abs(taken[o] - round(taken[o]))
                if apart > best:
                    best, found = apart, (members, int(o), float(taken[o]))
        if found is None:
            return []
        members, option, number = found
        # the options that it stands for are the same for users of one kind
        options = np.flatnonzero(self.engine.head[members[0]] == option)
        most = int(np.floor(number))
        made = Count(tuple(members.tolist()), tuple(options.tolist()), most)
        node.attach(made)
        below = []
        for row in (Row(members, options, most, 1), Row(members, options, most + 1, -1)):
            limits = node.limits.with_row(row)
            kept = [node.limits.alive.index(a) for a in limits.alive[:-1]]
            size = len(node.start) - len(node.limits)
            above = np.r_[node.start[:size], node.start[size:][kept]]
            below.append(node._replace(limits=limits, start=self._start_within(limits, node.mask, above, peak)))
        made.children.extend([Leaf(())] * 2)  # room for them, which come in any order
        order = [0, 1] if number - most < 0.5 else [1, 0]
        return [below[i]._replace(attach=into(made.children, i)) for i in order]

    def _start_within(self, limits: Limits, mask: Mask, start: Array, peak: Peak) -> Array:
        """Prices for one limit more on a count, with the best multiplier there: those of a good choice that keeps it,
        where one is known, or those from above, whichever are worth more."""
        size = len(start) - len(limits) + 1
        best, tried = self.incumbent, [start[:size]]
        if limits.keeps(best.choice):
            tried.append(self.objective.start(best.prices))
        else:
            rounded = next(filter(limits.keeps, shares_of(peak, mask, self.kinds or [])), None)
            found = None if rounded is None else self.engine.settle(rounded, np.inf, start[: self.engine.budgets])
            if found is not None and np.isfinite(found.objective):
                tried.append(self.objective.start(found.prices))
        worth = [limits.with_last(self.engine.costs(mask, own, self.goal()[0]), start[size:]) for own in tried]
        values = [value - float(own[: self.engine.budgets].sum()) for (_, value), own in zip(worth, tried, strict=True)]
        at = int(np.argmax(values))
        return np.concatenate((tried[at], worth[at][0]))

    def _by_party(self, node: _Node, peak: Peak) -> list[_Node]:
        """By the options of the party that is the least decided."""
        party, near = self.engine.split(node.mask, peak)
        row, head = node.mask[party], self.engine.head[party]
        sides = row & near, row & ~near
        is_open = head >= 0
        made = Branch(party, tuple(tuple((side[head] & is_open).nonzero()[0].tolist()) for side in sides))
        node.attach(made)
        made.children.extend([Leaf(())] * 2)  # room for them, which come in any order
        below = []
        for i, side in enumerate(sides):
            mask = node.mask.copy()
            mask[party] = side
            below.append(node._replace(mask=mask, attach=into(made.children, i)))
        return below


def into(children: list[Node], place: int) -> Callable[[Node], None]:
    """What puts a node at a place among children."""

    def attach(node: Node) -> None:
        children[place] = node

    return attach
