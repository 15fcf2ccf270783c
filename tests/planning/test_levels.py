"""Plans whose latencies hold at a level of the calibration's raw samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, Plan, Scenario, TimingProfile, plan
from megdt_opt.planning.replay import coverage
from megdt_opt.scenario.options import OptionTable
from megdt_opt.sweeping.cell import Settings, compute
from megdt_opt.trials.verification import rivals_of

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
        ("holds: {level: 0.9}\ncosts: {edge_energy: {max: 40 J}}",
         "holds: found 'level 0.9'; expected left out beside costs. Leave out holds or costs"),
    ],
)  # fmt: skip
def test_a_wrong_level_is_refused_by_name(more: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        cell(more)


@pytest.mark.parametrize("discipline", ["in_turns", "batched"])
def test_a_level_is_refused_beside_turns_and_batches(discipline: str) -> None:
    text = CELL.format(more="holds: {level: 0.9}").replace("stretch: 4}", f"stretch: 4, discipline: {discipline}}}", 1)
    expected = (
        f"holds: found 'level 0.9'; expected left out beside edge.discipline {discipline}. Leave out holds or edge"
    )
    with pytest.raises(InvalidInput, match=expected):
        Scenario.from_yaml(text)


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


@pytest.mark.parametrize("level", [0.3, 0.5, 0.9])
def test_a_deadline_closes_options_by_their_times_at_the_level(level: float) -> None:
    """A device that needs a time at the median needs less at a low level, and more at a high one."""
    holds = f"holds: {{level: {level}, planned_at: {level}, samples: 200, seed: 1}}"
    table = OptionTable.build(cell(holds))
    local = next(o for o, option in enumerate(table.options) if option.mechanism == "local")
    problem = table.problem()
    assert isinstance(problem, AllocationProblem)
    assert problem.fixed_samples_s is not None
    times_s = np.sort(problem.fixed_samples_s[0, local])
    own_s, median_s = times_s[problem.samples_kept - 1], table.terms(0, local).fixed_s
    for due_s, closed in ((own_s * (1 - 1e-6), True), (own_s * (1 + 1e-6), False)):
        users = table.scenario.users
        first = users[0].model_copy(update={"deadline_s": float(due_s)})
        found = OptionTable.build(table.scenario.model_copy(update={"users": (first, *users[1:])}))
        assert any("the device alone takes longer" in why for why in found.closed_by(0, local)) == closed
    assert own_s != median_s


ONE_SIDED = """
name: one phone
steps: 4
channel: {downlink: 3 kHz, uplink: 3 kHz}
holds: {level: 0.9, samples: 60}
users:
  - name: a
    device: {profile: phone, stretch: 5}
    downlink_efficiency: 4 bit/s/Hz
    uplink_efficiency: 2 bit/s/Hz
    mechanisms: [local, E2U]
"""


@pytest.fixture(scope="module")
def phone() -> Plan:
    return plan(Scenario.from_yaml(ONE_SIDED), {"phone": TimingProfile.bundled("twin-cpu")})


@pytest.mark.parametrize("slower", [3.0, 10.0], ids="coverage where new times close the option: {}".format)
@pytest.mark.parametrize("deadline", [1.05, 100.0], ids="deadline {} of the latency".format)
def test_coverage_of_a_much_slower_device_is_none_whatever_the_deadline(
    phone: Plan, slower: float, deadline: float
) -> None:
    users = tuple(
        u.model_copy(update={"deadline_s": deadline * phone.users[0].latency_s}) for u in phone.scenario.users
    )
    table = OptionTable.build(phone.scenario.model_copy(update={"users": users}), dict(phone.table.profiles))
    dated = plan(table)
    assert dated.users[0].option.mechanism == "local"
    fast = TimingProfile.bundled("twin-cpu")
    assert coverage(dated, profiles={"phone": fast, "twin-cpu": fast})[0] > 0.8
    np.testing.assert_array_equal(coverage(dated, profiles={"phone": fast.stretched(slower, "p"), "twin-cpu": fast}), 0)


def test_coverage_refuses_new_profiles_without_a_stage_of_the_plan(phone: Plan) -> None:
    fast = TimingProfile.bundled("twin-cpu")
    lacking = replace(fast, cells=tuple(c for c in fast.cells if c.kind != "denoise"), held_out=())
    with pytest.raises(InvalidInput, match="profiles.*raw samples of all stages of local, the option of a.*denoise"):
        coverage(phone, profiles={"phone": lacking, "twin-cpu": fast})


def test_no_theorem_of_constant_step_times_is_said_of_samples(phone: Plan) -> None:
    assert not any("bang-bang" in note for note in phone.notes)
    median = Scenario.from_yaml(ONE_SIDED.replace("holds: {level: 0.9, samples: 60}\n", ""))
    said = plan(median, {"phone": TimingProfile.bundled("twin-cpu")}, compare=False).notes
    assert any("bang-bang" in note for note in said)


def test_a_plan_at_a_level_has_no_rivals_at_medians(made: Plan) -> None:
    with pytest.raises(InvalidInput, match=r"holds.*level 0\.9.*median times.*no verification"):
        rivals_of(made)


def test_a_file_cannot_state_baselines_at_a_level(made: Plan) -> None:
    stated = made.to_dict() | {"baselines": [b.to_dict() for b in plan(cell("")).baselines]}
    again = Plan.from_dict(json.loads(json.dumps(stated)))
    assert again.baselines == ()
    assert "baselines" in again.restated


def test_a_sweep_compares_a_level_with_nothing(made: Plan) -> None:
    found = compute(made.scenario, dict(made.table.profiles), made.table.spec, Settings())["cell"]
    assert found["objective_s"] == pytest.approx(made.objective_s)
    assert found["equal_shares_s"] is None
    assert found["best_single"] is None
    assert found["reason"] == "no baselines: latencies hold at a level, and rivals are worked out at median times"


def test_what_a_level_closes_is_closed_in_the_table_with_a_reason(made: Plan) -> None:
    table = made.table
    np.testing.assert_array_equal(table.allowed, made.problem.allowed_mask)
    parallel = [o for o, option in enumerate(table.options) if option.mechanism == "PEU"]
    assert parallel
    assert all("parallel stages" in " ".join(table.closed_by(0, o)) for o in parallel)
    assert any(text.startswith("holds: options with parallel stages") for text in table.closings(0))


def test_a_stage_that_was_not_timed_at_its_size_closes_options_with_a_reason() -> None:
    fast = TimingProfile.bundled("twin-cpu")
    cells = tuple(replace(c, batch=2) if c.kind == "decode" and c.batch == 1 else c for c in fast.cells if c.batch == 1)
    edge = replace(fast, cells=cells, held_out=())
    scenario = Scenario.from_yaml(ONE_SIDED.replace("[local, E2U]", "[local, centralised]"))
    table = OptionTable.build(scenario, {"phone": fast, "twin-cpu": edge})
    central = next(o for o, option in enumerate(table.options) if option.mechanism == "centralised")
    assert any("decode was not timed" in text or "not timed" in text for text in table.closed_by(0, central))
    assert not table.allowed[0, central]


def test_samples_that_need_too_much_memory_are_refused_with_their_size() -> None:
    scenario = cell("holds: {level: 0.9, samples: 100000}")
    users = tuple(scenario.users[0].model_copy(update={"name": f"u{k}"}) for k in range(30))
    with pytest.raises(InvalidInput, match=r"holds.samples.*at most \d+ samples.*30 users.* GB of memory"):
        plan(scenario.model_copy(update={"users": users}))
