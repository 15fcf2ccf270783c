"""The `Pricing` of a batched edge with whole chains for "sum": a row is a user, a choice its edge steps, 0 or N."""

from __future__ import annotations

import numpy as np

from megdt_opt.certificate.batched_edge import BlockFloats, block_mask
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.batched_band import DOWNLOAD, NOTHING, Blocks
from megdt_opt.pricing.batched_blocks import MOST_RISES, best_blocks
from megdt_opt.pricing.scaled import Array
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.engines.engine import Choice, Priced, Settled


class BlockPricing:
    """As `Pricing` has it.

    Parameters
    ----------
    blocks : Blocks
    """

    leveled = False

    def __init__(self, blocks: Blocks) -> None:
        self.blocks, self.problem = blocks, blocks.problem
        self.open: Mask = block_mask(self.problem)
        self.used = np.array([blocks.band.used, False, False])
        self._ends = np.array([0, self.problem.steps])

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it."""
        phi, x = self.blocks.band.at(float(prices[0]))
        total, served = self.blocks.costs(mask[:, self._ends], phi).cheapest()
        choice = np.zeros(self.problem.users, dtype=np.int64)
        choice[self.blocks.order[served]] = self.problem.steps
        return Priced(float(total), np.array([float(x[choice > 0].sum()), 0.0, 0.0]), choice)

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it; with many users 0 for what is not ruled out, which is never too much."""
        phi, _ = self.blocks.band.at(float(prices[0]))
        costs = self.blocks.costs(mask[:, self._ends], phi)
        table = np.where(mask, 0.0, np.inf)
        if self.problem.users > MOST_RISES:
            return float(costs.least()), table
        total, forced = costs.rises()
        rise = np.empty(forced.shape)
        with np.errstate(invalid="ignore"):
            rise[self.blocks.order] = np.where(np.isfinite(forced), np.maximum(forced - total, 0.0), np.inf)
        table[:, self._ends] = np.where(mask[:, self._ends], rise, np.inf)
        return float(total), table

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Pricing` has it: the users whose switch costs least by the choice's own blocks."""
        if self.problem.users > MOST_RISES:
            return []
        total, rise = self.rises(self.open, prices, None)
        other = np.where(choice > 0, 0, self.problem.steps)
        cost = rise[np.arange(len(choice)), other]
        hope = np.flatnonzero(cost < goal[1] + float(prices.sum()) - total)
        hope = hope[np.argsort(cost[hope], kind="stable")][:most]
        trials = np.repeat(choice[None], len(hope), axis=0)
        trials[np.arange(len(hope)), hope] = other[hope]
        return list(trials)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it: blocks by their program, shares in closed form or by interior points."""
        problem, band = self.problem, self.blocks.band
        served = choice > 0
        x = np.zeros((3, problem.users))
        local_s = problem.steps * problem.steps_s + problem.local_rest_s
        total = float((problem.weights * np.where(served, problem.rest_s, local_s)).sum())
        ends = self.ends_s(choice)
        total += float(problem.weights[served] @ ends[served])
        if total >= ceiling_s:
            return Settled(np.inf, prices, x, choice)
        found = best_shares(band.core, band.resources, np.where(served, DOWNLOAD, NOTHING)[None])
        return Settled(total + float(found.objective[0]), found.prices[0], found.x[0], choice)

    def sizes(self, choice: Choice) -> tuple[Choice, list[int]]:
        """Those served, in the order of their weights, and the sizes of their blocks."""
        problem = self.problem
        served = self.blocks.order[choice[self.blocks.order] > 0]
        n = problem.steps
        return served, best_blocks(problem.weights[served], n * problem.step_slope_s, n * problem.step_base_s)

    def ends_s(self, choice: Choice) -> Array:
        """Ends of the users' blocks, (K,) [s]; 0 for those on their devices."""
        problem = self.problem
        served, sizes = self.sizes(choice)
        users = np.cumsum(sizes)
        lengths = problem.step_slope_s * users + problem.step_base_s * np.arange(1, len(sizes) + 1)
        ends = np.zeros(problem.users)
        ends[served] = np.repeat(problem.start_s + problem.steps * lengths, sizes)
        return ends

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: what costs least at prices of several sizes."""
        worst = float(self.blocks.local.sum()) + 1e-300
        made = [self.price(self.open, np.array([scale * worst, 0.0, 0.0]), None).choice for scale in (1e-4, 1e-2, 1.0)]
        return list({one.tobytes(): one for one in made}.values())

    def terms(self, row: int) -> Array:
        """As `Pricing` has it."""
        return np.arange(self.open.shape[1], dtype=np.float64)[None]

    def valuer(self) -> Valuer:
        """As `Pricing` has it."""
        return BlockFloats(self.blocks)
