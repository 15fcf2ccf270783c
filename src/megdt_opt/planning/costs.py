"""What a plan costs besides latency: hardware on each side, and coordination between the actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.signalling import predicted_signalling
from megdt_opt.program.costs import Costs, resident_parts
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Send, Stage, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.si import show


@dataclass(frozen=True, kw_only=True)
class UserCosts(Costs):
    """What one user of a plan costs, predicted from its stages.

    Parameters
    ----------
    edge_compute_j : float or None
        Energy of the edge's computing for the user [J]; None where the edge's power is not declared.
    device_radio_j : float or None
        Energy of the device's sending at the plan's rates [J]; None where the device's compute power is not declared.
    device_load_s : float or None
        Time to load the device's weights [s]; None where its rate of loading is not declared.
    signals : int
        Messages that only say that a stage has ended [1].
    signalling_byte : int
        Bytes between the actors that are no payload: signals, envelopes, headers, acknowledgements [byte].
    """

    edge_compute_j: float | None = None
    device_radio_j: float | None = None
    device_load_s: float | None = None
    signals: int = 0
    signalling_byte: int = 0

    def with_edge_s(self, edge_s: float) -> UserCosts:
        """The same with other seconds of the edge, and its energy in proportion [s]."""
        energy_j = self.edge_compute_j
        if energy_j is not None and self.edge_s > 0:
            energy_j *= edge_s / self.edge_s
        return replace(self, edge_s=edge_s, edge_compute_j=energy_j)


def user_costs(
    table: OptionTable, k: int, o: int, program: Stage, times: Sequence[StageTime], *, called: str = ""
) -> UserCosts:
    """Costs of user k with option o, whose stages take these times; `called` is the name that its messages carry, if it
    is another than the user's.

    Raises
    ------
    InvalidInput
        For an option of which a stage was never timed.
    """
    base = table.costs(k, o)
    if base is None:
        raise InvalidInput("option", table.options[o].name, "an option whose stages were timed", "Calibrate it.")
    scenario = table.scenario
    device, edge = scenario.users[k].device, table.sites[table.site(o) or 0].edge
    airtime_s = sum(
        time.duration_s - scenario.channel.propagation_s
        for leaf, time in zip(leaves(program), times, strict=True)
        if isinstance(leaf, Send) and not is_edge(leaf.source)
    )
    told = predicted_signalling(program, called or scenario.users[k].name, lambda leaf: table.send_bit(leaf, k) / 8)
    return UserCosts(
        **{field.name: getattr(base, field.name) for field in fields(Costs)},
        edge_compute_j=None if edge.compute_power_w is None else edge.compute_power_w * base.edge_s,
        device_radio_j=None if device.compute_power_w is None else device.transmit_power_w * airtime_s,
        device_load_s=load_s(base.device_byte, device.load_byte_per_s),
        signals=told.signals,
        signalling_byte=told.byte,
    )


def edge_resident(table: OptionTable, programs: Sequence[Stage]) -> dict[str, tuple[int, float | None]]:
    """Weights that each edge holds for all of these programs together [byte], and the time to load them [s].

    Parts of the model that several users need are held once.
    """
    held = edge_parts(table, programs)
    rates = {str(site.name): site.edge.load_byte_per_s for site in table.sites}
    total = {name: sum(parts.values()) for name, parts in held.items()}
    return {name: (byte, load_s(byte, rates[name])) for name, byte in total.items()}


def edge_parts(table: OptionTable, programs: Sequence[Stage]) -> dict[str, dict[str, int]]:
    """Parts of the model that each edge holds for all of these programs together, with their sizes [byte]."""
    found: dict[str, dict[str, int]] = {}
    for site in table.sites:
        precision = table.machines.edges[site.name].provenance.precision
        parts: dict[str, int] = {}
        for program in programs:
            parts |= resident_parts(program, table.spec, site.name.__eq__, precision)
        found[str(site.name)] = parts
    return found


def held_words(table: OptionTable, held: Mapping[str, Mapping[str, int]]) -> str:
    """Which edge holds which parts of the model, in a sentence; "" where every edge holds all that it may need."""
    if table.parts is None:
        return ""
    each = [
        f"{edge} holds {', '.join(parts)} ({show(sum(parts.values()), 'B')})" if parts else f"{edge} holds none"
        for edge, parts in held.items()
    ]
    return f"Parts of the model are placed, for not every memory holds all: {'; '.join(each)}."


def load_s(byte: int, rate_byte_per_s: float | None) -> float | None:
    """Time to load weights [s]; None where the rate is not known."""
    return None if rate_byte_per_s is None else byte / rate_byte_per_s
