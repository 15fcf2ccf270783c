"""What options of programs of any shape cost at prices: one concave maximisation over flows.

The longest path of an option is the largest sum, over flows of value 1 from the source of its graph to the sink, of
flow times time. With a flow F of value mu, A_e = F_e a_e where a_e is the time of a task on the whole of a scaled
budget, and

    G_i(A) = the sum over tasks with the whole share of A_e, and over crowds of (sum_e sqrt(p_e A_e))^2,
    phi_i(G; l) = min over shares x in [0, h] of l x + G / R_i(x),

an option costs, at prices l and a multiplier mu of its time (w for "sum", any for "max"),

    max over flows of value mu and parts p of the price    sum_i phi_i(G_i(A); l_i) + sum_arcs F delay  [- mu D / w],

where p_e is the sum over the sets of a crowd with e in them of numbers >= 0 that sum to 1: a crowd's best parts y_e of
the share take sum_e A_e / y_e = (sum_e sqrt(p_e A_e))^2 for the best p, and no p says more (weak duality). Any flow and
any p give a lower bound; the best ones come from `convex_terms`, and the proof carries them (`Hint`).

For "max" the multiplier is at most `STEEPEST` sum l / (the time scale of the option). A bound with a limited multiplier
is one of "at most so much beyond the level", and lower; so nothing is closed because it is late, and all is finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from megdt_opt.pricing.flow_programs import STEEPEST, FlowPrograms
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.program_paths import Array, Hint, Path, Scaled, gathered, minimisers
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.radio.rates import speed


@dataclass(frozen=True)
class Table:
    """Costs of all options at prices.

    Parameters
    ----------
    cost : array, (K, O)
        A lower bound of the cost, and nearly it; infinite for closed options.
    doubt : array, (K, O)
        What rounding may have added.
    x : array, (3, K, O)
        Shares.
    mu : array, (K, O)
        Of chains beside one branch, the flow through the chain.
    hints : dict of (int, int) to Hint
        Of all others.
    """

    cost: Array
    doubt: Array
    x: Array
    mu: Array
    hints: dict[tuple[int, int], Hint]


class ProgramCosts:
    """The priced options of a problem.

    Parameters
    ----------
    problem : ProgramProblem
    """

    def __init__(self, problem: ProgramProblem) -> None:
        self.problem, self.scaled = problem, Scaled.of(problem)
        self.open = problem.open_options
        self.used = np.asarray((problem.demands & self.open).any(axis=(1, 2)))
        self._last: dict[tuple[bytes, float | None], Table] = {}

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All open options that ask for something."""
        found = []
        for k, o in np.argwhere(self.open & self.problem.demands.any(axis=0)).tolist():
            found.append(self.path(k, o))
        return tuple(found)

    def path(self, k: int, o: int) -> Path:
        """One option."""
        graph = self.problem.graph(k, o)
        a = np.array([self.scaled.a[i, k, o, n] for i, n in zip(graph.resources, graph.shared, strict=True)])
        return Path(k, o, graph, a, np.array(graph.delays(self.problem.fixed_s[k, o].tolist(), 0.0)))

    @cached_property
    def device_s(self) -> Array:
        """Latency of options that ask for nothing, (K, O) [s]; 0 for others."""
        found = np.zeros(self.open.shape)
        for k, o in np.argwhere(self.open & ~self.problem.demands.any(axis=0)).tolist():
            found[k, o] = self.path(k, o).longest_s
        return found

    @cached_property
    def core(self) -> tuple[AllocationProblem, Resources] | None:
        """The chains beside one branch as a core problem, whose costs are closed forms; None without any."""
        chains = [path for path in self.paths if path.chain is not None]
        if not chains:
            return None
        p, shape = self.problem, self.open.shape
        fixed, branch, allowed = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
        for path in chains:
            assert path.chain is not None
            where, (along, beside) = (path.user, path.option), path.chain
            fixed[where], branch[where], allowed[where] = along, max(beside - along, 0.0), True
        amounts = np.where(allowed, p.amounts.sum(axis=3), 0.0)
        core = AllocationProblem(
            fixed_s=fixed, device_branch_s=branch, downlink_bit=amounts[0], uplink_bit=amounts[1],
            edge_work_s=amounts[2], allowed=allowed, downlink_hz=p.downlink_hz, uplink_hz=p.uplink_hz,
            edge_capacity=p.edge_capacity, downlink_efficiency=p.downlink_efficiency,
            uplink_efficiency=p.uplink_efficiency, downlink_snr_hz=p.downlink_snr_hz, uplink_snr_hz=p.uplink_snr_hz,
            weight=p.weight, edge_share_max=p.edge_share_max, objective=p.objective,
        )  # fmt: skip
        return core, Resources.of(core)

    @cached_property
    def flows(self) -> FlowPrograms | None:
        """The convex programs of all others; None where there is none."""
        others = tuple(path for path in self.paths if path.chain is None)
        return FlowPrograms(others, self.scaled, self.problem.weights) if others else None

    def at(self, prices: Array, level_s: float | None) -> Table:
        """Costs at prices (3,) for "sum", or for "max" of keeping a level [s]; the last few are kept."""
        key = (prices.tobytes(), level_s)
        if key not in self._last:
            if len(self._last) >= 8:
                del self._last[next(iter(self._last))]
            self._last[key] = self._at(prices, level_s)
        return self._last[key]

    def _at(self, prices: Array, level_s: float | None) -> Table:
        cost = self.resting(level_s)
        table = Table(cost, np.zeros(cost.shape), np.zeros((3, *cost.shape)), np.zeros(cost.shape), {})
        if self.core is not None:
            core, resources = self.core
            found = priced(core, resources, prices, level_s)
            here = resources.open
            table.cost[here], table.doubt[here], table.mu[here] = found.cost[here], found.doubt[here], found.mu[here]
            table.x[:, here] = found.x[:, here]
        if self.flows is not None:
            hints = self.flows.best(prices, level_s)
            for path, hint in zip(self.flows.paths, hints, strict=True):
                where = (path.user, path.option)
                table.hints[where] = hint
                cost[where], table.doubt[where], table.x[:, path.user, path.option] = self.cost(
                    path, hint, prices, level_s
                )
        return table

    def hint(self, path: Path, prices: Array, level_s: float | None) -> Hint:
        """What proves the cost of an option."""
        table, where = self.at(prices, level_s), (path.user, path.option)
        if path.chain is None:
            return table.hints[where]
        weight, mu, (along, beside) = float(self.problem.weights[path.user]), float(table.mu[where]), path.chain
        if level_s is None:
            value, flow = weight, (max(weight - mu, 0.0), mu)
        elif np.isfinite(table.cost[where]):
            value, flow = mu, (0.0, 1.0)
        else:
            # late whatever the shares: by its branch alone, or along the chain
            value = STEEPEST * float(prices.sum()) / (along + beside + float(path.a.sum()))
            flow = (1.0, 0.0) if beside > level_s / weight else (0.0, 1.0)
        return Hint(value, np.array(flow if path.graph.joins else ()), ())

    def resting(self, level_s: float | None) -> Array:
        """Costs of options that ask for nothing, (K, O); infinite for others and where a level is not kept."""
        weighted = self.problem.weights[:, None] * self.device_s
        alone = self.open & ~self.problem.demands.any(axis=0)
        if level_s is None:
            return np.where(alone, weighted, np.inf)
        return np.where(alone & (weighted <= level_s), 0.0, np.inf)

    def cost(self, path: Path, hint: Hint, prices: Array, level_s: float | None) -> tuple[float, float, Array]:
        """What a hint proves of the cost of an option, what rounding may have added, and the shares (3,)."""
        weight, k = float(self.problem.weights[path.user]), path.user
        value = weight if level_s is None else hint.value
        through, over = map(np.array, path.graph.flow(hint.into.tolist(), value))
        p = np.array(path.graph.parts([one.tolist() for one in hint.sets], 1.0))
        total = gathered(path.graph, through * path.a, p)
        x = minimisers(total, prices, self.scaled.gamma[:, k], self.scaled.hi[:, k])
        with np.errstate(divide="ignore", invalid="ignore"):
            taken = np.where(total > 0, total / speed(x, self.scaled.gamma[:, k]), 0.0)
        parts = [float((prices * x).sum()), float(taken.sum()), float(over @ path.delay_s)]
        charged = 0.0 if level_s is None else value * level_s / weight
        cost = sum(parts) - charged
        return (cost if level_s is None else max(cost, 0.0)), 1e-14 * (sum(parts) + charged), x
