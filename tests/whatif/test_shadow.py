"""Shadow prices, against closed forms and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, shadow_prices, solve
from megdt_opt.whatif.shares_at import BUDGETS, value_of

DIGITS = 1e-5
"""Relative: prices are read on the path at 1e-7 of the objective, and the difference has 7 to 8 digits."""


def edge_only(**more: object) -> AllocationProblem:
    """Two users on the edge alone: sum = sum fixed + (sum sqrt(work))^2 / capacity."""
    fields: dict[str, object] = {
        "fixed_s": [[0.1], [0.2]],
        "downlink_bit": np.zeros((2, 1)),
        "uplink_bit": np.zeros((2, 1)),
        "edge_work_s": [[1.0], [4.0]],
        "downlink_hz": 1e6,
        "uplink_hz": 1e6,
        "edge_capacity": 2.0,
        "objective": "sum",
    }
    return AllocationProblem(**(fields | more))  # type: ignore[arg-type]


def difference(problem: AllocationProblem, option: np.ndarray, field: str) -> float:
    """- dV / dB with options kept, by a central difference: 1e-12 / 1e-4 of noise, 1e-4 ** 2 of truncation."""
    budget, h = getattr(problem, field), 1e-4
    low, high = (value_of(replace(problem, **{field: budget * (1 + j * h)}), option).objective_s for j in (-1, 1))
    return (low - high) / (2 * h * budget)


def test_closed_form_of_the_square_root_rule() -> None:
    found = shadow_prices(edge_only())
    # d/dF of (1 + 2)^2 / F at F = 2
    assert found.edge.kept_s == pytest.approx(9 / 4, rel=1e-9)
    assert found.edge.more_s == found.edge.less_s == found.edge.kept_s
    assert found.downlink.kept_s == found.uplink.kept_s == 0.0
    assert found.optimal
    assert found["edge"] is found.edge
    assert found["edge_capacity"] is found.edge
    # over a step: 9/2 - 9/2.02 for 0.02 servers
    assert found.edge.step_more_s == pytest.approx((9 / 2 - 9 / 2.02) / 0.02, rel=1e-4)
    assert found.edge.step_less_s == pytest.approx((9 / 1.98 - 9 / 2) / 0.02, rel=1e-4)


def test_units_in_print() -> None:
    zeros = np.zeros((1, 1))
    problem = AllocationProblem(
        fixed_s=zeros,
        downlink_bit=[[2e6]],
        uplink_bit=zeros,
        edge_work_s=zeros,
        downlink_hz=20e6,
        uplink_hz=1e6,
        downlink_efficiency=[2.0],
        objective="sum",
    )
    found = shadow_prices(problem)
    # L = 2e6 / (2 B) = 50 ms at 20 MHz, so 2.5 ms less for one MHz more; a user alone takes the whole band
    assert found.downlink.ms_per_mhz == pytest.approx(2.5, rel=1e-5)
    assert "downlink (20 MHz): 2.5 ms per MHz" in str(found)
    assert math.isnan(found.edge.ms_per_mhz)


@pytest.mark.long_list
@pytest.mark.parametrize("number", [1, 3, 4, 5, 6, 13, 22, 31])
def test_kept_prices_are_derivatives(number: int) -> None:
    problem = draw(number, seed=21, users=2, options=2).problem
    best = solve(problem)
    found = shadow_prices(problem, best)
    for field, price in zip(BUDGETS, found.prices, strict=True):
        noise = 1e-6 * best.objective_s / price.budget
        assert price.kept_s == pytest.approx(difference(problem, best.option, field), rel=DIGITS, abs=noise), field
        assert price.more_s >= 0
        assert price.less_s >= price.more_s or price.switch_more or price.switch_less


@pytest.mark.parametrize("weight", [0.7, 5.0])
def test_mixed(weight: float) -> None:
    problem = replace(draw(3, seed=5, users=2, options=2).problem, objective="mixed", max_weight=weight)
    best = solve(problem)
    found = shadow_prices(problem, best)
    for field, price in zip(BUDGETS, found.prices, strict=True):
        noise = 1e-6 * best.objective_s / price.budget
        assert price.kept_s == pytest.approx(difference(problem, best.option, field), rel=DIGITS, abs=noise), field


def test_caps_that_fill_the_capacity_are_a_kink() -> None:
    """More capacity than the caps sum to is worth nothing; less of it is taken where it is worth the least."""
    found = shadow_prices(edge_only(edge_share_max=[1.0, 1.0])).edge
    assert found.more_s == 0.0
    # at a share of 1 each, user 0 loses work / share^2 = 1 s per server, user 1 would lose 4
    assert found.less_s == pytest.approx(1.0, rel=1e-4)
    assert found.more_s <= found.kept_s <= found.less_s


def test_a_cap_below_the_capacity_leaves_the_rest_idle() -> None:
    found = shadow_prices(edge_only(edge_share_max=[0.5, 0.5])).edge
    assert (found.more_s, found.kept_s, found.less_s) == (0.0, 0.0, 0.0)


def tie() -> AllocationProblem:
    """One user: option 0 takes 2/F s at the edge; option 1 takes 1 s on the device and 0.5/F s; equal at F = 1.5."""
    zeros = np.zeros((1, 2))
    return AllocationProblem(
        fixed_s=[[0.0, 1.0]],
        downlink_bit=zeros,
        uplink_bit=zeros,
        edge_work_s=[[2.0, 0.5]],
        downlink_hz=1.0,
        uplink_hz=1.0,
        edge_capacity=1.5,
        objective="sum",
    )


def test_one_sided_where_an_option_switches() -> None:
    found = shadow_prices(tie()).edge
    # more: option 0 takes over, slope 2 / 1.5^2; less: option 1, slope 0.5 / 1.5^2
    assert found.more_s == pytest.approx(2 / 1.5**2, rel=1e-5)
    assert found.less_s == pytest.approx(0.5 / 1.5**2, rel=1e-5)
    assert bool(found.switch_more) != bool(found.switch_less)
    assert found.step_more_s == pytest.approx((2 / 1.5 - 2 / 1.515) / 0.015, rel=1e-3)
    assert found.step_less_s == pytest.approx((1 + 0.5 / 1.485 - 2 / 1.5) / 0.015, rel=1e-3)
    assert "switch" in str(found)


def test_a_switch_within_the_step_but_not_here() -> None:
    problem = replace(tie(), edge_capacity=1.499)
    found = shadow_prices(problem).edge
    # option 1 is best here, and its slope counts on both sides; the step reaches past the tie
    assert found.more_s == found.less_s == found.kept_s == pytest.approx(0.5 / 1.499**2, rel=1e-5)
    assert found.switch_more == (0,)
    assert found.switch_less == ()
    assert found.step_more_s > 1.2 * found.more_s


def test_options_that_are_not_optimal_are_reported() -> None:
    problem = replace(tie(), edge_capacity=3.0)
    poor = replace(solve(problem), option=np.array([1]))
    found = shadow_prices(problem, poor)
    assert not found.optimal
    assert found.edge.kept_s == pytest.approx(0.5 / 9, rel=1e-5)
    assert "better options" in str(found)


def test_deadlines_that_hold_only_just() -> None:
    # 1/x <= 2 and 4/y <= 4 need x >= 0.5, y >= 1: capacity 1.5 is needed
    problem = edge_only(edge_capacity=1.5 * (1 + 1e-5), deadline_s=[2.1, 4.2])
    assert shadow_prices(problem).edge.step_less_s == math.inf


def test_no_budget_no_slope() -> None:
    problem = replace(tie(), edge_work_s=[[2.0, 0.0]], edge_capacity=0.0)
    found = shadow_prices(problem).edge
    assert math.isnan(found.kept_s)


def test_bad_arguments() -> None:
    problem = tie()
    with pytest.raises(InvalidInput, match="step"):
        shadow_prices(problem, step=0.0)
    with pytest.raises(InvalidInput, match="missed"):
        shadow_prices(replace(problem, objective="missed", deadline_s=[1.0]))
    with pytest.raises(InvalidInput, match="option"):
        shadow_prices(problem, replace(solve(problem), option=np.array([0, 0])))
    with pytest.raises(Infeasible):
        shadow_prices(replace(problem, deadline_s=[0.1]), solve(problem))
    with pytest.raises(KeyError):
        shadow_prices(problem)["sidelink"]


def test_a_budget_that_nobody_uses_is_worth_nothing_and_one_that_is_missing_is_not_known() -> None:
    text = str(shadow_prices(replace(tie(), uplink_hz=0.0)))
    assert "uplink (0 Hz): 0 ms per MHz" in text
    missing = str(shadow_prices(replace(tie(), edge_work_s=[[2.0, 0.0]], edge_capacity=0.0)).edge)
    assert "not known" in missing
    assert "nan" not in text + missing
