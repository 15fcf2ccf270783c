"""The engine of parties: the core problem, told as a `Pricing`, is searched as by its own engine."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt import AllocationProblem, solve
from megdt_opt.certificate.allocation import AllocationProof, FloatValuer
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Leaf, Mask
from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.engine import Choice, Priced, Settled
from megdt_opt.solving.parties import close_parties


class Users:
    """Each user a party of one row."""

    def __init__(self, problem: AllocationProblem) -> None:
        resources = Resources.of(problem)
        self.inner = ArraysEngine(problem, resources)
        self.leveled, self.used, self.open = self.inner.leveled, self.inner.used, resources.open
        self.problem, self.resources = problem, resources

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        return self.inner.price(mask, prices, level_s)

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        return self.inner.rises(mask, prices, level_s)

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        return self.inner.switches(choice, prices, own_level_s, goal, most)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        return self.inner.settle(choice, ceiling_s, prices)

    def first_sets(self) -> list[Choice]:
        return list(self.inner.first_sets())

    def terms(self, row: int) -> Array:
        return self.inner.terms(row)

    def valuer(self) -> Valuer:
        return FloatValuer(self.problem, self.resources)


def random_problem(seed: int, objective: str) -> AllocationProblem:
    draw = np.random.default_rng(seed)
    users, options = 5, 4
    size = (users, options)
    return AllocationProblem(
        fixed_s=draw.uniform(0.2, 4.0, size), downlink_bit=draw.uniform(0.0, 2e6, size) * (draw.random(size) < 0.6),
        uplink_bit=draw.uniform(0.0, 1e6, size) * (draw.random(size) < 0.4),
        edge_work_s=draw.uniform(0.0, 1.0, size) * (draw.random(size) < 0.7), downlink_hz=2e6, uplink_hz=1e6,
        downlink_efficiency=draw.uniform(1.0, 4.0, users), uplink_efficiency=draw.uniform(1.0, 4.0, users),
        weight=draw.uniform(0.5, 2.0, users), objective=objective,
    )  # fmt: skip


@pytest.mark.long_list("objective", of=4)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("seed", range(12))
def test_parties_of_one_are_users(seed: int, objective: str) -> None:
    problem = random_problem(seed, objective)
    proof = AllocationProof(problem)
    found = close_parties(Users(problem), proof, gap=1e-7, time_limit_s=None)
    expected = solve(problem, gap=1e-7)
    assert found.objective == pytest.approx(expected.objective_s, rel=2e-7)
    assert found.bound >= found.objective * (1 - 1e-7)
    assert found.certificate.verify(problem, exact=True).holds
    raised = Certificate(objective, found.objective * (1 + 1e-6), found.certificate.tree)
    assert not raised.verify(problem, exact=True).holds


def test_certificate_of_several_servers_is_read_back_as_it_was() -> None:
    certificate = Certificate("sum", 1.0, Leaf((1.0, 2.0, 3.0, 4.0, 5.0, 6.0)), 6)
    data = certificate.to_dict()
    prices = data["nodes"][0]["prices"]
    assert prices == {"downlink": [1.0, 2.0], "uplink": [3.0, 4.0], "edge": [5.0, 6.0]}
    again = Certificate.from_dict(data)
    assert again.budgets == 6
    assert again.to_dict() == data
    assert not again.verify(random_problem(0, "sum")).holds  # of a problem with one server
    prices["edge"] = prices["edge"][:1]
    with pytest.raises(InvalidInput, match="as many prices"):
        Certificate.from_dict(data)
