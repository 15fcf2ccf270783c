"""Shadow prices at several edge servers and where groups share steps: against one edge, and what more is worth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from random_placements import draw_placement
from random_prefixes import random_groupings, random_prefixes

from megdt_opt import AllocationProblem, InvalidInput, PlacementProblem, SharedPrefixProblem, shadow_prices, solve
from megdt_opt.whatif.shadow import ShadowPrices

FIELDS = ("downlink_hz", "uplink_hz", "edge_capacity")


def core(objective: str) -> AllocationProblem:
    rng = np.random.default_rng(4)
    users, options = 3, 3
    away = np.arange(options) == options - 1
    at_edge, shape = ~away, (users, options)
    return AllocationProblem(
        fixed_s=rng.uniform(0.1, 1.0, shape) + 5.0 * away, edge_work_s=rng.uniform(0.5, 2.0, shape) * at_edge,
        downlink_bit=rng.uniform(1e5, 1e6, shape) * at_edge, uplink_bit=rng.uniform(1e4, 1e5, shape) * at_edge,
        downlink_hz=1e6, uplink_hz=1e5, edge_capacity=2.0, downlink_efficiency=rng.uniform(1, 4, users),
        uplink_efficiency=rng.uniform(1, 3, users), objective=objective,
    )  # fmt: skip


def at_one_server(problem: AllocationProblem) -> PlacementProblem:
    server = np.where(problem.edge_work_s > 0, 0, -1)
    tables = {n: getattr(problem, n) for n in ("fixed_s", "edge_work_s", "downlink_bit", "uplink_bit", "objective")}
    laws = {n: getattr(problem, n) for n in ("downlink_efficiency", "uplink_efficiency")}
    return PlacementProblem(
        **tables, **laws, option_server=server, downlink_hz=[1e6], uplink_hz=[1e5], edge_capacity=[2.0]
    )


def in_no_group(problem: AllocationProblem) -> SharedPrefixProblem:
    base = random_prefixes(0, (), alone=3, objective=problem.objective)
    names = ("fixed_s", "edge_work_s", "downlink_bit", "uplink_bit", "downlink_efficiency", "uplink_efficiency")
    own = {n: getattr(problem, n) for n in (*names, *FIELDS)}
    rides, none = np.zeros(problem.fixed_s.shape, np.int64), np.ones((*problem.fixed_s.shape, base.trunks), bool)
    return replace(base, **own, rides=rides, compatible=none, allowed=None, weight=None, edge_share_max=None)


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("other", [at_one_server, in_no_group])
def test_one_edge_without_groups_has_the_prices_of_the_core_problem(objective: str, other) -> None:
    problem = core(objective)
    expected, found = shadow_prices(problem), shadow_prices(other(problem))
    assert found.objective_s == pytest.approx(expected.objective_s, rel=1e-6)
    assert found.optimal
    for mine, theirs in zip(found.prices, expected.prices, strict=True):
        assert (mine.field, mine.budget) == (theirs.field, theirs.budget)
        for name in ("kept_s", "more_s", "less_s"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-4)
        for name in ("step_more_s", "step_less_s"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-3)


def check_against_more(problem, found: ShadowPrices) -> None:
    """What the prices say of a step is what the problem comes to there."""
    for price in found.prices:
        if price.kept_s == 0 or math.isnan(price.kept_s):
            continue
        for side, mean_s in ((1, price.step_more_s), (-1, price.step_less_s)):
            budget = price.budget * (1 + side * found.step)
            if price.server is None:
                changed = replace(problem, **{price.field: budget})
            else:
                values = np.array(getattr(problem, price.field))
                values[price.server] = budget
                changed = replace(problem, **{price.field: values})
            gained = side * (found.objective_s - solve(changed, gap=1e-8).objective_s)
            assert mean_s * found.step * price.budget == pytest.approx(gained, abs=3e-6 * found.objective_s)
        # the value is convex with options kept: what more gains is no more than what less costs
        assert price.more_s <= price.less_s * (1 + 1e-6)
        assert price.step_more_s >= price.more_s * (1 - 2e-2)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("number", [4, 5, 13])
def test_each_servers_budgets_have_prices_of_their_own(number: int) -> None:
    problem = draw_placement(number, 8)
    found = shadow_prices(problem)
    assert [(p.field, p.server) for p in found.prices] == [(f, e) for f in FIELDS for e in range(problem.servers)]
    assert found["edge", problem.servers - 1] is found.prices[-1]
    check_against_more(problem, found)
    option = solve(problem).option
    used = {int(e) for e in problem.option_server[np.arange(problem.users), option]}
    assert all(p.kept_s == 0 or math.isnan(p.kept_s) for p in found.prices if p.server not in used)
    # the worst user of a "max" may be one on its own device
    assert any(p.kept_s > 0 for p in found.prices) or problem.objective == "max"
    assert f"of server {problem.servers - 1}" in str(found)


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("reserve", ["phased", "separate"])
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_groups_have_prices(objective: str, reserve: str) -> None:
    problem = random_prefixes(3, (3,), alone=1, objective=objective, reserve=reserve)
    answer = solve(problem, gap=1e-8)
    found = shadow_prices(problem, answer)
    assert found.objective_s == pytest.approx(answer.objective_s, rel=1e-6)
    assert any(price.kept_s > 0 for price in found.prices)
    check_against_more(problem, found)


def test_groups_that_are_to_be_formed_have_none() -> None:
    with pytest.raises(InvalidInput, match=r"group: found None; expected the groups.*Give the problem of a plan"):
        shadow_prices(random_groupings(0, 3))
