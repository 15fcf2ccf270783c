"""The compiled worst case: what a tree proves at the prices of its leaves, against the exact check of certificates."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.families import draw

from megdt_opt import AllocationProblem, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Branch, Leaf, Node, Prune
from megdt_opt.pricing.deviations import Deviating
from megdt_opt.problem.deviations import NO_EXTRAS
from megdt_opt.solving.worst.compiled import Kernels


def deviating(family: str, objective: str, seed: int, budget: float) -> AllocationProblem:
    """Six users whose numbers may each be longer by up to a third of themselves."""
    nominal = draw(family, 6, 8, objective, seed)
    rng = np.random.default_rng(seed)
    extras = {
        name: rng.uniform(0.0, 0.3, nominal.fixed_s.shape) * getattr(nominal, known)
        for name, known in zip(NO_EXTRAS, ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s"), strict=True)
    }
    fields = ("weight", "downlink_efficiency", "uplink_efficiency", "downlink_hz", "uplink_hz", "edge_capacity")
    return AllocationProblem(
        fixed_s=nominal.fixed_s, downlink_bit=nominal.downlink_bit, uplink_bit=nominal.uplink_bit,
        edge_work_s=nominal.edge_work_s, objective=objective, deviation_budget=budget,
        edge_share_max=nominal.edge_share_max, **{name: getattr(nominal, name) for name in fields}, **extras,
    )  # fmt: skip


def trees(prices: tuple[float, ...], user: int, other_one: int, order: list[int]) -> list[Node]:
    """A leaf; the options of a user divided; one of them ruled out."""
    other = tuple(1.05 * one for one in prices)
    first, rest = tuple(order[::2]), tuple(order[1::2])
    return [
        Leaf(prices),
        Branch(user, (first, rest), [Leaf(prices), Leaf(other)]),
        Prune(Leaf(prices), np.array([[user, other_one]]), [Leaf(other)]),
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", ["cuts", "table"])
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_what_is_proven_is_what_the_exact_check_finds(objective: str, family: str, seed: int) -> None:
    problem = deviating(family, objective, seed, budget=(1.0, 1.7, 2.5)[seed])
    best = solve(problem, gap=1e-7)
    kernels = Kernels(Deviating.of(problem))
    level_s = best.objective_s if objective == "max" else None
    kernels.core_at(None, None)
    prices = kernels.settle(best.option, 1e-12).prices
    kernels.core_at(prices, level_s)
    # who has the most options in time, in an order in which both halves have some
    early = problem.weights[:, None] * (problem.fixed_s + problem.edge_work_s) < 0.7 * best.objective_s
    user = int(early.sum(axis=1).argmax())
    order = problem.fixed_s[user].argsort().tolist()
    other_one = (int(best.option[user]) + 1) % problem.options
    for tree in trees(tuple(prices.tolist()), user, other_one, order):
        target_s = best.objective_s
        if objective == "max":  # the highest level that is proven
            low, high = 0.8 * best.objective_s, best.objective_s * (1 + 1e-9)
            while high - low > 1e-9 * high:
                middle = 0.5 * (low + high)
                low, high = (middle, high) if kernels.proven_s(tree, middle) == middle else (low, middle)
            target_s = low
        bound = kernels.proven_s(tree, target_s)
        assert 0.8 * best.objective_s < bound <= best.objective_s
        assert Certificate(objective, bound, tree).verify(problem, exact=True).holds
        assert not Certificate(objective, bound * (1 + 1e-6), tree).verify(problem, exact=True).holds
