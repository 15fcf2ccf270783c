"""What a reader of a plan should know: theorems that apply, closed options, and doubts about its timings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from megdt_opt.execution.job import THREADS
from megdt_opt.models.requests import makes_requests
from megdt_opt.planning.groups import GroupPlan
from megdt_opt.planning.in_batches import LONGEST_S, RIVAL_S
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option
from megdt_opt.program.precisions import PRECISION_REGISTRY
from megdt_opt.quality.statistic import LEVELS, METRICS
from megdt_opt.scenario.adapters import steps_with_adapter, unmeasured_adapters, uses_adapter
from megdt_opt.scenario.floors import SHORT
from megdt_opt.scenario.in_batches import InBatches
from megdt_opt.scenario.machines import advice, borrowed_stages
from megdt_opt.scenario.options import OptionTable
from megdt_opt.si import show
from megdt_opt.timing.borrow import words
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.trust import doubts

_EXECUTED = "fp32"
"""Precision in which the model computes that executions run."""


def notes_on(table: OptionTable, chosen: Sequence[Option], groups: Sequence[GroupPlan] = ()) -> tuple[str, ...]:
    """Sentences on the plan that gives the users these options, and lets these groups share steps."""
    level = table.scenario.holds
    found = [] if level is None else [level.words]
    one_sided = all(option.mechanism in ("local", "E2U", "centralised") for option in chosen)
    if one_sided and table.serving is None and level is None:  # the theorem is of constant step times
        found.append(
            "Every chain runs on one side: with static shares, constant step times and a latent of constant "
            "size there is an optimum without interior cuts (bang-bang theorem), unless a user's own limit "
            "asks for one."
        )
    found += [f"{group.words}." for group in groups]
    found += () if table.serving is None else table.serving.notes()
    if isinstance(table.serving, InBatches):
        found.append(
            f"Batches are searched for until the gap is proven, or for {show(LONGEST_S, 's')} where no other limit is "
            f"asked for, and for at most {show(RIVAL_S, 's')} for each rival and each end of the timings' intervals."
        )
    if table.shared is not None and any(option.share for option in table.options):
        found.append(
            "Beside groups no parallel generation (PEU) and no uplink of users with an energy limit is planned; the "
            "baseline without sharing has them, and would be the plan if it were better."
        )
    found += _registered(chosen)
    found += [
        f"{user.name}'s device decodes with {user.device.decoder} in place of the "
        f"{'pipeline' if table.spec.source else 'model'}'s own decoder: a picture that it decodes differs, by what an "
        "execution measures."
        for user in table.scenario.users
        if user.device.decoder is not None
    ]
    found += [
        f"{user.name}'s device goes on from the hand-over with {user.device.refiner}, a refiner with text encoders of "
        "its own, whose memory is counted as the model's."
        for user in table.scenario.users
        if user.device.refiner is not None
    ]
    found += _adapters(table, chosen)
    found += _quality(table)
    found += _asked(table, chosen)
    found += _borrowed(table)
    found += _closed(table)
    # as they were given: the scenario's own stretches stand in the scenario
    sites = table.sites
    actors = {"the edge" if len(sites) == 1 else f"edge {s.name}": table.profiles[s.edge.profile] for s in sites}
    actors |= {user.name: table.profiles[user.device.profile] for user in table.scenario.users}
    sentences: dict[str, list[str]] = {}  # each once, with all actors that it is about
    for actor, profile in actors.items():
        said = list(doubts(profile))
        if makes_requests(table.spec):
            said += _not_executed(profile, pipeline=bool(table.spec.source))
        for sentence in said:
            sentences.setdefault(sentence, []).append(actor)
    found += [f"Timing of {', '.join(who)}: {sentence}." for sentence, who in sentences.items()]
    return tuple(found)


def _registered(chosen: Sequence[Option]) -> Iterator[str]:
    """What the chosen mechanisms, and the precisions that users registered, say of themselves."""
    names = dict.fromkeys(option.mechanism for option in chosen)
    for mechanism in (MECHANISM_REGISTRY.require(name) for name in names):
        if mechanism.quality:
            by = ", registered by the user" if mechanism.name in MECHANISM_REGISTRY.own else ""
            yield f"Mechanism {mechanism.name}{by}: {mechanism.quality.rstrip('.')}."
    sent = dict.fromkeys(option.precision for option in chosen if option.precision)
    for precision in (PRECISION_REGISTRY.require(name) for name in sent):
        if precision.quality:
            yield f"Precision {precision.name}, registered by the user: {precision.quality.rstrip('.')}."


def _adapters(table: OptionTable, chosen: Sequence[Option]) -> Iterator[str]:
    """Whose steps run with an adapter, and where it was not measured what it does to the pictures."""
    unmeasured = unmeasured_adapters(table.scenario, table.spec)
    for k, (user, option) in enumerate(zip(table.scenario.users, chosen, strict=True)):
        if user.adapter is None:
            continue
        stages = table.program(k, table.options.index(option))
        used = f"used in {steps_with_adapter(stages)} of {table.scenario.steps} denoising steps"
        if not uses_adapter(stages):
            used = "not used by this option"
        elif steps_with_adapter(stages) == 0:
            used = "used on the rows that the device makes"
        doubt = "; what it does to the pictures was not measured" if user.name in unmeasured else ""
        yield f"{user.name}'s adapter {user.adapter} stays on the device: {used}, by none at the edge{doubt}."


def _quality(table: OptionTable) -> Iterator[str]:
    """Which precisions were never compared with fp32, and whether they were in the choice."""
    if not table.doubted:
        return
    users = [[table.unmeasured(k, o) for o in range(len(table.options))] for k in range(len(table.scenario.users))]
    found = dict.fromkeys(name for options in users for names in options for name in names)
    if not found:
        return
    what, model = ", ".join(found), table.spec.name
    if table.scenario.unmeasured_quality is None:
        yield (
            f"Closed, as pictures of the model {model!r} were never compared with those of fp32: {what}; "
            "unmeasured_quality: accept in the scenario opens them."
        )
    else:
        yield (
            f"Quality unmeasured, as the scenario accepts (unmeasured_quality: accept): pictures of the model "
            f"{model!r} in {what} were never compared with those of fp32."
        )


def _asked(table: OptionTable, chosen: Sequence[Option]) -> Iterator[str]:
    """What was measured of the pictures of those who ask for a quality, and how many options their floors closed."""
    for k, (user, option) in enumerate(zip(table.scenario.users, chosen, strict=True)):
        quality, said = table.quality(k, table.options.index(option)), []
        for wish, asked in (("", user.quality_min), ("wanted", user.quality_target)):
            for metric, value in () if asked is None else asked.asked.items():
                unit, figure = METRICS[metric].unit, None if quality is None else quality.get(metric)
                if asked is not None and figure is not None:
                    found = f"{getattr(figure.statistic, asked.at):.4g} {unit}".strip()
                    how = "measured" if figure.measured else f"interpolated, off by at most {figure.held_out:.2g}"
                    counts = f"{figure.floor(metric, asked.at):.4g} {unit}".strip()
                    how += f", counts as {counts}" if counts != found else ""
                    named = f"{SHORT.get(metric, metric)}, {LEVELS[asked.at]}"
                    side = wish or ("at least" if METRICS[metric].rising else "at most")
                    said.append(f"{named}: {found} ({how}; {side} {f'{value:g} {unit}'.strip()})")
        if said:
            floor = user.quality_min is not None
            closed = sum(table.below_floor(k, o) for o in range(len(table.options))) if floor else 0
            rest = f" Its floor closes {closed} of {len(table.options)} options." if floor else ""
            yield f"Quality of {user.name}'s pictures: {'; '.join(said)}.{rest}"


def _borrowed(table: OptionTable) -> Iterator[str]:
    """Each stage whose time was not taken on its actor's own device, with the time and where it is from."""
    machines = table.machines
    profiles = dict(machines.edges) | dict(zip((u.name for u in table.scenario.users), machines.devices, strict=True))
    named = {str(site.name): site.edge.profile for site in table.sites}
    named |= {user.name: user.device.profile for user in table.scenario.users}
    for actor, those in borrowed_stages(table.scenario).items():
        for one in those:
            cell = next(cell for cell in profiles[actor].cells if cell.kind == one.stage)
            own = table.profiles[named[actor]]
            said = words(one, own, table.profiles.get(one.source, own))
            yield f"Borrowed for {actor}: {cell.label} takes {show(cell.median_s, 's')}, from {said}."


