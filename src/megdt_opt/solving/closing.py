"""The price method: an engine, a first allocation, the tree, and its seal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from megdt_opt.certificate.allocation import AllocationProof, FloatValuer, choices
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Leaf, Node
from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation, evaluate_shares
from megdt_opt.problem.evaluation import alone_s
from megdt_opt.solving import compiled
from megdt_opt.solving.cost_limits import keeping_costs
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.engine import Choice, Engine, Settled
from megdt_opt.solving.engines.missed import MissedEngine
from megdt_opt.solving.engines.mixed import MixedEngine
from megdt_opt.solving.lateness import Kept, Late, can_start, lateness_problem, limits_kept
from megdt_opt.solving.search.incumbent import Incumbent
from megdt_opt.solving.search.levels import LeveledEngine, grow_by_levels
from megdt_opt.solving.search.objectives import Objective
from megdt_opt.solving.search.root import root
from megdt_opt.solving.search.sealing import part_s
from megdt_opt.solving.search.tree import Tree
from megdt_opt.tolerances import LEAST_GAP, LIMIT_SLACK

_PREPARING = 1e-6
"""Gap of the small problems that get the compiled code ready [1]."""

_ROUNDING = 5e-10
"""Relative: what a search's own figures may be off by, half of what an `Evaluation` may be violated by."""

_ROOM = 1e-6
"""Part of a deadline that is left where rounding is no matter [1]."""


class Closed(NamedTuple):
    """What the search found and proved.

    Parameters
    ----------
    objective : float
        [s]
    option : array of int, (K,)
    x : array, (3, K)
        Scaled shares [1].
    prices : array
        That prove what the options are worth.
    bound : float
        Certified lower bound of the objective [s].
    certificate : Certificate
    nodes, passes : int
        Nodes of the tree and price vectors tried [1].
    evaluated : tuple of array, (3, K), and Evaluation, optional
        Shares in the budgets' units and what they yield, where that has been worked out.
    warm : bool
        Whether prices from before proved it without a search.
    kept : array, (3, K), optional
        Best scaled shares of the options from before, where they keep the limits [1].
    """

    objective: float
    option: Choice
    x: Array
    prices: Array
    bound: float
    certificate: Certificate
    nodes: int
    passes: int
    evaluated: tuple[Array, Evaluation] | None = None
    warm: bool = False
    kept: Array | None = None


@dataclass(frozen=True)
class Before:
    """The solution of a problem that resembles this one.

    Parameters
    ----------
    option : array of int, (K,)
    prices : array, (N, M)
        That proved much.
    """

    option: Choice
    prices: Array | None = None


def prepare(problem: AllocationProblem) -> float:
    """Load or compile the code that a problem is to be solved by, which counts as no solving; the time it took [s]."""
    return prepare_for(problem.objective) if compiled.usable(problem) else 0.0


def prepare_for(objective: str) -> float:
    """Load or compile the code of an objective, so that all later problems are solved by it; the time it took [s]."""
    mixed = objective == "mixed"
    if compiled.at_hand(mixed):
        return 0.0
    from megdt_opt.solving.compiled.engine import CompiledEngine

    begin = time.monotonic()
    if not compiled.at_hand():
        for objective in ("sum", "max"):
            small = _alike(objective)
            scaled = Resources.of(small)
            engine = CompiledEngine(small, scaled)
            closed = _searched(engine, small, scaled, _PREPARING, np.inf, None)
            engine.run_rest(closed.option, closed.prices)
        compiled.note_use()
    if mixed:
        small = _alike("mixed")
        scaled = Resources.of(small)
        engine = CompiledEngine(small, scaled)
        closed = _searched(MixedEngine(small, scaled, lambda *_: engine), small, scaled, _PREPARING, np.inf, None)
        engine.run_levels(closed.prices)
        compiled.note_mixed()
    return time.monotonic() - begin


def _alike(objective: str) -> AllocationProblem:
    """Three users alike who would share evenly, so that the tree divides."""
    one, none = np.ones((3, 1)), np.zeros((3, 1))
    return AllocationProblem(
        fixed_s=np.hstack([none, none, 9.0 * one]), downlink_bit=np.hstack([none, one, none]),
        uplink_bit=np.zeros((3, 3)), edge_work_s=np.hstack([one, none, none]), downlink_hz=1.0, uplink_hz=1.0,
        downlink_efficiency=np.ones(3), objective=objective, max_weight=1.0 if objective == "mixed" else None,
    )  # fmt: skip


