"""Inputs judged in a world that the kernel enforces: each process of an edge and a user has the edge's profile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from honest import profile

from megdt_opt import Execution, Scenario, plan
from megdt_opt.errors import InvalidInput
from megdt_opt.execution.digest import program_digest
from megdt_opt.execution.kernel.prediction import SECURE
from megdt_opt.execution.record import StageRow
from megdt_opt.machine import cpu_model
from megdt_opt.timing.shaped import burst_byte, quota_wall_s
from megdt_opt.trials.kernel import held_runs
from megdt_opt.trials.kernel_verification import KernelSets
from megdt_opt.verdict.checking import _probes_of
from megdt_opt.verdict.evidence import Cause
from megdt_opt.verdict.stated import stated_of
from megdt_opt.verdict.verdict import judge_inputs

TEXT = """
name: kernel
channel: {downlink: 200 kHz, uplink: 100 kHz}
edge: {profile: here, stretch: 2}
users:
  - {name: a, device: {profile: here, stretch: 4}, mechanisms: [SEU], downlink_efficiency: 4 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz}
  - {name: b, device: {profile: here, stretch: 3}, mechanisms: [E2U], downlink_efficiency: 4 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz}
"""


@pytest.fixture(scope="module")
def made():
    """A plan of two users."""
    return plan(Scenario.from_yaml(TEXT), {"here": profile()})


@pytest.fixture(scope="module")
def held(made):
    """What is executed of it."""
    return held_runs(made)


@pytest.fixture(scope="module")
def stated(made, held):
    """What it states of that."""
    return stated_of(made, held.runs)


def record(stated, held, share=1.0):
    """A run that keeps to the plan; blocks as long as at so much of the share."""
    rows, at_s = [], {}
    for (user, index), stage in stated.stages.items():
        used_s = 0.0 if stage.to else stage.slot_s / stated.machines[stage.actor].stretch
        lasts_s = 8 * stage.byte[0] / stage.pace
        if not stage.to:
            lasts_s = quota_wall_s(used_s, share * held.settings.share[stage.actor], 0.02)
        start_s = at_s.get(user, 0.0) + 0.1
        at_s[user] = start_s + lasts_s
        rows.append(
            StageRow(
                user=user, index=index, label=stage.label, actor=stage.actor, kind=stage.kind or "send x",
                predicted_start_s=start_s, predicted_duration_s=lasts_s, start_s=start_s, end_s=at_s[user],
                cpu_s=used_s, payload_byte=round(stage.byte[0]),
            )
        )  # fmt: skip
    actors = {a: {"share": s, "period_s": 0.02} for a, s in held.settings.share.items()}
    programs = {actor: dict(stated.programs) for actor in held.settings.share}
    where = {"cpu": cpu_model(), "cores": 2}
    return Execution(
        rows=tuple(rows), mode="kernel", stretch={}, environment=where, programs=programs, world={"actors": actors}
    )


def timed(stated, factor=1.0):
    """Stages timed anew."""
    return {
        (s.actor, s.kind, s.rows): factor * s.slot_s / stated.machines[s.actor].stretch / s.amount
        for s in stated.stages.values()
        if s.kind in ("denoise", "decode")
    }


def test_pairs_have_programs_of_their_own_and_the_edges_profile(made, held, stated):
    assert stated.programs == {run.name: program_digest(run) for run in held.runs}
    assert stated.machines["edge for a"] == stated.machines["edge"]
    assert {"edge for a", "edge for b", "a", "b"} <= {stage.actor for stage in stated.stages.values()}


def test_an_honest_run_raises_no_alarm_and_each_wrong_input_its_own(held, stated):
    good = [record(stated, held)] * 5
    found = judge_inputs(stated, good, retimed=[timed(stated)] * 5)
    assert found.ok, found.words
    assert {Cause.PLAN, Cause.PAYLOAD, Cause.SHARE, Cause.PROFILE} <= set(found.judged)
    assert judge_inputs(stated, good, retimed=[timed(stated, 1.3)] * 5).cause is Cause.PROFILE
    wrong = record(stated, held, share=1 / 1.3)
    assert judge_inputs(stated, [wrong] * 5, retimed=[timed(stated)] * 5).cause is Cause.SHARE
    other = replace(good[0], programs={"edge for a": {"a": "0" * 64}})
    assert judge_inputs(stated, [other] * 5, retimed=[timed(stated)] * 5).cause is Cause.PLAN


def test_a_link_is_judged_by_the_rate_allocated_not_by_what_the_kernel_says_of_it(stated, held):
    """A bucket that somebody has set lower reads back lower, and takes the time of the lower rate."""
    stage = next(s for s in stated.stages.values() if s.to and s.actor == "edge for a")
    byte = 5500
    for rate, cause in ((stage.pace, None), (stage.pace / 1.3, Cause.LINK)):
        took_s = SECURE.seconds(byte, rate, burst_byte(rate))
        link = {"source": stage.actor, "to": stage.to[0], "byte": byte, "rate_bit_per_s": rate}
        link |= {"measured_s": took_s, "expected_s": took_s}
        run = record(stated, held)
        run = replace(run, world={**run.world, "links": [link, {"device": "b"}]})
        (probe,) = _probes_of(stated, run)
        found = judge_inputs(stated, [run] * 5, probes=[probe], retimed=[timed(stated)] * 5)
        assert found.cause is cause
        assert probe.rate_bit_per_s == stage.pace


def test_all_sets_are_stretched_by_one_factor_and_those_that_no_quota_holds_are_named(made):
    known = KernelSets(made)
    assert known.sets[0].name == "plan"
    assert len(known.sets) > 3
    assert known.factor == max(held_runs(each).factor for each in known.sets) >= 1
    assert {held_runs(each, known.factor).factor for each in known.sets} == {known.factor}
    slow = TEXT.replace("stretch: 4", "stretch: 30")
    with pytest.raises(InvalidInput, match="share of a"):
        KernelSets(plan(Scenario.from_yaml(slow), {"here": profile()}))
