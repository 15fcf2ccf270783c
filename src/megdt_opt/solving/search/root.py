"""The first good prices, and good choices by rounding them and by switching single users."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Peak
from megdt_opt.solving.search.tree import Tree
from megdt_opt.solving.search.wavering import mixed

_ROUNDS = 3
_SWITCHES, _TRIES = 40, 12


def root(tree: Tree) -> Array:
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
        for _turn in range(_SWITCHES):
            level, goal = tree.goal()
            tree.passes += 1
            if engine.proving(mask, peak.prices[None], level, goal) is not None:
                return start
            if not tree.in_time or not _switch(tree):
                break
        if objective.leveled or best.objective >= before * (1.0 - 1e-3) or peak.prices[:3].max() < 0.5 * box:
            break  # the best prices hang on the incumbent by the box alone
    return start


def _rounded(tree: Tree, peak: Peak) -> list[Choice]:
    if not len(peak.weights):
        least = tree.engine.price(tree.engine.heads, peak.prices, tree.goal()[0])
        return [least.choice] if np.isfinite(least.total) else []
    found = [mixed(peak), *peak.choices]
    return [choice for choice in found if len(choice)]


def _switch(tree: Tree) -> bool:
    """Switch one user of the best set to an option that the set's prices leave hope for; True where it helped."""
    best, engine = tree.incumbent, tree.engine
    prices = tree.objective.start(best.prices)
    level, goal = tree.goal()
    rows = np.arange(len(best.choice))
    only = np.zeros_like(engine.heads)
    only[rows, best.choice] = True
    own = engine.costs(only, prices, best.objective if tree.objective.leveled else None)[rows, best.choice]
    costs = engine.costs(engine.heads, prices, level)
    room = goal + float(prices[:3].sum()) - float(own.sum())
    rise = costs - own[:, None]
    rise[rows, best.choice] = np.inf
    user, option = np.nonzero(rise < room)
    order = np.argsort(rise[user, option], kind="stable")
    trials = []
    for i in order[:_TRIES].tolist():
        trial = best.choice.copy()
        trial[user[i]] = option[i]
        trials.append(trial)
    return bool(trials) and best.offer_all(trials, prices, first=True)
