"""Servers that hold parts of a model, of which an option needs several: as `held_models` has it, by its own sums.

A user's options may need different parts at one server, so that no table of a model says what it costs to do without
it: the least costs of every user at every server with each of its maximal sets are put together, placement by
placement.
"""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.held_models import Choice, HeldModels, Mask, Numbers
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem

MOST_SUMS = 4_000_000
"""Joint placements times users that are looked at one by one, at most [1]."""

_BLOCK = 1_000_000


def held_models(problem: PlacementProblem) -> HeldModels:
    """Rows, choices and placements of a problem, whether users or options name what they need."""
    return HeldModels(problem) if problem.option_model is None else HeldParts(problem)


class HeldParts(HeldModels):
    """Of a problem with `option_model`."""

    def served(self, held: Mask) -> Mask:
        """Options whose server holds all that they need, where `held` (E, M) does, (K, O)."""
        assert self.problem.option_model is not None
        lacks = (self.problem.option_model & ~held[self.server]).any(axis=2)
        return np.asarray((self.server == NO_SERVER) | ~lacks)

    def _too_many(self, left: list[Choice]) -> bool:
        joint = float(np.prod([float(len(one)) for one in left]))
        return super()._too_many(left) or joint * self.users > MOST_SUMS

    def _totals(self, here: Numbers, left: list[Choice], mask: Mask, swift: bool) -> Numbers:
        alone = np.where(self.server == NO_SERVER, here, np.inf).min(axis=1)
        own = [self._at(here, e, c) for e, c in enumerate(left)]
        joint = int(np.prod([len(one) for one in own]))
        totals = np.zeros(joint, dtype=here.dtype)
        size = max(1, _BLOCK // joint)
        for begin in range(0, self.users, size):
            block = slice(begin, begin + size)
            least = alone[None, block]
            for one in own:
                least = np.minimum(least[:, None], one[None, :, block]).reshape(-1, least.shape[1])
            totals = totals + least.sum(axis=1)
        return totals

    def _at(self, here: Numbers, server: int, sets: Choice) -> Numbers:
        """Each user's least cost at a server that holds one of its sets (S,), (S, K)."""
        assert self.problem.option_model is not None
        cost = np.where(self.server == server, here, np.inf)
        found = []
        for c in sets:
            lacks = (self.problem.option_model & ~self.sets[server][c]).any(axis=2)
            found.append(np.where(lacks, np.inf, cost).min(axis=1))
        return np.array(found, dtype=here.dtype)

    def _rises_without(self, own: Numbers, least: Numbers, left: list[Choice]) -> list[Numbers]:
        found = []
        for e, sets in enumerate(left):
            elsewhere = np.where(self.server == e, np.inf, own).min(axis=1)
            found.append((np.minimum(self._at(own, e, sets), elsewhere) - least).sum(axis=1))
        return found
