"""The figures of each cause, from the records of a plan's executions and from what the plan states."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.timing.reference import KERNEL
from megdt_opt.timing.shaped import quota_wall_s
from megdt_opt.trials.pictures import Picture
from megdt_opt.verdict import limits
from megdt_opt.verdict.evidence import Cause, Figure, Unjudged, exact_figure, range_figure, ratio_figure
from megdt_opt.verdict.stated import Machine, Stated

Found = tuple[list[Figure], list[Unjudged]]
"""What was compared, and what could not be."""

Timed = tuple[str, str, tuple[int, int] | None]
"""A stage that is timed: actor, kind, rows."""

CALIBRATE = "Calibrate again with `megdt-opt calibrate` and plan with that profile."


@dataclass(frozen=True, kw_only=True)
class LinkProbe:
    """A payload that was sent over a link while nothing computed.

    Parameters
    ----------
    source, to : str
        Sender and receiver.
    rate_bit_per_s : float
        Allocated rate [bit/s].
    expected_s, measured_s : float
        Time by that rate, and the best that was measured [s].
    """

    source: str
    to: str
    rate_bit_per_s: float
    expected_s: float
    measured_s: float


def plan_figures(stated: Stated, run: Execution) -> Found:
    """Whether every actor executed the programs that were planned."""
    if not run.programs:
        return [], [Unjudged(cause=Cause.PLAN, reason="the record has no digests", remedy="Execute the plan again.")]
    found = []
    for actor, programs in run.programs.items():
        names = sorted(set(programs) | set(stated.programs))
        wrong = [name for name in names if programs.get(name) != stated.programs.get(name)]
        text = f"{actor} executed the planned programs"
        if wrong:
            text = f"{actor} executed another program than the planned one for {', '.join(wrong)}"
        found.append(exact_figure(Cause.PLAN, f"program at {actor}", not wrong, text))
    return found, []


def payload_figures(stated: Stated, run: Execution) -> Found:
    """Bytes of every payload against what the plan states."""
    found = []
    for row in run.rows:
        stage = stated.stages.get((row.user, row.index))
        if stage is None or not stage.to or row.fallback:
            continue
        subject = f"{row.user}, {row.label}"
        found.append(range_figure(Cause.PAYLOAD, subject, row.payload_byte, *stage.byte, "byte", limit=limits.PAYLOAD))
    nothing = [] if found else [Unjudged(cause=Cause.PAYLOAD, reason="no payload was sent")]
    return found, nothing


def model_figures(stated: Stated, runs: Sequence[Execution], pictures: Sequence[Picture]) -> Found:
    """Pictures against the unsplit run; those of later runs against those of the first."""
    found: list[Figure] = []
    alone = {fault.user for run in runs for fault in run.faults}
    for picture in pictures:
        least_db = stated.least_psnr_db.get(picture.user)
        if picture.user in alone:
            continue
        subject = f"picture of {picture.user}"
        if picture.replayed_db is not None and (least_db is None or math.isfinite(least_db)):
            same = math.isinf(picture.replayed_db)
            text = f"{subject}: " + (
                "equal to what the planned split makes in one process" if same
                else f"{picture.replayed_db:.3g} dB from what the planned split makes in one process, where they are "
                "equal bit by bit"
            )  # fmt: skip
            found.append(exact_figure(Cause.MODEL, subject, same, text))
        if least_db is None:
            continue
        if math.isinf(least_db):
            text = f"{subject}: " + (
                "equal to the unsplit run's" if picture.identical
                else f"{picture.psnr_db:.3g} dB from the unsplit run's, where they are equal bit by bit"
            )  # fmt: skip
            found.append(exact_figure(Cause.MODEL, subject, picture.identical, text))
        else:
            found.append(
                Figure(
                    cause=Cause.MODEL, subject=subject, measured=picture.psnr_db, stated=least_db, unit="dB",
                    distance=math.inf if picture.psnr_db < least_db else 0.0,
                    text=f"{subject}: {picture.psnr_db:.3g} dB from the unsplit run's, at least {least_db:g} dB stated",
                )
            )  # fmt: skip
    for number, run in enumerate(runs[1:], start=2):
        for user in run.images.keys() & runs[0].images.keys() - alone:
            same = bool(np.array_equal(run.images[user], runs[0].images[user]))
            text = f"picture of {user}: run {number} {'made the same' if same else 'made another'} as the first"
            if not same:
                found.append(exact_figure(Cause.MODEL, f"picture of {user}", same, text))
    if found:
        return found, []
    return [], [Unjudged(cause=Cause.MODEL, reason="no picture can be compared with an unsplit run's")]


def link_figures(stated: Stated, run: Execution, probes: Sequence[LinkProbe]) -> Found:
    """Probes against the allocated rates; of links that were not probed, long sends."""
    found = []
    probed = set()
    for probe in probes:
        probed.add((probe.source, probe.to))
        subject = f"link from {probe.source} to {probe.to}"
        rate = probe.rate_bit_per_s * probe.expected_s / probe.measured_s
        found.append(ratio_figure(Cause.LINK, subject, rate, probe.rate_bit_per_s, "bit/s", limit=limits.LINK))
    for row in run.rows:
        stage = stated.stages.get((row.user, row.index))
        if stage is None or not stage.to or row.fallback or (stage.actor, stage.to[0]) in probed:
            continue
        if run.mode == "kernel":
            continue  # a sender that is throttled, headers and the saved-up burst are not the link's rate
        expected_s = 8 * row.payload_byte / stage.pace
        measured_s = row.end_s - row.start_s - stage.propagation_s
        if expected_s >= limits.LEAST_SEND_S and measured_s > 0:
            rate = stage.pace * expected_s / measured_s
            subject = f"link from {stage.actor} to {stage.to[0]} ({row.user}, {row.label})"
            found.append(ratio_figure(Cause.LINK, subject, rate, stage.pace, "bit/s", limit=limits.LINK))
    if found:
        return found, []
    least = f"{1e3 * limits.LEAST_SEND_S:g} ms"
    return [], [Unjudged(cause=Cause.LINK, reason=f"no link was probed, and no send takes {least}")]


def share_figures(stated: Stated, runs: Sequence[Execution]) -> Found:
    """Time of each block of computing against what its share makes of its processor seconds, median over the runs."""
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        blocks = _quota_blocks(stated, run) if run.mode == "kernel" else _paced_blocks(stated, run)
        for subject, measured_s, law_s in blocks:
            if min(measured_s, law_s) >= limits.LEAST_BLOCK_S:
                ratios[subject].append((measured_s / law_s, law_s))
    found = []
    for subject, pairs in ratios.items():
        law_s = statistics.median(law_s for _, law_s in pairs)
        measured_s = law_s * statistics.median(ratio for ratio, _ in pairs)
        found.append(ratio_figure(Cause.SHARE, subject, measured_s, law_s, "s", limit=limits.SHARE))
    if found:
        return found, []
    least = f"{1e3 * limits.LEAST_BLOCK_S:g} ms"
    return [], [Unjudged(cause=Cause.SHARE, reason=f"no block of computing on time takes {least}")]


def _paced_blocks(stated: Stated, run: Execution) -> Iterable[tuple[str, float, float]]:
    """Stages whose share is kept in user space: a paced slot lasts slot/share, where no step computed beyond it; a raw
    stage lasts its computing over its share."""
    for row in run.rows:
        stage = stated.stages.get((row.user, row.index))
        if stage is None or stage.to or row.fallback or row.step_s:
            continue
        measured_s = row.end_s - row.start_s
        if run.mode == "raw":
            yield f"{row.user}, {row.label}", measured_s - row.waiting_s, row.busy_s / stage.pace
        elif not row.late_steps:
            yield f"{row.user}, {row.label}", measured_s, stage.slot_s / stage.pace


_GAP_S = 0.01
"""Stages of an actor with no more between them are one block [s]."""


def _quota_blocks(stated: Stated, run: Execution) -> Iterable[tuple[str, float, float]]:
    """Contiguous stages of one actor under the kernel's quota, by its closed law."""
    world: Mapping[str, Any] = getattr(run, "world", {}).get("actors", {})
    by_actor: dict[str, list[StageRow]] = defaultdict(list)
    for row in run.rows:
        stage = stated.stages.get((row.user, row.index))
        if stage is not None and not stage.to and not row.fallback:
            by_actor[row.actor].append(row)
    for actor, rows in by_actor.items():
        facts = world.get(actor, {})
        share, period_s = facts.get("share"), facts.get("period_s", 0.02)
        if share is None:
            continue
        for block in _contiguous(sorted(rows, key=lambda row: row.start_s)):
            used_s = sum(row.cpu_s for row in block)
            law_s = quota_wall_s(used_s, share, period_s)
            label = block[0].label if len(block) == 1 else f"{block[0].label} to {block[-1].label}"
            yield f"{block[0].user}, {label}", block[-1].end_s - block[0].start_s, law_s


