"""What a plan states of its execution, stage by stage: programs, payloads, rates, shares, processor seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from megdt_opt.execution.digest import program_digest
from megdt_opt.execution.graph import graph
from megdt_opt.execution.job import Run
from megdt_opt.execution.kernel.settings import PAIR
from megdt_opt.planning.plan import Plan
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option
from megdt_opt.program.stages import Compute, Payload, Send
from megdt_opt.program.wire import payload_span_byte
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.fit import expected_byte
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.trials.runs import user_runs
from megdt_opt.verdict.limits import PSNR_DB, PSNR_OTHER_DB

Key = tuple[str, int]
"""Chain and position of a leaf, as a row of a record has them."""

SPREAD = 4.0
"""Standard deviations (of the logarithm, over a calibration's coded pictures) that a payload may lie off [1]."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The profile of an actor, as its processor seconds are judged by it.

    Parameters
    ----------
    side : str
        "edge" or "devices", with the profile's name: actors of one side are judged together.
    profile : TimingProfile
    stretch : float
        Declared stretch, which slots contain and processor seconds do not [1].
    """

    side: str
    profile: TimingProfile
    stretch: float


@dataclass(frozen=True, kw_only=True)
class StatedStage:
    """What is stated of one leaf.

    Parameters
    ----------
    label, actor : str
    to : tuple of str
        Receivers of a send.
    pace : float
        Rate of a send [bit/s], share of a compute [1].
    propagation_s : float
        One-way delay of a send [s].
    slot_s : float
        Calibrated time of a compute stage at full speed, stretch included [s].
    byte : tuple of float
        Least and largest payload of a send [byte]; (0, 0) for a compute stage.
    kind : str
        Kind of a compute stage, "" for a send.
    rows : tuple of int, optional
        Region of the latent that it computes.
    amount : int
        Steps of denoising, 1 of other stages [1].
    """

    label: str
    actor: str
    to: tuple[str, ...]
    pace: float
    propagation_s: float
    slot_s: float
    byte: tuple[float, float]
    kind: str
    rows: tuple[int, int] | None = None
    amount: int = 1


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a plan states of its execution.

    Parameters
    ----------
    programs : mapping of str to str
        Digest of each program.
    scheduler, steps : str and int
        Sampler, and denoising steps of a chain [1].
    stages : mapping of (str, int) to StatedStage
        Every leaf.
    machines : mapping of str to Machine
        Of each actor.
    least_psnr_db : mapping of str to float
        Least agreement of each user's picture with the unsplit one [dB]; infinite where they are equal bit by bit. Who
        generates in parallel, follows another's request, decodes with another decoder, runs a mechanism of one's own
        or a precision whose pictures were never compared with fp32 is not among them.
    """

    programs: Mapping[str, str]
    scheduler: str
    steps: int
    stages: Mapping[Key, StatedStage]
    machines: Mapping[str, Machine]
    least_psnr_db: Mapping[str, float]


def stated_of(plan: Plan, executed: Sequence[Run] | None = None) -> Stated:
    """What a plan states; `executed` are its runs where they are not executed as they were planned
    (`trials.kernel.held_runs`)."""
    table = plan.table
    runs = user_runs(table, plan.users, plan.groups) if executed is None else executed
    stages = {key: stage for run in runs for key, stage in _stages(table, run).items()}
    follow = {name for group in plan.groups for name in group.riders if name != group.lead}
    psnr_db = {
        user.name: _least_psnr_db(user.option)
        for k, user in enumerate(plan.users)
        if user.name not in follow
        and table.scenario.users[k].device.decoder is None
        and not table.unmeasured(k, table.options.index(user.option))
    }
    return Stated(
        programs={run.name: program_digest(run) for run in runs},
        scheduler=table.scenario.scheduler,
        steps=table.scenario.steps,
        stages=stages,
        machines=_machines(table, {stage.actor for stage in stages.values()}),
        least_psnr_db={name: least for name, least in psnr_db.items() if least is not None},
    )


def _machines(table: OptionTable, actors: Iterable[str]) -> dict[str, Machine]:
    """The machine of every edge and device, and of the processes in which an edge serves one user each."""
    scenario, found = table.scenario, {}
    for site in table.sites:
        profile = table.machines.edges[site.name]
        found[str(site.name)] = Machine(
            side=f"edge (profile {site.edge.profile})", profile=profile, stretch=site.edge.stretch
        )
    for user, profile in zip(scenario.users, table.machines.devices, strict=True):
        side = f"devices (profile {user.device.profile})"
        found[user.name] = Machine(side=side, profile=profile, stretch=user.device.stretch)
    return found | {actor: found[actor.partition(PAIR)[0]] for actor in actors if actor not in found}


def _stages(table: OptionTable, run: Run) -> dict[Key, StatedStage]:
    names = [user.name for user in table.scenario.users]
    found = {}
    for node in graph(run.program):
        leaf, chain = node.leaf, run.chain[node.index]
        user = names.index(chain) if chain in names else 0
        found[chain, node.index] = StatedStage(
            label=leaf.label,
            actor=str(node.actor),
            to=() if isinstance(leaf, Compute) else tuple(map(str, leaf.to)),
            pace=run.pace[node.index],
            propagation_s=run.propagation_s,
            slot_s=run.slot_s[node.index],
            byte=(0.0, 0.0) if isinstance(leaf, Compute) else _byte(table, leaf, user),
            kind=str(leaf.kind) if isinstance(leaf, Compute) else "",
            rows=leaf.rows if isinstance(leaf, Compute) else None,
            amount=leaf.amount if isinstance(leaf, Compute) else 1,
        )
    return found


def _byte(table: OptionTable, leaf: Send, user: int) -> tuple[float, float]:
    """Least and largest payload [byte]; a coded picture or sketch may vary as the calibration's do around their law, a
    coded latent as the measured ones do around their mean."""
    stated = table.send_bit(leaf, user) / 8
    if not leaf.codec and leaf.payload is not Payload.IMAGE:
        return payload_span_byte(leaf.tensors, leaf.precision)[:2]
    if not leaf.codec:
        return stated, stated
    spread = max(
        _spread(profile, leaf.codec)
        for profile in (*table.machines.edges.values(), *table.machines.devices)
        if profile.image_byte_samples.get(leaf.codec)
    )
    return stated / spread, stated * spread


def _spread(profile: TimingProfile, codec: str) -> float:
    """By which factor a coded picture may lie off its expected size, either way [1]."""
    sizes = profile.image_byte_samples[codec]
    references = profile.image_reference_byte_samples.get(codec, ())
    asked = references or (None,) * len(sizes)
    off = [math.log(size / expected_byte(sizes, references, of)) for size, of in zip(sizes, asked, strict=True)]
    return math.exp(SPREAD * float(np.sqrt(np.mean(np.square(off)))))


def _least_psnr_db(option: Option) -> float | None:
    if 0 < option.share < 1 or option.mechanism not in MECHANISM_REGISTRY.built_in:
        return None
    least = [math.inf]
    least += [PSNR_DB.get(option.precision, PSNR_OTHER_DB)] if option.precision not in ("", "fp32") else []
    least += [PSNR_DB.get(option.codec, PSNR_OTHER_DB)] if option.codec not in ("", "raw", "png") else []
    return min(least)
