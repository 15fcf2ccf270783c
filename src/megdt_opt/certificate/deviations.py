"""What certificates of an `AllocationProblem` with a budget of deviations prove.

A leaf carries prices alone. At any deviations xi within the budget the problem is a core problem that costs no more
than the worst case, so what is proven of it is proven: the check chooses a good xi for each option, rounds the numbers
there down, and goes on as for the core problem (`megdt_opt.certificate.allocation`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from megdt_opt.certificate.allocation import AllocationProof, ExactTable, ExactValuer
from megdt_opt.certificate.check import Valuer, total_of
from megdt_opt.certificate.tree import Mask, Part
from megdt_opt.pricing.deviations import Deviating
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem


class DeviationProof(AllocationProof):
    """As `Proof` has it.

    Parameters
    ----------
    problem : AllocationProblem
        With a budget of deviations.
    deviating : Deviating, optional
        The same, where that has been made.
    """

    def __init__(self, problem: AllocationProblem, deviating: Deviating | None = None) -> None:
        super().__init__(problem)
        self._deviating = deviating

    @cached_property
    def deviating(self) -> Deviating:
        """The problem at given deviations."""
        return self._deviating or Deviating.of(self.problem)

    def to_partition(self, exact: bool) -> Mask:
        """All open options but those that an air time limit closes by its own worst case, which is proven anew."""
        mask, resources = self.problem.open_options.copy(), self.deviating.widest
        xi = np.zeros((4, *mask.shape))
        xi[1 + UPLINK] = self.deviating.one
        widest = self.deviating.at(xi, down=True)
        table = ExactTable(widest, Resources.of(widest), (0.0,) * 3, None) if exact else None
        for k, o in np.argwhere(mask & ~resources.open):
            if table is None or table.cost(int(k), int(o)) == float("inf"):
                mask[k, o] = False
        return mask

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactWorst(self.problem, self.deviating) if exact else FloatWorst(self.deviating)


class FloatWorst:
    """By the priced costs of the worst case in floating arithmetic, with a margin.

    Parameters
    ----------
    deviating : Deviating
    """

    def __init__(self, deviating: Deviating) -> None:
        self.deviating = deviating
        self._last: tuple[tuple[float, ...], float | None] | None = None
        self._cost: Array = np.zeros((0, 0))

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        if self._last != (part.leaf.prices, level_s):
            found, _ = self.deviating.priced(np.array(part.leaf.prices), level_s, down=True)
            self._last, self._cost = (part.leaf.prices, level_s), found.cost - found.doubt
        return total_of(part, self._cost)


class ExactWorst(ExactValuer):
    """In rational arithmetic, with square roots and logarithms bracketed outward.

    Parameters
    ----------
    problem : AllocationProblem
    deviating : Deviating
    """

    def __init__(self, problem: AllocationProblem, deviating: Deviating) -> None:
        super().__init__(problem, deviating.widest)
        self.deviating = deviating

    def table(self, prices: tuple[float, ...], level_s: float | None) -> ExactTable:
        """As `ExactValuer` has it, of the problem at deviations that are bad at these prices."""
        _, xi = self.deviating.priced(np.array(prices), level_s, down=True)
        core = self.deviating.at(xi, down=True)
        return ExactTable(core, Resources.of(core), prices, level_s)
