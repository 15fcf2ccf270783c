"""The branch tree of "mixed", whose nodes hold the range of the largest weighted latency beside the choices.

Where the best prices of a range waver between levels far apart, each with a valley of its own, the range is divided
between them. Else the bound as a function of the largest latency says for which ranges the prices prove the goal; the
tree is split there (`certificate.tree.Cap`), and what is left by the choices of the party that the prices waver about
most.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from megdt_opt.certificate.tree import Branch, Cap, Leaf, Mask, Node
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine, Peak, Span
from megdt_opt.solving.search.tree import Tree, into
from megdt_opt.solving.search.wavering import mixed, nearer, undecided

_MOST_NODES, _ROUNDS = 100, 4
_STEPS = (0.55, 0.7, 0.8, 0.87, 0.93, 1.15)
"""Levels to start from, over one at which an allocation is known [1]."""

_PRECISION = 0.02
"""How near prices come to the best ones, as a part of the gap [1]."""

_THIN, _WIDE = 1e-7, 2e-3
"""Relative width of parts of the range that are not divided any more: where the prices are worth the goal, or not [1].
"""


_APART = 0.1
"""Relative distance of levels from which on the range is divided between them [1]."""

_HOPELESS = 3e-4
"""Relative distance from the goal, as prices come to the best ones where these do not reach it, and more [1]."""


class LeveledEngine(Engine, Protocol):
    """An engine that prices options with the largest weighted latency held fixed."""

    def worst_s(self, choice: Choice, x: Array) -> float:
        """Largest weighted latency of choices (K,) at scaled shares (3, K) [s]."""
        ...

    def climb_within(
        self, mask: Mask, span_s: tuple[float, float], goal: float, box: float, start: Array, precision: float,
        levels_s: list[float],
    ) -> tuple[Peak, list[float]]:  # fmt: skip
        """The best prices (B,) where the largest latency is within a range, the one at which they are worth the least
        [s], and those of the choices that they waver between. It is looked for from some levels [s], at the first of
        which an allocation is known."""
        ...

    def cover(
        self, mask: Mask, span_s: tuple[float, float], goal: float, prices: Array, level_s: float, thin: float
    ) -> list[Span]:
        """Partition of a range, from the least on, by what prices (B,) prove in its parts; none is divided that is as
        `thin` as that, relatively [1]."""
        ...


class _Part(NamedTuple):
    mask: Mask
    span_s: tuple[float, float]
    start: Array
    attach: Callable[[Node], None]
    level_s: float | None = None


def grow_by_levels(tree: Tree, engine: LeveledEngine) -> Node | None:
    """The whole tree, cut short where the time is over; None where there is nothing to begin with, or where it would
    take many nodes."""
    best = tree.incumbent
    if not np.isfinite(best.objective):
        return None
    top: list[Node] = []
    stack = [_Part(engine.heads, (0.0, np.inf), best.prices[: engine.budgets], top.append)]
    while stack:
        part = stack.pop()
        tree.nodes, tree.waiting = tree.nodes + 1, len(stack) + 1
        if not tree.in_time:
            part.attach(Leaf((*part.start.tolist(), *best.prices[engine.budgets :].tolist())))
            continue
        below = _divided(tree, engine, part)
        if below is None or tree.nodes > _MOST_NODES:
            return None
        stack.extend(reversed(below))
    return top[0]


def _divided(tree: Tree, engine: LeveledEngine, part: _Part) -> list[_Part] | None:
    """What is left to prove of a part; None where that is more than can be done so."""
    peak, levels_s = _best_prices(tree, engine, part)
    goal, level_s = tree.goal()[1], levels_s[0]
    if engine.proving(part.mask, tree.incumbent.prices[None], None, goal) is not None:
        part.attach(Leaf(tuple(tree.incumbent.prices.tolist())))
        return []
    enough = peak.value >= goal
    if not enough and (sides := _by_level(part, peak, levels_s)):
        return sides
    spans = engine.cover(part.mask, part.span_s, goal, peak.prices, level_s, _THIN if enough else _WIDE)
    pieces = _merged(part.span_s[0], spans)
    tree.pruned += len(pieces)
    attach, below = part.attach, []
    for n, (begin_s, span) in enumerate(pieces):
        here = attach
        if n + 1 < len(pieces):
            here, attach = _capped(attach, span.end_s)
        if span.is_proven:
            here(Leaf(tuple(span.prices.tolist())))
            continue
        inside = _Part(part.mask, (begin_s, span.end_s), peak.prices, here, span.level_s)
        if inside.span_s != part.span_s and (enough or not begin_s <= level_s <= span.end_s):
            below.append(inside)  # other prices may do there
        elif np.count_nonzero(part.mask) > len(part.mask):
            below.extend(_by_party(engine, inside, peak))
        else:
            return None
    return below


def _capped(attach: Callable[[Node], None], cap_s: float) -> tuple[Callable[[Node], None], Callable[[Node], None]]:
    """Where what is below a cap goes, and what is above [s]."""
    cap = Cap(cap_s, [Leaf(())] * 2)  # room for what follows in any order
    attach(cap)
    return into(cap.children, 0), into(cap.children, 1)


def _by_level(part: _Part, peak: Peak, levels_s: list[float]) -> list[_Part]:
    """The two parts by the largest latency, where the best prices waver between levels that are far apart: the one
    that they are drawn to comes first. Empty where they are not."""
    wavering = sorted(zip(levels_s[1:], peak.weights.tolist(), strict=True))
    apart_s, n = max(((b[0] - a[0], n) for n, (a, b) in enumerate(pairwise(wavering))), default=(0.0, 0))
    if apart_s <= _APART * levels_s[0]:
        return []
    cap_s = wavering[n][0] + 0.5 * apart_s
    if not part.span_s[0] < cap_s < part.span_s[1]:
        return []
    low, high = _capped(part.attach, cap_s)
    sides = [
        part._replace(span_s=(part.span_s[0], cap_s), start=peak.prices, attach=low, level_s=wavering[n][0]),
        part._replace(span_s=(cap_s, part.span_s[1]), start=peak.prices, attach=high, level_s=wavering[n + 1][0]),
    ]
    return sides if sum(weight for _, weight in wavering[: n + 1]) >= 0.5 else sides[::-1]


def _best_prices(tree: Tree, engine: LeveledEngine, part: _Part) -> tuple[Peak, list[float]]:
    """The best prices of a part, the level at which they are worth the least, and those that they waver between [s];
    the incumbent gets what they propose."""
    best, start = tree.incumbent, part.start
    for turn in range(_ROUNDS):
        known_s = engine.worst_s(best.choice, best.x)
        starts_s = [known_s, *_levels_within(part, known_s)] if turn == 0 else [known_s]
        goal, box = tree.goal()[1], tree.objective.box(best.objective)
        precision = _PRECISION * tree.gap
        peak, levels_s = engine.climb_within(part.mask, part.span_s, goal, box, start, precision, starts_s)
        tree.passes += peak.passes
        start, before = peak.prices, best.objective
        if len(peak.weights) and tree.in_time:
            best.offer_all([np.asarray(choice, np.int64) for choice in (peak.least, mixed(peak))])
        if not best.objective < before or peak.value < tree.goal()[1] * (1.0 - _HOPELESS):
            break
    return peak, levels_s


def _levels_within(part: _Part, known_s: float) -> list[float]:
    """Levels in a range [s]; in the whole some beside the one at which an allocation is known."""
    low, high = part.span_s
    noted = [] if part.level_s is None else [part.level_s]
    if low == 0.0:
        return [*noted, *(known_s * step for step in _STEPS)] if high == np.inf else [*noted, high]
    ahead = [low * step for step in (1.0, 1.1, 1.3, 2.0)] if high == np.inf else map(float, np.linspace(low, high, 4))
    return [*noted, *ahead]


def _merged(begin_s: float, spans: list[Span]) -> list[tuple[float, Span]]:
    """Parts of a range with where they begin; those that nothing proves are one where they meet [s]."""
    found: list[tuple[float, Span]] = []
    for span in spans:
        end_s, merged = span.end_s, span
        if not span.is_proven and found and not found[-1][1].is_proven:
            begin_s, last = found.pop()
            merged = min(last, span, key=lambda one: one.worth_s)._replace(end_s=end_s)
        found.append((begin_s, merged))
        begin_s = end_s
    return found


def _by_party(engine: LeveledEngine, part: _Part, peak: Peak) -> list[_Part]:
    """The two parts by the choices of the party that is the least decided."""
    party, first, second = undecided(peak, part.mask, None)
    row, head = part.mask[party], engine.head[party]
    near = nearer(engine.terms(party), first, second, row)
    sides, is_open = (row & near, row & ~near), head >= 0
    made = Branch(party, tuple(tuple((side[head] & is_open).nonzero()[0].tolist()) for side in sides))
    made.children.extend([Leaf(())] * 2)  # room for them, which come in any order
    part.attach(made)
    below = []
    for i, side in enumerate(sides):
        mask = part.mask.copy()
        mask[party] = side
        below.append(part._replace(mask=mask, attach=into(made.children, i)))
    return below
