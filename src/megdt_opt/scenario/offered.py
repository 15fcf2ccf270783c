"""What programs are built for in a scenario, and what of the catalogue of options it offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, Setting, catalogue, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.precisions import PRECISION_REGISTRY
from megdt_opt.program.samplers import is_offered
from megdt_opt.program.sketches import SKETCH_MECHANISMS
from megdt_opt.program.stages import CODECS, PRECISIONS, EdgeServer, actors, is_edge
from megdt_opt.scenario.disciplines import MECHANISMS_OF, RESERVED
from megdt_opt.scenario.scenario import Scenario


def setting_of(scenario: Scenario, spec: ModelSpec, user: int, edge: str = "") -> Setting:
    """What the programs of a user of a scenario are built for, with an edge server by its name; default the first."""
    return Setting(
        spec=spec,
        scheduler=scenario.scheduler,
        steps=scenario.steps,
        device=scenario.users[user].name,
        edge=EdgeServer(edge or scenario.sites[0].name),
        shown_at=scenario.users[user].shown_at,
        overlap=scenario.overlap_rows,
        sense_strength=scenario.sense_strength,
        adapted=scenario.users[user].adapter is not None,
    )


def with_sampler(scenario: Scenario, spec: ModelSpec) -> Scenario:
    """The scenario, with the model's first sampler where it states none and the model has not the usual one."""
    if (
        "scheduler" in scenario.model_fields_set
        or not spec.schedulers
        or is_offered(scenario.scheduler, spec.schedulers)
    ):
        return scenario
    return scenario.model_copy(update={"scheduler": spec.schedulers[0]})


def accepted_names(scenario: Scenario) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The precisions and the codecs that some user of a scenario accepts."""
    precisions = used_names(PRECISION_REGISTRY.names, PRECISIONS, [user.precisions for user in scenario.users])
    return precisions, used_names(CODECS, CODECS, [user.codecs for user in scenario.users])


def offered_options(scenario: Scenario, spec: ModelSpec) -> Iterator[Option]:
    """The catalogue of a scenario: of the precisions and codecs that some user accepts, groups apart."""
    precisions, codecs = accepted_names(scenario)
    mechanisms = used_names(MECHANISM_REGISTRY.own, (), [user.mechanisms for user in scenario.users])
    mechanisms += used_names(SKETCH_MECHANISMS, (), [user.mechanisms for user in scenario.users])
    mechanisms += MECHANISMS_OF[scenario.discipline]
    for shown_at in ("device", "edge"):
        users = [k for k, user in enumerate(scenario.users) if user.shown_at == shown_at]
        if users:
            setting = setting_of(scenario, spec, users[0])
            offered = catalogue(
                setting,
                own=mechanisms,
                precisions=precisions,
                codecs=codecs,
                cuts=scenario.cuts,
                shares=scenario.peu_shares,
            )
            yield from at_edges(offered, setting, scenario)


def at_edges(offered: Sequence[Option], setting: Setting, scenario: Scenario) -> Iterator[Option]:
    """The catalogue where there are several edges: what runs on the device alone once, all else at each of them."""
    if len(scenario.sites) == 1:
        yield from offered
        return
    served = {option: any(map(is_edge, actors(program(option, setting)))) for option in offered}
    yield from (option for option in offered if not served[option])
    for site in scenario.sites:
        yield from (replace(option, edge=site.name) for option in offered if served[option])


def used_names(
    known: tuple[str, ...], default: tuple[str, ...], wishes: list[tuple[str, ...] | None]
) -> tuple[str, ...]:
    """Names that some user accepts; a user without wishes accepts the default ones."""
    return tuple(name for name in known if any(name in (default if w is None else w) for w in wishes))


def with_reserved_shares(scenario: Scenario) -> Scenario:
    """The same scenario, whose edges reserve shares."""
    edge, *more = (site.edge.model_copy(update={"discipline": RESERVED}) for site in scenario.sites)
    return scenario.model_copy(update={"edge": edge} if scenario.edges is None else {"edges": (edge, *more)})
