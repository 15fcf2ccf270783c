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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.convex_terms import Program, Terms, solved
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.task_graph import SOURCE, TaskGraph
from megdt_opt.radio.rates import shannon_minimiser, speed

Array = NDArray[np.float64]

STEEPEST = 1e10
"""Largest multiplier of a level, in prices over the time scale of an option [1]."""

ENOUGH = 100.0
"""Cost of keeping a level, in prices, above which it need not be known [1]."""

_WITHIN = 0.9
"""Part of the largest share that the search for shares begins with, at most [1]."""

_LEAST = 1e-12

_EARLY = 0.98
"""Part of a level within which a start keeps it strictly [1]."""


@dataclass(frozen=True)
class Scaled:
    """A program problem with every budget scaled to 1.

    Parameters
    ----------
    a : array, (3, K, O, N)
        Time of a task at R = 1 [s].
    gamma : array, (3, K)
        SNR-bandwidth product over the band [1]; infinite marks R(x) = x.
    hi : array, (3, K)
        Largest share [1].
    """

    a: Array
    gamma: Array
    hi: Array

    @classmethod
    def of(cls, problem: ProgramProblem) -> Scaled:
        """Scale a problem; what carries nothing takes no time, as its options are closed."""
        k = problem.users
        gamma, hi, per = np.full((3, k), np.inf), np.ones((3, k)), np.zeros((3, k))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for i, side in enumerate(("downlink", "uplink")):
                law, budget = problem.law(side), problem.budgets[i]
                if law is None:
                    continue
                if getattr(problem, f"{side}_snr_hz") is None:
                    per[i] = 1.0 / (law * budget)
                else:
                    gamma[i] = np.where(law > 0, law / budget, np.inf)
                    per[i] = np.log(2.0) / budget
            per[2] = 1.0 / problem.edge_capacity
            hi[2] = np.minimum(problem.share_caps / problem.edge_capacity, 1.0)
        open_ = problem.open_options
        a = np.where((problem.amounts > 0) & open_[:, :, None], problem.amounts * per[:, :, None, None], 0.0)
        return cls(a=a, gamma=np.where(np.isfinite(gamma), gamma, np.inf), hi=np.where(np.isfinite(hi), hi, 1.0))


@dataclass(frozen=True)
class Path:
    """An option as a convex program has it.

    Parameters
    ----------
    user, option : int
    graph : TaskGraph
    a : array, (S,)
        Time of the tasks that share, at R = 1 [s].
    delay_s : array, (arcs,)
        Fixed times over the arcs [s].
    """

    user: int
    option: int
    graph: TaskGraph
    a: Array
    delay_s: Array

    @cached_property
    def longest_s(self) -> float:
        """The longest path if tasks that share took no time [s]."""
        return self.at(np.zeros(len(self.a)))

    def at(self, task_s: Array) -> float:
        """The longest path if the tasks that share take given times [s]."""
        return float(self.starts(task_s)[-1])

    def starts(self, task_s: Array) -> Array:
        """When nodes can begin, source and sink included (S + 2,) [s]."""
        start = np.full(self.graph.sink + 1, -np.inf)
        start[SOURCE] = 0.0
        own = np.r_[0.0, task_s]
        for (node, end), delay in zip(self.graph.arcs, self.delay_s, strict=True):
            start[end] = max(start[end], start[node] + own[node] + delay)
        return start


class Hint(NamedTuple):
    """What proves the cost of an option: any numbers of at least 0 do, these are the best.

    Parameters
    ----------
    value : float
        Multiplier of the level; of "sum" the weight is taken.
    into : array, (J,)
        How the flow into joins is divided.
    sets : tuple of array
        For each crowd how its price is divided among its sets.
    """

    value: float
    into: Array
    sets: tuple[Array, ...]

    def numbers(self, leveled: bool) -> list[float]:
        """All of it as a list; the value only where there is a level."""
        return [*([self.value] if leveled else []), *self.into.tolist(), *(float(q) for one in self.sets for q in one)]


def hint_ends(graph: TaskGraph, leveled: bool) -> list[int]:
    """Where value, flow and the sets of each crowd end in the numbers of a hint."""
    sizes = [int(leveled), len(graph.into_joins), *(len(crowd.sets) for crowd in graph.crowds)]
    return [int(end) for end in np.cumsum(sizes)]


