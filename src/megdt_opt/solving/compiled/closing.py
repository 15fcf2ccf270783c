"""The compiled search as the price method calls it: errors, incumbent and certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from megdt_opt.certificate import Certificate
from megdt_opt.certificate_tree import Branch, Leaf, Node
from megdt_opt.errors import SolverFailure
from megdt_opt.problem import AllocationProblem
from megdt_opt.solving.closed import Closed
from megdt_opt.solving.compiled.driver import Searched, search
from megdt_opt.solving.compiled.folder import mark_compiled
from megdt_opt.solving.compiled.starting import Option
from megdt_opt.solving.compiled.tree import LISTED, ROWS
from megdt_opt.solving.incumbent import Incumbent
from megdt_opt.solving.resources import Resources
from megdt_opt.solving.shares import latencies

_LATENESS_GAPS = (0.1, 1e-2, 1e-3)
"""To which the lateness is closed in turn, until a set keeps the deadlines [1]."""

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
    incumbent = Incumbent(problem, resources) if incumbent is None else incumbent
    found = search(problem, resources, gap=gap, deadline=deadline)
    if found is None and (first := _in_time(problem, deadline)) is not None:
        found = search(problem, resources, gap=gap, deadline=deadline, first=first)
    if found is None:
        # the set with the least lateness keeps the limits if any does
        incumbent.start()
        if not np.isfinite(incumbent.objective):
            return None
        found = search(problem, resources, gap=gap, deadline=deadline, first=incumbent.option.astype(np.int32))
    mark_compiled()
    if found is None or not _stands(problem, resources, found):
        return None
    incumbent.objective = found.objective
    incumbent.option, incumbent.x = found.option.astype(np.int64), found.x
    if found.whole:
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
    )


def _in_time(problem: AllocationProblem, deadline: float) -> Option | None:
    """A set that keeps the hard deadlines, where no simple rule does: one of little lateness max L / deadline."""
    limits = problem.hard_deadline_s
    limited = np.isfinite(limits)
    if not limited.any():
        return None
    # no deadline is below 1e-100, see `problem.LARGEST`; a weight of almost nothing stands for no deadline
    weight = np.where(limited, 1.0 / np.where(limited, limits, 1.0), 0.0)
    weight = np.maximum(weight, 1e-9 * weight.max())
    relaxed = replace(problem, objective="max", deadline_s=None, weight=weight)
    scaled = Resources.of(relaxed)
    for gap in _LATENESS_GAPS:
        found = search(relaxed, scaled, gap=gap, deadline=deadline)
        if found is None or (found.whole and found.target > 1.0):
            return None
        if found.objective <= 1.0:
            return found.option
    return None


def _stands(problem: AllocationProblem, resources: Resources, found: Searched) -> bool:
    """Whether the shares keep every limit and the objective is what they yield."""
    option = found.option.astype(np.int64)[None]
    rows = np.arange(problem.users)
    a, gamma, lo, hi = resources.pick(option)
    x = found.x[None]
    latency = latencies(a, gamma, x, problem.fixed_s[rows, option], problem.branch_s[rows, option])[0]
    weighted = problem.weights * latency
    objective = float(weighted.sum() if problem.objective == "sum" else weighted.max())
    return bool(
        resources.open[rows, option].all()
        and (x <= hi * (1 + _ROUNDING)).all()
        and ((a == 0) | (x >= lo * (1 - _ROUNDING))).all()
        and (x.sum(axis=2) <= 1 + _ROUNDING).all()
        and (latency <= problem.hard_deadline_s * (1 + _ROUNDING)).all()
        and abs(objective - found.objective) <= _ROUNDING * objective
    )


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
