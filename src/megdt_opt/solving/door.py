"""One door to all routes: what they return is evaluated again, and nothing they claim is believed."""

from __future__ import annotations

import importlib
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import proven_as
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import prices_in
from megdt_opt.errors import Infeasible, InvalidInput, SolverFailure
from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation, evaluate, evaluate_shares
from megdt_opt.problem.fairness import AlphaFairProblem, LexicographicProblem
from megdt_opt.problem.generation_split import GenerationSplit, GenerationSplitProblem
from megdt_opt.problem.outcome import BoundSource, Method, Status, status_of
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.allocation import Allocation, RawSolution
from megdt_opt.solving.answers import relative_gap
from megdt_opt.solving.asked import check_asked
from megdt_opt.solving.closing import Before, Closed, close, prepare
from megdt_opt.solving.conflict import named
from megdt_opt.solving.enumeration import enumerate_options
from megdt_opt.solving.search.on_time import OnTime
from megdt_opt.tolerances import SOLVER

if TYPE_CHECKING:
    from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
    from megdt_opt.problem.placement_problem import PlacementProblem
    from megdt_opt.problem.program_problem import ProgramProblem
    from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
    from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
    from megdt_opt.solving.batched_edge import BatchedEdge
    from megdt_opt.solving.batched_quality import BatchedQuality
    from megdt_opt.solving.placement import Placement
    from megdt_opt.solving.program import Program
    from megdt_opt.solving.shared_prefix import SharedPrefix
    from megdt_opt.solving.turns.answer import SequencedEdge

_ROUTES = {
    "AlphaFairProblem": Method.ALPHA_FAIR,
    "GenerationSplitProblem": Method.ENERGY_DELAY,
    "LexicographicProblem": Method.LEXICOGRAPHIC,
}
"""Classes of problems that have their own formulation; "auto" takes a closed form where the class has one."""


_CLASSES: dict[str, str] = {
    "BatchedEdgeProblem": "megdt_opt.solving.batched_edge",
    "PlacementProblem": "megdt_opt.solving.placement",
    "ProgramProblem": "megdt_opt.solving.program",
    "SequencedEdgeProblem": "megdt_opt.solving.turns.answer",
    "SharedPrefixProblem": "megdt_opt.solving.grouping",
}
"""Classes of problems whose parties decide more than an option: the module in which `solve_class` solves them."""

_OWN: dict[str, Method] = {
    "BatchedEdgeProblem": Method.BATCHED_EDGE,
    "PlacementProblem": Method.EDGE_PLACEMENT,
    "ProgramProblem": Method.TASK_PROGRAM,
    "SequencedEdgeProblem": Method.SEQUENCED_EDGE,
    "SharedPrefixProblem": Method.SHARED_PREFIX,
}
"""Their formulations, which take no other class."""

_RESULTS = (Method.BATCH, Method.CLOSED_FORM)
"""What an answer may name but `solve` does not take."""


_PRICES = 8
"""Price vectors of an earlier solution that are tried at most [1]."""

_WORTH_SAYING_S = 2.0
"""Time spent on compiling from which on the message says so [s]."""


def methods(problem_class: str | None = None) -> tuple[Method, ...]:
    """Names that `solve` takes as its method; with "AllocationProblem" or another class, those that take that class."""
    if problem_class in _ROUTES:
        return (Method.AUTO, _ROUTES[problem_class])
    if problem_class in _OWN:
        others = {"SequencedEdgeProblem": (Method.ENUMERATE,), "SharedPrefixProblem": (Method.GREEDY,)}
        return (Method.AUTO, Method.PRICES, *others.get(problem_class, ()), _OWN[problem_class])
    left_out: tuple[Method, ...] = _RESULTS
    if problem_class is not None:
        left_out = (*_RESULTS, Method.GREEDY, *_ROUTES.values(), *_OWN.values())
    return tuple(method for method in Method if method not in left_out)


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


