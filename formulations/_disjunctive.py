"""What the disjunctive programs share: a proven ceiling on the latencies, and SCIP on a transformed model."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyomo.repn.plugins.lp_writer import LPWriter

from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.formulations import _scip
from megdt_opt.formulations._checks import conflict
from megdt_opt.formulations._scaling import Units
from megdt_opt.formulations.option_misocp import finish
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.whatif import feasible

Array = NDArray[np.float64]

_SLACK = 1.001
"""Factor on a feasible objective, far above its rounding."""
_SEARCH_S = 60.0
"""Limit on the proof that some limits cannot be kept together [s]."""


def least_latencies(problem: AllocationProblem, u: Units) -> Array:
    """Latency of each option with the whole of every budget, within the share cap, (K, O) in units of latency."""
    most = np.full((3, problem.users), float(problem.users))
    most[2] = np.minimum(most[2], u.cap)
    with np.errstate(divide="ignore", invalid="ignore"):
        stage = np.where(u.demand > 0, u.demand / most[:, :, None], 0.0)
    least: Array = np.maximum(u.floor, u.fixed + stage.sum(axis=0))
    return least


def ceilings(problem: AllocationProblem, mask: NDArray[np.bool_], u: Units) -> Array:
    """M (K,) in units of latency: no optimal solution has a latency above it.

    Let Z be the objective of some feasible point. Then w_k L_k <= Z for "max". For the others
    w_k L_k <= Z - Σ_{j != k} w_j (least latency of j), as every other user costs at least what it costs alone. A
    deadline is a ceiling as well. The feasible point is `Incumbent.start`'s, evaluated here.

    Parameters
    ----------
    problem : AllocationProblem
    mask : array of bool, (K, O)
        Workable options.
    u : Units
        Their numbers.

    Raises
    ------
    Infeasible
        Where the limits cannot be kept together and a user has no ceiling.
    SolverFailure
        Where it stays open whether they can.
    """
    best = Incumbent(problem, Resources.of(problem))
    with contextlib.suppress(Infeasible):  # then the objective stays infinite
        best.start()
    if not np.isfinite(best.objective) and not np.isfinite(u.deadline).all():
        found = _options_in_time(problem)
        best.offer(found[None])
        if not np.isfinite(best.objective):
            raise SolverFailure("no feasible point was found, so the latencies have no proven ceiling")
    if not np.isfinite(best.objective):
        return u.deadline
    down, up, edge = best.x
    shares = (down * problem.downlink_hz, up * problem.uplink_hz, edge * problem.edge_capacity)
    trial = evaluate(problem, best.option, *shares).objective_s / u.objective_unit_s
    least = u.weight * np.where(mask, least_latencies(problem, u), np.inf).min(axis=1)
    others = np.zeros(problem.users) if problem.objective == "max" else least.sum() - least
    return np.minimum((_SLACK * trial - others) / u.weight, u.deadline)


def _options_in_time(problem: AllocationProblem) -> NDArray[np.int64]:
    try:
        answer = feasible.answer(problem, time.monotonic() + _SEARCH_S)
    except feasible.OutOfTime:
        raise SolverFailure("it stayed open whether the limits can be kept together") from None
    if answer.option is None:
        if answer.proven:
            raise conflict(problem)
        raise SolverFailure("it stayed open whether the limits can be kept together")
    return answer.option


def solve_transformed(
    problem: AllocationProblem, mask: NDArray[np.bool_], q: Any, begin: float, gap: float, time_limit_s: float | None
) -> RawSolution:
    """Options from SCIP on a model without disjunctions, which goes to a child as a file.

    Parameters
    ----------
    problem : AllocationProblem
    mask : array of bool, (K, O)
        Workable options.
    q : pyomo model
        With a disjunct `choice[k, o]` for each of them.
    begin : float
        `time.perf_counter()` at which building began [s].
    gap, time_limit_s : float
        As in `megdt_opt.solve`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.lp"
        text = io.StringIO()
        written = LPWriter().write(q, text)
        # SCIP's reader knows "x^2", not "x ^ 2"
        path.write_text(text.getvalue().replace(" ^ 2", "^2"), encoding="utf-8")
        names = [written.symbol_map.byObject.get(id(q.choice[pair].binary_indicator_var), "") for pair in q.pairs]
        built_s = time.perf_counter() - begin
        answer = _scip.ask(f"{_scip.__name__}:solve_file", (str(path), names, gap, time_limit_s), time_limit_s)
    return finish(problem, mask, replace(answer, build_s=answer.build_s + built_s))
