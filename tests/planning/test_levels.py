"""Plans whose latencies hold at a level of the calibration's raw samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import Infeasible, InvalidInput, Plan, Scenario, TimingProfile, plan
from megdt_opt.planning.replay import coverage

CELL = """
name: three devices
steps: 4
channel: {{downlink: 0.3 MHz, uplink: 0.1 MHz, propagation: 5 ms}}
edge: {{profile: twin-cpu, stretch: 4}}
users:
  - name: a
    device: {{profile: twin-cpu, stretch: 30}}
    downlink_efficiency: 4 bit/s/Hz
    uplink_efficiency: 2 bit/s/Hz
  - name: b
    device: {{profile: twin-cpu, stretch: 9}}
    downlink_efficiency: 2 bit/s/Hz
    uplink_efficiency: 2 bit/s/Hz
{more}
"""


def cell(more: str) -> Scenario:
    return Scenario.from_yaml(CELL.format(more=more))


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(cell("holds: {level: 0.9, samples: 100, seed: 3}"))


def test_the_plan_says_its_level_and_samples(made: Plan) -> None:
    assert made.notes[0].startswith("Latencies hold in 92 of 100 samples")
    assert "planned at 92 % for 90 %" in made.notes[0]
    assert made.problem.samples_kept == 92
    assert made.baselines == ()
    assert made.robustness is None
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds


def test_latencies_are_those_of_the_samples(made: Plan) -> None:
    assert [user.latency_s for user in made.users] == made.problem.evaluate(_answer(made)).latency_s.tolist()
    median = plan(cell(""), compare=False)
    assert made.objective_s > median.objective_s
    ends = [user.stages[-1].start_s + user.stages[-1].duration_s for user in made.users]
    assert all(user.latency_s > end for user, end in zip(made.users, ends, strict=True))


def _answer(made: Plan) -> Any:
    from types import SimpleNamespace

    shares = {n: [getattr(u, n) for u in made.users] for n in ("downlink_hz", "uplink_hz", "edge_share")}
    return SimpleNamespace(option=made.options, **shares)


def test_it_comes_back_from_a_file(made: Plan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.users == made.users
    assert again.restated == ()
    assert again.scenario.holds == made.scenario.holds


def test_new_samples_are_met_about_as_often_as_planned(made: Plan) -> None:
    found = coverage(made, samples=2000)
    assert found.shape == (2,)
    assert (found > 0.8).all()
    np.testing.assert_array_equal(found, coverage(made, samples=2000))
    slower = {"twin-cpu": TimingProfile.bundled("twin-cpu").rescaled(2.0, "a slow day")}
    assert (coverage(made, profiles=slower) < 0.5).all()


def test_coverage_of_the_plans_own_samples_is_refused(made: Plan) -> None:
    with pytest.raises(InvalidInput, match="seed.*another seed"):
        coverage(made, seed=3)
    with pytest.raises(InvalidInput, match="holds"):
        coverage(plan(cell(""), compare=False))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("holds: {level: 1.0}", "holds.level"), ("holds: {level: 0}", "holds.level"),
        ("holds: {level: 0.95, planned_at: 0.9}", "holds.planned_at.*at least the level"),
        ("holds: {level: 0.95, samples: 20}", "holds.samples.*at least 25 samples"),
        ("holds: {level: 0.9, seed: -1}", "holds.seed"), ("holds: {samples: 100}", "holds.level"),
        ("holds: {level: 0.9}\nobjective: mixed\nmax_weight: 1", 'objective.*"max" or "sum" beside holds'),
        ("holds: {level: 0.9}\ncosts: {edge_energy: {max: 40 J}}", "holds|costs"),
    ],
)  # fmt: skip
def test_a_wrong_level_is_refused_by_name(more: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        cell(more)


def test_too_few_samples_for_the_level_are_refused_by_stage_and_number() -> None:
    with pytest.raises(InvalidInput, match=r"holds.level.*0\.99.*40 raw samples.*at least 125"):
        plan(cell("holds: {level: 0.99, samples: 2000}"))


def test_published_times_have_no_samples() -> None:
    profile = TimingProfile.bundled("twin-cpu")
    published = replace(
        profile, provenance=replace(profile.provenance, source="published"),
        cells=tuple(replace(c, samples_s=c.samples_s[:1], at_s=(), sessions=()) for c in profile.cells), held_out=(),
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"holds.level.*the 0 raw samples"):
        plan(cell("holds: {level: 0.9}"), {"twin-cpu": published})


def test_a_deadline_is_kept_at_the_level() -> None:
    scenario = cell("holds: {level: 0.9, samples: 50}")
    latest = max(user.latency_s for user in plan(scenario).users)
    users = tuple(user.model_copy(update={"deadline_s": 1.001 * latest}) for user in scenario.users)
    kept = plan(scenario.model_copy(update={"users": users}))
    assert all(user.latency_s <= 1.001 * latest * (1 + 1e-9) for user in kept.users)
    users = tuple(user.model_copy(update={"deadline_s": 0.8 * latest}) for user in scenario.users)
    with pytest.raises(Infeasible):
        plan(scenario.model_copy(update={"users": users}))
