"""HiGHS through its own interface: rows as arrays, silent, tight tolerances, statuses as words or errors."""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from megdt_opt.errors import SolverFailure
from megdt_opt.solving.silent import Silent

Array = NDArray[np.float64]

TOLERANCE = 1e-9
"""On rows, reduced costs and whole numbers; programs are scaled to numbers near 1, so that it is relative."""

_ENDS = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kTimeLimit: "time limit",
    highspy.HighsModelStatus.kSolutionLimit: "solution limit",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of a linear program: lower <= matrix v <= upper.

    Parameters
    ----------
    matrix : sparse array, (M, N)
    lower, upper : array, (M,)
        Infinite where there is no side.
    """

    matrix: csr_array
    lower: Array
    upper: Array

    def violation(self, v: Array) -> float:
        """Largest excess of a row at a point, (N,); 0 where all hold."""
        if not self.lower.size:
            return 0.0
        value = self.matrix @ v
        return float(np.maximum(np.maximum(self.lower - value, value - self.upper), 0.0).max())


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
    """

    def __init__(self, cost: Array, lower: Array, upper: Array, whole: NDArray[np.bool_], clock: Clock) -> None:
        self._highs = Silent()
        self._clock = clock
        self._whole = whole
        self._relaxed = True
        settings: dict[str, bool | float] = {
            "output_flag": False, "primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE,
            "mip_feasibility_tolerance": TOLERANCE, "mip_rel_gap": 0.0, "mip_abs_gap": 0.0,
        }  # fmt: skip
        for name, value in settings.items():
            self._set(name, value)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = cost.size, 0
        model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
        model.row_lower_ = model.row_upper_ = np.zeros(0)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.zeros(1, dtype=np.int32)
        if self._highs.passModel(model) == highspy.HighsStatus.kError:
            raise SolverFailure("HiGHS refused a program")

    def add(self, rows: Rows) -> None:
        """Append rows."""
        m = rows.matrix
        if not rows.lower.size:
            return
        done = self._highs.addRows(
            rows.lower.size, rows.lower, rows.upper, m.nnz, m.indptr[:-1].astype(np.int32), m.indices.astype(np.int32),
            m.data,
        )  # fmt: skip
        if done == highspy.HighsStatus.kError:
            raise SolverFailure("HiGHS refused rows")

    def close(self, columns: NDArray[np.int64]) -> None:
        """Fix columns to zero."""
        zero = np.zeros(columns.size)
        self._highs.changeColsBounds(columns.size, columns.astype(np.int32), zero, zero)

    def run(self, *, relaxed: bool = False, abs_gap: float = 0.0, first: bool = False) -> Answer:
        """Solve; a run that ends without a verdict is a failure.

        Parameters
        ----------
        relaxed : bool
            Leave the whole numbers out.
        abs_gap : float
            Stop at this distance of the bound from the best point.
        first : bool
            Stop at the first point.

        Raises
        ------
        SolverFailure
            Where HiGHS ends in any other way than those of `Answer.status`.
        """
        if relaxed != self._relaxed:
            kind = highspy.HighsVarType.kContinuous if relaxed else highspy.HighsVarType.kInteger
            columns = np.flatnonzero(self._whole).astype(np.int32)
            self._highs.changeColsIntegrality(columns.size, columns, np.full(columns.size, int(kind), dtype=np.uint8))
            self._relaxed = relaxed
        left_s = self._clock.left_s
        if left_s <= 0:
            return Answer(status="time limit", v=None, bound=-np.inf)
        # HiGHS counts the time of all runs of an object together
        self._set("time_limit", min(left_s + self._highs.getRunTime(), 1e15))
        self._set("mip_abs_gap", abs_gap)
        self._set("mip_max_improving_sols", 1 if first else 2**31 - 1)
        self._highs.run()
        status = self._highs.getModelStatus()
        if status not in _ENDS:
            raise SolverFailure(f"HiGHS: {self._highs.modelStatusToString(status)}")
        word, info = _ENDS[status], self._highs.getInfo()
        if word == "infeasible":
            return Answer(status=word, v=None, bound=np.inf)
        found = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        solution = self._highs.getSolution()
        v = np.array(solution.col_value) if found else None
        if relaxed:
            solved = word == "optimal"
            bound = info.objective_function_value if solved else -np.inf
            return Answer(status=word, v=v, bound=bound, dual=np.array(solution.row_dual) if solved else None)
        return Answer(status=word, v=v, bound=info.mip_dual_bound)

    def _set(self, name: str, value: bool | float) -> None:
        if self._highs.setOptionValue(name, value) == highspy.HighsStatus.kError:
            raise SolverFailure(f"HiGHS does not take {name} = {value!r}")


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
