"""What the disjunctive programs share: a proven ceiling on the latencies, and SCIP on a transformed model."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyomo.repn.plugins.lp_writer import LPWriter

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations import _scip, _shares, option_misocp
from megdt_opt.formulations._checks import not_together, require, workable_options
from megdt_opt.formulations._scaling import Units, units
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import RawSolution

Array = NDArray[np.float64]

_SLACK = 1.001
"""Factor on a feasible objective, far above its rounding."""
_SEARCH_S = 60.0
"""Limit on the proof that some limits cannot be kept together [s]."""
_FAR = 1e6
"""A user without a deadline has one of so many times the last of the others' where only lateness counts."""


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
    deadline is a ceiling as well. The feasible points are the best shares of simple options.

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
    alone = np.where(mask, least_latencies(problem, u), np.inf)
    even = np.where(mask, np.maximum(u.floor, u.fixed + u.demand.sum(axis=0)), np.inf)
    air = np.divide(u.demand[1], u.airtime, out=np.zeros(mask.shape), where=mask & (u.demand[1] > 0))
    tries = {tuple(table.argmin(axis=1)) for table in (even, alone, np.where(mask, air, np.inf))}
    found = [_shares.best(problem, np.array(option)) for option in tries]
    if not any(found) and not np.isfinite(u.deadline).all():
        found = [_shares.best(problem, _options_in_time(problem))]
        if found[0] is None:
            raise SolverFailure("no feasible point was found, so the latencies have no proven ceiling")
    if not any(found):
        return u.deadline
    trial = min(one[0] for one in found if one is not None) / u.objective_unit_s
    least = u.weight * alone.min(axis=1)
    others = np.zeros(problem.users) if problem.objective == "max" else least.sum() - least
    return np.minimum((_SLACK * trial - others) / u.weight, u.deadline)


def _options_in_time(problem: AllocationProblem) -> NDArray[np.int64]:
    """Options whose largest L / deadline is at most 1; users without a deadline hardly count."""
    limits = problem.hard_deadline_s
    if not np.isfinite(limits).any():
        raise not_together()  # not even the least airtimes fit together
    weight = 1 / np.where(np.isfinite(limits), limits, _FAR * limits[np.isfinite(limits)].max())
    late = replace(problem, objective="max", max_weight=None, weight=weight, deadline_s=None)
    raw = option_misocp.solve(late, gap=1e-6, time_limit_s=_SEARCH_S)
    if raw.bound is not None and raw.bound > 1:
        raise not_together()
    return raw.option


def solve_transformed(
    name: str, problem: AllocationProblem, transformed: Callable[..., Any], gap: float, time_limit_s: float | None
) -> RawSolution:
    """Options from SCIP on a model without disjunctions, which goes to a child as a file.

    Parameters
    ----------
    name : str
        Of the formulation.
    problem : AllocationProblem
    transformed : callable
        The pyomo model of a problem, workable options (K, O) and ceilings (K,), transformed, with a disjunct
        `choice[k, o]` for each option.
    gap, time_limit_s : float
        As in `megdt_opt.solve`.
    """
    begin = time.perf_counter()
    require(problem, name, linear=True)
    mask = workable_options(problem)
    q = transformed(problem, mask, ceilings(problem, mask, units(problem, mask)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.lp"
        text = io.StringIO()
        written = LPWriter().write(q, text)
        # SCIP's reader knows "x^2", not "x ^ 2"
        path.write_text(text.getvalue().replace(" ^ 2", "^2"), encoding="utf-8")
        names = [written.symbol_map.byObject.get(id(q.choice[pair].binary_indicator_var), "") for pair in q.pairs]
        built_s = time.perf_counter() - begin
        answer = _scip.ask(f"{_scip.__name__}:solve_file", (str(path), names, gap, time_limit_s), time_limit_s)
    return option_misocp.finish(problem, mask, replace(answer, build_s=answer.build_s + built_s))
