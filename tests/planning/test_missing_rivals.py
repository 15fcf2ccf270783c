"""What cannot be had beside a plan is said, and does not keep the plan from being made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megdt_opt import Plan, Scenario, plan
from megdt_opt.planning.baselines import missing
from megdt_opt.report.plan_grids import baseline_grid, plan_grid


def cell(*users: dict[str, Any], edge: str = "twin-cpu", model: str = "twin", **channel: Any) -> Scenario:
    base = {"downlink_efficiency": "3 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz", "device": {"stretch": 8}}
    return Scenario(
        model=model, unmeasured_quality=None if model == "twin" else "accept",
        steps=6, cuts=(3,), edge={"profile": edge, "stretch": 2},
        channel={"downlink": "100 kHz", "uplink": "100 kHz", **channel},
        users=[{"name": f"user-{k}", **base, **user} for k, user in enumerate(users)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("user", "channel", "lacks"),
    [
        ({"downlink_efficiency": "0 bit/s/Hz"}, {}, "downlink_efficiency"),
        ({"uplink_efficiency": "0 bit/s/Hz"}, {}, "uplink_efficiency"),
        ({}, {"downlink": "0 Hz"}, "downlink_hz"),
        ({}, {"uplink": "0 Hz"}, "uplink_hz"),
    ],
    ids=["no signal down", "no signal up", "no band down", "no band up"],
)
def test_without_a_link_the_plan_is_local_and_rivals_say_why_not(
    user: dict[str, Any], channel: dict[str, Any], lacks: str, tmp_path: Path
) -> None:
    made = plan(cell(user, **channel))
    alone = plan(cell({**user, "mechanisms": ["local"]}, **channel), compare=False)
    assert made.users[0].option.mechanism == "local"
    assert made.objective_s == pytest.approx(alone.objective_s)
    assert [b.name for b in made.baselines if b.mechanism] == ["all local"]
    why = missing(made.table)
    assert lacks in why["all centralised"]
    assert "user user-0" in why["all centralised"]
    grid = baseline_grid(made)
    row = next(row for row in grid.rows if row[0] == "all centralised")
    assert "cannot be had" in row
    assert any(note.startswith("all centralised cannot be had") and lacks in note for note in grid.notes)
    made.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").baselines == made.baselines


def test_one_user_without_a_link_among_three() -> None:
    made = plan(cell({}, {"downlink_efficiency": "0 bit/s/Hz"}, {}))
    assert made.users[1].option.mechanism == "local"
    assert "user user-1" in missing(made.table)["all centralised"]


@pytest.mark.parametrize("room", [0.0005, 0.002, 0.01])
def test_a_corner_that_breaks_the_deadlines_is_not_survived(room: float) -> None:
    best = plan(cell({}, {}), compare=False)
    deadline_s = best.objective_s * (1 + room)
    made = plan(cell({"deadline_s": deadline_s}, {"deadline_s": deadline_s}))
    assert made.objective_s == pytest.approx(best.objective_s, rel=1e-6)
    assert made.robustness is not None
    assert made.robustness.without >= 1
    assert not any(made.robustness.survives)
    assert made.robustness.breaks
    assert any("no choice keeps all limits" in note for note in plan_grid(made).notes)


PUBLISHED = "published: A100 (compiled) / SD1.5"
PHONE = "published: QCS8550 (Proxy) / SD1.5"


def test_published_timings_alone_have_no_corners() -> None:
    made = plan(cell({"device": {"profile": PHONE}}, edge=PUBLISHED, model="sd15"))
    assert made.robustness is None
    assert not any("corners" in note for note in plan_grid(made).notes)


@pytest.mark.parametrize(("edge", "device"), [(PUBLISHED, "sd15-cpu"), ("sd15-cpu", PUBLISHED)])
def test_only_what_was_measured_has_corners(edge: str, device: str) -> None:
    made = plan(cell({"device": {"profile": device}}, edge=edge, model="sd15"))
    assert made.robustness is not None
    assert made.robustness.corners == 2
    exact = "the edge" if edge == PUBLISHED else "user-0"
    assert any(f"Exact, for want of an interval: {exact}" in note for note in plan_grid(made).notes)


@pytest.mark.parametrize(("edge", "device"), [(PUBLISHED, "sd15-cpu"), ("sd15-cpu", PUBLISHED), (PUBLISHED, PHONE)])
def test_options_that_were_never_timed_are_counted_in_a_note(edge: str, device: str) -> None:
    made = plan(cell({"device": {"profile": device}}, edge=edge, model="sd15"), compare=False)
    table = made.table
    untimed = sum(table.untimed(0, o) for o in range(len(table.options)))
    assert untimed > 0
    (note,) = [note for note in made.notes if "never timed" in note]
    assert f"{untimed} of the others" in note
    assert "not timed" in note


def test_nothing_is_said_where_all_was_timed() -> None:
    assert not any("never timed" in note for note in plan(cell({}), compare=False).notes)
