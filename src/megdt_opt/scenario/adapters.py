"""The adapters of a scenario's users: which they are, and who may have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from megdt_opt.errors import Conflict, InvalidInput
from megdt_opt.models.adapters import ReadAdapter
from megdt_opt.models.registry import adapters_of, read_adapter
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Kind, Stage, leaves
from megdt_opt.scenario.offered import setting_of
from megdt_opt.scenario.scenario import Scenario


def read_adapters(scenario: Scenario, spec: ModelSpec, options: Sequence[Option]) -> tuple[ReadAdapter | None, ...]:
    """The adapter of each user, None where a user has none.

    Parameters
    ----------
    scenario : Scenario
    spec : ModelSpec
        The model.
    options : sequence of Option
        Those that the scenario offers, without those of groups.

    Raises
    ------
    InvalidInput
        For an adapter that cannot be used: the model takes none, the file is none of it, the user hosts a group whose
        common steps are made for all, or none of the user's mechanisms has a denoising step at the device.
    """
    found: list[ReadAdapter | None] = []
    for k, user in enumerate(scenario.users):
        if user.adapter is None:
            found.append(None)
            continue
        where = f"users.{user.name}"
        try:
            found.append(read_adapter(spec, user.adapter))
        except InvalidInput as error:
            raise error.within(where) from None
        if user.name in [group.host for group in scenario.groups or ()]:
            expected = "none of a group's host, whose steps are made for all its members"
            raise InvalidInput(f"{where}.adapter", user.adapter, expected, "Leave it out, or name another host.")
        wishes = MECHANISM_REGISTRY.built_in if user.mechanisms is None else user.mechanisms
        grouped = any(MECHANISM_REGISTRY.require(name).grouped for name in wishes) and scenario.groups is not None
        mine = [option for option in options if option.mechanism in wishes]
        if not grouped and not any(uses_adapter(program(o, setting_of(scenario, spec, k, o.edge))) for o in mine):
            expected = "nothing where no denoising step can run at the device"
            remedy = "Leave it out, or let the user accept a mechanism such as SEU or local."
            raise InvalidInput(f"{where}.adapter", user.adapter, expected, remedy)
    return tuple(found)


def with_adapter_weights(spec: ModelSpec, adapter: ReadAdapter | None) -> ModelSpec:
    """The spec whose device also holds what an adapter changes."""
    if adapter is None:
        return spec
    return replace(spec, weight_byte={**spec.weight_byte, str(Kind.ADAPT): adapter.resident_byte})


def uses_adapter(stages: Stage) -> bool:
    """Whether some denoising steps of a program run with its user's adapter."""
    return any(isinstance(leaf, Compute) and leaf.kind is Kind.ADAPT for leaf in leaves(stages))


def steps_with_adapter(stages: Stage) -> int:
    """Denoising steps of the whole latent that a program makes with its user's adapter [1]; a parallel generation, of
    which the device makes some rows, has none."""
    found = [leaf for leaf in leaves(stages) if isinstance(leaf, Compute)]
    at = {leaf.at for leaf in found if leaf.kind is Kind.ADAPT}
    return sum(x.amount for x in found if x.kind is Kind.DENOISE and x.at in at and x.rows is None)


def unmeasured_adapters(scenario: Scenario, spec: ModelSpec) -> tuple[str, ...]:
    """Users whose adapters' pictures nobody has measured."""
    found = adapters_of(spec)
    known = () if found is None else found.measured
    return tuple(user.name for user in scenario.users if user.adapter is not None and user.adapter not in known)


def ruled_out_by_adapter(k: int, scenario: Scenario, spec: ModelSpec, stages: Stage) -> list[Conflict]:
    """What closes an option that uses an adapter in too few steps, or one whose pictures nobody has measured."""
    least, used = scenario.users[k].adapter_steps, steps_with_adapter(stages)
    if used < least:
        words = f"{{limit}}: {{value}} or more shall run with the user's adapter, {used} would"
        return [Conflict(k, "adapter steps", float(least), "", words)]
    if scenario.unmeasured_quality is not None or not uses_adapter(stages):
        return []
    if scenario.users[k].name not in unmeasured_adapters(scenario, spec):
        return []
    words = "{limit}: pictures with the user's own adapter were never measured (unmeasured_quality: accept opens it)"
    return [Conflict(k, "quality", 0.0, "", words)]
