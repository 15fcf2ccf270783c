"""How users are connected, as people know links: by efficiency, rate, SNR, CQI or MCS index, or by distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.radio.indices import cqi_efficiency, mcs_efficiency
from megdt_opt.radio.path_loss import PathLoss, received_w, snr_hz
from megdt_opt.scenario.edges import Figure, Site, at_edge
from megdt_opt.scenario.equipment import Channel
from megdt_opt.scenario.quantities import Quantities, expected_of
from megdt_opt.units import MAX_DB, db_to_linear

Array = NDArray[np.float64]

SIDES = ("downlink", "uplink")

WAYS = {
    "efficiency": "efficiency_bit_per_s_per_hz",
    "rate": "rate_bit_per_s",
    "snr": "snr_db",
    "cqi": "cqi",
    "mcs": "mcs",
}
"""What one side of a link may be stated by, and the ends of its fields."""

_EXAMPLES = "4 bit/s/Hz, 50 Mbit/s, 17 dB, or the index of a CQI or MCS"


def _by_edge(kind: Any, least: float) -> Callable[[Any], Any]:
    """A validator of a number of at least `least`, or of one for each of some edges by their names."""
    number: TypeAdapter[Any] = TypeAdapter(Annotated[kind, Field(ge=least)])

    def one(name: str, value: Any) -> Any:
        try:
            return number.validate_python(value, strict=kind is int)
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


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float | dict[str, float] | None, PlainValidator(_by_edge(_Finite, 0.0))]
_Decibel = Annotated[float | dict[str, float] | None, PlainValidator(_by_edge(_Finite, -MAX_DB))]
_Distance = Annotated[float | dict[str, float] | None, PlainValidator(_by_edge(_Finite, 1.0))]
_Index = Annotated[int | dict[str, int] | None, PlainValidator(_by_edge(int, 0))]


class Link(Quantities):
    """How a user is connected: each side by one figure, or both by a distance.

    Where a figure differs by edge: "{hall-1: 4 bit/s/Hz, hall-2: 1 bit/s/Hz}"; an edge that is left out does not reach
    the user.

    Parameters
    ----------
    downlink_efficiency_bit_per_s_per_hz, uplink_efficiency_bit_per_s_per_hz : float or dict of str to float, optional
        Spectral efficiencies; in YAML "downlink_efficiency: 4 bit/s/Hz".
    downlink_rate_bit_per_s, uplink_rate_bit_per_s : float or dict of str to float, optional
        Rate on the whole band; in YAML "downlink_rate: 50 Mbit/s". A share of the band carries its share of it.
    downlink_snr_db, uplink_snr_db : float or dict of str to float, optional
        Signal to noise at the receiver on the whole band; in YAML "downlink_snr: 17 dB".
    downlink_cqi, uplink_cqi, downlink_mcs, uplink_mcs : int or dict of str to int, optional
        Index of the channel quality, or of the modulation and coding scheme, in the channel's `index_table`.
    distance_m : float or dict of str to float, optional
        Distance to the base station [m], of each edge where they differ.
    """

    dimensions: ClassVar[dict[str, str]] = {
        "downlink_efficiency_bit_per_s_per_hz": "efficiency",
        "uplink_efficiency_bit_per_s_per_hz": "efficiency",
        "downlink_rate_bit_per_s": "rate",
        "uplink_rate_bit_per_s": "rate",
        "downlink_snr_db": "ratio",
        "uplink_snr_db": "ratio",
        "distance_m": "length",
    }

    downlink_efficiency_bit_per_s_per_hz: _Positive = None
    uplink_efficiency_bit_per_s_per_hz: _Positive = None
    downlink_rate_bit_per_s: _Positive = None
    uplink_rate_bit_per_s: _Positive = None
    downlink_snr_db: _Decibel = None
    uplink_snr_db: _Decibel = None
    downlink_cqi: _Index = None
    uplink_cqi: _Index = None
    downlink_mcs: _Index = None
    uplink_mcs: _Index = None
    distance_m: _Distance = None

    @model_validator(mode="after")
    def _connected(self) -> Link:
        who = str(getattr(self, "name", ""))
        stated = {side: [way for way in WAYS if self.figure(side, way) is not None] for side in SIDES}
        for side, ways in stated.items():
            if len(ways) > 1:
                fields = [f"{side}_{way}" for way in ways]
                raise InvalidInput(f"{who}.{side}", fields, "one figure for each side of a link", "Keep one of them.")
        down, up = (bool(stated[side]) for side in SIDES)
        if down != up:
            (side,) = (side for side in SIDES if not stated[side])
            expected = "both efficiencies or none, in bit/s/Hz, or another figure of a link for each side"
            raise InvalidInput(who, f"no figure for the {side}", expected, f"Add the other one: {_EXAMPLES}.")
        if down == (self.distance_m is not None):
            expected = "either two spectral efficiencies (or rates, SNRs, CQI or MCS indices) or a distance in m"
            raise InvalidInput(who, self.distance_m, expected, "Give exactly one of the two.")
        return self

    def figure(self, side: str, way: str) -> Figure:
        """What the user states of one side in one way; None where nothing."""
        found: Figure = getattr(self, f"{side}_{WAYS[way]}")
        return found

    def way(self, side: str) -> str | None:
        """In which way one side is stated; None where it follows from a distance."""
        return next((way for way in WAYS if self.figure(side, way) is not None), None)

    @property
    def by_name(self) -> dict[str, Figure]:
        """What is stated of the link, by the short names of the fields; "distance" where nothing is."""
        ways = {side: self.way(side) for side in SIDES}
        found = {f"{side}_{way}": self.figure(side, way) for side, way in ways.items() if way is not None}
        return found or {"distance": self.distance_m}

    @property
    def is_computed(self) -> bool:
        """Whether an efficiency follows from Shannon's law: of an SNR, or of a distance."""
        return self.distance_m is not None or "snr" in (self.way("downlink"), self.way("uplink"))


