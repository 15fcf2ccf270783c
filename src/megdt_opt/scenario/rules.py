"""What closes an option to a user whatever the shares: wishes, sensors, privacy, and stages that were never timed."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.errors import Conflict, InvalidInput, ProfileError
from megdt_opt.models.registry import MODELS
from megdt_opt.models.requests import check_starts, makes_requests, request_of
from megdt_opt.problem.program_problem import OBJECTIVES
from megdt_opt.program.costs import Costs
from megdt_opt.program.latency import LatencyTerms
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.sketches import SKETCH_MECHANISMS
from megdt_opt.program.stages import PRECISIONS, Compute, Kind, Send, Stage, is_edge, leaves
from megdt_opt.scenario.adapters import ruled_out_by_adapter
from megdt_opt.scenario.edges import Site
from megdt_opt.scenario.floors import ruled_out_by_floor
from megdt_opt.scenario.measured import MeasuredOptions
from megdt_opt.scenario.scenario import Scenario, User


@dataclass(frozen=True)
class OptionCell:
    """What is known of one option of one user."""

    terms: LatencyTerms | None
    costs: Costs | None
    closed: tuple[Conflict, ...]
    possible: bool
    """Whether the option yields the picture at all, wishes and limits apart."""
    airtime_s: float
    unreached: bool = False
    """Whether the only reason against the option is that its edge does not reach the user."""
    untimed: bool = False


def never_timed(error: ProfileError) -> str:
    """The reason, without the advice of the error, as the words of a conflict."""
    what, _, rest = str(error).partition(": found ")
    found = rest.partition("; expected ")[0]
    text = f"not timed: {what}" + ("" if found in ("", "()", "None") else f" {found}")
    return text.replace("{", "{{").replace("}", "}}")


def check_named(name: str, spec: ModelSpec) -> None:
    """Refuse a spec of another model than the scenario names; folders, hub ids and spec files have names of their own.

    Raises
    ------
    InvalidInput
        Names both.
    """
    known = MODELS.find(name)
    own = known.spec() if known is not None and known.spec is not None else None
    if own is not None and own.name != spec.name:
        remedy = f"Name that model in the scenario, or give the spec of {name!r}."
        raise InvalidInput("model", name, f"{spec.name!r}, the model of the spec", remedy)


def check_regions(scenario: Scenario, spec: ModelSpec) -> None:
    """Refuse a wish for parallel generation of a model that makes no regions, and its settings.

    Raises
    ------
    InvalidInput
        Names the user and the mechanism, or the setting, and the model.
    """
    for user in scenario.users if not spec.region_multiple else ():
        for name in user.mechanisms or ():
            if "share" in MECHANISM_REGISTRY.require(name).choices:
                expected = f"mechanisms without regions, which the architecture of {spec.name!r} does not make"
                raise InvalidInput(
                    f"users.{user.name}.mechanisms", name, expected, "Leave it out, or take another model."
                )
    for field in () if spec.region_multiple else ("peu_shares", "overlap_rows"):
        value = getattr(scenario, field)
        if value != Scenario.model_fields[field].default:
            expected = f"nothing with {spec.name!r}, whose architecture makes no regions"
            raise InvalidInput(field, value, expected, "Leave it out, or take another model.")


def check_sketches(scenario: Scenario, spec: ModelSpec) -> None:
    """Refuse a wish for mechanisms that send a sketch, of a model without a generator from sketches.

    Raises
    ------
    InvalidInput
        Names the user, the mechanism and the model.
    """
    for user in scenario.users if not spec.sketch else ():
        for name in user.mechanisms or ():
            if name in SKETCH_MECHANISMS:
                expected = f"mechanisms without sketches, from which the model {spec.name!r} makes no pictures"
                remedy = "Leave it out, or take the twin, or a pipeline with a ControlNet (controlnet: FOLDER)."
                raise InvalidInput(f"users.{user.name}.mechanisms", name, expected, remedy)


def check_subjects(scenario: Scenario, spec: ModelSpec) -> None:
    """Refuse a prompt or a picture that would not be used: by the model, or for want of a stage that senses.

    Raises
    ------
    InvalidInput
        Names the user, the field and what it says.
    """
    for user in scenario.users:
        where = f"users.{user.name}"
        if user.picture is not None:
            names = MECHANISM_REGISTRY.built_in if user.mechanisms is None else user.mechanisms
            if not any(MECHANISM_REGISTRY.require(name).senses for name in names):
                expected = "nothing where no mechanism of the user senses"
                remedy = "Leave it out, or let the user accept U2E."
                raise InvalidInput(f"{where}.picture", user.picture, expected, remedy)
        try:
            if user.picture is not None:
                check_starts(spec, user.picture)
            _check_subject(user, spec)
        except InvalidInput as error:
            raise error.within(where) from None


def _check_subject(user: User, spec: ModelSpec) -> None:
    """Refuse what is to be shown where the model shows nothing, and what it cannot show; no folder is opened."""
    if not makes_requests(spec):
        for name in ("prompt", "scene", "seed"):
            value = getattr(user, name)
            if value != User.model_fields[name].default:
                expected = f"nothing: the model {spec.name!r} is planned by its timings alone and not executed"
                remedy = "Leave it out, or name a pipeline's folder or spec file as the scenario's model."
                raise InvalidInput(name, value, expected, remedy)
    elif spec.source and isinstance(user.scene, dict):
        remedy = "Give a prompt, or a number that draws an example."
        raise InvalidInput("scene", user.scene, "a number: a pipeline shows prompts, not scenes", remedy)
    elif not spec.source and (user.prompt is not None or isinstance(user.scene, dict)):
        request_of(user.subject, spec)


def ruled_out_by_quality(k: int, names: tuple[str, ...], spec: ModelSpec) -> list[Conflict]:
    """What closes an option of which something was not measured."""
    what = " and ".join(names).replace("{", "{{").replace("}", "}}")
    model = spec.name.replace("{", "{{").replace("}", "}}")
    words = f"{{limit}}: {what} of '{model}' was never compared with fp32 (unmeasured_quality: accept opens it)"
    return [Conflict(k, "quality", 0.0, "", words)] if names else []


def ruled_out_by_picture(
    k: int, scenario: Scenario, pictures: MeasuredOptions, option: Option, stages: Stage
) -> list[Conflict]:
    """What closes an option for the picture that would come of it: an unmeasured quality, a floor that it is below, a
    refiner's first steps, an adapter that nobody has measured."""
    user = scenario.users[k]
    names = () if scenario.unmeasured_quality is not None else pictures.unmeasured(k, option, stages)
    asks = user.quality_min is not None or user.quality_target is not None
    quality = pictures.quality(k, option, stages) if asks else None
    return [
        *ruled_out_by_quality(k, names, pictures.spec),
        *(ruled_out_by_floor(k, user.quality_min, user.quality_target, quality) if asks else ()),
        *ruled_out_by_refiner(k, user, stages),
        *ruled_out_by_adapter(k, scenario, pictures.spec, stages),
    ]