def close(
    problem: AllocationProblem,
    resources: Resources,
    *,
    gap: float,
    time_limit_s: float | None,
    before: Before | None = None,
) -> Closed:
    """Minimise any of the objectives and prove it.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        After this the tree is cut short; its bound then proves a larger gap [s].
    before : Before, optional
        What to begin with.

    Raises
    ------
    Infeasible
        Where a user has no open option, or the hard limits cannot be met together: `conflict.named` says who is to
        blame.
    SolverFailure
        Where the time is over before it is known whether the hard limits can be met.
    """
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    if problem.cost_limits is not None and not problem.cost_limits.reachable:
        raise Infeasible("a limit on a cost is below the least total")
    if not problem.all_open and not resources.open.any(axis=1).all():
        raise Infeasible("a user has no option", users=np.flatnonzero(~resources.open.any(axis=1)).tolist())
    # a little less than asked, so that rounding cannot push the reported gap over it
    asked = max(0.95 * gap, LEAST_GAP)
    if compiled.usable(problem):
        from megdt_opt.solving.compiled.engine import CompiledEngine

        if problem.objective in ("sum", "max") and (many := _many_users(problem, resources, asked, deadline)):
            return many
        engine = _engine(problem, resources, lambda p, r: CompiledEngine(p, r, deadline), deadline)
        closed = _checked(problem, _searched(engine, problem, resources, asked, deadline, before))
        compiled.note_use()
        if closed is not None:
            return closed
        # numbers that span too many magnitudes for the kernels' tolerances
    began = time.monotonic()
    engine = _engine(problem, resources, lambda p, r: ArraysEngine(p, r, deadline), deadline)
    closed = _searched(engine, problem, resources, asked, deadline, before)
    compiled.solved_in_numpy(problem, time.monotonic() - began)
    return closed


def _many_users(problem: AllocationProblem, resources: Resources, gap: float, deadline: float) -> Closed | None:
    """By a sample of very many users and passes over all of them; None where that does not close it."""
    from megdt_opt.solving.compiled.large import search_large

    found = search_large(problem, gap=gap, deadline=deadline)
    if found is None:
        return None
    leaf = Leaf(tuple(found.price.tolist()))
    valuer = FloatValuer(problem, resources)
    bound = found.target
    if not found.whole:
        proof = AllocationProof(problem, resources)
        bound = Certificate.seal(proof, leaf, choices(problem, resources.open), found.target, valuer).bound_s
    return _checked(
        problem,
        Closed(
            found.objective, found.option.astype(np.int64), found.x, found.price, min(bound, found.objective),
            Certificate(problem.objective, bound, leaf), 1, found.passes,
        ),
    )  # fmt: skip


def _engine(
    problem: AllocationProblem,
    resources: Resources,
    make: Callable[[AllocationProblem, Resources], Engine],
    deadline: float,
) -> Engine:
    if problem.objective == "missed":
        return MissedEngine(problem, resources, make, deadline)
    if problem.tilts is not None:
        return MixedEngine(problem, resources, make, deadline)
    return make(problem, resources)


def kept(problem: AllocationProblem, deadline: float, most: float = 1.0, users: list[int] | None = None) -> Kept:
    """Options that keep all hard limits of a problem, or that there are none.

    Parameters
    ----------
    problem : AllocationProblem
    deadline : float
        `time.monotonic()` at which to give up [s].
    most : float
        Largest L / deadline that counts as kept [1].
    users : list of int, optional
        Those whose limits are to be kept; default all.
    """
    part = lateness_problem(problem, users)
    scaled = Resources.of(part)
    if not can_start(scaled):
        return Kept(None, ruled_out=True)
    begin: Before | None = None

    def late(gap: float, time_limit_s: float | None) -> Late:
        nonlocal begin
        closed = close(part, scaled, gap=gap, time_limit_s=time_limit_s, before=begin)
        begin = Before(closed.option)
        return Late(closed.objective, closed.bound, closed.option, closed.x)

    try:
        return limits_kept(late, deadline, most)
    except Infeasible:  # the limited costs alone
        return Kept(None, ruled_out=True)


