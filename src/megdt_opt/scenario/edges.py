"""The edge servers of a scenario, one or several, their bands, and users' figures that differ by edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.program.names import actor_name
from megdt_opt.program.stages import EDGE, EdgeServer
from megdt_opt.scenario.equipment import Channel, Edge

Figure = float | Mapping[str, float] | None
"""A user's figure: for all edges, by edge, or none."""


class NamedEdge(Edge):
    """One of several edge servers, with bands of its own.

    Parameters
    ----------
    name : str
        Unique name.
    profile, stretch, servers, memory_byte, discipline
        As for the only edge.
    downlink_hz, uplink_hz : float, optional
        Its bands [Hz]; default those that the channel states for every edge.
    """

    dimensions: ClassVar[dict[str, str]] = {**Edge.dimensions, "downlink_hz": "frequency", "uplink_hz": "frequency"}

    name: str
    downlink_hz: float | None = Field(default=None, ge=0.0)
    uplink_hz: float | None = Field(default=None, ge=0.0)

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        return actor_name(name, "edge")


@dataclass(frozen=True, kw_only=True)
class Site:
    """An edge server of a scenario with all that it has, whether the scenario names one or several.

    Parameters
    ----------
    name : EdgeServer
        Its actor.
    edge : Edge
        Its profile, servers and memory.
    downlink_hz, uplink_hz : float
        Its bands [Hz].
    """

    name: EdgeServer
    edge: Edge
    downlink_hz: float
    uplink_hz: float


def at_edge(value: Figure, edge: str) -> float | None:
    """A user's figure at one edge; None where it states none, or leaves out the edge in a mapping."""
    return value.get(edge) if isinstance(value, Mapping) else value


def sites_of(edge: Edge | None, edges: Sequence[NamedEdge] | None, channel: Channel) -> tuple[Site, ...]:
    """The edge servers of a scenario, with their bands.

    Raises
    ------
    InvalidInput
        Where an edge has no band, or the channel states one that no edge has.
    """
    for band in ("downlink_hz", "uplink_hz"):
        shared, own = getattr(channel, band), [getattr(one, band) for one in edges or ()]
        if shared is None and edges is None:
            raise InvalidInput(f"channel.{band}", None, "a value", "Add the field.")
        if shared is None and None in own:
            short = band.removesuffix("_hz")
            remedy = f"Add {short} there, or under channel for every edge that states none."
            raise InvalidInput(f"edges.{own.index(None)}.{short}", None, "a band in Hz", remedy)
        if shared is not None and edges is not None and None not in own:
            raise InvalidInput(f"channel.{band}", shared, "no band, as every edge states its own", "Remove it.")
    found: list[tuple[EdgeServer, Edge]] = [(EdgeServer(one.name), one) for one in edges or ()]
    if edge is not None:
        found = [(EDGE, edge)]
    return tuple(
        Site(name=name, edge=one, downlink_hz=_band(one, channel, "downlink"), uplink_hz=_band(one, channel, "uplink"))
        for name, one in found
    )


def _band(edge: Edge, channel: Channel, side: str) -> float:
    own = getattr(edge, f"{side}_hz", None)
    return float(getattr(channel, f"{side}_hz") if own is None else own)


def check_names(where: str, given: Mapping[str, Mapping[str, float]], sites: Sequence[Site]) -> None:
    """Figures by edge, by their fields' names, are of edges of the scenario, and of the same ones.

    Raises
    ------
    InvalidInput
        Where they are not; names the field.
    """
    names = [str(site.name) for site in sites]
    for name, value in given.items():
        unknown = [edge for edge in value if edge not in names]
        if unknown:
            if names == [EDGE]:
                expected = (
                    f"a list of edges, one of them named {unknown[0]!r}, as {where}.{name} states a figure by edge"
                )
                raise InvalidInput("edges", None, expected, "Add edges, or give the user one figure.")
            expected = f"edges of the scenario: {names}"
            raise InvalidInput(f"{where}.{name}.{unknown[0]}", unknown[0], expected, "Name one of them.")
    if len({frozenset(value) for value in given.values()}) > 1:
        sets = " and ".join(str(list(value)) for value in given.values())
        expected = "the same edges in both efficiencies"
        raise InvalidInput(f"{where}.uplink_efficiency", sets, expected, "Give both for every edge in reach.")
