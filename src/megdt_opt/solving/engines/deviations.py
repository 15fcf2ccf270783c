"""The engine of problems whose numbers deviate within a budget: that of arrays, with the worst case in each cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.deviations import FloatWorst
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing import priced as pricing
from megdt_opt.pricing.deviations import Deviating
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.deviations import worst_shares
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.engine import Choice, Settled


class DeviationEngine(ArraysEngine):
    """As `Engine` has it, for "sum" and "max"; no option dominates another.

    Parameters
    ----------
    problem : AllocationProblem
        With a budget of deviations.
    deviating : Deviating
        The same at given deviations.
    known : list of array of int, (K,)
        Choices to begin with, beside simple ones.
    gap : float
        Relative gap to prove [1].
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    """

    def __init__(
        self, problem: AllocationProblem, deviating: Deviating, known: list[Choice], gap: float, deadline: float
    ) -> None:
        self.problem, self.deviating, self.known, self.deadline = problem, deviating, known, deadline
        self.gap = gap
        self.resources = deviating.widest
        self.leveled = problem.objective == "max"
        self.loads: Array = np.zeros((*problem.fixed_s.shape, 0))
        self.budgets = 3
        self.used = np.any(problem.most_amounts > 0, axis=(1, 2))
        self.heads = problem.open_options & self.resources.open
        self.head: Choice = np.where(self.heads, np.arange(problem.options), -1)
        self._known: dict[tuple[bytes, float | None], pricing.Priced] = {}

    @property
    def open(self) -> Mask:
        """As `Pricing` has it."""
        return self.heads

    def _table(self, prices: Array, level_s: float | None) -> pricing.Priced:
        key = (prices.tobytes(), level_s)
        if key not in self._known:
            if len(self._known) > 64:
                self._known.clear()
            self._known[key] = self.deviating.priced(prices, level_s)[0]
        return self._known[key]

    @property
    def _tables(self) -> tuple[Array, ...]:
        return (*super()._tables, self.deviating.own_s, *self.deviating.amounts)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        return next(self._settled(np.array([choice], dtype=np.int64)))

    def _settled(self, sets: Choice) -> Iterator[Settled]:
        found = worst_shares(self.problem, self.deviating, np.asarray(sets, dtype=np.int64), self.gap)
        for choice, objective, own, x in zip(sets, found.objective.tolist(), found.prices, found.x, strict=True):
            yield Settled(objective, own, x, choice)

    def first_sets(self) -> Choice:
        """As `Engine` has it."""
        simple = super().first_sets()
        return np.concatenate([np.array(self.known, dtype=np.int64).reshape(-1, self.problem.users), simple])

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return FloatWorst(self.deviating)
