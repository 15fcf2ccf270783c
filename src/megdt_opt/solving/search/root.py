"""The first good prices, and good choices by rounding them and by switching single users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Peak
from megdt_opt.solving.search.tree import Tree
from megdt_opt.solving.search.wavering import mixed

_ROUNDS = 3
_SWITCHES, _TRIES = 40, 12


class Root(NamedTuple):
    """Where a tree begins.

    Parameters
    ----------
    prices : array, (M,)
        As `Engine` has them.
    proven : bool
        Whether they prove the goal already, so that the tree is one leaf.
    """

    prices: Array
    proven: bool


def root(tree: Tree) -> Root:
    """Prices to begin the tree with; the incumbent gets what is found on the way."""
    best, objective, engine = tree.incumbent, tree.objective, tree.engine
    mask = engine.heads
    start = objective.start(best.prices)
    for _ in range(_ROUNDS):
        before = best.objective
        box = objective.box(best.objective)
        peak = engine.peak(mask, best.objective, box, tree.gap, objective.start(best.prices))
        tree.passes += peak.passes
        start = peak.prices
        if tree.in_time:
            best.offer_all(_rounded(tree, peak), peak.prices)
            if tree.is_crowd(peak):
                tree.find_kinds(mask, peak)
        for _turn in range(_SWITCHES):
            level, goal = tree.goal()
            tree.passes += 1
            if engine.proving(mask, peak.prices[None], level, goal) is not None:
                return Root(start, True)
            if not tree.in_time or not _switch(tree):
                break
        boxed = peak.prices[: engine.budgets].max() >= 0.5 * box
        if objective.leveled or best.objective >= before * (1.0 - 1e-3) or not boxed:
            break  # the best prices hang on the incumbent by the box alone
    return Root(start, False)


def _rounded(tree: Tree, peak: Peak) -> list[Choice]:
    if not len(peak.weights):
        least = tree.engine.price(tree.engine.heads, peak.prices, tree.goal()[0])
        return [least.choice] if np.isfinite(least.total) else []
    found = [mixed(peak), *peak.choices]
    return [choice for choice in found if len(choice)]


def _switch(tree: Tree) -> bool:
    """Switch one user of the best set to an option that the set's prices leave hope for; True where it helped."""
    best = tree.incumbent
    prices = tree.objective.start(best.prices)
    own_level = best.objective if tree.objective.leveled else None
    trials = tree.engine.switches(best.choice, prices, own_level, tree.goal(), _TRIES)
    return bool(trials) and best.offer_all(trials, prices, first=True)
