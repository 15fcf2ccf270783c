"""The parts of the search for placements: costs in closed form, tables by servers, smoothing, switches, even loads."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_placements import draw_placement

from megdt_opt.pricing.held_models import HeldModels
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.shares.placement import server_shares
from megdt_opt.solving.engines.balancing import balanced
from megdt_opt.solving.engines.switching import descended
from megdt_opt.solving.search.smoothing import Parties, smoothed

Array = NDArray[np.float64]


def of(number: int, **changed: Any) -> PlacementProblem:
    return draw_placement(number, **{"users": 6, "servers": 3, **changed})


@pytest.mark.parametrize("level_s", [None, 2.0, 6.0, 20.0])
@pytest.mark.parametrize("number", [24, 1, 4, 8, 9, 16, 17, 21])
def test_closed_forms_are_the_general_costs(number: int, level_s: float | None) -> None:
    costs = ServerCosts(of(number))
    if not costs.flat:
        pytest.skip("has device branches")
    draw = np.random.default_rng(number)
    for _ in range(5):
        prices = 10 ** draw.uniform(-4, 2, 9) * (draw.random(9) < 0.8)
        one, other = costs.flat_costs.at(prices, level_s), costs._by_server(prices, level_s)
        assert (np.isfinite(one.cost) == np.isfinite(other.cost)).all()
        open_ = np.isfinite(one.cost)
        np.testing.assert_allclose(one.cost[open_], other.cost[open_], rtol=1e-12, atol=1e-13)
        weighted = prices[costs.budget]
        np.testing.assert_allclose((weighted * one.x)[:, open_], (weighted * other.x)[:, open_], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_tables_by_steps_are_the_tables(seed: int) -> None:
    draw = np.random.default_rng(seed)
    problem = draw_placement(4 + 8 * seed, users=int(draw.integers(3, 9)), servers=int(draw.integers(1, 5)))
    held = HeldModels(problem)
    cost = draw.uniform(0, 9, problem.fixed_s.shape)
    cost[:, 1:][draw.random((problem.users, problem.options - 1)) < 0.4] = np.inf
    for one, other in zip(held._by_servers(cost), held._swiftly(cost), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    for swift in (False, True):
        found = held.least(cost, held.open, swift=swift)
        assert found.total == pytest.approx(by_trying(held, cost), rel=1e-12)


def by_trying(held: HeldModels, cost: Array) -> float:
    """The least total over all placements, one after another."""
    open_cost = np.where(held.open[: held.users, : cost.shape[1]], cost, np.inf)
    totals = []
    for sets in itertools.product(*(range(len(one)) for one in held.sets)):
        placed = np.array([one[c] for one, c in zip(held.sets, sets, strict=True)])
        totals.append(float(np.where(held.served(placed), open_cost, np.inf).min(axis=1).sum()))
    return min(totals)


@pytest.mark.parametrize("number", [4, 12, 20, 28, 36, 44])
def test_rises_are_never_too_large(number: int) -> None:
    """What a choice costs more, by taking it away from all others."""
    problem = of(number)
    held = HeldModels(problem)
    cost = np.random.default_rng(number).uniform(0, 9, problem.fixed_s.shape)
    found = held.least(cost, held.open, rises=True)
    assert found.rises is not None
    for row, choice in np.argwhere(held.open).tolist():
        mask = held.open.copy()
        mask[row] = np.arange(mask.shape[1]) == choice
        alone = held.least(cost, mask).total
        assert found.total + found.rises[row, choice] <= alone * (1 + 1e-12)


@pytest.mark.long_list(of=4)
@pytest.mark.parametrize("number", [1, 8, 9, 16, 17, 3, 6, 7])
def test_no_prices_are_worth_more_than_the_ceiling(number: int) -> None:
    costs = ServerCosts(of(number, users=12))
    leveled = costs.problem.objective == "max"
    level = None
    if leveled:
        level = 0.9 * server_shares(costs, costs.open.argmax(axis=1)).objective

    def table_at(prices: Array) -> tuple[Array, Array]:
        table = costs.at(prices, level)
        return table.cost, table.x

    def value(prices: Array) -> float:
        return float(table_at(prices)[0].min(axis=1).sum() - prices.sum())

    used = costs.used
    start = used / used.sum() if leveled else used * 1.0
    parties = Parties(table_at, costs.budget, used, leveled, costs.flat)
    found = smoothed(parties, start, 0.1, 1e-6)
    assert value(found.prices) == pytest.approx(found.value, rel=1e-12)
    draw = np.random.default_rng(number)
    for _ in range(200):
        near = found.prices * np.exp(draw.normal(0, draw.choice([0.01, 0.3, 2.0]), len(used)))
        near = near / near.sum() if leveled else near
        assert value(near) <= found.ceiling + 1e-9
    if np.isfinite(found.value) and costs.flat:
        assert found.value >= found.ceiling - 1e-5


@pytest.mark.parametrize("number", [13, 17, 33])
def test_switches_end_where_no_user_does_better_alone(number: int) -> None:
    problem = of(number, users=15)
    costs = ServerCosts(problem)
    assert costs.plain or problem.edge_share_max is not None
    if not costs.plain:
        pytest.skip("has caps")
    option = descended(costs, costs.open.argmax(axis=1), costs.open)
    best = server_shares(costs, option).objective
    assert best <= server_shares(costs, costs.open.argmax(axis=1)).objective
    for k, o in np.argwhere(costs.open).tolist():
        other = option.copy()
        other[k] = o
        assert server_shares(costs, other).objective >= best * (1 - 1e-12)


@pytest.mark.parametrize("number", [8, 16, 32])
def test_even_loads_keep_the_level_that_they_are_said_to(number: int) -> None:
    problem = of(number, users=24)
    costs = ServerCosts(problem)
    start = costs.open.argmax(axis=1)
    before = server_shares(costs, start).objective
    option = balanced(costs, start, costs.open, 0.01 * before, before, 0.01)
    assert costs.open[np.arange(24), option].all()
    assert server_shares(costs, option).objective < before
