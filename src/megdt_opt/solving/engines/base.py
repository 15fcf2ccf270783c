"""What follows for engines from what their choices cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.engines.engine import NO_CHOICE, NO_WEIGHTS, Choice, Narrowed, Peak
from megdt_opt.solving.search.wavering import nearer, undecided


class Summed:
    """What follows for engines from what their choices cost, where no largest latency is paid for beside that."""

    head: Choice
    budgets: int

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        raise NotImplementedError

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, passes: int, start: Array) -> Peak:
        """As `Engine` has it."""
        raise NotImplementedError

    def rises(
        self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None
    ) -> tuple[float, Array]:
        """As `Engine` has it."""
        raise NotImplementedError

    def charged(self, prices: Array) -> float:
        """What prices take off the total."""
        return float(prices[: self.budgets].sum())

    def terms(self, party: int) -> Array:
        """As `Engine` has it."""
        raise NotImplementedError

    def latencies(self, mask: Mask, prices: Array) -> Array | None:
        """Weighted latencies of all choices within a mask, (K, C) [s], where the largest is paid for too; else None."""
        return None

    def split(self, mask: Mask, peak: Peak) -> tuple[int, Mask]:
        """As `Engine` has it."""
        party, first, second = undecided(peak, mask, self.latencies(mask, peak.prices))
        return party, nearer(self.terms(party), first, second, mask[party])

    def ruled_out(self, mask: Mask, prices: Array, goal: float) -> Iterator[tuple[Array, Mask]]:
        """As `Engine` has it."""
        return iter(())

    def narrow(self, mask: Mask, level_s: float | None, goal: float, box: float, passes: int, tried: Array) -> Narrowed:
        """As `Engine` has it; prices that are tried alone are where the search for better ones begins."""
        count, ruled_out = 0, []
        if len(tried) > 1:
            at, count = self.proving(mask, tried, level_s, goal), 1
            if at is not None:
                return Narrowed(Peak(tried[at], goal, count, NO_CHOICE, NO_WEIGHTS), [])
        peak = self.climb(mask, level_s, goal, box, passes, tried[0])
        if peak.value < goal:
            total, rises = self.rises(mask, peak.prices, level_s)
            value = total - self.charged(peak.prices)
            dear = mask & (rises >= goal - value)
            if value < goal:
                by_cost = [(peak.prices, dear)] if dear.any() else []
                for prices, gone in (*by_cost, *self.ruled_out(mask & ~dear, peak.prices, goal)):
                    ruled_out.append((prices, np.take_along_axis(gone, self.head, axis=1) & (self.head >= 0)))
                    mask = mask & ~gone
        count += peak.passes
        if ruled_out:
            peak = self.climb(mask, level_s, goal, box, passes, peak.prices)
            count += peak.passes
        return Narrowed(peak._replace(passes=count), ruled_out)


class Separable(Summed):
    """What follows for engines whose rows do not meet but in the budgets: the total is the sum over rows."""

    problem: AllocationProblem
    heads: Mask
    budgets = 3
    countable = True

    def terms(self, party: int) -> Array:
        """As `Engine` has it."""
        return np.array([table[party] for table in self._tables])

    def summary(self) -> Array:
        """As `Engine` has it: users may differ in their rates and caps too."""
        p = self.problem
        sums = [np.where(self.heads, table, 0.0).sum(axis=1) for table in self._tables]
        own = (p.downlink_efficiency, p.uplink_efficiency, p.downlink_snr_hz, p.uplink_snr_hz, p.edge_share_max)
        return np.stack([*sums, *(one for one in own if one is not None)], axis=1)

    @property
    def _tables(self) -> tuple[Array, ...]:
        p = self.problem
        tables = (p.downlink_bit, p.uplink_bit, p.edge_work_s, p.fixed_s)
        return tables if p.device_branch_s is None else (*tables, p.device_branch_s)

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        raise NotImplementedError

    def rises(
        self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None
    ) -> tuple[float, Array]:
        """As `Engine` has it."""
        cost = self.costs(mask, prices, level_s)
        cost = cost if extra is None else cost + extra
        least = cost.min(axis=1)
        if not np.isfinite(least).all():
            return np.inf, np.full(cost.shape, np.inf)
        return float(least.sum()), cost - least[:, None]

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it."""
        rows = np.arange(len(choice))
        costs = self.costs(self.heads, prices, goal[0])
        own = (costs if own_level_s is None else self.costs(self.heads, prices, own_level_s))[rows, choice]
        with np.errstate(invalid="ignore"):  # what is closed at its own level, within rounding, has no rise
            rise = costs - own[:, None]
        rise[rows, choice] = np.inf
        user, option = np.nonzero(rise < goal[1] + float(prices[: self.budgets].sum()) - float(own.sum()))
        order = np.argsort(rise[user, option], kind="stable")[:most]
        trials = np.repeat(np.asarray(choice)[None], len(order), axis=0)
        trials[np.arange(len(order)), user[order]] = option[order]
        return list(trials)
