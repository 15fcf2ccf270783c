"""How long it takes to seal what a tree has proven, which is kept back from a limit on the time."""

from __future__ import annotations

import time

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.solving.search.tree import Tree

_TRIALS, _TRIALS_S = 3, 2e-2
"""Trials of sealing one part of a tree [1], and the time after which there are no more [s]."""


def part_s(tree: Tree, mask: Mask, valuer: Valuer) -> float:
    """How long sealing takes for one part of a tree: the shortest of some trials [s]."""
    took: list[float] = []
    while len(took) < _TRIALS and sum(took) <= _TRIALS_S:
        # other prices each time: a valuer may remember the last
        leaf = Leaf(tuple((tree.objective.start(tree.incumbent.prices) * 0.5 ** len(took)).tolist()))
        begin = time.monotonic()
        valuer.value(Part(leaf, mask, (), removed=mask), tree.incumbent.objective if tree.objective.leveled else None)
        took.append(time.monotonic() - begin)
    return min(took)
