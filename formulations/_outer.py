"""A linear program with whole numbers that stays in HiGHS while rows are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import SolverFailure
from megdt_opt.solving.silent import Silent

Array = NDArray[np.float64]

FEASIBILITY = 1e-9
"""HiGHS' tolerances: of rows, of reduced costs and of whole numbers; at its defaults bounds end some 1e-6 off."""

DOUBT = 1e-8
"""What is taken off every bound for these tolerances, relatively and in units of an objective near 1."""


@dataclass(frozen=True)
class Row:
    """lower <= Σ value * column <= upper."""

    lower: float
    upper: float
    columns: NDArray[np.int64]
    values: Array

    def excess(self, point: Array) -> float:
        """By how much a point breaks the row."""
        body = float(self.values @ point[self.columns])
        return max(self.lower - body, body - self.upper, 0.0)


def row(entries: dict[int, float], *, lower: float = -np.inf, upper: float = np.inf) -> Row:
    """A row from a table of column to value."""
    return Row(lower, upper, np.array(list(entries), dtype=np.int64), np.array(list(entries.values()), dtype=float))


@dataclass(frozen=True)
class Outcome:
    """What HiGHS found.

    Parameters
    ----------
    point : array or None
        Values of the columns; None where there is no solution.
    bound : float
        Lower bound on the objective.
    infeasible : bool
    status : str
        HiGHS' word.
    """

    point: Array | None
    bound: float
    infeasible: bool
    status: str


class Master:
    """A minimisation over columns from 0 to `upper`, the first `whole` of them whole numbers.

    Parameters
    ----------
    upper, cost : array, (columns,)
    whole : int
        Number of leading columns that are whole numbers, unless relaxed.
    """

    def __init__(self, upper: Array, cost: Array, whole: int) -> None:
        import highspy

        self._kinds = highspy.HighsVarType
        self._whole = np.arange(whole, dtype=np.int32)
        self._relaxed = True
        self._highs: Any = Silent()
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance", "mip_feasibility_tolerance"):
            self._must(self._highs.setOptionValue(name, FEASIBILITY), name)
        self._must(self._highs.setOptionValue("mip_abs_gap", 0.0), "mip_abs_gap")
        self._must(self._highs.setOptionValue("small_matrix_value", 1e-12), "small_matrix_value")
        count = upper.size
        self._must(self._highs.addVars(count, np.zeros(count), upper), "columns")
        self._must(self._highs.changeColsCost(count, np.arange(count, dtype=np.int32), cost), "costs")

    def _must(self, status: Any, what: str) -> None:
        if status.name == "kError":
            raise SolverFailure(f"HiGHS refused {what}")

    def add(self, rows: list[Row]) -> None:
        """Add rows; each is divided by a power of two, so that its largest value is near 1."""
        for r in rows:
            scale = 2.0 ** -np.round(np.log2(np.abs(r.values).max()))
            columns = r.columns.astype(np.int32)
            done = self._highs.addRow(r.lower * scale, r.upper * scale, columns.size, columns, r.values * scale)
            self._must(done, "a row")

    def relax(self, relaxed: bool) -> None:
        """Let the whole numbers be continuous, or not."""
        if relaxed == self._relaxed:
            return
        kind = self._kinds.kContinuous if relaxed else self._kinds.kInteger
        self._must(
            self._highs.changeColsIntegrality(self._whole.size, self._whole, np.full(self._whole.size, kind)), "kinds"
        )
        self._relaxed = relaxed

    def start_at(self, point: Array) -> None:
        """A solution to begin the next search with."""
        import highspy

        solution = highspy.HighsSolution()
        solution.col_value = [float(value) for value in point]
        self._highs.setSolution(solution)

    def solve(self, gap: float, time_limit_s: float) -> Outcome:
        """Minimise to a relative gap [1], within a time [s].

        Raises
        ------
        SolverFailure
            Where HiGHS ends in a way that says nothing.
        """
        self._highs.setOptionValue("mip_rel_gap", gap)
        # HiGHS counts the time of a model over all its runs
        self._highs.setOptionValue("time_limit", self._highs.getRunTime() + time_limit_s)
        self._must(self._highs.run(), "to run")
        status = self._highs.getModelStatus().name.removeprefix("k")
        info = self._highs.getInfo()
        if status in ("Infeasible", "UnboundedOrInfeasible"):
            return Outcome(None, np.inf, True, status)
        if status not in ("Optimal", "TimeLimit"):
            raise SolverFailure(f"HiGHS ended with {status}")
        bound = info.mip_dual_bound if not self._relaxed else info.objective_function_value
        if self._relaxed and status != "Optimal":
            return Outcome(None, -np.inf, False, status)
        feasible = info.primal_solution_status == 2
        point = np.array(self._highs.getSolution().col_value) if feasible else None
        return Outcome(point, float(bound) - DOUBT * (1 + abs(float(bound))), False, status)
