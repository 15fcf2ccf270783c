"""The price method for problems whose numbers deviate within a budget.

At given deviations the problem is a core problem, which the usual search closes; what it proves is a bound of the worst
case, and the deviations follow from its prices. Where the worst case of what it found is no worse than what is proven,
or than what the same tree proves at the deviations that are the worst at its own prices, that is the answer: two or
three core problems in all. Else a tree with the worst case in each cost closes the rest.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.deviations import DeviationProof
from megdt_opt.certificate.samples import SampleProof
from megdt_opt.certificate.tree import Leaf
from megdt_opt.errors import Infeasible, InvalidInput, SolverFailure
from megdt_opt.pricing.deviations import Deviating
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.samples import Sampled
from megdt_opt.pricing.scaled import EDGE, Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate_shares
from megdt_opt.problem.outcome import Method
from megdt_opt.shares.deviations import worst_shares
from megdt_opt.solving.closing import Closed, close, prepare
from megdt_opt.solving.engines.deviations import DeviationEngine
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.samples import SampleEngine
from megdt_opt.solving.lateness import Late, lateness_problem, limits_kept
from megdt_opt.solving.parties import close_parties
from megdt_opt.solving.worst.compiled import Kernels

METHODS = (Method.AUTO, Method.PRICES)

_ROUGH = 1e-4
"""Gap of the first of them [1]."""

_ASKED = 0.95
"""Part of a gap at which a level is proven, so that rounding cannot push the reported gap over it [1]."""

_KEPT = 5e-10
"""Relative: by what a limit may be exceeded and counts as kept [1]."""

_NOTHING = Certificate("", 0.0, Leaf((0.0, 0.0, 0.0)))

_LINES = 6
"""Problems with lines in place of levels whose choices are tried first [1]."""

_JOINED_S = 20.0
"""Time after which problems with very many samples are left with the bound that is proven by then [s]."""

_CORES = 6
"""Core problems that are solved before a tree of the worst case is grown [1]."""


class Worst(NamedTuple):
    """What was found and proven.

    Parameters
    ----------
    option : array of int, (K,)
    x : array, (3, K)
        Scaled shares [1].
    objective, bound : float
        In the worst case [s].
    prices : array, (3,)
        That the worst case answers, for "max" up to a factor.
    certificate : Certificate
    message : str
    """

    option: Choice
    x: Array
    objective: float
    bound: float
    prices: Array
    certificate: Certificate
    message: str


def solve_deviating(problem: AllocationProblem, method: str, gap: float, time_limit_s: float | None) -> Worst:
    """Choose options and shares for the worst case; raises as `solve` does.

    Raises
    ------
    InvalidInput
        For a method that does not take deviations.
    Infeasible
        Where no options keep the limits in the worst case.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} with a deviation_budget", 'Use "auto".')
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    deviating = Deviating.of(problem)
    if not problem.all_open:
        there = (problem.open_options & deviating.widest.open).any(axis=1)
        if not there.all():
            raise Infeasible(
                "a user has no option that is open in the worst case", users=np.flatnonzero(~there).tolist()
            )
    return _closed(problem, deviating, gap, deadline)


