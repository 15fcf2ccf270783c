"""Deadlines of users whose edge serves in turns or in batches: a search for plans that keep them.

Neither class of problems has deadlines, but both have weights, and these are enough. With the weights 1 / d_k a largest
latency of at most 1 keeps every deadline d_k, and one that is proven to be above 1 proves that nothing does. A largest
latency of at most D that keeps them is one of at most D with the weights max(w_k, D / d_k), so that D is halved in; for
"sum" the multipliers of L_k <= d_k are added to the weights. What proves the bound of the problem without deadlines
proves it with them, for they only rule plans out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, Infeasible, SolverFailure
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.units import show

Problem = SequencedEdgeProblem | BatchedEdgeProblem
Array = NDArray[np.float64]
Solver = Callable[[Problem, float], Any]
"""The answer for a problem within some seconds [s]."""

LONGEST_S = 10.0
"""What the search is given where no limit was asked for [s]."""

_PART = 0.1
"""What one problem is given of it [1]."""

_LEVELS, _MULTIPLIERS = 20, 16
"""Problems of "max" and of "sum" that are looked at for the best plan, at most [1]."""

_NONE = 1e-6
"""Weight of a user without a deadline beside the least of one with, where only deadlines count [1]."""

_NAMED = 12
"""Users with deadlines up to which the conflict is narrowed down [1]."""

_OVER = 1e-9
"""What counts as rounding [1]."""


class Deadlines:
    """Deadlines of a problem's users, and the search for plans that keep them.

    Parameters
    ----------
    problem : SequencedEdgeProblem or BatchedEdgeProblem
    due_s : array, (K,)
        Infinite for none [s].
    names : tuple of str
        Of the users, (K,).
    solver : callable
        Answers problems of this class with other weights or objectives.
    """

    def __init__(self, problem: Problem, due_s: Array, names: tuple[str, ...], solver: Solver) -> None:
        self.problem, self.due_s, self.names, self.solver = problem, due_s, names, solver
        self.dated = np.isfinite(due_s)

    def kept(self, answer: Any) -> bool:
        """Whether an answer keeps them."""
        return bool((answer.latency_s <= self.due_s * (1 + _OVER)).all())

    def best(self, first: Any, gap: float, limit_s: float) -> Any:
        """The best answer found that keeps them.

        Parameters
        ----------
        first : answer
            That of the problem without deadlines, which does not keep them.
        gap : float
            To its bound, which is good enough [1].
        limit_s : float
            [s]

        Raises
        ------
        Infeasible
            Where it is proven that nothing keeps them; names users, few of them where the proof leaves that.
        SolverFailure
            Where neither is found in time.
        """
        until, each_s = time.monotonic() + limit_s, _PART * limit_s
        found = self._any(each_s, until)
        search = self._levels if self.problem.objective == "max" else self._multiplied
        value, low_s = self._value(found), first.lower_bound_s
        for other in search(first, value, each_s):
            if self.kept(other) and self._value(other) < value:
                found, value = other, self._value(other)
            if value - low_s <= gap * value or time.monotonic() >= until:
                break
        return found

    def _value(self, answer: Any) -> float:
        weighted = self.problem.weights * answer.latency_s
        return float(weighted.max() if self.problem.objective == "max" else weighted.sum())

    # ---- whether there is any

    def _only(self, dated: NDArray[np.bool_]) -> Problem:
        """The problem in which nothing counts but these users' deadlines."""
        least = 1.0 / float(self.due_s[dated].max())
        due_s = np.where(dated, self.due_s, 1.0)
        return replace(self.problem, weight=np.where(dated, 1.0 / due_s, _NONE * least), objective="max")

    def _any(self, each_s: float, until: float) -> Any:
        """An answer that keeps them."""
        found = self.solver(self._only(self.dated), each_s)
        if self.kept(found):
            return found
        if _refuted(found):
            raise self._conflict(each_s, until)
        late = [k for k in np.flatnonzero(found.latency_s > self.due_s).tolist()]
        words = ", ".join(f"{self.names[k]} ({show(float(self.due_s[k]), 's')})" for k in late)
        raise SolverFailure(
            f"no plan was found that keeps the deadlines of {words}, nor that there is none: these are late in the "
            "best; raise them, or the time limit"
        )

    def _conflict(self, each_s: float, until: float) -> Infeasible:
        """The error for deadlines that nothing keeps, with as few users as are proven to be in conflict."""
        among = self.dated.copy()
        if among.sum() <= _NAMED:
            for k in np.flatnonzero(among).tolist():
                fewer = among & (np.arange(len(among)) != k)
                if not fewer.any() or time.monotonic() >= until:
                    break
                if _refuted(self.solver(self._only(fewer), each_s)):
                    among = fewer
        conflicts = [Conflict(k, "deadline", float(self.due_s[k]), "s") for k in np.flatnonzero(among).tolist()]
        return Infeasible(
            "no order of service keeps these deadlines together", conflicts, names=self.names,
            hint="Raise one of them, or leave out a user.",
        )  # fmt: skip

    # ---- the best

    def _levels(self, first: Any, value: float, each_s: float) -> Iterator[Any]:
        """Answers of "max", at levels between what nothing is below and what is reached, doubled to begin with."""
        low, level = first.lower_bound_s, first.objective_s
        for _ in range(_LEVELS):
            weight = np.maximum(self.problem.weights, level / self.due_s)
            found = self.solver(replace(self.problem, weight=weight), each_s)
            if self.kept(found):
                value = min(value, self._value(found))
            if found.objective_s > level * (1 + _OVER):
                low = level
            value = max(value, low)
            level = min(float(np.sqrt(low * value)), 2.0 * low)
            yield found

    def _multiplied(self, first: Any, value: float, each_s: float) -> Iterator[Any]:
        """Answers of "sum", at multipliers that grow for those who are late."""
        weights, more, found = self.problem.weights, np.zeros(len(self.due_s)), first
        for n in range(_MULTIPLIERS):
            over_s = np.where(self.dated, found.latency_s - self.due_s, 0.0)
            if self.kept(found):
                value = min(value, self._value(found))
            dual = self._value(found) + float(more[self.dated] @ over_s[self.dated])
            steep = float(over_s @ over_s) or 1.0
            step = max(value - dual, 1e-3 * value) / steep * (1.0 if n < 6 else 0.6 ** (n - 5))
            more = np.maximum(more + step * over_s, 0.0)
            found = self.solver(replace(self.problem, weight=weights + more), each_s)
            yield found


def _refuted(answer: Any) -> bool:
    """Whether it is proven that some of the deadlines that count are missed."""
    return bool(answer.bound_source.proves and answer.lower_bound_s > 1 + _OVER)