def _contiguous(rows: Sequence[StageRow]) -> list[list[StageRow]]:
    blocks: list[list[StageRow]] = []
    for row in rows:
        if blocks and row.start_s - blocks[-1][-1].end_s <= _GAP_S:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


def profile_figures(stated: Stated, run: Execution, retimed: Sequence[Mapping[Timed, float]]) -> Found:
    """Processor seconds of each side's stages against its calibration, corrected by the reference kernel.

    Parameters
    ----------
    stated : Stated
    run : Execution
        Of the plan; its processor is compared with that of the profile.
    retimed : sequence of mapping
        Processor seconds of stages timed anew in the actors' processes, at the speed that the reference kernel had in
        the calibration [s]. Those of the runs are no measure: slots leave rests that cost caches and clock, and under a
        quota the same stage costs more.
    """
    found: list[Figure] = []
    unjudged: list[Unjudged] = []
    sides: dict[str, list[str]] = defaultdict(list)
    for actor, machine in stated.machines.items():
        sides[machine.side].append(actor)
    for side, actors in sides.items():
        if _planned_s(stated, actors) < limits.LEAST_COMPUTED_S:
            continue
        why = _unfit(stated.machines[actors[0]], run)
        ratios = [ratio for ratio in (_timed(stated, each, actors) for each in retimed) if ratio is not None]
        if why is not None:
            unjudged.append(Unjudged(cause=Cause.PROFILE, reason=f"{side}: {why[0]}", remedy=why[1]))
        elif len(ratios) < limits.PROFILE_RUNS:
            reason = f"{side}: {len(ratios)} of {limits.PROFILE_RUNS} runs that it takes"
            unjudged.append(Unjudged(cause=Cause.PROFILE, reason=reason, remedy="Execute it more often (--repeats)."))
        else:
            subject, used = f"processor seconds at {side}", statistics.median(ratios)
            found.append(ratio_figure(Cause.PROFILE, subject, used, 1.0, "of the calibrated", limit=limits.PROFILE))
    if not found and not unjudged:
        unjudged.append(Unjudged(cause=Cause.PROFILE, reason="nothing of a length that tells is computed"))
    return found, unjudged


