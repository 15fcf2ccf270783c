"""Small linear programs by HiGHS, through its own interface: scipy's takes half a second to load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megdt_opt.pricing.scaled import Array


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
    cost: Array, rows: Array, right: Array, lower: Array, upper: Array, equal: tuple[Array, float] | None = None
) -> Optimum | None:
    """Minimise cost v over rows v <= right within bounds; None where HiGHS finds no optimum.

    Parameters
    ----------
    cost, lower, upper : array, (N,)
    rows : array, (M, N)
    right : array, (M,)
    equal : tuple of array, (N,), and float, optional
        One more row, with its right side, that must hold exactly.
    """
    import highspy

    from megdt_opt.solving.silent import Silent

    count = len(right)
    if equal is not None:
        rows, right = np.vstack([rows, equal[0]]), np.r_[right, equal[1]]
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = rows.shape
    model.col_cost_, model.col_lower_, model.col_upper_ = cost, lower, upper
    model.row_lower_ = np.r_[np.full(count, -np.inf), right[count:]]
    model.row_upper_ = right
    full = rows.shape[1]
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = np.arange(0, rows.size + 1, full, dtype=np.int32)
    matrix.index_ = np.tile(np.arange(full, dtype=np.int32), len(right))
    matrix.value_ = rows.ravel()
    solver = Silent()
    if solver.passModel(model) == highspy.HighsStatus.kError:
        return None
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    solution = solver.getSolution()
    multipliers = np.maximum(-np.array(solution.row_dual[:count]), 0.0)
    return Optimum(np.array(solution.col_value), float(solver.getObjectiveValue()), multipliers)
