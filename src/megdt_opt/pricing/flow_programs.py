"""The best flows through options' graphs at prices, by convex programs in the logarithms of shares, all at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.convex_terms import Program, Terms, solved
from megdt_opt.pricing.program_paths import Array, Hint, Path, Scaled
from megdt_opt.problem.task_graph import SOURCE
from megdt_opt.radio.rates import speed

STEEPEST = 1e10
"""Largest multiplier of a level, in prices over the time scale of an option [1]."""

ENOUGH = 100.0
"""Cost of keeping a level, in prices, above which it need not be known [1]."""

_WITHIN = 0.9
"""Part of the largest share that the search for shares begins with, at most [1]."""

_LEAST = 1e-12

_EARLY = 0.98
"""Part of a level within which a start keeps it strictly [1]."""


class FlowPrograms:
    """The options of a problem as convex programs in the logarithms of shares and parts, all at once.

    Variables of an option: three shares, the lateness (the latency, for "sum"), the parts of tasks in crowds, and when
    tasks begin that wait for several. Limits: the arcs that end at these or at the sink, whose multipliers are the
    flow; the lateness is not negative; shares are within their largest; the parts of a set sum to 1 at most, with
    multipliers that divide the price.
    """

    def __init__(self, paths: tuple[Path, ...], scaled: Scaled, weights: Array) -> None:
        self.paths, self.weights = paths, weights[[path.user for path in paths]]
        self.layouts = [Layout(path, scaled) for path in self.paths]
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
        weights = self.weights
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
