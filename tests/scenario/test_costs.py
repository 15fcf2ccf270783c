"""Costs in scenarios: units, names, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from megdt_opt import InvalidInput, Scenario
from megdt_opt.scenario.cost_tables import SHORTFALLS
from megdt_opt.scenario.limited_costs import COSTS
from megdt_opt.scenario.options import OptionTable

CELL = """
name: cell
steps: 10
objective: sum
channel: {downlink: 2 MHz, uplink: 1 MHz}
edge: {profile: twin-cpu, stretch: 3, compute_power: 50 W, load: 1 GB/s}
users:
  - {name: a, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz,
     device: {profile: twin-cpu, stretch: 5, compute_power: 4 W, load: 200 MB/s}}
  - {name: b, downlink_efficiency: 0.5 bit/s/Hz, uplink_efficiency: 0.3 bit/s/Hz,
     device: {profile: twin-cpu, stretch: 3, compute_power: 3 W, load: 100 MB/s}}
"""


def cell(costs: str, text: str = CELL) -> Scenario:
    return Scenario.from_yaml(f"{text}costs: {costs}\n")


@pytest.mark.parametrize(
    ("costs", "name", "most", "weight"),
    [
        ("{device_energy: {max: 40 J}}", "device_energy", 40.0, None),
        ("{device_energy: {max: 40 mJ, weight: 0.1 s/J}}", "device_energy", 0.04, 0.1),
        ("{edge_energy: {weight: 20 ms/kJ}}", "edge_energy", None, 2e-5),
        ("{edge_time: {max: 1 min, weight: 0.5 s/s}}", "edge_time", 60.0, 0.5),
        ("{device_memory: {max: 2 GB, weight: 3 s/GB}}", "device_memory", 2e9, 3e-9),
        ("{messages: {max: 12, weight: 50 ms}}", "messages", 12.0, 0.05),
        ("{signalling: {max: 0 B}}", "signalling", 0.0, None),
    ],
)
def test_units_are_read(costs: str, name: str, most: float | None, weight: float | None) -> None:
    scenario = cell(costs)
    assert scenario.costs is not None
    rule = scenario.costs[name]
    assert rule.max_si == (None if most is None else pytest.approx(most))
    assert rule.weight_s_per_si == (None if weight is None else pytest.approx(weight))
    assert Scenario(**scenario.model_dump(mode="json", exclude_none=True)) == scenario
    assert Scenario(**scenario.model_dump(mode="json")) == scenario


@pytest.mark.parametrize(
    ("costs", "named"),
    [
        ("{energy: {max: 40 J}}", r"costs\.energy.*device_energy.*signalling"),
        ("{device_energy: {max: 40}}", r"costs\.device_energy\.max"),
        ("{device_energy: {max: 40 s}}", r"costs\.device_energy\.max"),
        ("{device_energy: {max: -1 J}}", r"costs\.device_energy\.max"),
        ("{device_energy: {weight: 0.1 s}}", r"costs\.device_energy\.weight.*seconds for each J"),
        ("{device_energy: {weight: 0.1 s/kg}}", r"costs\.device_energy\.weight"),
        ("{device_energy: {weight: 0.1}}", r"costs\.device_energy\.weight"),
        ("{device_energy: {weight: 0 s/J}}", r"costs\.device_energy\.weight"),
        ("{device_energy: {weight: -1 s/J}}", r"costs\.device_energy\.weight"),
        ("{device_energy: {most: 40 J}}", r"costs\.device_energy\.most"),
        ("{device_energy: {}}", r"costs\.device_energy"),
        ("{device_energy: 40 J}", r"costs\.device_energy"),
        ("{device_energy: {max: 4 J, max_si: 4}}", r"costs\.device_energy"),
        ("{messages: {max: 12 B}}", r"costs\.messages\.max"),
        ("{messages: {max: .nan}}", r"costs\.messages\.max"),
        ("{messages: {weight: 1 s/B}}", r"costs\.messages\.weight"),
        ("{}", "costs"),
        ("[device_energy]", "costs"),
    ],
)
def test_what_says_nothing_or_has_no_unit_is_refused_by_its_place(costs: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=re.compile(named, re.DOTALL)):
        cell(costs)


@pytest.mark.parametrize(
    ("name", "old", "named"),
    [
        ("device_energy", ", compute_power: 3 W", r"users\.b\.device\.compute_power"),
        ("edge_energy", ", compute_power: 50 W", r"edge\.compute_power"),
        ("device_loading", ", load: 100 MB/s", r"users\.b\.device\.load"),
    ],
)
def test_a_cost_whose_power_or_rate_is_not_declared_is_refused(name: str, old: str, named: str) -> None:
    text = CELL.replace(old, "")
    assert text != CELL
    most = COSTS[name].example
    with pytest.raises(InvalidInput, match=named):
        OptionTable.build(cell(f"{{{name}: {{max: {most}}}}}", text)).problem()


def test_costs_are_refused_where_no_plan_is_proven_to_keep_them() -> None:
    costs: dict[str, Any] = {"messages": {"max": 5}}
    with pytest.raises(InvalidInput, match="objective"):
        cell("{messages: {max: 5}}", CELL.replace("sum", "missed").replace("name: a,", "name: a, deadline: 1 s,"))
    with pytest.raises(InvalidInput, match="groups"):
        cell("{messages: {max: 5}}", CELL + "groups: [{members: [a, b]}]\n")
    halls = Scenario.bundled("two-halls").model_dump(mode="json", exclude_none=True)
    with pytest.raises(InvalidInput, match="edges"):
        Scenario(**halls, costs=costs)


def test_the_table_has_each_cost_of_each_option() -> None:
    plain = [name for name in COSTS if name not in SHORTFALLS]  # those of pictures are of users with a target
    rules = ", ".join(f"{name}: {{max: {COSTS[name].example}}}" for name in plain)
    table = OptionTable.build(cell(f"{{{rules}}}"))
    problem = table.problem()
    assert problem.option_cost is not None
    for k in range(2):
        for o in range(len(table.options)):
            costs = table.costs(k, o)
            if costs is None:
                assert not problem.option_cost[k, o].any()
                continue
            found = dict(zip(plain, problem.option_cost[k, o].tolist(), strict=True))
            assert found["edge_time"] == costs.edge_s
            assert found["edge_energy"] == pytest.approx(50 * costs.edge_s)
            assert found["device_time"] == costs.device_s
            assert found["device_energy"] == pytest.approx(costs.device_compute_j)
            assert found["device_memory"] == costs.device_byte
            assert found["device_loading"] == pytest.approx(costs.device_byte / (200e6, 100e6)[k])
            assert found["messages"] == costs.messages
            assert found["signalling"] > 0 or costs.messages == 0