def check_accepted(scenario: Scenario, spec: ModelSpec, doubted: bool) -> None:
    """Refuse to accept unmeasured qualities where there are none.

    Raises
    ------
    InvalidInput
    """
    if scenario.unmeasured_quality is not None and not doubted:
        expected = f"nothing where every precision of the model {spec.name!r} is fp32 or was compared with it"
        raise InvalidInput("unmeasured_quality", scenario.unmeasured_quality, expected, "Leave it out.")


def ruled_out_by_wish(k: int, user: User, option: Option) -> tuple[list[Conflict], bool]:
    """What a user's wishes, sensors and screen close, and whether the option can yield the picture at all."""
    closed: list[Conflict] = []
    possible = True
    mechanism = MECHANISM_REGISTRY.require(option.mechanism)
    # without a wish, the package's own are accepted, and what a mechanism that is accepted brings along
    mechanisms = MECHANISM_REGISTRY.built_in if user.mechanisms is None else user.mechanisms
    precisions = (*PRECISIONS, *(mechanism.precisions or ())) if user.precisions is None else user.precisions

    def add(limit: str, wishes: tuple[str, ...] | None, words: str) -> None:
        closed.append(Conflict(k, limit, float(len(wishes or ())), "", words))

    if option.mechanism not in mechanisms:
        add("mechanisms", user.mechanisms, "mechanism not among the user's")
    if option.precision and option.precision not in precisions:
        add("precisions", user.precisions, "precision not among the user's")
    if user.codecs is not None and option.codec and option.codec not in user.codecs:
        add("codecs", user.codecs, "image codec not among the user's")
    if user.shown_at not in mechanism.shown_at:
        where = {"edge": "is kept at the edge", "device": "is shown on the device"}[user.shown_at]
        ends = "at the edge" if user.shown_at == "device" else "on the device"
        add("shown_at", (user.shown_at,), f"picture {where}: the mechanism ends {ends}")
        possible = False
    if mechanism.senses and not user.senses:
        add("sensors", None, f"no sensor: {mechanism.name} starts from a camera frame")
        possible = False
    if "codec" in mechanism.choices and (option.codec == "") != (user.shown_at == "edge"):
        add("shown_at", (user.shown_at,), f"the picture is shown at the {user.shown_at}")
        possible = False
    return closed, possible


