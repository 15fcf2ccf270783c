"""Every constraint of `energy_delay`, at a point that keeps it and at points that break it alone.

The points are physical (seconds, joules, watts), computed here and not by the formulation.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from megdt_opt import GenerationSplitProblem
from megdt_opt.formulations import energy_delay

OFF = 1.02
"""How far the broken points are beyond a limit."""

V0, K = 3.0, 0.4
PROBLEM = GenerationSplitProblem(
    edge_s=2.0, device_s_at_1_w=V0, exponent=K, payload_bit=1e6, rate_bit_per_s=1e6, energy_max_j=2.0, power_max_w=4.0,
    share_min=0.2,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Point:
    """Share made on the device [1], its time [s] and energy [J]."""

    rest: float
    device_s: float
    energy_j: float


def at(rest: float, power_w: float) -> Point:
    """What a share takes at a power, with a little slack in time."""
    device_s = rest * V0 * power_w**-K
    return Point(rest=rest, device_s=1.0001 * device_s, energy_j=device_s * power_w)


GOOD = at(0.5, 1.6)
"""1.24 s and 1.99 J: full speed would be 4 W, the energy limit is 2 J."""

BROKEN: dict[str, list[Point]] = {
    # done faster, or with less energy, than the work takes
    "device_work": [replace(GOOD, device_s=GOOD.device_s / OFF), replace(GOOD, energy_j=GOOD.energy_j / OFF**2)],
    # more watts than there are, for a share so small that the energy is enough
    "power_limit": [at(0.1, 4.0 * OFF**3)],
    "energy_limit": [replace(GOOD, energy_j=2.0 * OFF, device_s=GOOD.device_s * 2)],
    "share_limit": [at(0.8 * OFF, 0.5)],
}
"""The registry: a constraint without an entry here fails the suite."""


def violation(constraint: Callable[[Any], list[Any]], p: Point) -> float:
    q = energy_delay.make_model(PROBLEM)
    q.y.value = p.rest / q.numbers.share_unit
    q.t.value = p.device_s / q.numbers.time_unit_s
    q.e.value = p.energy_j / q.numbers.energy_unit_j
    found = 0.0
    for one in constraint(q):
        if constraint.__name__ == "device_work":
            # CVXPY measures the distance to a cone by a projection; here the cone itself is meant
            x, y, z = (float(part.value) for part in one.args)
            found = max(found, abs(z) - x**K * y ** (1 - K))
        else:
            found = max(found, float(one.violation()))
    return found


def untested(module: Any) -> list[str]:
    """Constraints that have no truth test."""
    return [c.__name__ for c in module.CONSTRAINTS if c.__name__ not in BROKEN]


@pytest.mark.parametrize("constraint", energy_delay.CONSTRAINTS, ids=lambda c: c.__name__)
def test_truth(constraint: Callable[[Any], list[Any]]) -> None:
    assert constraint.__name__ in BROKEN, "add points that break this constraint to the registry"
    assert violation(constraint, GOOD) <= 1e-9
    for broken in BROKEN[constraint.__name__]:
        assert violation(constraint, broken) > 1e-4
        others = [c for c in energy_delay.CONSTRAINTS if c is not constraint]
        assert max(violation(c, broken) for c in others) <= 1e-3, "the point breaks other constraints too"


def test_the_good_point_keeps_the_problem() -> None:
    found = PROBLEM.evaluate(0.5, 1.6)
    assert found.violation == 0
    assert found.latency_s <= 0.5 * 3.0 + GOOD.device_s
    assert found.energy_j == pytest.approx(GOOD.energy_j)


def test_a_new_constraint_without_truth_test_is_caught() -> None:
    def novelty(q: Any) -> list[Any]:
        return []

    assert untested(types.SimpleNamespace(CONSTRAINTS=(*energy_delay.CONSTRAINTS, novelty))) == ["novelty"]
    assert untested(energy_delay) == []