def _planned_s(stated: Stated, actors: Sequence[str]) -> float:
    """Calibrated processor seconds of what these actors compute [s]."""
    return sum(s.slot_s / stated.machines[s.actor].stretch for s in stated.stages.values() if s.actor in actors)


def _timed(stated: Stated, retimed: Mapping[Timed, float], actors: Sequence[str]) -> float | None:
    """What these actors' stages would take by the stages that were timed, over their calibrated times [1]."""
    took_s = calibrated_s = 0.0
    for stage in stated.stages.values():
        seconds = retimed.get((stage.actor, stage.kind, stage.rows))
        if stage.actor in actors and seconds is not None:
            took_s += stage.amount * seconds
            calibrated_s += stage.slot_s / stated.machines[stage.actor].stretch
    return took_s / calibrated_s if calibrated_s > 0 else None


def _unfit(machine: Machine, run: Execution) -> tuple[str, str] | None:
    """Why a profile cannot be held against what this machine computes, and what to do; None where it can."""
    provenance = machine.profile.provenance
    if provenance.source != "measured":
        return f"its figures are {provenance.source}, not measured here", CALIBRATE
    here, there = run.environment.get("cpu"), provenance.hardware.get("processor")
    if here is not None and there != here:
        return f"it was measured on {there}, and this is {here}", CALIBRATE
    if machine.profile.reference is None:
        return "the profile has no reference kernel", CALIBRATE
    if machine.profile.reference.kernel != KERNEL:
        return "the profile's reference kernel is another one than today's", CALIBRATE
    return None
