"""Deadlines of plans in turns and in batches are looked at where the calibration's intervals end."""

from __future__ import annotations

from typing import Any

import pytest

from megdt_opt import Scenario, plan
from megdt_opt.planning.robustness import robustness

CELL = """
name: dated
steps: 6
objective: max
edge: {profile: twin-cpu, stretch: 6, discipline: reserved}
channel: {downlink: 2 MHz, uplink: 2 MHz}
x-reach: &reach {downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}
users:
  - {name: a, device: {profile: twin-cpu, stretch: 30}, <<: *reach}
  - {name: b, device: {profile: twin-cpu, stretch: 40}, <<: *reach}
"""
HOW: dict[str, Any] = {"gap": 1e-2, "time_limit_s": 0.3}


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("discipline", ["in_turns", "batched"])
def test_a_deadline_that_a_slower_edge_does_not_keep_is_broken(discipline: str) -> None:
    data = Scenario.from_yaml(CELL).model_dump(mode="json", exclude_none=True)
    data["edge"]["discipline"] = discipline
    alone = plan(Scenario(**data), compare=False, **HOW)
    for k, user in enumerate(alone.users):
        for factor, breaks in ((1.002, True), (2.0, False)):
            data["users"][k]["deadline_s"] = user.latency_s * factor
            made = plan(Scenario(**data), compare=False, **HOW)
            found = robustness(made.table, made.options, **HOW)
            assert found is not None
            assert (found.breaks, found.without) == (breaks, 0)
        del data["users"][k]["deadline_s"]
