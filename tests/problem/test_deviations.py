"""Numbers that deviate within a budget: what is read, refused and evaluated."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.families import draw
from random_deviations import draw_deviations

from megdt_opt import AllocationProblem, AlphaFairProblem, InvalidInput, solve, solve_batch
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving.door import methods

ONE: dict[str, Any] = {
    "fixed_s": [[1.0]], "downlink_bit": [[4.0]], "uplink_bit": [[2.0]], "edge_work_s": [[3.0]], "downlink_hz": 1.0,
    "uplink_hz": 1.0, "downlink_efficiency": [1.0], "uplink_efficiency": [1.0], "objective": "sum",
    "fixed_extra_s": [[0.5]], "downlink_extra_bit": [[2.0]], "uplink_extra_bit": [[1.0]], "edge_work_extra_s": [[0.25]],
}  # fmt: skip
WHOLE = SimpleNamespace(option=[0], downlink_hz=[1.0], uplink_hz=[0.5], edge_share=[0.5])
"""Extra times 2 down, 2 up, 0.5 at the edge, 0.5 fixed; the nominal latency is 1 + 4 + 4 + 6 = 15."""


@pytest.mark.parametrize(
    ("budget", "latency"), [(0, 15.0), (0.5, 16.0), (1, 17.0), (1.5, 18.0), (2.5, 19.25), (3, 19.5), (4, 20.0), (9, 20)]
)
def test_the_worst_case_takes_the_largest_extra_times(budget: float, latency: float) -> None:
    found = AllocationProblem(**ONE, deviation_budget=budget).evaluate(WHOLE)
    assert found.latency_s.tolist() == [pytest.approx(latency, rel=1e-15)]


def test_beside_a_branch_the_fixed_time_deviates_alone() -> None:
    problem = AllocationProblem(**ONE, deviation_budget=1, device_branch_s=[[17.0]])
    assert problem.evaluate(WHOLE).latency_s.tolist() == [18.5]  # 1 + 17 + 0.5, above 17


def test_air_time_is_that_of_the_worst_case_of_the_uplink() -> None:
    problem = AllocationProblem(**ONE, deviation_budget=0.5, uplink_airtime_max_s=[[4.0]])
    assert problem.evaluate(WHOLE).violation == pytest.approx(0.25)  # 4 s and half of 2 s


def test_all_at_once_is_the_problem_of_the_sums_for_every_method_and_objective() -> None:
    rng = np.random.default_rng(5)
    drawn = draw_deviations(2)
    robust = replace(drawn, deviation_budget=4.0, device_branch_s=None, edge_share_max=None)
    extras = dict.fromkeys(("fixed_extra_s", "downlink_extra_bit", "uplink_extra_bit", "edge_work_extra_s"))
    plain = replace(
        robust, fixed_s=robust.fixed_s + robust.fixed_extra_s,
        downlink_bit=robust.downlink_bit + robust.downlink_extra_bit,
        uplink_bit=robust.uplink_bit + robust.uplink_extra_bit,
        edge_work_s=robust.edge_work_s + robust.edge_work_extra_s, deviation_budget=None, **extras,
    )  # fmt: skip
    for method in ("prices", "enumerate", "square_root_milp"):
        found = solve(robust, method=method)
        assert found.objective_s == pytest.approx(solve(plain).objective_s, rel=1e-6)
    assert solve(robust).is_proven(robust)
    late = {"objective": "missed", "deadline_s": rng.uniform(3, 9, robust.users)}
    assert solve(replace(robust, **late)).objective_s == solve(replace(plain, **late)).objective_s


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("deviation_budget", -0.5), ("deviation_budget", float("nan")), ("deviation_budget", "two"),
        ("deviation_budget", [1.0]), ("fixed_extra_s", [[-1.0]]), ("uplink_extra_bit", [[np.inf]]),
        ("edge_work_extra_s", [[1.0, 2.0]]), ("downlink_extra_bit", [["much"]]),
    ],
)  # fmt: skip
def test_a_wrong_number_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=field):
        AllocationProblem(**{**ONE, "deviation_budget": 1.0, field: value})


def test_extras_without_a_budget_are_refused() -> None:
    with pytest.raises(InvalidInput, match="deviation_budget.*leave fixed_extra_s out"):
        AllocationProblem(**ONE)


def test_an_extra_over_a_link_without_a_rate_is_refused() -> None:
    with pytest.raises(InvalidInput, match="uplink_efficiency"):
        AllocationProblem(**{**ONE, "deviation_budget": 1.0, "uplink_bit": [[0.0]], "uplink_efficiency": None})


@pytest.mark.parametrize("objective", ["mixed", "missed", "mean_cvar"])
def test_other_objectives_are_refused(objective: str) -> None:
    more = {
        "mixed": {"max_weight": 1.0},
        "missed": {"deadline_s": [1.0]},
        "mean_cvar": {"cvar_level": 0.5, "cvar_weight": 1.0},
    }
    with pytest.raises(InvalidInput, match='objective.*"max" or "sum" beside deviation_budget'):
        AllocationProblem(**{**ONE, "objective": objective, "deviation_budget": 1.0, **more[objective]})


def test_costs_of_options_are_refused() -> None:
    with pytest.raises(InvalidInput, match="option_cost"):
        AllocationProblem(**ONE, deviation_budget=1.0, option_cost=[[[1.0]]], cost_max=[5.0])


@pytest.mark.parametrize("method", [m for m in methods("AllocationProblem") if m not in ("auto", "prices")])
def test_no_other_method_takes_it_in_silence(method: str) -> None:
    with pytest.raises(InvalidInput, match="method"):
        solve(AllocationProblem(**ONE, deviation_budget=1.0), method=method)


def test_nothing_that_knows_no_worst_case_takes_it_in_silence() -> None:
    problem = AllocationProblem(**ONE, deviation_budget=1.0)
    with pytest.raises(InvalidInput, match="deviation_budget"):
        Resources.of(problem)
    with pytest.raises(InvalidInput, match="deviation_budget"):
        solve_batch([problem, problem])
    with pytest.raises(InvalidInput, match="deviation_budget"):
        AlphaFairProblem(allocation=problem, alpha=2.0)


def test_zero_amounts_that_may_deviate_get_a_share() -> None:
    problem = AllocationProblem(
        fixed_s=[[0.0], [0.0]], downlink_bit=[[0.0], [1.0]], uplink_bit=[[0.0], [0.0]], edge_work_s=[[1.0], [1.0]],
        downlink_hz=1.0, uplink_hz=1.0, downlink_efficiency=[1.0, 1.0], objective="sum", deviation_budget=1.0,
        downlink_extra_bit=[[1.0], [0.0]],
    )  # fmt: skip
    found = solve(problem, gap=1e-9)
    # both send 1 bit in the worst case: (1 + 1)^2 over each resource
    assert found.objective_s == pytest.approx(8.0, rel=1e-9)
    assert found.is_proven(problem)


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize(
    ("objective", "family", "seed"), [("sum", "table", 0), ("sum", "table", 1), ("max", "cuts", 1), ("max", "table", 2)]
)
def test_many_users_need_no_tree_of_worst_cases(objective: str, family: str, seed: int) -> None:
    """Problems at given deviations close them, which is what makes a robust problem a few nominal ones."""
    nominal = draw(family, 200, 64, objective, seed)
    amounts = {
        "fixed_extra_s": 0.2 * nominal.fixed_s, "downlink_extra_bit": 0.2 * nominal.downlink_bit,
        "uplink_extra_bit": 0.2 * nominal.uplink_bit, "edge_work_extra_s": 0.2 * nominal.edge_work_s,
    }  # fmt: skip
    found = solve(replace(nominal, deviation_budget=1.0, **amounts), gap=1e-6)
    assert found.status == "optimal"
    assert found.message.endswith("problems at given deviations")
