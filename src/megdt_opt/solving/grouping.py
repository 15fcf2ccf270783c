"""Forming the groups of a `SharedPrefixProblem`: by the price method, or by greedy merging with the root's bound."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.grouping import GroupingProof
from megdt_opt.certificate.tree import Branch, Cap, Count, Leaf, Mask, Node, Prune, parts
from megdt_opt.errors import SolverFailure
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.problem.conflicts import airtime_too_short
from megdt_opt.problem.outcome import BoundSource, Method
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.solving import shared_prefix
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.fractions import GroupingEngine
from megdt_opt.solving.engines.grouping import BestDuals, GroupingPricing
from megdt_opt.solving.parties import close_parties
from megdt_opt.solving.riders.compiled import prepare, solved
from megdt_opt.solving.shared_prefix import METHODS, SharedPrefix, answer_of, answered, in_shares

__all__ = ["answer_of", "solve_class"]

_LOWER = 1.0 - 1e-8
"""Part of a level that duals were found at that they prove beyond rounding [1]."""


class Found(NamedTuple):
    """What is known when the search ends: choices (R,), shares (3, K + G), a tree and the bound that it proves."""

    choice: Choice
    x: Array
    certificate: Certificate
    message: str


def solve_class(problem: SharedPrefixProblem, method: str, gap: float, time_limit_s: float | None) -> SharedPrefix:
    """As `solve` has it, for this class of problem; groups are formed where none are given.

    Raises
    ------
    InvalidInput
        For a method that does not take it, or groups with more patterns than are listed.
    Infeasible
        Where the limits on airtime of the trunks that must run take more than the uplink.
    """
    if problem.group is not None or method not in METHODS:
        return shared_prefix.solve_class(problem, method, gap, time_limit_s)
    begin = time.perf_counter()
    model = PrefixCosts(problem)
    waited_s = prepare(model)  # compiling is no solving
    begin += waited_s
    deadline = math.inf if time_limit_s is None else time.monotonic() + time_limit_s
    pricing, proof = GroupingPricing(model, deadline), GroupingProof(problem, model)
    built = time.perf_counter()
    try:
        if method == Method.GREEDY:
            found = _greedy(pricing, proof, gap, deadline)
        else:
            found = _closed(pricing, proof, gap, time_limit_s)
    except SolverFailure:
        if problem.trunk_uplink_airtime_max_s is not None:
            raise airtime_too_short(problem) from None
        raise
    solve_s = time.perf_counter() - built
    solved(model, solve_s)
    formed = pricing.formed(found.choice)
    assert formed is not None
    trunk = formed.trunk[formed.trunk >= 0]
    option, group = np.zeros(problem.users, np.int64), np.full(problem.users, -1)
    option[formed.who[formed.option >= 0]] = formed.option[formed.option >= 0]
    for g in range(len(trunk)):
        group[formed.who[g][formed.option[g] >= 0]] = g
    decisions = {"group": group, **in_shares(problem, option, group, trunk, found.x)}
    by = Method.GREEDY if method == Method.GREEDY else Method.PRICES
    proven = found.certificate.bound_s, BoundSource.CERTIFICATE, found.certificate
    return answered(problem, decisions, gap, by, proven, (built - begin, solve_s), found.message)


def _closed(pricing: GroupingPricing, proof: GroupingProof, gap: float, time_limit_s: float | None) -> Found:
    """By the tree."""
    closed = close_parties(
        pricing, proof, gap=gap, time_limit_s=time_limit_s, make=lambda _, until: GroupingEngine(pricing, until)
    )
    certificate = with_duals(pricing, proof, closed.certificate)
    message = f"{len(pricing.patterns.member)} sets, {closed.nodes} nodes, {closed.passes} price vectors"
    return Found(closed.choice, closed.x, certificate, message)


def _greedy(pricing: GroupingPricing, proof: GroupingProof, gap: float, deadline: float) -> Found:
    """By merging, with the bound of the best prices for all users."""
    first, *_ = pricing.first_sets()
    best = pricing.settle(first, np.inf, np.ones(3))
    if not np.isfinite(best.objective):
        raise SolverFailure("none of the choices to begin with keeps the limits")
    engine = GroupingEngine(pricing, deadline)
    total = float(best.prices.sum())
    start = best.prices / total if pricing.leveled and total > 0 else best.prices
    peak = engine.peak(pricing.open, best.objective, 4.0 * best.objective, gap, start)
    leaf = Leaf(tuple(peak.prices.tolist()))
    certificate = Certificate.seal(proof, leaf, pricing.open, best.objective, pricing.valuer())
    certificate = with_duals(pricing, proof, certificate)
    return Found(best.choice, best.x, certificate, f"{len(pricing.patterns.member)} sets, {peak.passes} price vectors")


def with_duals(pricing: GroupingPricing, proof: GroupingProof, certificate: Certificate) -> Certificate:
    """A certificate whose leaves have what each user is worth behind their prices, so that no program is solved to
    check them."""
    mask, bound, bare = pricing.open, certificate.bound_s, certificate.tree
    best = BestDuals(pricing)
    level = bound if pricing.leveled else None
    for _ in range(2):
        tree = _dressed(bare, mask, best, level, proof.problem.users)
        found = Certificate.seal(proof, tree, mask, bound, proof.valuer(False))
        if level is None or bound <= 0 or found.bound_s >= bound * _LOWER:
            break
        level = bound = bound * _LOWER
    return found


def _dressed(tree: Node, mask: Mask, best: BestDuals, level_s: float | None, users: int) -> Node:
    """A copy of a tree with duals in its leaves; zeros where no part of the problem is left."""
    known: dict[int, Leaf] = {}
    if level_s is None or level_s > 0:
        for part in parts(tree, mask):
            worth = best.worth(part, level_s)
            known[id(part.leaf)] = Leaf((*part.leaf.prices, *worth.duals.tolist()), cuts=worth.cuts)

    def leaf(one: Leaf) -> Leaf:
        return known.get(id(one)) or Leaf((*one.prices, *[0.0] * users))

    top: list[Node] = []
    stack: list[tuple[Node, list[Node], int]] = [(tree, top, 0)]
    top.append(tree)
    while stack:
        node, place, at = stack.pop()
        if isinstance(node, Leaf):
            place[at] = leaf(node)
            continue
        made: Branch | Count | Prune | Cap
        if isinstance(node, Prune):
            made = Prune(leaf(node.leaf), node.removed, list(node.children))
        elif isinstance(node, Branch):
            made = Branch(node.user, node.groups, list(node.children))
        elif isinstance(node, Cap):
            made = Cap(node.cap_s, list(node.children))
        else:
            made = Count(node.users, node.options, node.most, list(node.children))
        place[at] = made
        stack.extend((child, made.children, n) for n, child in enumerate(node.children))
    return top[0]