def hint_of(graph: TaskGraph, numbers: Sequence[float], leveled: bool) -> Hint:
    """The hint that a list of numbers is."""
    value, into, *sets = np.split(np.array(numbers, dtype=np.float64), hint_ends(graph, leveled)[:-1])
    return Hint(float(value[0]) if leveled else 0.0, into, tuple(sets))


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
    hints : dict of (int, int) to Hint
    """

    cost: Array
    doubt: Array
    x: Array
    hints: dict[tuple[int, int], Hint]


def gathered(graph: TaskGraph, area: Array, p: Array) -> Array:
    """G of the three resources, (3,), for A of the tasks (S,)."""
    found, root = np.zeros(3), np.sqrt(area * p)
    alone = np.ones(len(area), bool)
    for crowd in graph.crowds:
        members = np.array(crowd.nodes) - 1
        alone[members] = False
        found[crowd.resource] += root[members].sum() ** 2
    np.add.at(found, np.array(graph.resources, dtype=np.int64)[alone], area[alone])
    return found


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
    def flows(self) -> FlowPrograms:
        """The convex programs of `paths`."""
        return FlowPrograms(self)

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
        table = Table(cost, np.zeros(cost.shape), np.zeros((3, *cost.shape)), {})
        if not self.paths:
            return table
        hints = self.flows.best(prices, level_s)
        for path, hint in zip(self.paths, hints, strict=True):
            where = (path.user, path.option)
            table.hints[where] = hint
            table.cost[where], table.doubt[where], table.x[:, path.user, path.option] = self.cost(
                path, hint, prices, level_s
            )
        return table

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


def minimisers(total: Array, prices: Array, gamma: Array, hi: Array) -> Array:
    """The shares at which l x + G / R(x) is least within [0, hi], each (3,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(prices > 0, total / np.where(prices > 0, prices, 1.0), np.inf)
        x = np.sqrt(ratio)
        curved = np.isfinite(gamma) & np.isfinite(ratio) & (ratio > 0)
        if curved.any():
            x[curved] = shannon_minimiser(ratio[curved], gamma[curved])
    return np.where(total > 0, np.minimum(x, hi), 0.0)


class FlowPrograms:
    """The options of a problem as convex programs in the logarithms of shares and parts, all at once.

    Variables of an option: three shares, the lateness (the latency, for "sum"), the parts of tasks in crowds, and when
    tasks begin that wait for several. Limits: the arcs that end at these or at the sink, whose multipliers are the
    flow; the lateness is not negative; shares are within their largest; the parts of a set sum to 1 at most, with
    multipliers that divide the price.
    """

    def __init__(self, costs: ProgramCosts) -> None:
        self.costs, self.paths = costs, costs.paths
        self.layouts = [Layout(path, costs.scaled) for path in self.paths]
        count = len(self.paths)
        n = max(layout.variables for layout in self.layouts)
        t = max(len(layout.terms) for layout in self.layouts)
        m = max(len(layout.rows) for layout in self.layouts)
        self.scale_s = np.array([path.longest_s + float(path.a.sum()) for path in self.paths])
        first, second = np.full((count, t), n), np.full((count, t), n)
        sign, gamma = np.ones((count, t)), np.full((count, t), np.inf)
        self.matrix, self.linear = np.zeros((count, m, t)), np.zeros((count, m, n))
        self.constant = np.full((count, m), -1.0)
        self.used = np.zeros((count, n), bool)
        for b, layout in enumerate(self.layouts):
            layout.write(b, first, second, sign, gamma, n)
            layout.limits(self.matrix[b], self.linear[b], self.constant[b], float(self.scale_s[b]))
            self.used[b, : layout.variables] = layout.used
        self.terms = Terms(first, second, sign, gamma, n)

    def best(self, prices: Array, level_s: float | None) -> list[Hint]:
        """The hints of all paths at prices."""
        weights = self.costs.problem.weights[[path.user for path in self.paths]]
        # in units of each option: its time scale, and the price of a second or of all budgets
        unit = weights * self.scale_s if level_s is None else np.full(len(self.paths), float(prices.sum()))
        unit = np.maximum(unit, 1e-300)
        cost, slope = np.zeros(self.terms.first.shape), np.zeros(self.used.shape)
        constant, linear, used, level = self.constant.copy(), self.linear, self.used, np.zeros(len(self.paths))
        slope[:, 3] = 1.0 if level_s is None else STEEPEST
        if level_s is not None:
            level = level_s / weights / self.scale_s
        start = np.zeros(self.used.shape)
        for b, layout in enumerate(self.layouts):
            scaled = prices / unit[b]
            for i, t in layout.price_terms.items():
                cost[b, t] = scaled[i]
            constant[b, layout.sink_rows] -= level[b]
            start[b, : layout.variables] = layout.start(
                scaled, float(level[b]), float(self.scale_s[b]), level_s is None
            )
        if level_s is not None:
            kept = start[:, 3] == 0.0  # nobody is late: the level is a limit like any other
            linear, used = linear.copy(), used.copy()
            linear[kept, :, 3], slope[kept, 3], used[kept, 3] = 0.0, 0.0, False
            late = np.array([layout.late_row for layout in self.layouts])
            constant[kept, late[kept]] = -1.0
        program = Program(self.terms, cost, slope, self.matrix, linear, constant, used)
        _, multiplier = solved(program, start, np.inf if level_s is None else ENOUGH)
        found = []
        for b, layout in enumerate(self.layouts):
            value = float(multiplier[b, layout.sink_rows].sum() * unit[b] / self.scale_s[b])
            found.append(
                Hint(value, multiplier[b, layout.join_rows], tuple(multiplier[b, rows] for rows in layout.set_rows))
            )
        return found


class Layout:
    """Variables, terms and limits of one option as a convex program; times are in units of the option's time scale.

    Parameters
    ----------
    path : Path
    scaled : Scaled
    """

    def __init__(self, path: Path, scaled: Scaled) -> None:
        graph = path.graph
        self.path, self.gamma, self.hi = path, scaled.gamma[:, path.user], scaled.hi[:, path.user]
        self.crowded = [node for crowd in graph.crowds for node in crowd.nodes]
        part = {node: 4 + n for n, node in enumerate(self.crowded)}
        inner = [node for node in graph.joins if node != graph.sink]
        self.begins = {node: 4 + len(part) + n for n, node in enumerate(inner)}
        self.variables = 4 + len(part) + len(inner)
        self.part = part
        self.used = np.ones(self.variables, bool)
        self.used[:3] = [i in graph.resources for i in range(3)]
        # terms: times of tasks, parts, then prices of shares
        self.terms: list[tuple[int | None, int | None]] = [(i, part.get(n + 1)) for n, i in enumerate(graph.resources)]
        tasks = len(self.terms)
        self.part_terms = {node: tasks + n for n, node in enumerate(self.crowded)}
        self.terms += [(None, variable) for variable in part.values()]
        self.price_terms = {}
        for i in np.flatnonzero(self.used[:3]).tolist():
            self.price_terms[i] = len(self.terms)
            self.terms.append((i, None))
        # limits: arcs into joins and the sink, lateness, largest shares, sets of crowds
        self.rows: list[tuple[str, int]] = [
            ("arc", n) for n, (_, end) in enumerate(graph.arcs) if end in self.begins or end == graph.sink
        ]
        arcs = {n: row for row, (_, n) in enumerate(self.rows)}
        self.sink_rows = [row for n, row in arcs.items() if graph.arcs[n][1] == graph.sink]
        self.join_rows = [arcs[n] for n in graph.into_joins]
        self.late_row = len(self.rows)
        self.rows += [("late", 0), *(("cap", i) for i in self.price_terms)]
        self.sets = [one for crowd in graph.crowds for one in crowd.sets]
        ends = len(self.rows) + np.cumsum([0, *(len(crowd.sets) for crowd in graph.crowds)])
        self.set_rows = [list(range(ends[n], ends[n + 1])) for n in range(len(graph.crowds))]
        self.rows += [("set", n) for n in range(len(self.sets))]

    def write(
        self, b: int, first: NDArray[np.int64], second: NDArray[np.int64], sign: Array, gamma: Array, none: int
    ) -> None:
        """The option's terms as row b of the tables of `Terms`; `none` stands for no variable."""
        tasks = len(self.path.a)
        for t, (i, variable) in enumerate(self.terms):
            first[b, t] = none if i is None else i
            second[b, t] = none if variable is None else variable
            if t < tasks:
                assert i is not None
                sign[b, t], gamma[b, t] = -1.0, self.gamma[i]

    def limits(self, matrix: Array, linear: Array, constant: Array, scale_s: float) -> None:
        """The option's limits, without the level."""
        path, graph = self.path, self.path.graph
        arc_into = {end: n for n, (_, end) in enumerate(graph.arcs)}
        for row, (kind, n) in enumerate(self.rows):
            constant[row] = 0.0
            if kind == "arc":
                node, end = graph.arcs[n]
                constant[row] += path.delay_s[n] / scale_s
                linear[row, self.begins.get(end, 3)] = -1.0
                while node != SOURCE:
                    matrix[row, node - 1] = path.a[node - 1] / scale_s
                    if node in self.begins:
                        linear[row, self.begins[node]] = 1.0
                        break
                    constant[row] += path.delay_s[arc_into[node]] / scale_s
                    node = graph.arcs[arc_into[node]][0]
            elif kind == "late":
                linear[row, 3] = -1.0
            elif kind == "cap":
                linear[row, n] = 1.0
                constant[row] = -np.log(self.hi[n])
            else:
                constant[row] = -1.0
                for node in self.sets[n]:
                    matrix[row, self.part_terms[node]] = 1.0

    def start(self, prices: Array, level: float, scale_s: float, summed: bool) -> Array:
        """A point that keeps all limits strictly; prices and level are in the option's units."""
        graph, a = self.path.graph, np.zeros(3)
        np.add.at(a, np.array(graph.resources, dtype=np.int64), self.path.a / scale_s)
        root = np.sqrt(np.maximum(a, 1e-12))
        priced = np.maximum(prices, 1e-12)
        left = 1.0 if summed else max(level - self.path.longest_s / scale_s, 1e-6)
        x = root / np.sqrt(priced)
        if not summed:
            x = x * float((root * np.sqrt(priced)).sum()) / left
        x = np.where(self.used[:3], np.clip(1.2 * x, _LEAST, _WITHIN * self.hi), 1.0)
        begin = self._begin(x, scale_s)
        while not summed and begin[-1] > _EARLY * level and (x < _WITHIN * self.hi)[self.used[:3]].any():
            x = np.where(self.used[:3], np.minimum(2.0 * x, _WITHIN * self.hi), 1.0)
            begin = self._begin(x, scale_s)
        z = self.begin_with(x, scale_s)
        end = float(begin[-1])
        if not summed:
            z[3] = max(1.1 * end - level, 0.05 * level) if end > _EARLY * level else 0.0
        return z

    def begin_with(self, x: Array, scale_s: float) -> Array:
        """A point with given shares (3,) that keeps all limits but the level strictly."""
        z = np.zeros(self.variables)
        x = np.where(self.used[:3], x, 1.0)
        z[:3] = np.log(x)
        for node, variable in self.part.items():
            z[variable] = np.log(self._even[node - 1])
        begin = self._begin(x, scale_s)
        for node, variable in self.begins.items():
            z[variable] = begin[node]
        z[3] = 1.1 * float(begin[-1])
        return z

    @cached_property
    def _even(self) -> Array:
        """Parts with room left, (S,)."""
        share = np.ones(len(self.path.a))
        for crowd in self.path.graph.crowds:
            share[np.array(crowd.nodes) - 1] = 0.9 / max(len(one) for one in crowd.sets)
        return share

    def _begin(self, x: Array, scale_s: float) -> Array:
        """When nodes can begin with shares and even parts, those that wait for several a little later, (S + 2,)."""
        graph = self.path.graph
        rate = speed(x, np.where(self.used[:3], self.gamma, np.inf))
        task = self.path.a / scale_s / (rate[np.array(graph.resources, dtype=np.int64)] * self._even)
        begin = np.zeros(graph.sink + 1)
        own = np.r_[0.0, task]
        for (node, end), delay in zip(graph.arcs, self.path.delay_s / scale_s, strict=True):
            begin[end] = max(begin[end], (begin[node] + own[node] + delay) * (1.01 if end in self.begins else 1.0))
        return begin
