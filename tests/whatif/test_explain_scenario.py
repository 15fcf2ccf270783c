"""Explanations of a scenario's problem advise only what can be done, and name only limits that somebody set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, Scenario, TimingProfile, explain, solve
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S, NO_DEADLINE_S
from megdt_opt.program.stages import Kind
from megdt_opt.scenario.options import OptionTable


def table(*users: dict[str, Any], regions: bool = True, kinds: tuple[Kind, ...] = tuple(Kind)) -> OptionTable:
    twin = TimingProfile.bundled("twin-cpu")
    cells = tuple(c for c in twin.cells if c.kind in kinds and (regions or c.rows is None))
    base = {
        "downlink_efficiency": "1 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz",
        "device": {"profile": "mine", "stretch": 20, "compute_power": "10 W"},
    }  # fmt: skip
    scenario = Scenario(
        steps=4, cuts=(2,), edge={"profile": "mine", "stretch": 10}, channel={"downlink": "60 kHz", "uplink": "60 kHz"},
        users=[{"name": f"u{k}", **base, **user} for k, user in enumerate(users)],
    )  # fmt: skip
    return OptionTable.build(scenario, {"mine": replace(twin, cells=cells)})


UNTIMED = {
    "no region": {"regions": False},
    "no fusing": {"kinds": tuple(k for k in Kind if k is not Kind.FUSE)},
    "no coding": {"kinds": tuple(k for k in Kind if k not in (Kind.COMPRESS, Kind.DECOMPRESS))},
}


@pytest.mark.parametrize("less", UNTIMED.values(), ids=UNTIMED.keys())
def test_options_that_were_never_timed_are_not_advised(less: dict[str, Any]) -> None:
    found = table({"deadline_s": 0.05}, {"deadline_s": 0.05}, **less)
    explained = explain(found.problem())
    assert not explained.feasible
    for change in explained.changes:
        for user, option in zip(change.users, change.options, strict=False):
            assert found.terms(user, option) is not None, found.options[option].name


def test_without_a_sensor_nothing_that_starts_from_its_frame_is_advised() -> None:
    found = table({"deadline_s": 0.05})
    assert all("U2E" not in found.options[o].name for c in explain(found.problem()).changes for o in c.options)


def core(**changes: Any) -> AllocationProblem:
    fields: dict[str, Any] = {
        "fixed_s": [[0.1, 0.0], [0.1, 0.0]], "downlink_bit": [[1e5, 0.0]] * 2, "uplink_bit": [[1e3, 0.0]] * 2,
        "edge_work_s": [[0.5, 0.0]] * 2, "downlink_hz": 1e6, "uplink_hz": 1e5, "downlink_efficiency": [1.0] * 2,
        "uplink_efficiency": [1.0] * 2, "allowed": [[True, False]] * 2, "deadline_s": [1.0, 1.0],
    }  # fmt: skip
    return AllocationProblem(**fields | changes)


def test_impossible_options_are_not_allowed() -> None:
    impossible = [[False, True]] * 2
    assert any(c.field == "allowed" for c in explain(core()).changes)
    assert not any(c.field == "allowed" for c in explain(core(impossible=impossible)).changes)
    with pytest.raises(InvalidInput, match=r"allowed \(user 0, option 1\)"):
        core(impossible=impossible, allowed=None)
    with pytest.raises(InvalidInput, match="^impossible"):
        core(impossible=[[0.5, 1.0]] * 2)


@pytest.mark.parametrize("energy_max_j", [0.2, 0.05, 5.0])
def test_only_limits_that_somebody_set_are_named(energy_max_j: float) -> None:
    found = table({"energy_max_j": energy_max_j, "deadline_s": 0.3}, {"deadline_s": 0.3}, {})
    with pytest.raises(Infeasible) as caught:
        solve(found.problem())
    text = f"{caught.value} {explain(found.problem())}"
    assert "e+09" not in text
    assert "1e+30" not in text
    assert all(c.value < NO_AIRTIME_LIMIT_S for c in caught.value.conflicts)


def test_a_user_without_a_deadline_has_none() -> None:
    problem = table({"deadline_s": 60.0}, {}).problem()
    assert problem.hard_deadline_s.tolist() == [60.0, np.inf]
    limited = core(deadline_s=[1.2, NO_DEADLINE_S])
    assert solve(limited).latency_s[0] <= 1.2 * (1 + 1e-9)
    tight = explain(core(deadline_s=[0.5, NO_DEADLINE_S]))
    assert not tight.feasible
    assert tight.users == (0,)
    assert all(c.users in ((), (0,)) for c in tight.changes if c.field == "deadline_s")


@pytest.mark.parametrize("third_s", [0.9, 0.7, 1.4])
def test_a_factor_on_deadlines_holds_when_it_is_followed(third_s: float) -> None:
    """Of a smallest set of users, said without the others; of all, for the whole problem."""
    three = {
        "fixed_s": [[0.1]] * 3, "downlink_bit": [[1e5]] * 3, "uplink_bit": [[1e3]] * 3, "edge_work_s": [[0.5]] * 3,
        "downlink_hz": 1e6, "uplink_hz": 1e5, "downlink_efficiency": [1.0] * 3, "uplink_efficiency": [1.0] * 3,
        "deadline_s": [1.2, 1.2, third_s],
    }  # fmt: skip
    problem = AllocationProblem(**three)  # type: ignore[arg-type]
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    error = caught.value
    factor = float(error.hint.partition("were ")[2].partition(" times")[0]) * 1.001
    users = list(range(3))
    if error.hint.startswith("Without the other users"):
        assert len(error.users) < 3
        users = list(error.users)
    rows = {name: np.asarray(value)[users] if np.ndim(value) else value for name, value in three.items()}
    followed = AllocationProblem(**rows | {"deadline_s": rows["deadline_s"] * factor})  # type: ignore[operator]
    assert solve(followed).evaluate(followed).violation <= 1e-9
    stretched = explain(problem).stretch
    assert stretched is not None
    whole = replace(problem, deadline_s=np.asarray(three["deadline_s"]) * stretched * 1.001)
    assert explain(whole).feasible
