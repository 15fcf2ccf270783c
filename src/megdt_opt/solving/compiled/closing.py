"""The compiled search as the price method calls it: errors, incumbent and certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Branch, Leaf, Node
from megdt_opt.errors import SolverFailure
from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation, evaluate_shares
from megdt_opt.solving.compiled import note_use
from megdt_opt.solving.compiled.driver import Searched, search
from megdt_opt.solving.compiled.large import search_large
from megdt_opt.solving.compiled.starting import Option
from megdt_opt.solving.compiled.tree import LISTED, PRICES, ROWS
from megdt_opt.solving.search.closed import Closed
from megdt_opt.solving.search.incumbent import Incumbent

_LATENESS_GAPS = (0.1, 1e-2, 1e-3)
"""To which the lateness is closed in turn, until a set keeps the deadlines [1]."""

_MOST = 1e3
"""Prices over the objective up to which a leaf's margin is above their rounding [1]."""

_ROOM = 1e-6
"""Part of a deadline that must be left where a user has everything [1]."""

_ROUNDING = 5e-10
"""Relative: half of what an `Evaluation` may be violated by."""


def close_compiled(
    problem: AllocationProblem,
    resources: Resources,
    *,
    gap: float,
    deadline: float,
    incumbent: Incumbent | None = None,
) -> Closed | None:
    """Minimise "max" or "sum" and prove it; see `branching.close` for parameters and errors.

    None where no simple rule and no set of least lateness keeps the limits, or where what was found does not stand:
    numbers that span too many magnitudes for the kernels' tolerances are left to the NumPy form.
    """
    incumbent = Incumbent(problem, resources, deadline) if incumbent is None else incumbent
    closed = _closed(problem, resources, search_large(problem, gap=gap, deadline=deadline), incumbent)
    if closed is not None:
        # only a part of the kernels is compiled by now, so that this is no use to note
        return closed
    found = search(problem, resources, gap=gap, deadline=deadline)
    if found is None and (first := _in_time(problem, deadline)) is not None:
        found = search(problem, resources, gap=gap, deadline=deadline, first=first)
    if found is None:
        # the set with the least lateness keeps the limits if any does
        incumbent.start()
        if not np.isfinite(incumbent.objective):
            return None
        found = search(problem, resources, gap=gap, deadline=deadline, first=incumbent.option.astype(np.int32))
    note_use()
    return _closed(problem, resources, found, incumbent)


def _closed(
    problem: AllocationProblem, resources: Resources, found: Searched | None, incumbent: Incumbent
) -> Closed | None:
    evaluated = None if found is None else _evaluated(problem, resources, found)
    if found is None or evaluated is None:
        return None
    option, shares, yields = evaluated
    incumbent.objective = found.objective
    incumbent.option, incumbent.x = option, found.x
    if found.whole and not _strained(problem, found):
        # every leaf was proven by a margin far above rounding
        certificate = Certificate(problem.objective, found.target, lambda: tree_of(found))
    else:
        certificate = Certificate.seal(problem, resources, tree_of(found), found.target)
    return Closed(
        incumbent=incumbent,
        bound=min(certificate.bound_s, found.objective),
        certificate=certificate,
        nodes=found.nodes,
        passes=found.passes,
        shares=shares,
        evaluation=yields,
    )


def _in_time(problem: AllocationProblem, deadline: float) -> Option | None:
    """A set that keeps the hard deadlines, where no simple rule does: one of little lateness max L / deadline."""
    if problem.deadline_s is None:
        return None
    relaxed = replace(problem, objective="max", deadline_s=None, weight=1.0 / problem.deadline_s)
    scaled = Resources.of(relaxed)
    for gap in _LATENESS_GAPS:
        found = search(relaxed, scaled, gap=gap, deadline=deadline)
        if found is None or (found.whole and found.target > 1.0):
            return None
        if found.objective <= 1.0:
            return found.option
    return None


def _strained(problem: AllocationProblem, found: Searched) -> bool:
    """Whether rounding may exceed the leaves' margin: prices of "sum" far above the objective, or a deadline that is
    kept with next to no room even by a user who has everything, as the multiplier of its time is then very large.
    """
    prices = found.tree.prices[: found.tree.counts[PRICES]]
    if problem.objective == "sum" and bool((prices.sum(axis=1) > _MOST * found.objective).any()):
        return True
    if problem.deadline_s is None:
        return False
    everything = np.broadcast_to(problem.budgets, (3, problem.users)).copy()
    everything[2] = np.minimum(everything[2], problem.share_caps)
    alone = evaluate_shares(problem, found.option.astype(np.int64), everything).latency_s
    return bool((alone > problem.deadline_s * (1.0 - _ROOM)).any())


def _evaluated(
    problem: AllocationProblem, resources: Resources, found: Searched
) -> tuple[NDArray[np.int64], Array, Evaluation] | None:
    """Options, shares (3, K) in the budgets' units and what they yield, worked out apart from the kernels.

    None where an option is not open, a limit is not kept, or the objective is another than was found.
    """
    option = found.option.astype(np.int64)
    if not problem.all_open and not resources.open.take(problem.first_places + option).all():
        return None
    shares, most = in_units(problem, found.x)
    if most > 1 + _ROUNDING:
        return None  # scaling to the budgets has hidden it
    yields = evaluate_shares(problem, option, shares)
    off = abs(yields.objective_s - found.objective)
    if not (yields.violation <= _ROUNDING and off <= _ROUNDING * yields.objective_s):
        return None
    return option, shares, yields


def tree_of(found: Searched) -> Node:
    """The branch tree in plain objects; dominated options go with those that dominate them."""
    users, options = found.head.shape
    followers: list[dict[int, list[int]]] = [{} for _ in range(users)]
    for k, o in zip(*np.nonzero((found.head >= 0) & (found.head != np.arange(options))), strict=True):
        followers[k].setdefault(int(found.head[k, o]), []).append(int(o))
    tree = found.tree
    top: Node | None = None
    waiting: list[Branch] = []
    place = 0
    listed = tree.listed[: tree.counts[LISTED]].tolist()
    for user, first, second in tree.rows[: tree.counts[ROWS]].tolist():
        node: Node
        if user < 0:
            node = Leaf(tuple(float(p) for p in tree.prices[first]))
        else:
            groups = (listed[place : place + first], listed[place + first : place + first + second])
            place += first + second
            more = followers[user]
            node = Branch(user, tuple(tuple([*g, *(f for o in g for f in more.get(o, ()))]) for g in groups))
        if top is None:
            top = node
        else:
            parent = waiting[-1]
            parent.children.append(node)
            if len(parent.children) == 2:
                waiting.pop()
        if isinstance(node, Branch):
            waiting.append(node)
    if top is None or waiting:
        raise SolverFailure("the search ended within its tree")
    return top