def _closed(table: OptionTable) -> Iterator[str]:
    """How many options were not in the choice, by reason, for users who lack some that were never timed."""
    for k, user in enumerate(table.scenario.users):
        untimed = sum(table.untimed(k, o) for o in range(len(table.options)))
        if untimed:
            left = int(table.allowed[k].sum())
            reasons = "; ".join(table.summary(k))
            yield (
                f"{user.name} chose among {left} of {len(table.options)} options, and {untimed} of the others were "
                f"never timed, so a better one may be among them. Closed: {reasons}."
            )
    way_out = advice(table.scenario, table.machines, table.spec.name)
    if way_out:
        yield way_out


def _not_executed(profile: TimingProfile, *, pipeline: bool) -> Iterator[str]:
    """What an execution by the package's own processes does otherwise than the profile."""
    facts = profile.provenance
    if facts.threads is not None and facts.threads != THREADS:
        yield f"timed with {facts.threads} threads, an execution computes with {THREADS}"
    if facts.precision != _EXECUTED and not pipeline:
        yield f"timed in {facts.precision}, an execution computes in {_EXECUTED}"
    if facts.weights == "random" and not pipeline:
        yield "timed with random weights, so the sizes of coded pictures may differ in an execution"
    if facts.factor != 1.0:
        yield f"{facts.factor:g} times the measured times; an execution shows an emulated device"
