"""The tasks of a program as a graph: what comes before what, and which tasks of one resource may run at once.

A task takes a fixed time or a share of the downlink, the uplink or the edge. Fixed tasks are folded into the arcs
between the others. Two tasks of one resource of which neither comes before the other may run at once, and then divide
the user's share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=Any)

SOURCE = 0
"""Node at which a program begins."""

MOST_SETS = 64
"""Sets of tasks of one resource that may run at once, at most [1]."""


@dataclass(frozen=True)
class Crowd:
    """Tasks of one resource that divide a user's share, because some of them may run at once.

    Parameters
    ----------
    resource : int
        0 downlink, 1 uplink, 2 edge.
    nodes : tuple of int
        Nodes of the tasks.
    sets : tuple of tuple of int
        The largest sets of nodes that may run at once; the parts of each sum to at most 1.
    """

    resource: int
    nodes: tuple[int, ...]
    sets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TaskGraph:
    """Tasks that take a share, and the arcs between them over which fixed times lie.

    Parameters
    ----------
    size : int
        Tasks of the program, fixed ones too, N.
    after : tuple of tuple of int
        The tasks that wait for each task, (N,).
    first : tuple of int
        Tasks that wait for none.
    shared : tuple of int
        Tasks that take a share; node n + 1 is the n-th of them, node 0 the source, the last node the sink.
    resources : tuple of int
        Resource of each of them.
    arcs : tuple of (int, int)
        From node to node, in the order of their ends.
    crowds : tuple of Crowd
    """

    size: int
    after: tuple[tuple[int, ...], ...]
    first: tuple[int, ...]
    shared: tuple[int, ...]
    resources: tuple[int, ...]
    arcs: tuple[tuple[int, int], ...]
    crowds: tuple[Crowd, ...]

    @property
    def sink(self) -> int:
        """The last node."""
        return len(self.shared) + 1

    @cached_property
    def joins(self) -> tuple[int, ...]:
        """Nodes with several arcs into them: where a flow has a choice, seen from the sink."""
        ends = [end for _, end in self.arcs]
        return tuple(node for node in range(1, self.sink + 1) if ends.count(node) > 1)

    @cached_property
    def into_joins(self) -> tuple[int, ...]:
        """Numbers of the arcs that end at `joins`, in order."""
        joins = set(self.joins)
        return tuple(n for n, (_, end) in enumerate(self.arcs) if end in joins)

    def delays(self, fixed: Sequence[Number], zero: Number) -> list[Number]:
        """The longest fixed time over each arc, from the end of what its first node shares to the start of its last.

        `fixed` are the fixed times of all tasks, (N,); the result is exact where these are fractions.
        """
        found = {}
        for node in range(self.sink):
            for end, time in self._reach(node, fixed, zero).items():
                found[node, end] = time
        return [found[arc] for arc in self.arcs]

    def flow(self, into: Sequence[Number], value: Number) -> tuple[list[Number], list[Number]]:
        """A flow through the tasks that share and over the arcs, from how what goes into joins is divided.

        Whatever the numbers, it is one: as much comes out of a node as goes into it, and `value` into the sink.

        Parameters
        ----------
        into : sequence, (J,)
            Numbers of at least 0 for the arcs `into_joins`; what goes into a join comes over them in proportion, over
            the first where all are 0.
        value : number
        """
        zero = value - value
        given = dict(zip(self.into_joins, into, strict=True))
        ending: dict[int, list[int]] = {}
        for n, (_, end) in enumerate(self.arcs):
            ending.setdefault(end, []).append(n)
        through, over = [zero] * (self.sink + 1), [zero] * len(self.arcs)
        through[self.sink] = value
        for node in range(self.sink, SOURCE, -1):
            arcs = ending[node]
            total = sum((given.get(n, zero) for n in arcs), zero)
            for n in arcs:
                if len(arcs) == 1 or (total == 0 and n == arcs[0]):
                    over[n] = through[node]
                elif total > 0:
                    over[n] = through[node] * given[n] / total
                through[self.arcs[n][0]] += over[n]
        return through[1 : self.sink], over

    def parts(self, sets: Sequence[Sequence[Number]], one: Number) -> list[Number]:
        """How the price of a share is divided among the tasks, (S,), from numbers of at least 0 for the sets of crowds.

        Tasks with the whole share have 1; the others of a crowd what its sets with them have of all, so that no tasks
        which come one after the other have more than 1 together.
        """
        found = [one] * len(self.shared)
        for crowd, weights in zip(self.crowds, sets, strict=True):
            total = sum(weights, one - one)
            for node in crowd.nodes:
                found[node - 1] = one - one
            for n, (members, weight) in enumerate(zip(crowd.sets, weights, strict=True)):
                part = weight / total if total > 0 else one * (n == 0)
                for node in members:
                    found[node - 1] += part
        return found

    def _reach(self, node: int, fixed: Sequence[Number], zero: Number) -> dict[int, Number]:
        """Nodes that follow a node over fixed tasks alone, with the longest fixed time until then."""
        node_of = {task: n + 1 for n, task in enumerate(self.shared)}
        reach: dict[int, Number] = {}
        found: dict[int, Number] = {}

        def follow(tasks: Sequence[int], time: Number) -> None:
            for task in tasks:
                reach[task] = max(reach.get(task, time), time)
            if not tasks:
                found[self.sink] = max(found.get(self.sink, time), time)

        if node == SOURCE:
            follow(self.first, zero)
        else:
            task = self.shared[node - 1]
            follow(self.after[task], zero + fixed[task])
        for task in range(self.size):
            if task not in reach:
                continue
            if task in node_of:
                found[node_of[task]] = reach[task]
            else:
                follow(self.after[task], reach[task] + fixed[task])
        return found


def task_graph(before: NDArray[np.bool_], resource: NDArray[np.int64], there: NDArray[np.bool_]) -> TaskGraph:
    """The graph of a program.

    Parameters
    ----------
    before : array of bool, (N, N)
        Whether the second task waits for the first, whose number is smaller.
    resource : array of int, (N,)
        Whose share a task takes: 0 downlink, 1 uplink, 2 edge; -1 for a fixed one.
    there : array of bool, (N,)
        False for a place that no task fills.
    """
    return _graph(len(resource), before.tobytes(), tuple(resource.tolist()), tuple(there.tolist()))


@lru_cache(maxsize=4096)
def _graph(size: int, packed: bytes, resource: tuple[int, ...], there: tuple[bool, ...]) -> TaskGraph:
    before = np.frombuffer(packed, dtype=bool).reshape(size, size)
    after = tuple(tuple(np.flatnonzero(row).tolist()) for row in before)
    first = tuple(n for n in range(size) if there[n] and not before[:, n].any())
    shared = tuple(n for n in range(size) if resource[n] >= 0)
    bare = TaskGraph(size, after, first, shared, tuple(resource[n] for n in shared), (), ())
    nothing = [0.0] * size
    arcs = sorted(((node, end) for node in range(bare.sink) for end in bare._reach(node, nothing, 0.0)), key=_by_end)
    return TaskGraph(size, after, first, shared, bare.resources, tuple(arcs), tuple(_crowds(bare, before)))


def _by_end(arc: tuple[int, int]) -> tuple[int, int]:
    return arc[1], arc[0]


def _crowds(graph: TaskGraph, before: NDArray[np.bool_]) -> list[Crowd]:
    reached = before.copy()
    for middle in range(graph.size):  # whatever comes before, directly or not
        reached |= reached[:, [middle]] & reached[[middle]]
    found = []
    for resource in range(3):
        tasks = [n for n, task in enumerate(graph.shared) if graph.resources[n] == resource]
        beside = {
            n: {m for m in tasks if m != n and not reached[graph.shared[n], graph.shared[m]]
                and not reached[graph.shared[m], graph.shared[n]]} for n in tasks
        }  # fmt: skip
        left = {n for n in tasks if beside[n]}
        while left:
            crowd: set[int] = set()
            grow = {min(left)}
            while grow:
                crowd |= grow
                grow = {m for n in grow for m in beside[n]} - crowd
            left -= crowd
            sets: list[tuple[int, ...]] = []
            _largest_sets(set(), set(crowd), set(), beside, sets)
            found.append(Crowd(resource, tuple(n + 1 for n in sorted(crowd)), tuple(sorted(sets))))
    return found


def _largest_sets(
    within: set[int], more: set[int], done: set[int], beside: dict[int, set[int]], found: list[tuple[int, ...]]
) -> None:
    """The largest sets of tasks each beside each (Bron and Kerbosch, 1973); stops one above the limit."""
    if len(found) > MOST_SETS:
        return
    if not more and not done:
        found.append(tuple(n + 1 for n in sorted(within)))
        return
    pivot = max(more | done, key=lambda n: len(beside[n] & more))
    for n in sorted(more - beside[pivot]):
        _largest_sets(within | {n}, more & beside[n], done & beside[n], beside, found)
        more = more - {n}
        done = done | {n}