def snr_products(
    channel: Channel, links: Sequence[Link], transmit_w: Sequence[float], sites: Sequence[Site]
) -> tuple[Array, Array]:
    """SNR-bandwidth products of downlink and uplink, each (K, E) [Hz].

    From a distance by the link budget, from an SNR on the whole band by its width. NaN where neither is stated, 0 at
    an edge that a user's figures leave out.
    """
    c, shape = channel, (len(links), len(sites))
    loss = PathLoss(
        carrier_hz=c.carrier_hz,
        exponent=c.path_loss_exponent,
        shadowing_std_db=c.shadowing_std_db,
        reference_loss_db=c.reference_loss_db,
    )
    shadowing = loss.draw_shadowing_db(c.shadowing_seed, shape[0] * shape[1]).reshape(shape)
    found = {side: np.full(shape, np.nan) for side in SIDES}
    for k, link in enumerate(links):
        for e, site in enumerate(sites):
            distance_m = at_edge(link.distance_m, site.name)
            lost_db = None if distance_m is None else loss.loss_db(distance_m, float(shadowing[k, e]))
            for side, sent_w in zip(SIDES, (c.edge_transmit_w, transmit_w[k]), strict=True):
                if link.distance_m is not None:
                    found[side][k, e] = 0.0 if lost_db is None else _budget_hz(c, sent_w, lost_db)
                elif link.way(side) == "snr":
                    snr_db = at_edge(link.figure(side, "snr"), site.name)
                    band_hz = getattr(site, f"{side}_hz")
                    found[side][k, e] = 0.0 if snr_db is None else db_to_linear(snr_db) * band_hz
    return found["downlink"], found["uplink"]


