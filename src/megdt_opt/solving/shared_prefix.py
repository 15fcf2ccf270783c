"""Solving a `SharedPrefixProblem`: which trunks run, who rides them, and how bands and edge are shared."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.shared_prefix import PrefixProof
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.scaled import DOWNLINK, EDGE, UPLINK, Array
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.problem.conflicts import airtime_too_short
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.solving.answers import Answer, relative_gap
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.shared_prefix import PrefixPricing
from megdt_opt.solving.parties import close_parties
from megdt_opt.solving.riders.compiled import prepare, solved
from megdt_opt.tolerances import SOLVER

_WORTH_SAYING_S = 2.0
"""Time spent on compiling from which on the message says so [s]."""

METHODS = (Method.AUTO, Method.PRICES, Method.GREEDY, Method.SHARED_PREFIX)


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedPrefix(Answer):
    """Options, trunks and shares with what is proven about them; the fields of `Answer` beside these.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen option of each user.
    group : array of int, (K,)
        Group of each user, as it was given or formed; -1 = in none.
    trunk : array of int, (G,)
        Trunk that each group runs; -1 = none.
    uplink_hz, edge_share, downlink_hz : array, (K,)
        Shares of the members' own stages [Hz, 1, Hz]; the edge shares of riders are within their group's share where
        the reservation is phased.
    trunk_uplink_hz, trunk_edge_share, multicast_hz : array, (G,)
        Shares of the groups [Hz, 1, Hz]; 0 without a trunk.

    Examples
    --------
    >>> from megdt_opt import SharedPrefixProblem, solve
    >>> problem = SharedPrefixProblem(  # two users of one group: on the device, or the last steps after a common trunk
    ...     fixed_s=[[6.0, 1.0], [6.0, 1.0]], edge_work_s=[[0.0, 0.0], [0.0, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_bit=[[0.0, 0.0], [0.0, 0.0]], rides=[[0, 2], [0, 2]], group=[0, 0], trunk_group=[0],
    ...     trunk_fixed_s=[0.0], trunk_uplink_bit=[0.0], trunk_edge_work_s=[1.0], multicast_bit=[1e6],
    ...     compatible=[[[True], [True]], [[True], [True]]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 1.0], multicast_efficiency=[1.0], objective="max",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), best.trunk.tolist(), round(best.objective_s, 6), best.is_proven(problem)
    ([1, 1], [0], 3.0, True)
    """

    option: NDArray[np.int64]
    group: NDArray[np.int64]
    trunk: NDArray[np.int64]
    uplink_hz: Array
    edge_share: Array
    downlink_hz: Array
    trunk_uplink_hz: Array
    trunk_edge_share: Array
    multicast_hz: Array


def solve_class(problem: SharedPrefixProblem, method: str, gap: float, time_limit_s: float | None) -> SharedPrefix:
    """As `solve` has it, for this class of problem where its groups are given.

    Raises
    ------
    InvalidInput
        For a method that does not take it, or groups with more patterns than are listed.
    Infeasible
        Where the limits on airtime of the trunks that must run take more than the uplink.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} for SharedPrefixProblem", 'Use "auto".')
    if method == Method.GREEDY:
        raise InvalidInput("method", method, "'auto' where the groups are given", "Give group=None to form them.")
    begin = time.perf_counter()
    model = PrefixCosts(problem)
    waited_s = prepare(model)  # compiling is no solving
    begin += waited_s
    deadline = math.inf if time_limit_s is None else time.monotonic() + time_limit_s
    pricing = PrefixPricing(model, deadline)
    _refuse_airtime(model)
    built = time.perf_counter()
    closed = close_parties(pricing, PrefixProof(problem, model), gap=gap, time_limit_s=time_limit_s)
    solve_s = time.perf_counter() - built
    solved(model, solve_s)
    message = f"{closed.nodes} nodes, {closed.passes} price vectors"
    if waited_s > _WORTH_SAYING_S:
        message += f"; {waited_s:.1f} s before that to compile or load the compiled code"
    return answered(
        problem, decided(problem, closed.choice, closed.x), gap, Method.PRICES,
        (closed.bound, BoundSource.CERTIFICATE, closed.certificate), (built - begin, solve_s), message,
    )  # fmt: skip


def _refuse_airtime(model: PrefixCosts) -> None:
    """Groups that must run a trunk, with limits on airtime that the uplink cannot keep together."""
    patterns = model.patterns
    least = np.where(patterns.trunk >= 0, model.shared.lo[UPLINK, patterns.trunk, 0], 0.0)
    least = np.where(model.allowed(patterns.open), least, np.inf)
    needed = np.minimum.reduceat(least, patterns.starts)
    if needed.sum() > 1.0 + 1e-9:
        raise airtime_too_short(model.problem)


def decided(problem: SharedPrefixProblem, choice: Choice, x: Array) -> dict[str, Any]:
    """The decisions of choices (R,) and scaled shares (3, R), whose sums are within the budgets."""
    users, groups = problem.users, problem.groups
    option = np.asarray(choice[:users], dtype=np.int64)
    trunk = np.full(groups, -1)
    for g in range(groups):
        if choice[users + g] > 0:
            trunk[g] = np.flatnonzero(problem.trunk_group == g)[choice[users + g] - 1]
    assert problem.group is not None
    return {"group": problem.group, **in_shares(problem, option, problem.group, trunk, x)}


def in_shares(problem: SharedPrefixProblem, option: Choice, group: Choice, trunk: Choice, x: Array) -> dict[str, Any]:
    """Options (K,), trunks of groups (G,), and scaled shares (3, K + G) in their units."""
    users, groups = problem.users, len(trunk)
    own, shared = np.fmax(x[:, :users], 0.0), np.fmax(x[:, users:], 0.0) * (trunk >= 0)
    inside = (problem.rides[np.arange(users), option] > 0) & (problem.reserve == "phased")
    drawn = own.copy()
    drawn[EDGE, inside] = 0.0
    total = np.maximum(drawn.sum(axis=1) + shared.sum(axis=1), 1.0)[:, None]
    own, shared = own / total, shared / total
    if inside.any():
        within = np.bincount(group[inside], own[EDGE, inside], groups)
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = np.where(within > shared[EDGE], shared[EDGE] / within, 1.0)
        own[EDGE, inside] *= fit[group[inside]]
    return {
        "option": option, "trunk": trunk, "uplink_hz": own[UPLINK] * problem.uplink_hz,
        "edge_share": np.minimum(own[EDGE] * problem.edge_capacity, problem.share_caps),
        "downlink_hz": own[DOWNLINK] * problem.downlink_hz, "trunk_uplink_hz": shared[UPLINK] * problem.uplink_hz,
        "trunk_edge_share": shared[EDGE] * problem.edge_capacity,
        "multicast_hz": shared[DOWNLINK] * problem.downlink_hz,
    }  # fmt: skip


def answer_of(problem: SharedPrefixProblem, raw: Any, method: Method, gap: float) -> SharedPrefix:
    """What a formulation found, evaluated again; its bound is the solver's word."""
    decisions = {name: getattr(raw, name) for name in _DECISIONS}
    decisions["group"] = raw.group if problem.group is None else problem.group
    return answered(
        problem, decisions, gap, method, (raw.bound, BoundSource.SOLVER, None), (raw.build_s, raw.solve_s), raw.message
    )


_DECISIONS = (
    "option", "trunk", "uplink_hz", "edge_share", "downlink_hz", "trunk_uplink_hz", "trunk_edge_share", "multicast_hz",
)  # fmt: skip


def answered(
    problem: SharedPrefixProblem,
    decisions: dict[str, Any],
    gap: float,
    method: Method,
    proof: tuple[float, BoundSource, Certificate | None],
    times_s: tuple[float, float],
    message: str,
) -> SharedPrefix:
    """What was decided, evaluated; nothing that a search or a solver says of it is believed."""
    found = problem.evaluate(SimpleNamespace(**decisions))
    if not found.violation <= SOLVER:
        raise SolverFailure(f"{method} returned an answer that breaks a limit by {found.violation:.2e} relatively")
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return SharedPrefix(
        **decisions, latency_s=found.latency_s, objective_s=found.objective_s, lower_bound_s=lower, gap=reached,
        status=status_of(reached, gap, source), method=method, bound_source=source, build_s=build_s, solve_s=solve_s,
        certificate=certificate, message=message,
    )  # fmt: skip
