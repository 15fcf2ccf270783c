"""What a scenario's users share and hold: edge server, channel and devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.quantities import Quantities
from megdt_opt.timing.borrow import read_borrowed


def _readable(given: dict[str, str] | None) -> dict[str, str] | None:
    read_borrowed(given)
    return given


Borrow = Annotated[dict[str, str] | None, AfterValidator(_readable)]


class Edge(Quantities):
    """The edge server.

    Parameters
    ----------
    profile : str
        Timing profile: the name of a bundled one, a path, or "published: DEVICE / MODEL", where several were published
        with their precision, pixels or passes behind: "published: NVIDIA A10 / SD1.4 / fp16".
    stretch : float
        Declared slowdown of the profile's machine, at least 1 [1]; 1 = as measured.
    borrow : dict of str to str, optional
        Stages whose time is another profile's, each by its name: {decode: V100 / SD1.5 x 0.5} takes half the published
        time, {decode: 2.5 passes} two and a half passes of the own denoising network. The stretch does not count for
        them, lenders may be of another model, and plan, report and figure say what was borrowed.
    servers : float
        Edge servers to share [1].
    memory_byte : float, optional
        Memory for weights [byte].
    compute_power_w : float, optional
        Power drawn by one whole edge server while computing [W].
    load_byte_per_s : float, optional
        Rate at which weights are loaded [byte/s]; in YAML "load: 500 MB/s".
    discipline : str
        How it divides its time among the users: "reserved" shares, whole chains "in_turns" at full speed in an order
        that is planned, or steps of several chains "batched" in one pass.
    """

    dimensions: ClassVar[dict[str, str]] = {
        "memory_byte": "memory",
        "compute_power_w": "power",
        "load_byte_per_s": "loading",
    }

    profile: str = "twin-cpu"
    stretch: float = Field(default=1.0, ge=1.0)
    borrow: Borrow = None
    servers: float = Field(default=1.0, gt=0.0)
    memory_byte: float | None = Field(default=None, gt=0.0)
    compute_power_w: float | None = Field(default=None, gt=0.0)
    load_byte_per_s: float | None = Field(default=None, gt=0.0)
    discipline: Literal["reserved", "in_turns", "batched"] = "reserved"


class Device(Quantities):
    """A user's device.

    Parameters
    ----------
    profile : str
        Timing profile, as for the edge.
    stretch : float
        Declared slowdown of the profile's machine, at least 1 [1].
    borrow : dict of str to str, optional
        Stages whose time is another profile's, as for the edge.
    decoder : str, optional
        Folder of a small autoencoder (`AutoencoderTiny`) with which the device decodes in place of the pipeline's own;
        its profile is one of `calibrate --decoder`. Or a decoder of the model itself by its name, with the model's
        profile: "noisy" of the twin was trained with noise and merged latents.
    refiner : str, optional
        Folder of a refiner, a pipeline of the same latents (SDXL's), with which the device goes on from the hand-over
        of SEU in place of the model itself; its profile is one of that folder.
    memory_byte : float, optional
        Memory for weights [byte].
    compute_power_w : float, optional
        Power drawn while computing [W]; needed where an energy limit is set.
    transmit_power_w : float
        Radio power while sending [W]; default 23 dBm, the class 3 maximum of 3GPP TS 38.101-1.
    load_byte_per_s : float, optional
        Rate at which weights are loaded [byte/s].
    powered : str, optional
        "mains" for a device without a battery; said of hosts of groups that have no energy limit.
    """

    dimensions: ClassVar[dict[str, str]] = {
        "memory_byte": "memory",
        "compute_power_w": "power",
        "transmit_power_w": "power",
        "load_byte_per_s": "loading",
    }

    profile: str = "twin-cpu"
    stretch: float = Field(default=1.0, ge=1.0)
    borrow: Borrow = None
    decoder: str | None = None
    refiner: str | None = None
    memory_byte: float | None = Field(default=None, gt=0.0)
    compute_power_w: float | None = Field(default=None, gt=0.0)
    transmit_power_w: float = Field(default=0.19952623149688797, gt=0.0)
    load_byte_per_s: float | None = Field(default=None, gt=0.0)
    powered: Literal["mains"] | None = None

    @model_validator(mode="after")
    def _one_other_part(self) -> Device:
        if self.decoder is not None and self.refiner is not None:
            raise InvalidInput(
                "decoder", self.decoder, "none beside a refiner, which decodes", "Remove one of the two."
            )
        return self


class Channel(Quantities):
    """Bands and the law from band to rate.

    Parameters
    ----------
    law : str
        "linear" (rate = efficiency * band) or "shannon" (rate = band * log2(1 + g / band)).
    downlink_hz, uplink_hz : float, optional
        Bands to share [Hz]; in YAML "downlink" and "uplink". With several edges each has these bands of its own,
        unless it states others.
    propagation_s : float
        One-way delay of each message [s].
    carrier_hz, path_loss_exponent, shadowing_std_db, shadowing_seed
        Log-distance path loss [Hz, 1, dB, 1], used for users that give a distance.
    edge_transmit_w : float
        Power of the edge's radio for each user's signal [W].
    noise_figure_db, antenna_gain_db : float
        Of every receiver, and of both antennas together [dB].
    noise_density_w_per_hz : float, optional
        Noise of every receiver, its figure included, in place of thermal noise and `noise_figure`; in YAML
        "noise_density: -174 dBm/Hz".
    reference_loss_db : float, optional
        Path loss at 1 m, in place of that of free space at the carrier; in YAML "reference_loss: 46 dB".
    efficiency_max_bit_per_s_per_hz : float, optional
        Cap on efficiencies that follow from an SNR or a distance; in YAML "efficiency_max: 7.4 bit/s/Hz", where 256-QAM
        ends.
    index_table : str
        Table of the users' CQI and MCS indices: "qam64", "qam256" or "qam64LowSE" (3GPP TS 38.214).
    """

    dimensions: ClassVar[dict[str, str]] = {
        "downlink_hz": "frequency",
        "uplink_hz": "frequency",
        "propagation_s": "time",
        "carrier_hz": "frequency",
        "shadowing_std_db": "ratio",
        "edge_transmit_w": "power",
        "noise_figure_db": "ratio",
        "antenna_gain_db": "ratio",
        "noise_density_w_per_hz": "density",
        "reference_loss_db": "ratio",
        "efficiency_max_bit_per_s_per_hz": "efficiency",
    }

    law: Literal["linear", "shannon"] = "linear"
    downlink_hz: float | None = Field(default=None, ge=0.0)
    uplink_hz: float | None = Field(default=None, ge=0.0)
    propagation_s: float = Field(default=0.0, ge=0.0)
    carrier_hz: float = Field(default=3.5e9, gt=0.0)
    path_loss_exponent: float = Field(default=3.0, gt=0.0)
    shadowing_std_db: float = Field(default=0.0, ge=0.0)
    shadowing_seed: int = 0
    edge_transmit_w: float = Field(default=1.0, gt=0.0)
    noise_figure_db: float = Field(default=7.0, ge=0.0)
    antenna_gain_db: float = 0.0
    noise_density_w_per_hz: float | None = Field(default=None, gt=0.0)
    reference_loss_db: float | None = Field(default=None, ge=0.0)
    efficiency_max_bit_per_s_per_hz: float | None = Field(default=None, gt=0.0)
    index_table: Literal["qam64", "qam256", "qam64LowSE"] = "qam64"

    @model_validator(mode="after")
    def _once(self) -> Channel:
        """Noise and the loss at 1 m are stated in one way."""
        for field, other in (("noise_density_w_per_hz", "noise_figure_db"), ("reference_loss_db", "carrier_hz")):
            value = getattr(self, field)
            if value is not None and getattr(self, other) != type(self).model_fields[other].default:
                names = self.short_name(field), self.short_name(other)
                raise InvalidInput(names[0], value, f"either {names[0]} or {names[1]}", "Remove one of the two.")
        return self


def named_profiles(machines: Iterable[Edge | Device]) -> tuple[str, ...]:
    """Profiles that edges and devices name, and those that lend them stages, each once, in alphabetical order."""
    names = {name for one in machines for name in (one.profile, *(b.source for b in read_borrowed(one.borrow)))}
    return tuple(sorted(names - {""}))
