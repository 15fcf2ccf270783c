"""One door to all routes: what they return is evaluated anew, and nothing they claim is believed."""

from __future__ import annotations

import importlib
import importlib.util
import math
import time
from numbers import Real
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation, evaluate
from megdt_opt.problem.fairness import AlphaFairProblem, LexicographicProblem
from megdt_opt.problem.generation_split import GenerationSplit, GenerationSplitProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.allocation import Allocation, RawSolution, relative_gap
from megdt_opt.solving.enumeration import enumerate_options
from megdt_opt.solving.search.branching import close
from megdt_opt.solving.search.on_time import OnTime
from megdt_opt.tolerances import SOLVER

_ROUTES: dict[str, str] = {
    "AlphaFairProblem": "alpha_fair",
    "GenerationSplitProblem": "energy_delay",
    "LexicographicProblem": "lexicographic",
}
"""Classes of problems that have their own formulation; "auto" takes a closed form where the class has one."""


def methods(problem_class: str | None = None) -> tuple[str, ...]:
    """Names that `solve` takes as its method; with "AllocationProblem" or another class, those that take that class."""
    if problem_class in _ROUTES:
        return ("auto", _ROUTES[problem_class])
    # found by name only: importing them would load CVXPY and Pyomo
    home = importlib.util.find_spec("megdt_opt.formulations")
    folders = [] if home is None else list(home.submodule_search_locations or [])
    names = {path.stem for folder in folders for path in Path(folder).glob("*.py")}
    if problem_class is not None:
        names -= set(_ROUTES.values())
    return ("auto", "prices", "enumerate", *sorted(n for n in names if not n.startswith("_")))


