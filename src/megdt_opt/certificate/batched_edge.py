"""What certificates of a `BatchedEdgeProblem` prove, recomputed in rational or in floating arithmetic.

For "sum" with whole chains a leaf prices the band, and the block program (`pricing/batched_blocks.py`) gives the least
cost of the allocations that it leaves. Exactly: every cost is rounded down to a whole multiple of a grain, and the
program, which adds and compares, then runs in integers. Everything else is proven by prices of machine time
(`certificate/batched_times.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import ExactTable
from megdt_opt.certificate.batched_times import TimesProof
from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.batched_band import DOWNLOAD, Blocks, blocks_suffice
from megdt_opt.pricing.batched_blocks import MOST_RISES, BlockCosts
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem

Ints = NDArray[np.int64]

_TOP = 1 << 61
"""Stands for what cannot be; two of them still fit 64 bit."""

_WHOLE = 1 << 58
"""Grains that all costs together have at most."""


def block_mask(problem: BatchedEdgeProblem) -> Mask:
    """Whole chains that are open, (K, N + 1): all steps at the edge, or none."""
    mask = problem.open_cuts.copy()
    mask[:, 1:-1] = False
    return mask


class BlockProof:
    """As `Proof` has it; a row is a user, a choice the number of its steps at the edge.

    Parameters
    ----------
    problem : BatchedEdgeProblem
        "sum" with whole chains.
    blocks : Blocks, optional
        The problem, read before.
    """

    budgets = 3
    cost_prices = 0

    def __init__(self, problem: BatchedEdgeProblem, blocks: Blocks | None = None) -> None:
        self.problem, self.objective = problem, problem.objective
        self.size = problem.users * (problem.steps + 1)
        self.blocks = blocks or Blocks(problem)

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it."""
        return block_mask(self.problem)

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if len(leaf.prices) != self.budgets or min(leaf.prices) < 0:
            return "a leaf's prices are not three numbers of at least 0"
        return "a leaf has multipliers of counts" if leaf.counts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return BlockIntegers(self.blocks) if exact else BlockFloats(self.blocks)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


class BlockFloats:
    """In floating arithmetic, with a margin.

    Parameters
    ----------
    blocks : Blocks
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        phi, _ = self.blocks.band.at(part.leaf.prices[0])
        mask, ends = part.mask, [0, self.blocks.problem.steps]
        costs = self.blocks.costs(mask[:, ends], phi)
        total = float(_least(costs, self.blocks, part))
        charged = sum(part.leaf.prices)
        return total - charged - MARGIN * (abs(total) + charged) if np.isfinite(total) else np.inf


class BlockIntegers:
    """In integers, from rationals with square roots and logarithms bracketed outward.

    Parameters
    ----------
    blocks : Blocks
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        p, order = blocks.problem, blocks.order
        n, users = p.steps, p.users
        self._weight = [Fraction(float(p.weights[k])) for k in order]
        slope, base = n * Fraction(p.step_slope_s), n * Fraction(p.step_base_s)
        rest, local = ([Fraction(float(s[k])) for k in order] for s in (p.rest_s, p.local_rest_s))
        self._stay = [
            w * (n * Fraction(float(p.steps_s[k])) + r) for w, r, k in zip(self._weight, local, order, strict=True)
        ]
        self._fixed = [w * (Fraction(p.start_s) + r) for w, r in zip(self._weight, rest, strict=True)]
        self._by_users = [[w * slope * u for u in range(users + 1)] for w in self._weight]
        self._by_blocks = [[w * base * j for j in range(blocks.blocks + 1)] for w in self._weight]
        self._tables: dict[float, tuple[Fraction, BlockCosts]] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it."""
        price = part.leaf.prices[0]
        if price not in self._tables:
            self._tables[price] = self._table(price)
        grain, costs = self._tables[price]
        mask = part.mask[:, [0, self.blocks.problem.steps]][self.blocks.order]
        closed = BlockCosts(
            stay=np.where(mask[:, 0], costs.stay, _TOP), serve=np.where(mask[:, 1], costs.serve, _TOP),
            by_users=costs.by_users, by_blocks=costs.by_blocks, top=_TOP,
        )  # fmt: skip
        total = int(_least(closed, self.blocks, part))
        if total >= _TOP // 2:
            return np.inf
        return total * grain - sum(map(Fraction, part.leaf.prices), Fraction(0))

    def _table(self, price: float) -> tuple[Fraction, BlockCosts]:
        """The grain, and all costs in grains, rounded down."""
        band, p = self.blocks.band, self.blocks.problem
        exact = ExactTable(band.core, band.resources, (price, 0.0, 0.0), None)
        serve: list[Fraction | float] = []
        for fixed, k in zip(self._fixed, self.blocks.order, strict=True):
            serve.append(fixed + exact.cost(int(k), DOWNLOAD) if p.open_cuts[k, p.steps] else np.inf)
        most = [
            max([stay, *([Fraction(one) + u[-1] + b[-1]] if one != np.inf else [])])
            for stay, one, u, b in zip(self._stay, serve, self._by_users, self._by_blocks, strict=True)
        ]
        grain = sum(most, Fraction(0)) / _WHOLE or Fraction(1)

        def grains(values: Sequence[Fraction | float]) -> Ints:
            return np.array([_TOP if v == np.inf else int(Fraction(v) // grain) for v in values], dtype=np.int64)

        return grain, BlockCosts(
            stay=grains(self._stay), serve=grains(serve), by_users=np.stack([grains(row) for row in self._by_users]),
            by_blocks=np.stack([grains(row) for row in self._by_blocks]), top=_TOP,
        )  # fmt: skip


def _least(costs: BlockCosts, blocks: Blocks, part: Part) -> Any:
    """The least total of a part; where choices are ruled out, of the allocations that take one of them."""
    if part.removed is None:
        return costs.least()
    removed = part.removed[:, [0, blocks.problem.steps]][blocks.order]
    if not removed.any():
        return costs.top
    if blocks.problem.users > MOST_RISES:
        return costs.least()
    _, forced = costs.rises()
    return forced[removed].min()


def proof(problem: BatchedEdgeProblem) -> BlockProof | TimesProof:
    """How certificates of a problem are recomputed."""
    return BlockProof(problem) if blocks_suffice(problem) else TimesProof(problem)