def _closed(problem: AllocationProblem, deviating: Deviating, gap: float, deadline: float) -> Worst:
    best: Worst | None = None
    proven: Closed | None = None
    known: list[Choice] = []
    prepare(deviating.nominal)
    fast = Kernels.of(deviating)
    core = deviating.at(_first(deviating), down=True) if fast is None else fast.core_at(None, None)
    rounds = 0
    while rounds < _CORES and time.monotonic() < deadline:
        rounds += 1
        left = None if np.isinf(deadline) else max(deadline - time.monotonic(), 1e-3)
        # the first one says what the prices are about
        own_gap = max(0.5 * gap, _ROUGH if rounds == 1 else 0.0)
        closed = close(core, Resources.of(core), gap=own_gap, time_limit_s=left)
        if proven is None or closed.bound > proven.bound:
            proven = closed
        seen = any((closed.option == one).all() for one in known)
        if not seen:
            known.append(closed.option)
            found = _settled(problem, deviating, fast, closed.option, gap)
            if np.isfinite(found.objective) and (best is None or found.objective < best.objective):
                best = found
        if best is not None and fast is not None and rounds > 1 and not _close(best, proven.bound, gap):
            # its prices prove more at the deviations that are the worst there
            bound = fast.proven_s(closed.certificate.tree, best.objective * (1.0 - _ASKED * gap))
            if bound > proven.bound:
                proven = closed._replace(bound=bound, certificate=replace(closed.certificate, bound_s=bound))
        if best is not None and _close(best, proven.bound, gap):
            bound, message = min(proven.bound, best.objective), f"{rounds} problems at given deviations"
            return best._replace(bound=bound, certificate=proven.certificate, message=message)
        if seen and rounds > 3:
            break
        # the worst case at the prices of what was found is the one that it meets
        prices, level = closed.prices[:3], max(closed.objective, proven.bound)
        if not seen and np.isfinite(found.objective):
            prices, level = found.prices, found.objective
        level_s = level if problem.objective == "max" else None
        if fast is None:
            core = deviating.at(deviating.priced(prices, level_s)[1], down=True)
        else:
            core = fast.core_at(prices, level_s)
    return _by_tree(problem, deviating, gap, deadline, known, proven)


def _close(best: Worst, bound: float, gap: float) -> bool:
    return best.objective - bound <= gap * best.objective


def _settled(
    problem: AllocationProblem, deviating: Deviating, fast: Kernels | None, option: Choice, gap: float
) -> Worst:
    """The best shares of options against the worst case."""
    option = np.asarray(option, dtype=np.int64)
    if fast is not None:
        found = fast.settle(option, max(1e-13, 0.01 * gap))
        if found.apart <= 0.1 * gap:
            seen = evaluate_shares(problem, option, in_units(problem, found.x)[0])
            if seen.violation <= _KEPT:
                return Worst(option, found.x, seen.objective_s, 0.0, found.prices, _NOTHING, "")
    settled = worst_shares(problem, deviating, option[None], gap)
    return Worst(option, settled.x[0], float(settled.objective[0]), 0.0, settled.prices[0], _NOTHING, "")