@overload
def solve(
    problem: AllocationProblem | LexicographicProblem | AlphaFairProblem,
    method: str = "auto",
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Allocation: ...


@overload
def solve(
    problem: GenerationSplitProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> GenerationSplit: ...


def solve(problem: Any, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None) -> Any:
    """Choose the options and shares of all users, or what another class of problem leaves open.

    Parameters
    ----------
    problem : AllocationProblem, LexicographicProblem, AlphaFairProblem or GenerationSplitProblem
        All but the first are solved by the formulations of their classes.
    method : str
        "auto", "prices" (certified bound), "enumerate" (small cases), or a formulation's file name. For another class:
        "auto" or the name of its formulation.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        Limit on the solution [s]; then the best allocation found is returned with the bound proven by then.

    Raises
    ------
    InvalidInput
        For an unknown method, or one that does not take this problem.
    Infeasible
        Where a user has no open option or the hard limits cannot be kept together; names users and limits.
    SolverFailure
        Where a backend fails, or where the time is over before an allocation that keeps the deadlines is found.
    """
    if not (_is_number(gap) and gap >= 0):
        raise InvalidInput("gap", gap, "a finite number of at least 0 [1]", "Use the default 1e-6.")
    if time_limit_s is not None and not (_is_number(time_limit_s) and time_limit_s > 0):
        raise InvalidInput("time_limit_s", time_limit_s, "a time above 0 [s]", "Leave it out for no limit.")
    kind = type(problem).__name__
    if kind in _ROUTES:
        return _solve_richer(problem, kind, method, gap, time_limit_s)
    if not isinstance(problem, AllocationProblem):
        known = ("AllocationProblem", *_ROUTES)
        raise InvalidInput("problem", kind, f"one of {known}", "Build one of them first.")
    for other, own in _ROUTES.items():
        if method == own:
            raise InvalidInput("method", method, f"a method for {kind}; this one solves {other}", 'Use "auto".')
    if method == "auto":
        method = "prices"
    begin = time.perf_counter()
    scaled = Resources.of(problem)
    built = time.perf_counter()
    if method == "prices":
        closed = close(problem, scaled, gap=gap, time_limit_s=time_limit_s)
        best = closed.incumbent
        message = f"{closed.nodes} nodes, {closed.passes} price vectors"
        return _allocation(
            problem, best.option, best.x, closed.bound, "certificate", gap, method, built - begin,
            time.perf_counter() - built, closed.certificate, message, closed.shares, closed.evaluation,
        )  # fmt: skip
    if method == "enumerate":
        best = enumerate_options(problem, scaled)
        # every set was tried, each down to its own bound; no certificate stands behind it
        return _allocation(
            problem, best.option, best.x, best.least_bound, "enumeration", gap, method, built - begin,
            time.perf_counter() - built, None, "every option set was tried",
        )  # fmt: skip
    if method not in methods(kind):
        raise InvalidInput("method", method, f"one of {methods(kind)}", "Choose one of them.")
    route = importlib.import_module(f"megdt_opt.formulations.{method}")
    raw: RawSolution = route.solve(problem, gap=gap, time_limit_s=time_limit_s)
    return _from_raw(problem, scaled, raw, method, gap)


def _is_number(value: object) -> bool:
    """Whether a value is a finite real number that a float holds."""
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:
        return False


def _solve_richer(problem: Any, kind: str, method: str, gap: float, time_limit_s: float | None) -> Any:
    """Solve a class of problem that has its own formulation."""
    route = _ROUTES[kind]
    if method == "auto" and hasattr(problem, "closed_form"):
        return problem.closed_form()
    if method not in ("auto", route):
        raise InvalidInput("method", method, f"'auto' or {route!r} for {kind}", "Choose one of them.")
    found = importlib.import_module(f"megdt_opt.formulations.{route}").solve(
        problem, gap=gap, time_limit_s=time_limit_s
    )
    if isinstance(problem, LexicographicProblem | AlphaFairProblem):
        return _fair_allocation(problem, found, route)
    return found


def _fair_allocation(problem: LexicographicProblem | AlphaFairProblem, raw: RawSolution, name: str) -> Allocation:
    """Shares and bound from the formulation of the problem's class, evaluated anew.

    The objective of a lexicographic allocation is its largest weighted latency [s].
    """
    inner = problem.allocation
    option = np.asarray(raw.option, dtype=np.int64)
    found = evaluate(inner, option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
    if found.violation > SOLVER:
        raise SolverFailure(f"{name} returned shares that break a limit by {found.violation:.2e} relatively")
    objective, bound = found.objective_s, -np.inf if raw.bound is None else raw.bound
    if isinstance(problem, AlphaFairProblem):
        objective, bound = problem.value(found.latency_s), problem.of_norm(bound)
    bound = min(bound, objective)
    return Allocation(
        option=option, downlink_hz=raw.downlink_hz, uplink_hz=raw.uplink_hz, edge_share=raw.edge_share,
        latency_s=found.latency_s, objective_s=objective, lower_bound_s=bound, gap=relative_gap(objective, bound),
        status="feasible", method=name, bound_source="none" if raw.bound is None else "solver", build_s=raw.build_s,
        solve_s=raw.solve_s, message=raw.message,
    )  # fmt: skip


def _from_raw(problem: AllocationProblem, scaled: Resources, raw: RawSolution, method: str, gap: float) -> Allocation:
    option = np.asarray(raw.option, dtype=np.int64)
    if option.shape != (problem.users,) or not scaled.open[np.arange(problem.users), option].all():
        raise SolverFailure(f"{method} returned options that are not open: {option.tolist()}")
    if problem.objective == "missed" and raw.late is not None:
        on_time = OnTime(problem, scaled)
        choice = np.where(raw.late, on_time.late, option)
        fitted = on_time.fit(choice[None])
        if not on_time.together(fitted.objective)[0]:
            users = np.flatnonzero(~raw.late).tolist()
            raise SolverFailure(f"{method} claims that users {users} can be on time together, but they cannot")
        settled, x = on_time.settle(choice, fitted.x[0])
        return _allocation(
            problem, settled, x, -np.inf if raw.bound is None else raw.bound, "none" if raw.bound is None else "solver",
            gap, method, raw.build_s, raw.solve_s, None, raw.message,
        )  # fmt: skip
    # the shares for the found options are optimal in closed form or by a convex program: solvers keep cones only
    # within their tolerance, so their shares can violate a limit or waste a little
    found = best_shares(problem, scaled, option[None])
    if not np.isfinite(found.objective[0]):
        raise SolverFailure(f"{method} returned options that cannot keep the limits: {option.tolist()}")
    bound = -np.inf if raw.bound is None else raw.bound
    source = "none" if raw.bound is None else "solver"
    return _allocation(
        problem, option, found.x[0], bound, source, gap, method, raw.build_s, raw.solve_s, None, raw.message
    )


def _allocation(
    problem: AllocationProblem,
    option: NDArray[np.int64],
    x: Array,
    bound: float,
    source: str,
    gap: float,
    method: str,
    build_s: float,
    solve_s: float,
    certificate: Certificate | None,
    message: str,
    shares: Array | None = None,
    found: Evaluation | None = None,
) -> Allocation:
    """The allocation of scaled shares, evaluated, unless its shares and what they yield are given too."""
    if shares is None or found is None:
        shares, _ = in_units(problem, x)
        found = evaluate(problem, option, shares[2], shares[0], shares[1])
    up, edge, down = shares
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned shares that break a limit by {found.violation:.2e} relatively")
    # a solver's bound may exceed the truth by its tolerance; a reported bound never exceeds the objective
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower) if np.isfinite(lower) else np.inf
    proven = source in ("certificate", "enumeration") and reached <= gap + 1e-12
    return Allocation(
        option=option,
        downlink_hz=down,
        uplink_hz=up,
        edge_share=edge,
        latency_s=found.latency_s,
        objective_s=found.objective_s,
        lower_bound_s=lower,
        gap=reached,
        status="optimal" if proven else "feasible",
        method=method,
        bound_source=source,
        build_s=build_s,
        solve_s=solve_s,
        certificate=certificate,
        message=message,
    )
