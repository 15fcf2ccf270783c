"""A plan from a made-up profile, with a made-up execution, verification and pictures around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.models.twin.scene_requests import scene_of
from megdt_opt.models.twin.scenes import render
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import plan
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Kind, Send, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.profile import Cell, Provenance, TimingProfile
from megdt_opt.trials.pictures import Picture, psnr_db
from megdt_opt.trials.verification import Verification, VerifiedSet, judge, rivals_of

SPEC = ModelSpec(
    name="twin",
    latent_shape=(4, 16, 16),
    image_shape=(64, 64, 3),
    conditioning={"tokens": (6, 128)},
    request={"state": (5, 16)},
    passes_per_step=1,
    steps_default=20,
    schedulers=("ddim", "euler", "dpmpp"),
    weight_byte={"encode_prompt": 100_000, "denoise": 6_000_000, "decode": 1_000_000, "sense": 900_000},
    region_multiple=4,
)
_STAGE_S = {
    Kind.ENCODE_PROMPT: 0.0011,
    Kind.SENSE: 0.0062,
    Kind.DENOISE: 0.0204,
    Kind.DECODE: 0.0136,
    Kind.FUSE: 0.0002,
}
_CODEC_S = {"raw": 0.0001, "png": 0.0011, "jpeg": 0.0005}


def make_profile(name: str = "here", seed: int = 3) -> TimingProfile:
    """A profile of 20 samples a stage, spread by 3 %."""
    rng = np.random.default_rng(seed)

    def cell(kind: Kind, seconds: float, rows: int | None = None, codec: str = "") -> Cell:
        samples = tuple(float(s) for s in seconds * rng.normal(1.0, 0.03, 20))
        total = None if rows is None else SPEC.latent_shape[1]
        return Cell(
            kind=kind, batch=1, samples_s=samples, rows=rows, rows_total=total, codec=codec, first_s=3 * seconds
        )

    cells = [cell(kind, seconds) for kind, seconds in _STAGE_S.items()]
    cells += [cell(Kind.DENOISE, 0.0204 * (0.15 + 0.85 * rows / 16), rows) for rows in (4, 8, 12)]
    for kind in (Kind.COMPRESS, Kind.DECOMPRESS):
        cells += [cell(kind, seconds, codec=codec) for codec, seconds in _CODEC_S.items()]
    return TimingProfile(
        device=name,
        model="twin",
        provenance=Provenance(
            created="2026-01-31T12:00:00+00:00",
            source="measured",
            hardware={"kind": "cpu", "processor": "Example CPU", "cores": 2},
            software={"python": "3.11", "torch": "2.13", "os": "Linux"},
            precision="fp32",
            method="made up for a test",
            weights="trained",
            threads=1,
            warmup=2,
            latent_shape=SPEC.latent_shape,
            image_shape=SPEC.image_shape,
        ),
        cells=tuple(cells),
        image_byte_samples={"png": (6200, 6400, 6600), "jpeg": (1800, 1900, 2000)},
    )


def make_plan(scenario: Scenario, *, compare: bool = True) -> Plan:
    """Plan a scenario whose profiles are all called "here"."""
    return plan(OptionTable.build(scenario, {"here": make_profile()}, spec=SPEC), compare=compare)


def small_scenario() -> Scenario:
    """Four users who run four different mechanisms, one of them in parallel; few cuts, so that it plans fast."""
    return Scenario.from_yaml(
        """
name: small cell
steps: 6
cuts: [2, 4]
peu_shares: [0.5]
objective: sum
edge: {profile: here, stretch: 3}
channel: {downlink: 50 kHz, uplink: 50 kHz, propagation: 5 ms}
users:
  - {name: panel, device: {profile: here, stretch: 60, compute_power: 4 W}, downlink_efficiency: 1 bit/s/Hz,
     uplink_efficiency: 1 bit/s/Hz, codecs: [jpeg], precisions: [int8], energy_max: 40 J}
  - {name: wall, device: {profile: here, stretch: 14}, downlink_efficiency: 3 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, mechanisms: [PEU], precisions: [int8], codecs: [jpeg], deadline: 60 s}
  - {name: glasses, device: {profile: here, stretch: 20}, downlink_efficiency: 3 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, private_steps: 2, precisions: [int8], codecs: [jpeg]}
  - {name: camera, device: {profile: here, stretch: 40}, downlink_efficiency: 2 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, senses: true, shown_at: edge, precisions: [int8], codecs: [jpeg]}
