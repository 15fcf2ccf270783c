"""Options of a `ProgramProblem` with every budget scaled to 1: their graphs, and what proves their costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.task_graph import SOURCE, TaskGraph
from megdt_opt.radio.rates import shannon_minimiser

Array = NDArray[np.float64]


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

    @cached_property
    def chain(self) -> tuple[float, float] | None:
        """Fixed times of a chain and of a device branch beside it [s], where the option is no more than these."""
        graph = self.graph
        ends = [end for _, end in graph.arcs]
        along = [(n, arc) for n, arc in enumerate(graph.arcs) if arc != (SOURCE, graph.sink)]
        if graph.crowds or len(along) != graph.sink or any(ends.count(node) != 1 for node in range(1, graph.sink)):
            return None
        if any(sum(start == node for _, (start, _) in along) != 1 for node in range(graph.sink)):
            return None
        beside = [float(self.delay_s[n]) for n, arc in enumerate(graph.arcs) if arc == (SOURCE, graph.sink)]
        return float(sum(self.delay_s[n] for n, _ in along)), max(beside, default=0.0)

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


def minimisers(total: Array, prices: Array, gamma: Array, hi: Array) -> Array:
    """The shares at which l x + G / R(x) is least within [0, hi], each (3,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(prices > 0, total / np.where(prices > 0, prices, 1.0), np.inf)
        x = np.sqrt(ratio)
        curved = np.isfinite(gamma) & np.isfinite(ratio) & (ratio > 0)
        if curved.any():
            x[curved] = shannon_minimiser(ratio[curved], gamma[curved])
    return np.where(total > 0, np.minimum(x, hi), 0.0)
