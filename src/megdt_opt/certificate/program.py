"""What certificates of a `ProgramProblem` prove, recomputed in rational or in floating arithmetic.

Rows are the users, choices their options. Behind its three prices a leaf carries, for every open option that asks for
a resource, in the order of users and options: for "max" the multiplier of the level, then how the flow into each join
of its graph is divided, then how the price of a share is divided among the sets of tasks that may run at once. Numbers
of at least 0 that are taken in proportion are a flow and a division whatever they are, and any flow proves a bound
(`megdt_opt.pricing.program_costs`); so the check is sums, products, square roots and logarithms, and no search.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property

import numpy as np

from megdt_opt.certificate.allocation import Linear, Shannon, Stage
from megdt_opt.certificate.check import Valuer, rounded_down, total_of
from megdt_opt.certificate.exact import LN2, sqrt_below
from megdt_opt.certificate.tree import Leaf, Mask, Node, Part, Prune
from megdt_opt.pricing.program_costs import ProgramCosts
from megdt_opt.pricing.program_paths import Array, Hint, Path, hint_ends, hint_of, minimisers
from megdt_opt.pricing.scaled import EDGE, RESOURCES
from megdt_opt.problem.program_problem import ProgramProblem


class ProgramProof:
    """As `Proof` has it.

    Parameters
    ----------
    problem : ProgramProblem
    costs : ProgramCosts, optional
        The problem, scaled, where that has been done.
    """

    budgets = 3
    cost_prices = 0

    def __init__(self, problem: ProgramProblem, costs: ProgramCosts | None = None) -> None:
        self.problem, self._costs = problem, costs
        self.objective = problem.objective
        self.size = problem.users * problem.options

    @cached_property
    def costs(self) -> ProgramCosts:
        """The problem, scaled."""
        return self._costs or ProgramCosts(self.problem)

    @property
    def leveled(self) -> bool:
        """Whether hints have a multiplier of the level."""
        return self.objective == "max"

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it: nothing is closed by numbers that are rounded."""
        return self.problem.open_options

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        size = sum(hint_ends(path.graph, self.leveled)[-1] for path in self.costs.paths)
        if len(leaf.prices) != 3 + size or min(leaf.prices) < 0:
            return f"a leaf's prices are not three numbers and {size} of flows, of at least 0"
        return "limits on counts mean nothing here" if leaf.counts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactValuer(self.costs) if exact else FloatValuer(self.costs)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


def proof(problem: ProgramProblem) -> ProgramProof:
    """How certificates of a problem are recomputed."""
    return ProgramProof(problem)


def with_flows(tree: Node, costs: ProgramCosts, level_s: float | None) -> Node:
    """A tree whose leaves carry the best flows at their prices, for "max" at a level [s]."""

    def carrying(leaf: Leaf) -> Leaf:
        if not any(leaf.prices):  # proves nothing, whatever it carries
            size = sum(hint_ends(path.graph, level_s is not None)[-1] for path in costs.paths)
            return Leaf((*leaf.prices[:3], *[0.0] * size), leaf.counts)
        prices = np.array(leaf.prices[:3])
        numbers = [n for path in costs.paths for n in costs.hint(path, prices, level_s).numbers(level_s is not None)]
        return Leaf((*leaf.prices[:3], *numbers), leaf.counts)

    if isinstance(tree, Leaf):
        return carrying(tree)
    waiting: list[Node] = [tree]
    while waiting:
        node = waiting.pop()
        assert not isinstance(node, Leaf)
        if isinstance(node, Prune):
            node.leaf = carrying(node.leaf)
        node.children[:] = [carrying(child) if isinstance(child, Leaf) else child for child in node.children]
        waiting += [child for child in node.children if not isinstance(child, Leaf)]
    return tree


def _hints(costs: ProgramCosts, leaf: Leaf, leveled: bool) -> dict[tuple[int, int], Hint]:
    """The hints that a leaf carries."""
    found, at = {}, 3
    for path in costs.paths:
        size = hint_ends(path.graph, leveled)[-1]
        found[path.user, path.option] = hint_of(path.graph, leaf.prices[at : at + size], leveled)
        at += size
    return found


