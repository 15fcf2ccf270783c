"""Plans under limits and weights of costs: proven, saved, compared, reported, swept, and drawn as a front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from megdt_opt import Infeasible, InvalidInput, Plan, Scenario, plan, sweep
from megdt_opt.cli.app import app
from megdt_opt.planning.fronts import front_of
from megdt_opt.report.plan_grids import plan_grid
from megdt_opt.si import show

CELL = """
name: cell
steps: 6
objective: sum
channel: {downlink: 2 MHz, uplink: 1 MHz}
edge: {profile: twin-cpu, stretch: 3}
users:
  - {name: a, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz,
     device: {profile: twin-cpu, stretch: 5, compute_power: 4 W}}
  - {name: b, downlink_efficiency: 0.5 bit/s/Hz, uplink_efficiency: 0.3 bit/s/Hz,
     device: {profile: twin-cpu, stretch: 3, compute_power: 3 W}}
"""


def cell(costs: str) -> Scenario:
    return Scenario.from_yaml(f"{CELL}costs: {costs}\n")


@pytest.fixture(scope="module")
def free() -> Plan:
    return plan(cell("{device_energy: {max: 1 kJ}}"), compare=False)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_a_limit_is_kept_and_proven(free: Plan, objective: str) -> None:
    (spent,) = free.cost_totals
    assert spent.total > 0
    limit = 0.6 * spent.total
    scenario = cell(f"{{device_energy: {{max: {limit:.9f} J}}}}").model_copy(update={"objective": objective})
    made = plan(scenario)
    (cost,) = made.cost_totals
    assert cost.total <= limit * (1 + 1e-9)
    assert made.status == "optimal"
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds
    if objective == "sum":
        assert made.objective_s > free.objective_s
    assert any("device_energy" in b.breaks for b in made.baselines)
    assert f"of at most {show(limit, 'J')}" in " ".join(plan_grid(made).notes)


def test_a_weight_adds_to_the_objective(free: Plan) -> None:
    made = plan(cell("{device_energy: {weight: 1 s/J}, messages: {weight: 10 ms}}"))
    part_s = sum(cost.part_s for cost in made.cost_totals)
    assert part_s > 0
    assert made.objective_s == pytest.approx(sum(user.latency_s for user in made.users) + part_s)
    energy, messages = made.cost_totals
    assert energy.total == pytest.approx(sum(user.costs.device_compute_j or 0.0 for user in made.users))
    assert messages.total == sum(user.costs.messages for user in made.users)
    assert energy.total < free.cost_totals[0].total
    assert all(b.objective_s >= made.objective_s * (1 - 1e-9) for b in made.baselines)
    assert "Latency alone makes" in " ".join(plan_grid(made).notes)


def test_a_plan_with_costs_comes_back_from_its_file(tmp_path: Path) -> None:
    made = plan(cell("{device_energy: {max: 1 J, weight: 0.1 s/J}}"))
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert (again.objective_s, again.cost_totals, again.restated) == (made.objective_s, made.cost_totals, ())
    data = json.loads((tmp_path / "plan.json").read_text())
    data["scenario"]["costs"]["device_energy"]["max_si"] = made.cost_totals[0].total * 0.5
    (tmp_path / "tight.json").write_text(json.dumps(data))
    with pytest.raises(InvalidInput, match="shares"):
        Plan.load(tmp_path / "tight.json")


def test_limits_that_cannot_be_kept_are_named_as_they_are_written() -> None:
    said = r"cannot be kept together: costs\.messages\.max 1, costs\.device_energy\.max 0 J"
    with pytest.raises(Infeasible, match=said) as error:
        plan(cell("{messages: {max: 1}, device_energy: {max: 0 J}}"))
    assert {c.limit for c in error.value.conflicts} == {"costs.messages.max", "costs.device_energy.max"}


def test_a_sweep_varies_a_limit_and_keeps_its_cache(tmp_path: Path) -> None:
    paths: dict[str, Any] = {"costs.device_energy.max": ["0.2 J", "0.5 J", "5 J"]}
    frame = sweep(cell("{messages: {weight: 10 ms}}"), paths, compare=False)
    assert frame["costs.device_energy.max_si"].tolist() == [0.2, 0.5, 5.0]
    assert frame["objective_s"].is_monotonic_decreasing
    assert (frame["device_compute_j"] <= frame["costs.device_energy.max_si"] * (1 + 1e-9)).all()
    assert (frame["cost_part_s"] > 0).all()
    words = ["sweep", "cell.yaml", "--over", "costs.device_energy.max=0.2 J,5 J", "--no-baselines", "--out", "out"]
    (tmp_path / "cell.yaml").write_text(f"{CELL}costs: {{messages: {{weight: 10 ms}}}}\n")
    for expected in ("2 cells planned now", "2 found in the cache"):
        words[1], words[-1] = str(tmp_path / "cell.yaml"), str(tmp_path / "out")
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert expected in result.output
    with pytest.raises(InvalidInput, match=r"costs\.energy\.max"):
        sweep(cell("{messages: {weight: 10 ms}}"), {"costs.energy.max": ["1 J"]})
    with pytest.raises(InvalidInput, match=r"costs\.messages\.least"):
        sweep(cell("{messages: {weight: 10 ms}}"), {"costs.messages.least": [1]})


def test_a_front_of_a_scenario_is_proven_and_falls() -> None:
    front, frame = front_of(Scenario.from_yaml(CELL), ["device_energy"], 5)
    assert len(frame) == len(front.points) >= 3
    assert frame["device_energy_j"].is_monotonic_increasing
    assert frame["objective_s"].is_monotonic_decreasing
    assert (frame["status"] == "optimal").all()
    for point in front.points:
        assert point.allocation.is_proven(point.problem)
    assert set(frame.columns) >= {"limit_device_energy_j", "lower_bound_s", "option of a", "option of b"}


def test_the_command_writes_table_and_figure(tmp_path: Path) -> None:
    (tmp_path / "cell.yaml").write_text(CELL)
    out = tmp_path / "front"
    words = ["front", str(tmp_path / "cell.yaml"), "--points", "3", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--cost", "device_energy", "--cost", "messages"])
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(out / "front.csv")
    assert np.isfinite(frame["messages"]).all()
    assert (out / "front.png").stat().st_size > 1000
    wrong = CliRunner().invoke(app, [*words, "--cost", "energy"])
    assert wrong.exit_code == 2
    assert "device_energy" in wrong.output