@overload
def solve(
    problem: PlacementProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> Placement: ...


@overload
def solve(
    problem: BatchedEdgeProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> BatchedEdge | BatchedQuality: ...


@overload
def solve(
    problem: SharedPrefixProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> SharedPrefix: ...


@overload
def solve(
    problem: ProgramProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> Program: ...


@overload
def solve(
    problem: SequencedEdgeProblem, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None
) -> SequencedEdge: ...


def solve(problem: Any, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None) -> Any:
    """Choose the options and shares of all users, or what another class of problem leaves open.

    Parameters
    ----------
    problem : AllocationProblem or a problem of another class
        LexicographicProblem, AlphaFairProblem and GenerationSplitProblem are solved by the formulations of their
        classes.
    method : str
        "auto", "prices" (certified bound), "enumerate" (small cases), or a formulation's file name. For another class
        those that `methods` names: "greedy" merges users into groups where a SharedPrefixProblem leaves them open.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        Limit on the solution [s]; then the best allocation found is returned with the bound proven by then.

    Returns
    -------
    Allocation, Placement, SequencedEdge, BatchedEdge, BatchedQuality, SharedPrefix, Program or GenerationSplit
        The options and shares with what is proven about them; a `Placement`, `SequencedEdge`, `BatchedEdge`,
        `SharedPrefix`, `Program` or `GenerationSplit` for a problem of that class, and a `BatchedQuality` for a batched
        edge whose qualities are maximised.

    Raises
    ------
    InvalidInput
        For an unknown method, or one that does not take this problem.
    Infeasible
        Where a user has no open option or the hard limits cannot be kept together; names users and limits.
    SolverFailure
        Where a backend fails, or where the time is over before an allocation that keeps the deadlines is found.

    Notes
    -----
    With prices on the budgets the users fall apart: each takes its cheapest option, in closed form, and the sum is a
    lower bound of the optimum (weak duality). Cutting planes find the best prices; a branch tree that prunes by reduced
    cost closes what is left. The proof is the tree with its prices; docs/design.md has the equations.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), round(best.objective_s, 4), best.status == "optimal"
    ([0, 0], 3.9753, True)
    >>> best.certificate.verify(problem).holds
    True
    """
    check_asked(gap, time_limit_s)
    kind = type(problem).__name__
    if kind in _CLASSES:
        module = importlib.import_module(_CLASSES[kind])
        own = _OWN.get(kind)

        def by_program(limit_s: float | None) -> Any:
            assert own is not None
            return module.answer_of(problem, _by_route(own, problem, None, gap, limit_s), Method(own), gap)

        if method == Method.AUTO and hasattr(module, "automatic"):
            return module.automatic(problem, gap, time_limit_s, by_program)
        if method == own:
            return by_program(time_limit_s)
        return module.solve_class(problem, method, gap, time_limit_s)
    if kind in _ROUTES:
        return _solve_richer(problem, kind, method, gap, time_limit_s)
    if not isinstance(problem, AllocationProblem):
        known = ("AllocationProblem", *_ROUTES, *_CLASSES)
        raise InvalidInput("problem", kind, f"one of {known}", "Build one of them first.")
    for other, own in (*_ROUTES.items(), *_OWN.items()):
        if method == own:
            raise InvalidInput("method", method, f"a method for {kind}; this one solves {other}", 'Use "auto".')
    if problem.uncertain:
        return _in_doubt(problem, method, gap, time_limit_s)
    problem = problem.certain
    if method == "auto":
        method = "prices"
    if method == "prices":
        return _by_prices(problem, gap, time_limit_s, None).allocation
    begin = time.perf_counter()
    scaled = Resources.of(problem)
    built = time.perf_counter()
    if method == "enumerate":
        best = enumerate_options(problem, scaled)
        # every set was tried, each down to its own bound; no certificate stands behind it
        return _allocation(
            problem, best.option, best.x, (best.least_bound, BoundSource.ENUMERATION, None), gap, Method.ENUMERATE,
            (built - begin, time.perf_counter() - built), "every option set was tried",
        )  # fmt: skip
    if method not in methods(kind):
        raise InvalidInput("method", method, f"one of {methods(kind)}", "Choose one of them.")
    raw: RawSolution = _by_route(method, problem, problem, gap, time_limit_s)
    return _from_raw(problem, scaled, raw, Method(method), gap)


def _by_route(route: str, problem: Any, core: AllocationProblem | None, gap: float, time_limit_s: float | None) -> Any:
    """What a formulation finds; where it finds nothing, the users and limits in conflict are named here."""
    try:
        return importlib.import_module(f"megdt_opt.formulations.{route}").solve(
            problem, gap=gap, time_limit_s=time_limit_s
        )
    except Infeasible:
        if core is None:
            raise
        scaled = Resources.of(core)
        raise named(core, scaled) from None


class Again(NamedTuple):
    """A problem that resembles another, solved.

    Parameters
    ----------
    allocation : Allocation
    warm : bool
        Whether the prices of the other proved it.
    kept : array, (3, K), optional
        Best scaled shares for the other's options, where the search has worked them out [1].
    """

    allocation: Allocation
    warm: bool
    kept: Array | None


def solve_again(
    problem: AllocationProblem,
    previous: Allocation | NDArray[np.int64],
    gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Again:
    """Solve a problem that resembles another, whose solution is known; raises as `solve` does.

    Prices prove a bound for every problem (weak duality), so those of the other are tried first.

    Parameters
    ----------
    problem : AllocationProblem
        With as many users and options as the other.
    previous : Allocation or array of int, (K,)
        Solution of the other, or its options.
    gap, time_limit_s
        As for `solve` [1, s].

    Returns
    -------
    Again
        The solution, whether the prices of the other proved it, and what the other's options are worth.
    """
    check_asked(gap, time_limit_s)
    if problem.uncertain:
        return Again(_in_doubt(problem, Method.AUTO, gap, time_limit_s), False, None)
    problem = problem.certain
    if not isinstance(previous, Allocation):
        return _by_prices(problem, gap, time_limit_s, Before(previous))
    prices = None
    if previous.certificate is not None and previous.certificate.objective == proven_as(problem):
        known = dict.fromkeys(prices_in(previous.certificate.tree, _PRICES))
        prices = np.array(list(known)) if known else None
    return _by_prices(problem, gap, time_limit_s, Before(np.asarray(previous.option), prices))


def _in_doubt(problem: AllocationProblem, method: str, gap: float, time_limit_s: float | None) -> Allocation:
    """A problem whose latencies are a worst case, which depends on the shares."""
    begin = time.perf_counter()
    module = importlib.import_module("megdt_opt.solving.deviations")
    by = module.solve_deviating if problem.samples_kept is None else module.solve_sampled
    found = by(problem, method, gap, time_limit_s)
    return _allocation(
        problem, found.option, found.x, (found.bound, BoundSource.CERTIFICATE, found.certificate), gap,
        Method.PRICES, (0.0, time.perf_counter() - begin), found.message,
    )  # fmt: skip


def _by_prices(problem: AllocationProblem, gap: float, time_limit_s: float | None, before: Before | None) -> Again:
    """The price method, beginning with what is known from before."""
    waited_s = prepare(problem)
    begin = time.perf_counter()
    scaled = Resources.of(problem)
    built = time.perf_counter()
    closed = _named(problem, scaled, gap, time_limit_s, before)
    message = f"{closed.nodes} nodes, {closed.passes} price vectors"
    if waited_s > _WORTH_SAYING_S:
        message += f"; {waited_s:.1f} s before that to compile or load the compiled code"
    found = _allocation(
        problem, closed.option, closed.x, (closed.bound, BoundSource.CERTIFICATE, closed.certificate), gap,
        Method.PRICES, (built - begin, time.perf_counter() - built), message, closed.evaluated,
    )  # fmt: skip
    return Again(found, closed.warm, closed.kept)


def _named(
    problem: AllocationProblem, scaled: Resources, gap: float, time_limit_s: float | None, before: Before | None
) -> Closed:
    """The search; where there is no allocation, whose limits are in conflict is looked for in the time that is left."""
    until = math.inf if time_limit_s is None else time.monotonic() + time_limit_s
    try:
        return close(problem, scaled, gap=gap, time_limit_s=time_limit_s, before=before)
    except Infeasible:
        raise named(problem, scaled, until) from None


def _solve_richer(problem: Any, kind: str, method: str, gap: float, time_limit_s: float | None) -> Any:
    """Solve a class of problem that has its own formulation."""
    route = _ROUTES[kind]
    if method == "auto" and hasattr(problem, "closed_form"):
        return problem.closed_form()
    if method not in ("auto", route):
        raise InvalidInput("method", method, f"'auto' or {route!r} for {kind}", "Choose one of them.")
    found = _by_route(route, problem, getattr(problem, "allocation", None), gap, time_limit_s)
    if isinstance(problem, LexicographicProblem | AlphaFairProblem):
        return _fair_allocation(problem, found, route)
    return found


def _fair_allocation(problem: LexicographicProblem | AlphaFairProblem, raw: RawSolution, name: Method) -> Allocation:
    """Shares and bound from the formulation of the problem's class, evaluated again.

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
        status=Status.FEASIBLE, method=name, bound_source=_source(raw), build_s=raw.build_s, solve_s=raw.solve_s,
        message=raw.message,
    )  # fmt: skip


def _source(raw: RawSolution) -> BoundSource:
    return BoundSource.NONE if raw.bound is None else BoundSource.SOLVER


def _from_raw(
    problem: AllocationProblem, scaled: Resources, raw: RawSolution, method: Method, gap: float
) -> Allocation:
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
            problem, settled, x, (-np.inf if raw.bound is None else raw.bound, _source(raw), None), gap, method,
            (raw.build_s, raw.solve_s), raw.message,
        )  # fmt: skip
    # the shares for the found options are optimal in closed form or by a convex program: solvers keep cones only
    # within their tolerance, so their shares can violate a limit or waste a little
    found = best_shares(problem, scaled, option[None])
    if not np.isfinite(found.objective[0]):
        raise SolverFailure(f"{method} returned options that cannot keep the limits: {option.tolist()}")
    bound = -np.inf if raw.bound is None else raw.bound
    return _allocation(
        problem, option, found.x[0], (bound, _source(raw), None), gap, method, (raw.build_s, raw.solve_s), raw.message
    )


def _allocation(
    problem: AllocationProblem,
    option: NDArray[np.int64],
    x: Array,
    proof: tuple[float, BoundSource, Certificate | None],
    gap: float,
    method: Method,
    times_s: tuple[float, float],
    message: str,
    evaluated: tuple[Array, Evaluation] | None = None,
) -> Allocation:
    """The allocation of scaled shares, evaluated; `proof` is its bound and what stands behind it."""
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    if evaluated is None:
        shares, _ = in_units(problem, x)
        evaluated = shares, evaluate_shares(problem, option, shares)
    shares, found = evaluated
    down, up, edge = shares
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned shares that break a limit by {found.violation:.2e} relatively")
    # a solver's bound may exceed the truth by its tolerance; a reported bound never exceeds the objective
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return Allocation(
        option=option,
        downlink_hz=down,
        uplink_hz=up,
        edge_share=edge,
        latency_s=found.latency_s,
        objective_s=found.objective_s,
        lower_bound_s=lower,
        gap=reached,
        status=status_of(reached, gap, source),
        method=method,
        bound_source=source,
        build_s=build_s,
        solve_s=solve_s,
        certificate=certificate,
        message=message,
    )
