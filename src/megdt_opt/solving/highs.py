"""HiGHS through its own interface: rows as arrays, silent, tight tolerances, statuses as words or errors.

highspy is loaded by the first program, and scipy not at all: either takes a good part of a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import SolverFailure

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]

TOLERANCE = 1e-9
"""On rows, reduced costs and whole numbers; programs are scaled to numbers near 1, so that it is relative."""

_ENDS = {
    "Optimal": "optimal", "Infeasible": "infeasible", "TimeLimit": "time limit", "SolutionLimit": "solution limit",
}  # fmt: skip


class Clock:
    """Time that is left of a limit.

    Parameters
    ----------
    limit_s : float or None
        None for no limit [s].
    """

    def __init__(self, limit_s: float | None) -> None:
        self._begin = time.perf_counter()
        self._limit_s = np.inf if limit_s is None else limit_s

    @property
    def spent_s(self) -> float:
        """Since the clock was made [s]."""
        return time.perf_counter() - self._begin

    @property
    def left_s(self) -> float:
        """Until the limit [s]; negative beyond it."""
        return self._limit_s - self.spent_s


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of a linear program: lower <= matrix v <= upper.

    Parameters
    ----------
    matrix : array or sparse array, (M, N)
    lower, upper : array, (M,)
        Infinite where there is no side.
    """

    matrix: Array | csr_array
    lower: Array
    upper: Array

    def violation(self, v: Array) -> float:
        """Largest excess of a row at a point, (N,); 0 where all hold."""
        if not self.lower.size:
            return 0.0
        value = self.matrix @ v
        return float(np.maximum(np.maximum(self.lower - value, value - self.upper), 0.0).max())

    @property
    def entries(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Array]:
        """Where each row begins, and the columns and values of its entries, one row after another."""
        m = self.matrix
        if isinstance(m, np.ndarray):
            rows, columns = m.shape
            index = np.tile(np.arange(columns, dtype=np.int32), rows)
            return np.arange(0, rows * columns, max(columns, 1), dtype=np.int32), index, m.ravel()
        return m.indptr[:-1].astype(np.int32), m.indices.astype(np.int32), m.data


def at_most(matrix: Array | csr_array, limit: float | Array) -> Rows:
    """matrix v <= limit."""
    count = matrix.shape[0]
    return Rows(matrix=matrix, lower=np.full(count, -np.inf), upper=np.broadcast_to(limit, count).astype(float))


