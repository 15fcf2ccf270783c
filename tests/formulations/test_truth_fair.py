"""The constraints that the fairness formulations add to those of `convex_allocation`, each kept and each broken.

What they take over are the same functions, which test_truth.py tries. A constraint that is in neither place fails.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, AlphaFairProblem, LexicographicProblem
from megdt_opt.formulations import alpha_fair, convex_allocation, lexicographic
from megdt_opt.formulations._scaling import reference

FORMULATIONS = (alpha_fair, lexicographic)
OFF = 1.02
OPTION = np.zeros(3, dtype=np.int64)


def problem() -> AllocationProblem:
    return AllocationProblem(
        fixed_s=[[0.1], [0.3], [0.2]], downlink_bit=[[4e6], [1e6], [0.0]], uplink_bit=np.zeros((3, 1)),
        edge_work_s=[[0.5], [0.2], [0.4]], downlink_hz=4e6, uplink_hz=1e6, downlink_efficiency=[2.0, 3.0, 1.0],
        weight=[1.0, 2.0, 1.5], objective="sum",
    )  # fmt: skip


LATENCY_S = np.array([2.0, 1.5, 3.0])


def scale_s() -> float:
    return reference(problem(), OPTION).latency_unit_s


def fair_model(alpha: float) -> alpha_fair.Model:
    """Latencies of 2, 1.5 and 3 s with the parts and the norm that they need, and 0.1 % more."""
    q = alpha_fair.make_model(problem(), alpha)
    p = 1 + alpha
    norm_s = AlphaFairProblem(allocation=problem(), alpha=alpha).norm_s(LATENCY_S)
    w = problem().weights / problem().weights.sum()
    q.v.value = LATENCY_S / scale_s()
    q.h.value = 1.001 * norm_s / scale_s()
    q.r.value = 1.0005 * w * LATENCY_S**p / norm_s ** (p - 1) / scale_s()
    return q


def level_model() -> lexicographic.Model:
    """User 1 settled at its weighted latency of 3 s, the largest of the others 4.5 s; 0.1 % of room."""
    q = lexicographic.make_model(problem(), np.array([np.inf, 1.001 * 3.0, np.inf]))
    q.v.value = LATENCY_S / scale_s()
    q.h.value = 1.001 * 4.5 / scale_s() / problem().weights.mean()
    return q


def _small_parts(q: Any) -> list[Callable[[], None]]:
    def cut(k: int) -> None:
        r = q.r.value.copy()
        r[k] /= OFF
        q.r.value = r

    return [lambda k=k: cut(k) for k in range(3)]


def _small_total(q: Any) -> list[Callable[[], None]]:
    def cut() -> None:
        q.h.value = q.r.value.sum() / OFF

    return [cut]


def _slower(*users: int) -> Callable[[Any], list[Callable[[], None]]]:
    def changes(q: Any) -> list[Callable[[], None]]:
        def slow(k: int) -> None:
            v = LATENCY_S / scale_s()
            v[k] *= OFF if k != 0 else 2.3  # user 0 is far below the largest
            q.v.value = v

        return [lambda k=k: slow(k) for k in users]

    return changes


BROKEN: dict[str, Callable[[Any], list[Callable[[], None]]]] = {
    "norm_part": _small_parts,
    "norm_total": _small_total,
    "largest_free": _slower(0, 2),
    "settled": _slower(1),
}


def untested(module: Any) -> list[str]:
    shared = set(convex_allocation.CONSTRAINTS)
    return [c.__name__ for c in module.CONSTRAINTS if c not in shared and c.__name__ not in BROKEN]


def violation(constraint: Callable[[Any], list[Any]], q: Any) -> float:
    worst = 0.0
    for one in constraint(q):
        if type(one).__name__ == "PowCone3D":  # x^a y^(1-a) >= |z|
            x, y, z, a = (np.asarray(part.value) for part in (one.x, one.y, one.z, one.alpha))
            worst = max(worst, float((np.abs(z) - x**a * y ** (1 - a)).max()))
        else:
            worst = max(worst, float(np.max(one.violation())))
    return worst


@pytest.mark.parametrize("name", ["norm_part", "norm_total"])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 6.0])
def test_norm(name: str, alpha: float) -> None:
    constraint = getattr(alpha_fair, name)
    count = len(BROKEN[name](fair_model(alpha)))
    for i in range(count):
        q = fair_model(alpha)
        assert violation(constraint, q) <= 1e-9
        BROKEN[name](q)[i]()
        assert violation(constraint, q) > 1e-4


@pytest.mark.parametrize("name", ["largest_free", "settled"])
def test_levels(name: str) -> None:
    constraint = getattr(lexicographic, name)
    for i in range(len(BROKEN[name](level_model()))):
        q = level_model()
        assert violation(constraint, q) <= 1e-9
        BROKEN[name](q)[i]()
        assert violation(constraint, q) > 1e-4


def test_the_objective_and_its_norm() -> None:
    fair = AlphaFairProblem(allocation=problem(), alpha=2.0)
    direct = float((problem().weights * LATENCY_S**3).sum() / 3)
    assert fair.value(LATENCY_S) == pytest.approx(direct, rel=1e-12)
    assert fair.of_norm(fair.norm_s(LATENCY_S)) == pytest.approx(direct, rel=1e-12)
    assert AlphaFairProblem(allocation=problem(), alpha=100.0).of_norm(1e9) == float("inf")
    levels = LexicographicProblem(allocation=problem()).levels_s(LATENCY_S)
    assert levels.tolist() == [4.5, 3.0, 2.0]


def test_every_constraint_is_tried() -> None:
    def novelty(q: Any) -> list[Any]:
        return []

    for module in FORMULATIONS:
        assert untested(module) == []
    assert untested(types.SimpleNamespace(CONSTRAINTS=(*lexicographic.CONSTRAINTS, novelty))) == ["novelty"]