def ruled_out_by_refiner(k: int, user: User, stages: Stage) -> list[Conflict]:
    """A device with a refiner makes the steps behind a hand-over, and nothing before it."""
    if user.device.refiner is None:
        return []
    own = [leaf for leaf in leaves(stages) if isinstance(leaf, Compute) and leaf.at == user.name]
    first = [leaf.first for leaf in own if leaf.denoises]
    if first and min(first) > 0 and all(leaf.rows is None and leaf.kind is not Kind.SENSE for leaf in own):
        return []
    return [Conflict(k, "refiner", 0.0, "", "{limit}: the device makes the steps behind a hand-over, and those alone")]


def ruled_out_by_shape(k: int, scenario: Scenario) -> tuple[list[Conflict], bool]:
    """What closes options whose programs are no chains beside one device branch, and whether such a scenario can have
    them at all, limits apart."""
    words = "programs that fork more than once are not planned "
    closed = []

    def add(limit: str, value: float, unit: str, why: str) -> None:
        closed.append(Conflict(k, limit, value, unit, words + why))

    if len(scenario.sites) > 1:
        add("edges", float(len(scenario.sites)), "", "over several edges")
    if scenario.groups is not None:
        add("groups", float(len(scenario.groups)), "", "beside groups")
    if scenario.costs is not None:
        add("costs", float(len(scenario.costs)), "", "where costs are limited or weighed")
    if scenario.objective not in OBJECTIVES:
        add("objective", 0.0, "", f"for the objective '{scenario.objective}'")
    planned = not closed
    for user in scenario.users:
        if user.deadline_s is not None and scenario.objective_is_time:
            add("deadlines", user.deadline_s, "s", f"where a user, here {user.name}, has a deadline of {{value}}")
        if user.energy_max_j is not None:
            add(
                "energy",
                user.energy_max_j,
                "J",
                f"where a user, here {user.name}, has a limit of {{value}} per picture",
            )
    return closed, planned


def ruled_out_by_costs(k: int, scenario: Scenario, site: Site, costs: Costs, terms: LatencyTerms) -> list[Conflict]:
    """The weights must fit, and a device's energy must last for its computing."""
    closed = []
    user, edge = scenario.users[k], site.edge
    at = "edge memory" if len(scenario.sites) == 1 else f"memory of {site.name}"
    device, too_large = user.device, "{limit} {value}: the weights do not fit"
    if device.memory_byte is not None and costs.device_byte > device.memory_byte:
        closed.append(Conflict(k, "device memory", device.memory_byte, "B", too_large))
    if edge.memory_byte is not None and costs.edge_byte > edge.memory_byte:
        closed.append(Conflict(k, at, edge.memory_byte, "B", too_large))
    if user.energy_max_j is not None and costs.device_compute_j is not None:
        # an option that sends needs something left for the radio
        left_j = user.energy_max_j - costs.device_compute_j
        if left_j < 0 or (left_j == 0 and terms.uplink_bit > 0):
            words = "{limit} {value} per picture: the device's computing exceeds it"
            closed.append(Conflict(k, "energy", user.energy_max_j, "J", words))
    return closed


def ruled_out_by_privacy(k: int, user: User, stages: Stage) -> list[Conflict]:
    """The request and the first `private_steps` denoising steps must stay on the device."""
    if user.private_steps == 0:
        return []

    def kept(words: str) -> list[Conflict]:
        return [Conflict(k, "private steps", float(user.private_steps), "", words)]

    for leaf in leaves(stages):
        if isinstance(leaf, Send) and any(tensor.name.startswith("request.") for tensor in leaf.tensors):
            return kept("privacy: the request would leave the device")
        if isinstance(leaf, Compute) and leaf.kind is Kind.SENSE:
            return kept("privacy: the camera's features would leave the device")
        if isinstance(leaf, Compute) and leaf.kind is Kind.SKETCH and not is_edge(leaf.at):
            return kept("privacy: the camera's sketch would leave the device")
        if isinstance(leaf, Send) and any(tensor.name.startswith("camera.") for tensor in leaf.tensors):
            return kept("privacy: the camera's picture would leave the device")
        if not isinstance(leaf, Compute) or not leaf.denoises:
            continue
        if is_edge(leaf.at) and leaf.first < user.private_steps:
            return kept("privacy: the first {value} steps stay on the device")
    return []