def at_least(matrix: Array | csr_array, limit: float | Array) -> Rows:
    """matrix v >= limit."""
    count = matrix.shape[0]
    return Rows(matrix=matrix, lower=np.broadcast_to(limit, count).astype(float), upper=np.full(count, np.inf))


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What HiGHS found.

    Parameters
    ----------
    status : str
        "optimal", "infeasible", "time limit" or "solution limit".
    v : array, (N,), or None
        The best point; None where there is none.
    bound : float
        No point is better; infinite where there is no point at all.
    dual : array, (M,), or None
        Multipliers of the rows, of a relaxed program that was solved to its optimum.
    """

    status: str
    v: Array | None
    bound: float
    dual: Array | None = None


class Program:
    """A mixed-integer linear program that grows by rows; one HiGHS object throughout.

    Parameters
    ----------
    cost : array, (N,)
        To be minimised.
    lower, upper : array, (N,)
        Bounds of the columns.
    whole : array of bool, (N,)
        Columns that must be whole numbers, while the program is not relaxed.
    clock : Clock
        Stops every run in time.
    tolerance : float
        On whole numbers. Too small a one makes HiGHS lose solutions of programs with large constants.
    settings : mapping, optional
        More of HiGHS' options, by their names.
    """

    def __init__(
        self,
        cost: Array,
        lower: Array,
        upper: Array,
        whole: NDArray[np.bool_],
        clock: Clock,
        tolerance: float = TOLERANCE,
        settings: Mapping[str, float | str | bool] | None = None,
    ) -> None:
        self._highs = _silent()()
        self._clock = clock
        self._whole = np.flatnonzero(whole).astype(np.int32)
        self._relaxed = True
        self._bounded = bool(np.isfinite(np.where(cost >= 0, lower, upper)).all())
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._set(name, TOLERANCE)
        self._set("mip_feasibility_tolerance", tolerance)
        for name, value in (settings or {}).items():
            self._set(name, value)
        self._set("small_matrix_value", 1e-12)
        columns = np.arange(cost.size, dtype=np.int32)
        self._must(self._highs.addVars(cost.size, lower, upper), "columns")
        self._must(self._highs.changeColsCost(cost.size, columns, cost), "costs")

    def add(self, rows: Rows) -> None:
        """Append rows."""
        if rows.lower.size:
            begin, columns, values = rows.entries
            sides = rows.lower.size, rows.lower, rows.upper
            self._must(self._highs.addRows(*sides, values.size, begin, columns, values), "rows")

    def fix_at_zero(self, columns: NDArray[np.int64]) -> None:
        """Take columns out of the program."""
        zero = np.zeros(columns.size)
        self._highs.changeColsBounds(columns.size, columns.astype(np.int32), zero, zero)

    def start_at(self, v: Array) -> None:
        """A point, (N,), to begin the next run with."""
        import highspy

        solution = highspy.HighsSolution()
        solution.col_value = v.tolist()
        self._highs.setSolution(solution)

    def run(
        self, *, relaxed: bool = False, rel_gap: float = 0.0, abs_gap: float = 0.0, solutions: int = 2**31 - 1
    ) -> Answer:
        """Solve; a run that ends without a verdict is a failure.

        Parameters
        ----------
        relaxed : bool
            Leave the whole numbers out.
        rel_gap, abs_gap : float
            Stop at this distance of the bound from the best point, relatively or absolutely.
        solutions : int
            Stop at so many points, each better than the one before.

        Raises
        ------
        SolverFailure
            Where HiGHS ends in any other way than those of `Answer.status`.
        """
        import highspy

        if relaxed != self._relaxed and self._whole.size:
            kind = highspy.HighsVarType.kContinuous if relaxed else highspy.HighsVarType.kInteger
            kinds = np.full(self._whole.size, int(kind), dtype=np.uint8)
            self._must(self._highs.changeColsIntegrality(self._whole.size, self._whole, kinds), "whole numbers")
        self._relaxed = relaxed or not self._whole.size
        left_s = self._clock.left_s
        if left_s <= 0:
            return Answer(status="time limit", v=None, bound=-np.inf)
        # HiGHS counts the time of all runs of an object together
        self._set("time_limit", min(left_s + self._highs.getRunTime(), 1e15))
        self._set("mip_rel_gap", rel_gap)
        self._set("mip_abs_gap", abs_gap)
        self._set("mip_max_improving_sols", solutions)
        self._highs.run()
        word, info = self._status(), self._highs.getInfo()
        if word == "infeasible":
            return Answer(status=word, v=None, bound=np.inf)
        solution = self._highs.getSolution()
        found = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        v = np.array(solution.col_value) if found else None
        if not self._relaxed:
            return Answer(status=word, v=v, bound=info.mip_dual_bound)
        solved = word == "optimal"
        bound = info.objective_function_value if solved else -np.inf
        return Answer(status=word, v=v, bound=bound, dual=np.array(solution.row_dual) if solved else None)

    def _status(self) -> str:
        """How the run ended, in the words of `Answer.status`."""
        status = self._highs.getModelStatus()
        name = status.name.removeprefix("k")
        if name == "UnboundedOrInfeasible" and self._bounded:
            return "infeasible"
        if name not in _ENDS:
            raise SolverFailure(f"HiGHS: {self._highs.modelStatusToString(status)}")
        return _ENDS[name]

    def _set(self, name: str, value: float | str | bool) -> None:
        self._must(self._highs.setOptionValue(name, value), f"{name} = {value!r}")

    def _must(self, status: Any, what: str) -> None:
        if status.name == "kError":
            raise SolverFailure(f"HiGHS refused {what}")


@dataclass(frozen=True)
class Optimum:
    """An optimum of a linear program.

    Parameters
    ----------
    v : array, (N,)
        The point.
    value : float
        Its cost.
    multipliers : array, (M,)
        Of the rows, at least 0.
    """

    v: Array
    value: float
    multipliers: Array


def minimum(
    cost: Array,
    rows: Array | csr_array,
    right: Array,
    lower: Array,
    upper: Array,
    equal: tuple[Array, float] | None = None,
) -> Optimum | None:
    """Minimise cost v over rows v <= right within bounds; None where HiGHS finds no optimum.

    Parameters
    ----------
    cost, lower, upper : array, (N,)
    rows : array or sparse array, (M, N)
    right : array, (M,)
    equal : tuple of array, (N,), and float, optional
        One more row, with its right side, that must hold exactly.
    """
    program = Program(cost, lower, upper, np.zeros(cost.size, dtype=bool), Clock(None))
    try:
        program.add(at_most(rows, right))
        if equal is not None:
            side = np.array([equal[1]])
            program.add(Rows(matrix=equal[0][None], lower=side, upper=side))
        answer = program.run(relaxed=True)
    except SolverFailure:
        return None
    if answer.v is None or answer.dual is None:
        return None
    return Optimum(answer.v, answer.bound, np.maximum(-answer.dual[: len(right)], 0.0))


@cache
def _silent() -> Any:
    """HiGHS without its banner, which its constructor prints at this first call unless output is off by then."""
    import highspy

    class Silent(highspy.Highs):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]

        def enableCallbacks(self) -> None:  # noqa: N802
            self.silent()
            super().enableCallbacks()  # type: ignore[no-untyped-call]

    return Silent
