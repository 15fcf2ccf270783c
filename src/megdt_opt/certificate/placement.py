"""What certificates of a `PlacementProblem` prove, recomputed in rational or in floating arithmetic.

A leaf prices the 3 E budgets. The costs of a server's options are those of an `AllocationProblem` of its users, so that
the same tables bound them; the least total is over the placements that the rows of the leaf leave.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import ExactTable
from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.held_models import HeldModels
from megdt_opt.pricing.held_parts import held_models
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem

_GRAIN = Fraction(1, 1 << 160)
"""Costs are rounded down to whole multiples of it, so that sums and comparisons are those of integers."""


class PlacementProof:
    """As `Proof` has it; a row is a user, and where models are placed after them a server.

    Parameters
    ----------
    problem : PlacementProblem
    costs : ServerCosts, optional
        The problem, read before.
    held : HeldModels, optional
        Its placements, found before.
    """

    cost_prices = 0

    def __init__(
        self, problem: PlacementProblem, costs: ServerCosts | None = None, held: HeldModels | None = None
    ) -> None:
        self.problem = problem
        self.objective, self.budgets = problem.objective, 3 * problem.servers
        self.size = problem.users * problem.options
        self.costs = costs or ServerCosts(problem)
        self.held = held or held_models(problem)

    def to_partition(self, exact: bool) -> Mask:
        """Open options of the users, and the maximal sets of models of the servers; neither depends on rounding."""
        return self.held.open

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if len(leaf.prices) != self.budgets or min(leaf.prices) < 0:
            return f"a leaf's prices are not {self.budgets} numbers of at least 0"
        return "a leaf has multipliers of counts or cuts" if leaf.counts or leaf.cuts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactValuer(self.costs, self.held) if exact else FloatValuer(self.costs, self.held)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


def proof(problem: PlacementProblem) -> PlacementProof:
    """How certificates of a problem are recomputed."""
    return PlacementProof(problem)


class FloatValuer:
    """By the priced costs in floating arithmetic, with a margin.

    Parameters
    ----------
    costs : ServerCosts
    held : HeldModels
    """

    def __init__(self, costs: ServerCosts, held: HeldModels) -> None:
        self.costs, self.held = costs, held

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        table = self.costs.at(np.array(part.leaf.prices), level_s)
        total = float(_least(self.held, table.cost - table.doubt, part))
        charged = sum(part.leaf.prices)
        return total - charged - MARGIN * (abs(total) + charged) if np.isfinite(total) else np.inf


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward, and costs rounded down to a grain.

    Parameters
    ----------
    costs : ServerCosts
    held : HeldModels
    """

    def __init__(self, costs: ServerCosts, held: HeldModels) -> None:
        self.costs, self.held = costs, held
        self._tables: dict[tuple[float, ...], NDArray[Any]] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it; the level is the same at every call."""
        prices = part.leaf.prices
        if prices not in self._tables:
            self._tables[prices] = self._table(prices, level_s)
        total = _least(self.held, self._tables[prices], part)
        if total == np.inf:
            return np.inf
        return int(total) * _GRAIN - sum(map(Fraction, prices), Fraction(0))

    def _table(self, prices: tuple[float, ...], level_s: float | None) -> NDArray[Any]:
        """Lower bounds of the costs in grains, (K, O); infinite where proven closed."""
        found = np.full(self.costs.open.shape, np.inf, dtype=object)
        e = self.costs.problem.servers
        for part in self.costs.parts:
            own = (0.0,) * 3 if part.server == NO_SERVER else prices[part.server :: e]
            table = ExactTable(part.problem, part.resources, own, level_s)
            for n, c in np.argwhere(part.problem.allowed_mask).tolist():
                cost = table.cost(n, c)
                if cost != np.inf:
                    found[part.user[n], part.option[n, c]] = int(Fraction(cost) // _GRAIN)
        return found


def _least(held: HeldModels, cost: NDArray[Any], part: Part) -> Any:
    """The least total of a part; where options are ruled out, of the allocations that take one of them."""
    if part.removed is None:
        return held.least(cost, part.mask).total
    found = held.least(cost, part.mask, rises=True)
    assert found.rises is not None
    ruled_out = found.rises[part.removed]
    return np.inf if found.total == np.inf or not ruled_out.size else found.total + ruled_out.min()
