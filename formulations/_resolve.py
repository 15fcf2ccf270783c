"""A CVXPY program compiled once and solved again with new parameters, without going through its parameter objects.

CVXPY reduces a program with parameters (DPP) to matrices that are affine in the parameters. They are kept here, so that
a new solve is one product with a sparse matrix and Clarabel, and values need not pass CVXPY's checks of each parameter.
"""

from __future__ import annotations

import threading
from typing import Any

import cvxpy as cp
import numpy as np
from cvxpy import settings as names
from numpy.typing import NDArray

from megdt_opt.errors import SolverFailure


class Compiled:
    """A program with its canonical form.

    Parameters
    ----------
    program : cvxpy.Problem
        In DPP form.

    Raises
    ------
    SolverFailure
        Where the program is not DPP, so that compiling it would not save anything.
    """

    def __init__(self, program: Any) -> None:
        if not program.is_dcp(dpp=True):
            raise SolverFailure("the program is not in the form that can be compiled (DPP)")
        self.program = program
        self.lock = threading.Lock()
        for parameter in program.parameters():
            parameter.value = np.ones(parameter.shape)
        self._data, self._chain, self._inverse = program.get_problem_data(cp.CLARABEL, solver_opts={})
        self._affine = self._data[names.PARAM_PROB]

    def data(self, values: dict[int, NDArray[np.float64]]) -> dict[str, Any]:
        """Clarabel's data for parameter values by the parameters' ids."""
        c, _, a, b = self._affine.apply_parameters(id_to_param_value=values)
        return {**self._data, names.C: c, names.A: -a, names.B: b}

    def solve(self, data: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Clarabel's own result."""
        return self._chain.solve_via_data(self.program, data, warm_start=False, verbose=False, solver_opts=settings)

    def values(self, raw: Any, variables: list[Any]) -> list[NDArray[np.float64]]:
        """Values of variables in a result."""
        solution = self._chain.invert(raw, self._inverse)
        return [solution.primal_vars[variable.id] for variable in variables]
