"""SCIP's settings, its answer, and solving a file with it (in a child process)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations._child import STARTING_S, run

FEASIBILITY = 1e-8
"""SCIP's tolerance on cones; at its default of 1e-6 objectives end up to 1.5e-5 below the true optimum."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What SCIP found.

    Parameters
    ----------
    chosen : tuple of int
        Positions of the binaries that are one; empty where there is no solution.
    bound : float
        Dual bound, in the program's own unit.
    infeasible : bool
    status : str
        SCIP's word.
    build_s, solve_s : float
        Seconds [s].
    """

    chosen: tuple[int, ...]
    bound: float
    infeasible: bool
    status: str
    build_s: float
    solve_s: float


def settings(gap: float, time_limit_s: float | None) -> dict[str, Any]:
    """Parameters of SCIP for a relative gap [1] and a time limit [s]."""
    chosen: dict[str, Any] = {"limits/gap": gap / 2, "numerics/feastol": FEASIBILITY, "display/verblevel": 0}
    if time_limit_s is not None:
        chosen["limits/time"] = float(time_limit_s)
    return chosen


def ask(function: str, argument: object, time_limit_s: float | None) -> Answer:
    """Call `function` in a child and return its `Answer`; a run without a solution is a failure."""
    limit_s = None if time_limit_s is None else time_limit_s + STARTING_S
    answer: Answer = run(function, argument, wall_limit_s=limit_s)
    if not answer.chosen and not answer.infeasible:
        raise SolverFailure(f"SCIP found no solution: {answer.status}")
    return answer


def read(model: Any, chosen: tuple[int, ...], build_s: float) -> Answer:
    """Pack the state of a SCIP model after its run."""
    return Answer(
        chosen=chosen, bound=float(model.getDualbound()), infeasible=model.getStatus() == "infeasible",
        status=str(model.getStatus()), build_s=build_s, solve_s=float(model.getSolvingTime()),
    )  # fmt: skip


def solve_file(argument: tuple[str, list[str], float, float | None]) -> Answer:
    """Solve a file (path, names of the binaries, gap, time limit); runs in the child."""
    from pyscipopt import Model

    path, names, gap, time_limit_s = argument
    begin = time.perf_counter()
    model = Model()
    model.setParams(settings(gap, time_limit_s))
    model.readProblem(path)
    built_s = time.perf_counter() - begin
    model.optimize()
    if not model.getNSols():
        return read(model, (), built_s)
    variables = {v.name: v for v in model.getVars()}
    best = model.getBestSol()
    if best is None:  # a solution was counted just above, so this cannot be
        return read(model, (), built_s)
    # a binary that the file does not mention was fixed to zero
    return read(model, tuple(j for j, n in enumerate(names) if n in variables and best[variables[n]] > 0.5), built_s)