class FloatValuer:
    """In floating arithmetic, with a margin; a leaf that carries no flows yet is given the best.

    Parameters
    ----------
    costs : ProgramCosts
    """

    def __init__(self, costs: ProgramCosts) -> None:
        self.costs = costs
        self._last: tuple[tuple[float, ...], float | None] | None = None
        self._cost: Array = np.zeros((0, 0))

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        leaf = part.leaf
        if self._last != (leaf.prices, level_s):
            self._last, self._cost = (leaf.prices, level_s), self._costs(leaf, level_s)
        return total_of(part, self._cost)

    def _costs(self, leaf: Leaf, level_s: float | None) -> Array:
        prices = np.array(leaf.prices[:3])
        if len(leaf.prices) == 3:
            table = self.costs.at(prices, level_s)
            return table.cost - table.doubt
        cost = self.costs.resting(level_s)
        hints = _hints(self.costs, leaf, level_s is not None)
        for path in self.costs.paths:
            where = (path.user, path.option)
            found, doubt, _ = self.costs.cost(path, hints[where], prices, level_s)
            cost[where] = found - doubt
        return cost


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward.

    Parameters
    ----------
    costs : ProgramCosts
    """

    def __init__(self, costs: ProgramCosts) -> None:
        self.costs = costs
        self._known: dict[tuple[tuple[float, ...], float | None], Callable[[int, int], Fraction | float]] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it."""
        key = (part.leaf.prices, level_s)
        if key not in self._known:
            self._known[key] = _ExactCosts(self.costs, part.leaf, level_s).cost
        cost = self._known[key]
        base: Fraction = -sum(map(Fraction, part.leaf.prices[:3]), Fraction(0))
        rise: Fraction | float = float("inf")
        for k, row in enumerate(part.mask):
            own = {o: cost(k, o) for o in np.flatnonzero(row).tolist()}
            least = min(own.values(), default=float("inf"))
            if least == float("inf"):
                return float("inf")
            base += Fraction(least)
            if part.removed is not None:
                rise = min([rise, *(own[o] - least for o in np.flatnonzero(part.removed[k] & row).tolist())])
        return base if part.removed is None else base + rise


class _ExactCosts:
    """Rational lower bounds of the options' costs at a leaf's prices, by its flows."""

    def __init__(self, costs: ProgramCosts, leaf: Leaf, level_s: float | None) -> None:
        self.costs, self.problem = costs, costs.problem
        self.prices = [Fraction(price) for price in leaf.prices[:3]]
        self.level = None if level_s is None else Fraction(level_s)
        self.hints = _hints(costs, leaf, level_s is not None)
        self.paths = {(path.user, path.option): path for path in costs.paths}
        self._found: dict[tuple[int, int], Fraction | float] = {}

    def cost(self, k: int, o: int) -> Fraction | float:
        """Of an open option."""
        if (k, o) not in self._found:
            path = self.paths.get((k, o))
            self._found[k, o] = self._resting(k, o) if path is None else self._asking(path)
        return self._found[k, o]

    def _resting(self, k: int, o: int) -> Fraction | float:
        """Of an option that asks for nothing."""
        graph = self.problem.graph(k, o)
        delays = graph.delays([Fraction(float(f)) for f in self.problem.fixed_s[k, o]], Fraction(0))
        weighted = Fraction(float(self.problem.weights[k])) * max(delays, default=Fraction(0))
        if self.level is None:
            return weighted
        return Fraction(0) if weighted <= self.level else float("inf")

    def _asking(self, path: Path) -> Fraction:
        k, o, graph, hint = path.user, path.option, path.graph, self.hints[path.user, path.option]
        weight = Fraction(float(self.problem.weights[k]))
        value = weight if self.level is None else Fraction(hint.value)
        delays = graph.delays([Fraction(float(f)) for f in self.problem.fixed_s[k, o]], Fraction(0))
        through, over = graph.flow([Fraction(float(m)) for m in hint.into], value)
        p = graph.parts([[Fraction(float(q)) for q in one] for one in hint.sets], Fraction(1))
        area = [
            flow * self._demand(i, k, o, task)
            for flow, i, task in zip(through, graph.resources, graph.shared, strict=True)
        ]
        total = [Fraction(0)] * 3
        crowded = {node for crowd in graph.crowds for node in crowd.nodes}
        for n, i in enumerate(graph.resources):
            total[i] += area[n] if n + 1 not in crowded else 0
        for crowd in graph.crowds:
            total[crowd.resource] += sum(sqrt_below(area[n - 1] * p[n - 1]) for n in crowd.nodes) ** 2
        cost = sum((flow * delay for flow, delay in zip(over, delays, strict=True)), Fraction(0))
        for i in range(3):
            if total[i] > 0:
                cost += self._stage(i, k, total[i]).phi(total[i])
        if self.level is None:
            return cost
        return max(cost - value * self.level / weight, Fraction(0))

    def _demand(self, i: int, k: int, o: int, task: int) -> Fraction:
        """Time of a task at R = 1, of Shannon's law a little less."""
        p = self.problem
        part = Fraction(float(p.amounts[i, k, o, task])) / Fraction(float(p.budgets[i]))
        if i == EDGE:
            return part
        efficiency = getattr(p, f"{RESOURCES[i]}_efficiency")
        return part * LN2[0] if efficiency is None else part / Fraction(float(efficiency[k]))

    def _stage(self, i: int, k: int, total: Fraction) -> Stage:
        """A resource of a user; for Shannon's law with the tangent at about the best share."""
        p, price, hi = self.problem, self.prices[i], Fraction(1)
        budget = Fraction(float(p.budgets[i]))
        if i == EDGE and np.isfinite(p.share_caps[k]):
            hi = min(hi, Fraction(float(p.share_caps[k])) / budget)
        if i == EDGE or getattr(p, f"{RESOURCES[i]}_efficiency") is not None:
            return Linear(price, Fraction(1), hi, None)
        gamma = Fraction(float(getattr(p, f"{RESOURCES[i]}_snr_hz")[k])) / budget
        one = minimisers(
            np.array([float(total)]), np.array([float(price)]), np.array([float(gamma)]), np.array([float(hi)])
        )
        return Shannon(price, Fraction(1), hi, gamma, float(one[0]), None, 0.0)