def _searched(
    engine: Engine,
    problem: AllocationProblem,
    resources: Resources,
    gap: float,
    deadline: float,
    before: Before | None,
) -> Closed:
    objective = Objective.of(problem)
    incumbent = Incumbent(engine, gap, engine.budgets + problem.users * (problem.tilts is not None))
    tree = Tree(engine, objective, incumbent, gap, deadline, problem.weights)
    proof = AllocationProof(problem, resources)
    kept, known = None, None
    if before is not None:
        kept = _offered(incumbent, before.option)
        if 0.0 < incumbent.objective < np.inf:
            known = tree.leaf_of(before.prices)
    if known is None:
        _begin(engine, problem, resources, incumbent, deadline)
    if incumbent.objective <= 0.0:
        # nothing is better than no time at all
        grown: Node = Leaf((0.0,) * len(incumbent.prices))
        bound = 0.0
    else:
        valuer = FloatValuer(problem, resources) if _strained(problem, incumbent) else engine.valuer()
        mask = choices(problem, resources.open)
        if np.isfinite(deadline):
            tree.part_s = lambda: part_s(tree, mask, valuer)
        leveled = isinstance(engine, MixedEngine) and engine.is_leveled
        by_levels = grow_by_levels(tree, cast(LeveledEngine, engine)) if leveled and known is None else None
        grown = known or by_levels or tree.grow(*root(tree))
        bound = Certificate.seal(proof, grown, mask, tree.target, valuer).bound_s
    certificate = Certificate(proof.objective, bound, grown, proof.budgets, proof.cost_prices)
    option, x = incumbent.choice, incumbent.x
    if isinstance(engine, MissedEngine):
        option, x = engine.on_time.settle(option, x)
    return Closed(
        incumbent.objective, option, x, incumbent.prices, min(bound, incumbent.objective),
        certificate, max(tree.nodes, 1), tree.passes, warm=known is not None, kept=kept,
    )  # fmt: skip


def _offered(incumbent: Incumbent, first: Choice) -> Array | None:
    """Begin with the options from before; their best shares, unless others dominate them or they break the limits."""
    heads = incumbent.engine.head[np.arange(len(first)), first]
    if (heads < 0).any():
        return None  # an option from before is closed now
    better = incumbent.offer(heads)
    return incumbent.x if better and (incumbent.choice == first).all() else None


def _offer_cheap(incumbent: Incumbent, problem: AllocationProblem, resources: Resources, deadline: float) -> None:
    """Begin with options that keep the limited costs; where there are none, nothing is left to look for."""
    option, ruled_out = keeping_costs(problem, resources, deadline)
    if ruled_out:
        raise Infeasible("the limits on costs cannot be kept together", users=range(problem.users))
    if option is not None:
        incumbent.offer(incumbent.engine.head[np.arange(problem.users), option])


def _of_nothing_shared(problem: AllocationProblem, latency_s: Array, budgets: int) -> Array:
    """Prices that prove what users need who share nothing: 0, with the weight of the largest latency on the latest."""
    if problem.tilts is None:
        return np.zeros(budgets)
    tilts = np.zeros(problem.users)
    if problem.objective == "mixed":
        tilts[np.argmax(problem.weights * latency_s)] = problem.tilts.total
    return np.concatenate((np.zeros(budgets), tilts))


def _begin(
    engine: Engine, problem: AllocationProblem, resources: Resources, incumbent: Incumbent, deadline: float
) -> None:
    """Find some allocation that keeps the limits, if there is none yet: by a simple rule or the least lateness."""
    incumbent.offer_all(list(engine.first_sets()))
    if not np.isfinite(incumbent.objective) and problem.cost_limits is not None:
        _offer_cheap(incumbent, problem, resources, deadline)
    if np.isfinite(incumbent.objective):
        return
    found = kept(problem, deadline)
    if found.choice is not None:
        incumbent.offer(engine.head[np.arange(problem.users), found.choice])
        if not np.isfinite(incumbent.objective) and found.x is not None:
            # within rounding of a deadline: the shares as they are
            seen = evaluate_shares(problem, found.choice, in_units(problem, found.x)[0])
            if seen.violation <= LIMIT_SLACK:
                prices = _of_nothing_shared(problem, seen.latency_s, engine.budgets)
                incumbent.take(Settled(seen.objective_s, prices, found.x, found.choice))
        if np.isfinite(incumbent.objective):
            return
    if not found.ruled_out:
        raise SolverFailure(
            "no allocation that keeps the deadlines and limits on costs was found within the time limit, nor that "
            "there is none; raise time_limit_s or leave it out"
        )
    raise Infeasible("the hard limits cannot be kept together", users=range(problem.users))


def _checked(problem: AllocationProblem, closed: Closed) -> Closed | None:
    """What the search found, worked out apart from it; None where shares, limits or objective are not what it says."""
    shares, most = in_units(problem, closed.x)
    yields = evaluate_shares(problem, closed.option, shares)
    off = abs(yields.objective_s - closed.objective)
    # scaling to the budgets would hide shares that exceed them
    if most > 1 + _ROUNDING or not (yields.violation <= _ROUNDING and off <= _ROUNDING * yields.objective_s):
        return None
    return closed._replace(evaluated=(shares, yields))


def _strained(problem: AllocationProblem, incumbent: Incumbent) -> bool:
    """Whether a deadline is kept with next to no room even by a user who has everything: the multiplier of its time is
    then very large, and so is its rounding."""
    if problem.deadline_s is None or problem.objective == "missed":
        return False
    return bool((alone_s(problem, incumbent.choice) > problem.deadline_s * (1.0 - _ROOM)).any())
