"""The timing of every actor of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from megdt_opt.models.decoders import with_own_decoder
from megdt_opt.program.model_spec import ModelSpec, with_refiner
from megdt_opt.program.stages import Compute, Kind, Payload, Send, is_edge
from megdt_opt.program.wire import payload_byte
from megdt_opt.scenario.equipment import Device, Edge
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.batch_law import BatchLaw, batch_law
from megdt_opt.timing.borrow import Borrowed, lender_of, missing_stages, read_borrowed, with_borrowed
from megdt_opt.timing.finding import Profiles, find_profile
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.trust import check_model


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The timing of every actor of a scenario.

    Parameters
    ----------
    edges : mapping of str to TimingProfile
        Of each edge server by its name, the declared stretch included.
    devices : tuple of TimingProfile
        Of each user's device, likewise.
    edge_end, device_end : str
        "middle" takes medians, "low" or "high" an end of their intervals.
    """

    edges: Mapping[str, TimingProfile]
    devices: tuple[TimingProfile, ...]
    edge_end: str = "middle"
    device_end: str = "middle"

    @classmethod
    def of(cls, scenario: Scenario, known: Mapping[str, TimingProfile] | None = None) -> Machines:
        """Find and stretch the profiles that a scenario names, and add what they borrow; raises ProfileError
        where one is missing. The stretch counts for passes of the own network, not for the times of lenders."""

        def get(machine: Edge | Device, actor: str) -> TimingProfile:
            found = find_profile(machine.profile, known)
            if machine.stretch != 1.0:
                found = found.stretched(machine.stretch, f"{actor} (x{machine.stretch:g})")
            borrowed = read_borrowed(machine.borrow)
            lenders = {one.source: find_profile(one.source, known, lends=True) for one in borrowed if one.source}
            return with_borrowed(found, borrowed, lenders)

        return cls(
            edges={site.name: get(site.edge, site.name) for site in scenario.sites},
            devices=tuple(get(user.device, user.name) for user in scenario.users),
        )

    def at(self, edge: str, devices: str) -> Machines:
        """The same machines at an end of the calibration's intervals: "low" or "high" for each."""
        return replace(self, edge_end=edge, device_end=devices)

    def compute_s(self, leaf: Compute, user: int) -> float:
        """Seconds of a compute stage of a user at its actor's full speed [s]."""
        at_edge, rows = is_edge(leaf.at), _rows(leaf)
        key = (leaf.at if at_edge else user, leaf.kind, rows, leaf.codec)
        if key not in self._once_s:
            profile = self.edges[leaf.at] if at_edge else self.devices[user]
            end = self.edge_end if at_edge else self.device_end
            found = None if end == "middle" else profile.stage_interval_s(leaf.kind, rows=rows, codec=leaf.codec)
            # a published figure has no interval and counts as exact
            one_s = profile.stage_s(leaf.kind, rows=rows, codec=leaf.codec) if found is None else found[end == "high"]
            self._once_s[key] = one_s
        return leaf.amount * self._once_s[key]

    @cached_property
    def _once_s(self) -> dict[tuple[str | int, str, int | None, str], float]:
        """Seconds of stages once, by actor, as options ask for the same ones again and again [s]."""
        return {}

    @property
    def precisions(self) -> frozenset[str]:
        """Arithmetic in which some actor computes."""
        return frozenset(p.provenance.precision for p in (*self.edges.values(), *self.devices))

    def precision(self, leaf: Compute, user: int) -> str:
        """Arithmetic in which the actor of a compute stage of a user computes."""
        return (self.edges[leaf.at] if is_edge(leaf.at) else self.devices[user]).provenance.precision

    def batch_law(self, edge: str) -> BatchLaw:
        """The law by which an edge server makes steps of several chains.

        At an end of the intervals both of its numbers are scaled as the fitted time of the largest batch is.

        Raises
        ------
        ProfileError
            Where the server was timed without batches, or they follow no such law.
        """
        profile = self.edges[edge]
        law, fit = batch_law(profile, edge), profile.fit(Kind.DENOISE)
        size = max(fit.sizes)
        interval_s = fit.interval_at(size)
        if self.edge_end == "middle" or interval_s is None:
            return law
        factor = interval_s[self.edge_end == "high"] / fit.at(size)
        return replace(law, slope_s=law.slope_s * factor, base_s=law.base_s * factor)

    def send_bit(self, leaf: Send, reference_byte: int | None = None) -> float:
        """Payload of a send stage [bit], as the serialiser makes it; of coded bytes by the reference's [byte]."""
        precision = "fp32" if leaf.payload is Payload.IMAGE else leaf.precision
        tensors = leaf.tensors
        if leaf.codec:
            sizes = next((self.edges[actor] for actor in (leaf.source, *leaf.to) if is_edge(actor)), None)
            coded = (sizes or next(iter(self.edges.values()))).image_byte(leaf.codec, reference_byte)
            tensors = tuple(replace(tensor, shape=(coded,)) if tensor.coded else tensor for tensor in tensors)
        return 8.0 * payload_byte(tensors, precision)


def find_profiles(scenario: Scenario, known: Profiles | None = None) -> dict[str, TimingProfile]:
    """The profiles that a scenario names, by name, lenders of stages among them; raises as `find_profile` does."""
    own = {site.edge.profile for site in scenario.sites} | {user.device.profile for user in scenario.users}
    return {name: find_profile(name, known, lends=name not in own) for name in scenario.profile_names}


def check_profiles(scenario: Scenario, spec: ModelSpec, found: Mapping[str, TimingProfile]) -> None:
    """Refuse profiles of another model than is planned: ProfileError names both."""
    for site in scenario.sites:
        who = "the edge" if len(scenario.sites) == 1 else f"edge {site.name}"
        check_model(found[site.edge.profile], spec, who, scenario.precision)
    for user in scenario.users:
        held = with_refiner(with_own_decoder(spec, user.device.decoder), user.device.refiner, scenario.scheduler)
        check_model(found[user.device.profile], held, f"user {user.name}", scenario.precision)


def advice(scenario: Scenario, machines: Machines, model: str) -> str:
    """A sentence that says what to borrow for actors whose profiles lack stages of every generation; "" if none."""
    actors: dict[str, TimingProfile] = {f"edges.{name}": profile for name, profile in machines.edges.items()}
    if scenario.edge is not None:
        actors = {"edge": machines.edges[scenario.sites[0].name]}
    actors |= {f"users.{u.name}.device": p for u, p in zip(scenario.users, machines.devices, strict=True)}
    found = []
    for actor, profile in actors.items():
        missing = missing_stages(profile)
        kind = profile.provenance.hardware.get("kind")
        lenders = {stage: lender_of(stage, model, kind) or "DEVICE / MODEL x FACTOR" for stage in missing}
        if missing:
            found.append(f"{actor}.borrow: {{{', '.join(f'{stage}: {name}' for stage, name in lenders.items())}}}")
    text = ", ".join(found)
    return f"Stages that were not timed can be borrowed, for example {text}." if found else ""


def borrowed_stages(scenario: Scenario) -> dict[str, tuple[Borrowed, ...]]:
    """What the actors of a scenario borrow, by their names; those who borrow nothing are left out."""
    machines = {str(site.name): site.edge for site in scenario.sites} | {u.name: u.device for u in scenario.users}
    return {actor: read_borrowed(machine.borrow) for actor, machine in machines.items() if machine.borrow}


def _rows(leaf: Compute) -> int | None:
    return None if leaf.rows is None else leaf.rows[1] - leaf.rows[0]