def solve_sampled(problem: AllocationProblem, method: str, gap: float, time_limit_s: float | None) -> Worst:
    """The same where latencies are the m-th smallest of samples: a tree over options and the pieces of their levels.

    Without a time limit, problems whose pieces were joined stop after `_JOINED_S`: their bound need not be attained.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} with samples", 'Use "auto".')
    if not problem.open_options.any(axis=1).all():
        closed = np.flatnonzero(~problem.open_options.any(axis=1)).tolist()
        raise Infeasible("a user has no option", users=closed)
    begin = time.monotonic()
    sampled = Sampled(problem)
    if sampled.joined:
        time_limit_s = _JOINED_S if time_limit_s is None else time_limit_s
    left = None if time_limit_s is None else max(time_limit_s - (time.monotonic() - begin), 1e-3)
    deadline = np.inf if left is None else time.monotonic() + left
    engine: Any = SampleEngine(sampled, deadline, _by_lines(sampled, deadline))
    found = close_parties(
        engine, SampleProof(problem, sampled), gap=gap, time_limit_s=left, make=lambda _, __: engine,
        rescue=(lambda until: _kept_sampled(problem, until)) if problem.deadline_s is not None else None,
    )  # fmt: skip
    option = sampled.options_of(np.asarray(found.choice, dtype=np.int64))
    return Worst(
        option, found.x, found.objective, found.bound, np.zeros(3), found.certificate,
        f"{found.nodes} nodes, {found.passes} price vectors, up to {sampled.width} pieces of a user's levels"
        + (", some joined" if sampled.joined else ""),
    )  # fmt: skip


def _by_lines(sampled: Sampled, deadline: float) -> list[Choice]:
    """Good choices: those of problems whose levels are lines, each near the shares that the one before has."""
    p, known = sampled.problem, list[Choice]()
    u = np.full(p.open_options.shape, p.users / p.edge_capacity)
    for _ in range(_LINES):
        core = sampled.at(u)
        resources = Resources.of(core)
        left = None if np.isinf(deadline) else max(0.1 * (deadline - time.monotonic()), 1e-3)
        try:
            closed = close(core, resources, gap=_ROUGH, time_limit_s=left)
        except (Infeasible, SolverFailure):
            break
        level_s = closed.objective if p.objective == "max" else None
        share = priced(core, resources, closed.prices[:3], level_s).x[EDGE]
        share[np.arange(p.users), closed.option] = closed.x[EDGE]
        least = 1.0 / np.minimum(p.share_caps, p.edge_capacity)[:, None]
        u = np.maximum(1.0 / np.maximum(share * p.edge_capacity, 1e-6 / least), least)
        choice = sampled.choice_at(closed.option, u[np.arange(p.users), closed.option])
        if any((choice == one).all() for one in known):
            break
        known.append(choice)
    return known


def _kept_sampled(problem: AllocationProblem, until: float) -> list[Choice]:
    """Choices that keep the deadlines in the samples."""
    part = lateness_problem(problem, None)
    sampled = Sampled(part)

    def late(gap: float, time_limit_s: float | None) -> Late:
        deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
        engine: Any = SampleEngine(sampled, deadline)
        proof = SampleProof(part, sampled)
        found = close_parties(engine, proof, gap=gap, time_limit_s=time_limit_s, make=lambda _, __: engine)
        return Late(found.objective, found.bound, found.choice, found.x)

    kept = limits_kept(late, until)
    if kept.choice is not None:
        return [kept.choice]
    if kept.ruled_out:
        raise Infeasible("the hard limits cannot be kept together in the samples", users=range(problem.users))
    raise SolverFailure("no allocation that keeps the deadlines in the samples was found within the time limit")


def _first(deviating: Deviating) -> NDArray[np.float64]:
    """Deviations that are shared evenly by what deviates."""
    there = np.concatenate([(deviating.own_s > 0)[None], deviating.amounts > 0])
    count = np.maximum(there.sum(axis=0), 1)
    return np.where(there, np.minimum(deviating.budget / count, 1.0), 0.0)


def _by_tree(
    problem: AllocationProblem, deviating: Deviating, gap: float, deadline: float, known: list[Choice],
    proven: Closed | None,
) -> Worst:  # fmt: skip
    """The search with the worst case in each cost."""
    engine: Any = DeviationEngine(problem, deviating, known, gap, deadline)
    proof = DeviationProof(problem, deviating)
    left = None if np.isinf(deadline) else max(deadline - time.monotonic(), 1e-3)

    def rescue(until: float) -> list[Choice]:
        return _kept(problem, until)

    found = close_parties(
        engine, proof, gap=gap, time_limit_s=left, make=lambda _, __: engine,
        rescue=rescue if problem.deadline_s is not None else None,
    )  # fmt: skip
    bound, certificate = found.bound, found.certificate
    if proven is not None and proven.bound > bound:
        bound, certificate = min(proven.bound, found.objective), proven.certificate
    return Worst(
        found.choice, found.x, found.objective, bound, np.zeros(3), certificate,
        f"{found.nodes} nodes, {found.passes} price vectors",
    )  # fmt: skip


def _kept(problem: AllocationProblem, until: float) -> list[Choice]:
    """Choices that keep the deadlines in the worst case."""
    part = lateness_problem(problem, None)
    deviating = Deviating.of(part)

    def late(gap: float, time_limit_s: float | None) -> Late:
        deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
        found = _closed(part, deviating, gap, deadline)
        return Late(found.objective, found.bound, found.option, found.x)

    kept = limits_kept(late, until)
    if kept.choice is not None:
        return [kept.choice]
    if kept.ruled_out:
        raise Infeasible("the hard limits cannot be kept together in the worst case", users=range(problem.users))
    raise SolverFailure("no allocation that keeps the deadlines in the worst case was found within the time limit")
