"""What plans lose where their timings are off."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt import AllocationProblem, InvalidInput, Plan, Scenario, plan, regret
from megdt_opt.planning.regret import plan_regret

CELL = """
name: two devices
steps: 4
channel: {downlink: 0.3 MHz, uplink: 0.1 MHz}
edge: {profile: twin-cpu, stretch: 4}
users:
  - {name: a, device: {profile: twin-cpu, stretch: 9}, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}
  - {name: b, device: {profile: twin-cpu, stretch: 9}, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}
"""


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(Scenario.from_yaml(CELL), compare=False)


def test_a_plan_loses_what_its_problem_says(made: Plan) -> None:
    found = plan_regret(made, percent=30.0, samples=8)
    other = regret(made.problem, percent=30.0, samples=8)
    np.testing.assert_allclose(found.option_regret, other.option_regret, atol=2e-6)
    assert found.share_quantile(1.0) == found.share_worst
    assert found.share_quantile(0.5) == pytest.approx(found.share_median)
    assert found.option_quantile(0.0) <= found.option_median <= found.option_quantile(0.95) <= found.option_worst
    assert "95 % of the samples at most" in str(found)


def test_nothing_is_lost_where_nothing_is_off(made: Plan) -> None:
    assert plan_regret(made, percent=0.0, samples=2).share_worst <= 2e-6


@pytest.mark.parametrize("part", [-0.1, 1.5, float("nan"), "half"])
def test_a_quantile_of_no_part_is_refused(made: Plan, part: object) -> None:
    with pytest.raises(InvalidInput, match="part.*from 0 to 1"):
        plan_regret(made, samples=1).option_quantile(part)  # type: ignore[arg-type]


def test_a_plan_at_a_level_is_refused() -> None:
    level = plan(Scenario.from_yaml(CELL + "holds: {level: 0.9, samples: 20}"))
    with pytest.raises(InvalidInput, match="samples_kept"):
        plan_regret(level)


def test_a_problem_with_deviations_is_refused() -> None:
    problem = AllocationProblem(
        fixed_s=[[1.0]], edge_work_s=[[1.0]], downlink_bit=[[0.0]], uplink_bit=[[0.0]], downlink_hz=1.0, uplink_hz=1.0,
        deviation_budget=0.5, edge_work_extra_s=[[1.0]],
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="deviation_budget"):
        regret(problem)
