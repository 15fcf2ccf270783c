"""Programs on HiGHS that approximate from outside, made finer at what they find until the gap is proven."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import SolverFailure
from megdt_opt.solving.highs import Answer, Clock, Program, Rows

Array = NDArray[np.float64]

LEAST_GAP = 1e-8
"""A smaller one is not asked of HiGHS."""

_KEPT = 1e-9
"""Relative: by what a point may break a limit and counts as an answer."""


@dataclass(frozen=True)
class Refined:
    """The best point found, and how.

    Parameters
    ----------
    decided : SimpleNamespace
        Decisions that the problem evaluates.
    bound : float
        Lower bound of the objective that HiGHS claims, at most the objective [s].
    build_s, solve_s : float
        [s]
    message : str
    """

    decided: SimpleNamespace
    bound: float
    build_s: float
    solve_s: float
    message: str

    @property
    def fields(self) -> dict[str, Any]:
        """Of a formulation's raw answer."""
        return {
            **vars(self.decided), "bound": self.bound, "build_s": self.build_s, "solve_s": self.solve_s,
            "message": self.message,
        }  # fmt: skip


def refined(
    problem: Any,
    milp: Program,
    clock: Clock,
    *,
    unit: float,
    gap: float,
    rounds: int,
    read: Callable[[Array], tuple[SimpleNamespace, NDArray[np.int64]]],
    finer: Callable[[Array, NDArray[np.int64]], Iterable[Rows]],
    infeasible: Callable[[], Exception],
) -> Refined:
    """Solve a program again and again, each time with tangents at what it found.

    Parameters
    ----------
    problem : object
        Evaluates what was decided: nothing that HiGHS says of its objective is believed.
    milp : Program
    clock : Clock
        Begun when the program was begun to be built.
    unit : float
        Seconds of one unit of the program's objective [s].
    gap : float
        Asked relative gap [1].
    rounds : int
        Programs, at most [1].
    read : callable
        Decisions in a point, and what it takes that can be made finer.
    finer : callable
        Rows that make those finer at the point.
    infeasible : callable
        The error where HiGHS finds no point at all.

    Raises
    ------
    SolverFailure
        Where HiGHS fails, or finds no point in time; and what `infeasible` makes.
    """
    build_s, gap = clock.spent_s, max(gap, LEAST_GAP)
    best, bound, found = np.inf, 0.0, None
    programs = 0
    while programs < rounds:
        programs += 1
        answer: Answer = milp.run(rel_gap=0.3 * gap)
        if answer.status == "infeasible":
            raise infeasible()
        bound = max(bound, answer.bound * unit) if np.isfinite(answer.bound) else bound
        if answer.v is None:
            break
        decided, stages = read(answer.v)
        seen = problem.evaluate(decided)
        if seen.violation <= _KEPT and seen.objective_s < best:
            best, found = seen.objective_s, decided
        if best - bound <= gap * best or clock.left_s <= 0:
            break
        for rows in finer(answer.v, stages):
            milp.add(rows)
    if found is None:
        raise SolverFailure("HiGHS found no point in time; raise time_limit_s or leave it out")
    return Refined(found, min(bound, best), build_s, clock.spent_s - build_s, f"HiGHS: {programs} programs")