def _budget_hz(channel: Channel, transmit_w: float, lost_db: float) -> float:
    """SNR-bandwidth product of a link budget [Hz], by thermal noise and a noise figure or by a stated density."""
    gain_db, density = channel.antenna_gain_db, channel.noise_density_w_per_hz
    if density is None:
        return snr_hz(transmit_w, lost_db, noise_figure_db=channel.noise_figure_db, antenna_gain_db=gain_db)
    return received_w(transmit_w, lost_db, gain_db) / density


def efficiencies(channel: Channel, side: str, links: Sequence[Link], product_hz: Array, sites: Sequence[Site]) -> Array:
    """Spectral efficiencies of "downlink" or "uplink", (K, E) [bit/s/Hz].

    As stated, a rate over its band, by the index's table, or log2(1 + g / B) at the whole band B, at most the
    channel's `efficiency_max`; 0 at an edge that a user's figures leave out.
    """
    found = np.zeros(product_hz.shape)
    for e, site in enumerate(sites):
        band_hz = getattr(site, f"{side}_hz")
        for k, link in enumerate(links):
            way = link.way(side)
            value = None if way is None else at_edge(link.figure(side, way), site.name)
            if way in (None, "snr"):
                computed = np.log2(1 + product_hz[k, e] / band_hz) if band_hz > 0 else 0.0
                found[k, e] = min(computed, channel.efficiency_max_bit_per_s_per_hz or np.inf)
            elif value is not None:
                found[k, e] = _stated(str(way), value, band_hz, channel.index_table)
    return found


def _stated(way: str, value: float, band_hz: float, table: str) -> float:
    if way == "rate":
        return value / band_hz if band_hz > 0 else 0.0
    by_index = {"cqi": cqi_efficiency, "mcs": mcs_efficiency}
    return by_index[way](int(value), table) if way in by_index else value


def check_links(channel: Channel, users: Sequence[Link], sites: Sequence[Site]) -> None:
    """Figures of links fit the channel's law, tables and cap, and what the channel states of links is used.

    Raises
    ------
    InvalidInput
        Where they do not; names the field.
    """
    cap = channel.efficiency_max_bit_per_s_per_hz
    indexed = False
    for user in users:
        where = f"users.{getattr(user, 'name', '')}"
        if channel.law == "shannon" and not all(user.distance_m or user.way(side) == "snr" for side in SIDES):
            expected = "a distance in m, or the SNR of both sides"
            raise InvalidInput(f"{where}.distance", None, expected, "The Shannon law needs the user's distance or SNR.")
        for field, figure in user.by_name.items():
            side, _, way = field.partition("_")
            for site in sites if way in ("efficiency", "rate", "cqi", "mcs") else ():
                value = at_edge(figure, site.name)
                if value is None:
                    continue
                indexed = indexed or way in ("cqi", "mcs")
                try:
                    efficiency = _stated(way, value, getattr(site, f"{side}_hz"), channel.index_table)
                except InvalidInput as error:
                    expected = f"{error.expected} in the table {channel.index_table}"
                    raise InvalidInput(f"{where}.{field}", value, expected, error.remedy) from None
                if cap is not None and efficiency > cap:
                    expected = f"at most {cap:g} bit/s/Hz, the channel's efficiency_max"
                    raise InvalidInput(f"{where}.{field}", efficiency, expected, "Lower it, or raise the cap.")
    if cap is not None and channel.law == "shannon":
        expected = "no cap with the law 'shannon', whose rates grow with the SNR"
        raise InvalidInput("channel.efficiency_max", cap, expected, "Use the law 'linear', or remove the cap.")
    if cap is not None and not any(user.is_computed for user in users):
        needed = "nothing without a user with an SNR or a distance, whose efficiency it caps"
        raise InvalidInput("channel.efficiency_max", cap, needed, "Leave it out.")
    if channel.index_table != "qam64" and not indexed:
        needed = "nothing without a user with a CQI or MCS index"
        raise InvalidInput("channel.index_table", channel.index_table, needed, "Leave it out.")
