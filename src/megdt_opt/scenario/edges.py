"""The edge servers of a scenario, one or several, their bands, and users' figures that differ by edge."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, field_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.program.stages import EDGE, EdgeServer
from megdt_opt.radio.path_loss import PathLoss, snr_hz
from megdt_opt.scenario.equipment import Channel, Edge
from megdt_opt.scenario.quantities import expected_of

Array = NDArray[np.float64]

Figure = float | Mapping[str, float] | None
"""A user's figure: for all edges, by edge, or none."""

NAME_LENGTH = 60
"""Most characters of the name of a user or an edge: it becomes part of files' names, and a label in figures."""


def actor_name(text: str, who: str) -> str:
    """A name in composed form: letters and digits of any script, spaces and `_ . - # + @ & ( ) '`.

    Raises
    ------
    InvalidInput
        Where it is none; `who` says whose.
    """
    name = unicodedata.normalize("NFC", text)
    first_is_letter = bool(name) and name[0].isalnum()
    fits = first_is_letter and all(c.isalnum() or c in " _.-#+@&()'" or unicodedata.category(c)[0] == "M" for c in name)
    if not fits or name != name.strip() or len(name) > NAME_LENGTH:
        raise InvalidInput(
            "",
            text,
            f"a letter or digit, then letters, digits, spaces and _ . - # + @ & ( ) ', at most {NAME_LENGTH} in all",
            f"Give the {who} a shorter or plainer name.",
        )
    return name


def _by_edge(least: float) -> Callable[[Any], Any]:
    """A validator of a number of at least `least`, or of one for each of some edges by their names."""
    number: TypeAdapter[float] = TypeAdapter(Annotated[float, Field(ge=least, allow_inf_nan=False)])

    def one(name: str, value: Any) -> float:
        try:
            return number.validate_python(value)
        except ValidationError as error:
            raise InvalidInput(name, value, *expected_of(error.errors()[0])) from None

    def read(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return one("", value)
        if not value:
            raise InvalidInput("", {}, "a value for at least one edge", "Name the edges that reach the user.")
        return {str(name): one(str(name), each) for name, each in value.items()}

    return read


EfficiencyByEdge = Annotated[float | dict[str, float] | None, PlainValidator(_by_edge(0.0))]
DistanceByEdge = Annotated[float | dict[str, float] | None, PlainValidator(_by_edge(1.0))]


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


def snr_products(
    channel: Channel,
    distances: Sequence[float | Mapping[str, float] | None],
    transmit_w: Sequence[float],
    sites: Sequence[Site],
) -> tuple[Array, Array]:
    """SNR-bandwidth products of downlink and uplink, each (K, E) [Hz].

    NaN for users without a distance, 0 at an edge that a user's distances leave out.
    """
    c, shape = channel, (len(distances), len(sites))
    loss = PathLoss(carrier_hz=c.carrier_hz, exponent=c.path_loss_exponent, shadowing_std_db=c.shadowing_std_db)
    shadowing = loss.draw_shadowing_db(c.shadowing_seed, shape[0] * shape[1]).reshape(shape)
    down, up = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, distance in enumerate(distances):
        for e, site in enumerate(sites):
            distance_m = at_edge(distance, site.name)
            if distance_m is not None:
                lost_db = loss.loss_db(distance_m, float(shadowing[k, e]))
                more = {"noise_figure_db": c.noise_figure_db, "antenna_gain_db": c.antenna_gain_db}
                down[k, e] = snr_hz(c.edge_transmit_w, lost_db, **more)
                up[k, e] = snr_hz(transmit_w[k], lost_db, **more)
            elif distance is not None:
                down[k, e] = up[k, e] = 0.0
    return down, up


def efficiency_at(
    channel: Channel, side: str, given: Sequence[Figure], product_hz: Array, sites: Sequence[Site]
) -> Array:
    """Spectral efficiencies of "downlink" or "uplink", (K, E) [bit/s/Hz].

    As given, or log2(1 + g / B) at the whole band B; 0 at an edge that a user's figures leave out.
    """
    found = np.zeros(product_hz.shape)
    for e, site in enumerate(sites):
        band_hz = getattr(site, f"{side}_hz")
        for k, value in enumerate(given):
            if value is not None:
                found[k, e] = at_edge(value, site.name) or 0.0
            elif band_hz > 0:
                found[k, e] = np.log2(1 + product_hz[k, e] / band_hz)
    return found


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
