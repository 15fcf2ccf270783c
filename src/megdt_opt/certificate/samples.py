"""What certificates of an `AllocationProblem` with samples prove.

Rows are users, choices are options with a piece of their m-th smallest sample (`megdt_opt.pricing.samples`), which the
check makes anew from the samples. In rational arithmetic a piece is believed where no more than m - 1 samples are below
its line at either of its ends: between them no others are, for all are lines.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

import numpy as np

from megdt_opt.certificate.allocation import AllocationProof, ExactTable, ExactValuer, Linear, Stage
from megdt_opt.certificate.check import Valuer, total_of
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.samples import Sampled
from megdt_opt.pricing.scaled import EDGE, Array
from megdt_opt.problem.allocation_problem import AllocationProblem


class SampleProof(AllocationProof):
    """As `Proof` has it.

    Parameters
    ----------
    problem : AllocationProblem
        With samples.
    sampled : Sampled, optional
        Its choices, where they have been made.
    """

    def __init__(self, problem: AllocationProblem, sampled: Sampled | None = None) -> None:
        super().__init__(problem)
        assert problem.samples is not None
        self._sampled = sampled
        # a choice is compared with all samples of its option, at both ends of its piece
        self.size = 10 * problem.samples[0].size

    @cached_property
    def sampled(self) -> Sampled:
        """The choices of the problem."""
        return self._sampled or Sampled(self.problem)

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it."""
        return self.sampled.open.copy()

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        return super().fault(leaf) or ("limits on counts mean nothing here" if leaf.counts else "")

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactLevels(self.sampled) if exact else FloatLevels(self.sampled)


class FloatLevels:
    """By the priced costs of choices in floating arithmetic, with a margin.

    Parameters
    ----------
    sampled : Sampled
    """

    def __init__(self, sampled: Sampled) -> None:
        self.sampled = sampled
        self._last: tuple[tuple[float, ...], float | None] | None = None
        self._cost: Array = np.zeros((0, 0))

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        if self._last != (part.leaf.prices, level_s):
            found = self.sampled.priced(np.array(part.leaf.prices), level_s)
            self._last, self._cost = (part.leaf.prices, level_s), found.cost - found.doubt
        return total_of(part, self._cost)


class ExactLevels(ExactValuer):
    """In rational arithmetic.

    Parameters
    ----------
    sampled : Sampled
    """

    def __init__(self, sampled: Sampled) -> None:
        super().__init__(sampled.problem, sampled.flat[1])
        self.sampled = sampled
        self._below: dict[tuple[int, int], bool] = {}

    def table(self, prices: tuple[float, ...], level_s: float | None) -> ExactTable:
        """As `ExactValuer` has it."""
        return _Table(self, prices, level_s)

    def is_below(self, k: int, c: int) -> bool:
        """Whether the line of a choice is nowhere above the m-th smallest sample on its piece."""
        if (k, c) not in self._below:
            self._below[k, c] = self._no_more_below(k, c)
        return self._below[k, c]

    def _no_more_below(self, k: int, c: int) -> bool:
        s, p = self.sampled, self.sampled.problem
        assert p.samples is not None
        fixed, work, kept = p.samples
        o = int(s.option[k, c])
        own, steep = Fraction(float(s.tables["fixed_s"][k, c])), Fraction(float(s.tables["edge_work_s"][k, c]))
        ends = [Fraction(float(s.from_u[k, c])) * (1 - Fraction(1, 2**50))]
        below = set()
        lines = [(Fraction(float(a)), Fraction(float(g))) for a, g in zip(fixed[k, o], work[k, o], strict=True)]
        if np.isfinite(s.to_u[k, c]):
            ends.append(Fraction(float(s.to_u[k, c])) * (1 + Fraction(1, 2**50)))
        else:
            below |= {j for j, (_, g) in enumerate(lines) if g < steep}
        for u in ends:
            below |= {j for j, (a, g) in enumerate(lines) if a + g * u < own + steep * u}
        return len(below) < kept


class _Table(ExactTable):
    """Rational lower bounds of the costs of choices at given prices."""

    def __init__(self, levels: ExactLevels, prices: tuple[float, ...], level: float | None) -> None:
        core, resources = levels.sampled.flat
        self.levels = levels
        super().__init__(core, resources, prices, level)
        self.hint = levels.sampled.priced_flat(np.array(prices), level)

    def cost(self, k: int, o: int) -> Fraction | float:
        """Of choice `o` of user `k`; less than any number where its line is not below the samples."""
        if not self.levels.is_below(k, o):
            return Fraction(-(10**40))
        return super().cost(k * self.levels.sampled.width + o, 0)

    def _part(self, i: int, k: int, o: int) -> Stage | None:
        found = super()._part(i, k, o)
        if i != EDGE or found is None:
            return found
        # the share of the edge is between the ends of the piece, which are widened by rounding
        s = self.levels.sampled
        hi = min(found.hi, 1 / (Fraction(float(s.from_u.ravel()[k])) * self.budgets[EDGE]) * (1 + Fraction(1, 2**50)))
        own = Linear(self.prices[EDGE], found.a, hi, None)
        if np.isfinite(s.to_u.ravel()[k]):
            own.lo = min(1 / (Fraction(float(s.to_u.ravel()[k])) * self.budgets[EDGE]) * (1 - Fraction(1, 2**50)), hi)
        return own
