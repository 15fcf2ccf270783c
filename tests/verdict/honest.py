"""An honest record of a plan of two users, and what is done to it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from megdt_opt import Execution, Plan, Scenario, TimingProfile, plan
from megdt_opt.execution.record import StageRow
from megdt_opt.machine import cpu_model
from megdt_opt.timing.reference import Reference
from megdt_opt.trials.pictures import Picture
from megdt_opt.verdict.figures import LinkProbe
from megdt_opt.verdict.stated import Stated, stated_of

TEXT = """
name: two
channel: {downlink: 200 kHz, uplink: 100 kHz}
edge: {profile: here, stretch: 8}
users:
  - {name: a, device: {profile: here, stretch: 12}, mechanisms: [SEU], downlink_efficiency: 4 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz}
  - {name: b, device: {profile: here, stretch: 12}, mechanisms: [E2U], downlink_efficiency: 4 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz}
"""

IMAGE = np.zeros((1, 64, 64, 3), np.uint8)


@cache
def profile() -> TimingProfile:
    """The bundled profile as if it had been measured here, with a reference kernel of 10 ms."""
    made = TimingProfile.bundled("twin-cpu")
    here = replace(made.provenance, hardware={**made.provenance.hardware, "processor": cpu_model()})
    return replace(made, provenance=here, reference=Reference(weight_byte=6_000_000, samples_s=(0.01,)))


@cache
def made_plan() -> Plan:
    """A plan of two users."""
    return plan(Scenario.from_yaml(TEXT), {"here": profile()}, compare=False)


@cache
def stated() -> Stated:
    """What it states."""
    return stated_of(made_plan())


def honest(mode="paced", **more) -> Execution:
    """A run that keeps to the plan exactly."""
    rows, at_s = [], {}
    for (user, index), stage in stated().stages.items():
        start_s = at_s.get(user, 0.0)
        cpu_s = stage.slot_s / stated().machines[stage.actor].stretch
        byte = round(stage.byte[0])
        lasts_s = 8 * byte / stage.pace if stage.to else stage.slot_s / stage.pace
        at_s[user] = start_s + lasts_s
        rows.append(
            StageRow(
                user=user, index=index, label=stage.label, actor=stage.actor, kind=stage.kind or "send x",
                predicted_start_s=start_s, predicted_duration_s=lasts_s, start_s=start_s, end_s=at_s[user],
                busy_s=0.0 if stage.to else cpu_s, cpu_s=0.0 if stage.to else cpu_s, payload_byte=byte,
            )
        )  # fmt: skip
    programs = {actor: dict(stated().programs) for actor in stated().machines}
    made = Execution(
        rows=tuple(rows), mode=mode, stretch={}, environment={"cpu": cpu_model(), "cores": 2},
        images={"a": IMAGE, "b": IMAGE}, programs=programs,
    )  # fmt: skip
    return replace(made, **more)


def probes(**rate_of):
    """Honest probes of all links, but that one or another carries so much of its rate."""
    links = {(s.actor, s.to[0], s.pace) for s in stated().stages.values() if s.to}
    return [
        LinkProbe(source=a, to=b, rate_bit_per_s=r, expected_s=0.15, measured_s=0.15 / rate_of.get(f"{a}_{b}", 1.0))
        for a, b, r in sorted(links)
    ]


def picture(user, psnr_db=np.inf, **more):
    """A user's picture, so far from the unsplit one [dB]."""
    other = IMAGE[0] if psnr_db == np.inf else IMAGE[0] + 1
    return Picture(
        user=user, option="x", executed=other, unsplit=IMAGE[0], truth=None, psnr_db=psnr_db, found=None, objects=None,
        **more,
    )  # fmt: skip


def changed(run: Execution, change, where=lambda row: True) -> Execution:
    """The run with some of its rows changed."""
    return replace(run, rows=tuple(replace(r, **change(r)) if where(r) else r for r in run.rows))