"""
    )


def repeated(scenario: Scenario, users: int) -> Scenario:
    """The same scenario with another number of users, taken in turn."""
    old = scenario.users
    taken = [
        old[k % len(old)].model_copy(update={"name": f"{old[k % len(old)].name} {k + 1}", "scene": 40 + k})
        for k in range(users)
    ]
    return scenario.model_copy(update={"users": tuple(taken)})


def execution_of(made: Plan, *, seed: int = 1, error: float = 0.004, late: bool = True) -> Execution:
    """Every stage as predicted times (1 + noise), in program order, with one overrun of the last user."""
    rng = np.random.default_rng(seed)
    rows: list[StageRow] = []
    for k, user in enumerate(made.users):
        stretch = 1 + abs(rng.normal(0, error))
        for index, (leaf, time) in enumerate(zip(leaves(user.program), user.stages, strict=True)):
            start_s = time.start_s * stretch
            end_s = (time.start_s + time.duration_s) * stretch
            sends = isinstance(leaf, Send)
            rows.append(
                StageRow(
                    user=user.name,
                    index=index,
                    label=leaf.label,
                    actor=leaf.source if isinstance(leaf, Send) else leaf.at,
                    kind=f"send {leaf.payload}" if isinstance(leaf, Send) else str(leaf.kind),
                    predicted_start_s=time.start_s,
                    predicted_duration_s=time.duration_s,
                    start_s=start_s,
                    end_s=end_s,
                    busy_s=0.0 if sends else time.duration_s / 20,
                    waiting_s=0.0004,
                    serialise_s=0.0003 if sends else 0.0,
                    payload_byte=int(made.table.send_bit(leaf, k) / 8) if isinstance(leaf, Send) else 0,
                )
            )
    if late:
        found = max(
            (i for i, row in enumerate(rows) if row.kind == "denoise"), key=lambda i: rows[i].predicted_duration_s
        )
        rows[found] = replace(rows[found], overrun_s=0.03, late_steps=2)
    return Execution(
        rows=tuple(rows),
        mode="paced",
        stretch={str(name): p.stretch for name, p in made.table.machines.edges.items()}
        | {u.name: p.stretch for u, p in zip(made.scenario.users, made.table.machines.devices, strict=True)},
        environment={
            "cpu": "Example CPU",
            "cores": 2,
            "system": "Linux 6",
            "python": "3.11.2",
            "versions": {"megdt-opt": "0.1.0", "torch": "2.13.0"},
        },
        cpu_s={"edge": 1.4} | {u.name: 0.6 for u in made.users},
        images={u.name: p.executed[None] for u, p in zip(made.users, pictures_of(made), strict=True)},
    )


def verification_of(made: Plan, *, repeats: int = 3, seed: int = 2) -> Verification:
    """The plan and its rivals, measured within 1 % of the prediction."""
    rng = np.random.default_rng(seed)

    def measured(predicted_s: float) -> tuple[float, ...]:
        return tuple(float(predicted_s * f) for f in rng.normal(1.004, 0.004, repeats))

    sets = [
        VerifiedSet(
            name="plan",
            options=tuple(u.option.name for u in made.users),
            predicted_s=made.objective_s,
            measured_s=measured(made.objective_s),
        )
    ]
    for rival in rivals_of(made):
        sets.append(
            VerifiedSet(
                name=rival.name,
                options=rival.options,
                predicted_s=rival.objective_s,
                measured_s=measured(rival.objective_s),
                breaks=rival.breaks,
            )
        )
    return judge(tuple(sets))


def pictures_of(made: Plan, seed: int = 4) -> tuple[Picture, ...]:
    """Ground truth with noise in place of generated pictures; the first one equals its reference."""
    rng = np.random.default_rng(seed)
    pictures = []
    for k, user in enumerate(made.users):
        scene = scene_of(made.scenario.users[k].scene)
        truth = render(scene)
        unsplit = np.clip(truth + rng.normal(0, 6, truth.shape), 0, 255).astype(np.uint8)
        executed = unsplit if k == 0 else np.clip(unsplit + rng.normal(0, 3, truth.shape), 0, 255).astype(np.uint8)
        pictures.append(
            Picture(
                user=user.name,
                option=user.option.name,
                executed=executed,
                unsplit=unsplit,
                truth=truth,
                psnr_db=psnr_db(executed, unsplit),
                found=len(scene.objects) - (k == 1),
                objects=len(scene.objects),
            )
        )
    return tuple(pictures)
