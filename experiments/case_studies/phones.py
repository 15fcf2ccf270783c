"""A cell of phones around one edge server, from published timings alone: what the studies of phones share.

Times are those of the package's tables (`data/device_timings.csv`, medians of others, without variances): denoising
steps of SD1.5 and SDXL on an A100 at 1, 4 and 16 pictures together, of SDXL-LCM on an H100 without batches, and
single
passes on phones. Two passes make a step where there is guidance. Borrowed, because nobody published them: the edge's
decoding of SD1.5 and SDXL, and every phone's decoding of SDXL, each as a number of passes of its own machine.
A prompt and its encoding (below 5 ms on these machines) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt import AllocationProblem
from megdt_opt.timing.published import PublishedRow, PublishedTimings

RAW, JPEG_FINE, JPEG_SMALL = "raw", "JPEG 2.4", "JPEG 0.75"
BIT_A_PIXEL = {RAW: 24.0, JPEG_FINE: 2.4, JPEG_SMALL: 0.75}
"""Of a downloaded picture [bit/pixel]."""
BORROWED_PASSES = (2.3, 3.0)
"""Between which decoding lies on phones whose decoder was timed [passes]."""
LARGEST_BATCH = 16


def published(device: str, model: str, stage: str, batch: int = 1) -> float:
    """A published time [s]."""
    (row,) = rows_of(device, model, stage, batch)
    return row.time_s


def rows_of(device: str, model: str, stage: str, batch: int | None = None) -> list[PublishedRow]:
    """Rows of a device, a model and a stage."""
    return [
        row
        for row in PublishedTimings.load().rows
        if (row.device, row.model, row.stage) == (device, model, stage) and batch in (None, row.batch)
    ]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An edge server and the phones around it, for one model.

    Parameters
    ----------
    model, edge, phone : str
        As published.
    steps, passes : int
        Denoising steps of a picture, and network passes of a step [1].
    side : int
        Rows and columns of the picture [pixel].
    """

    model: str
    edge: str
    phone: str
    steps: int
    passes: int
    side: int

    @property
    def latent_bit(self) -> float:
        """An fp16 latent: four channels, a value for 8 x 8 pixels [bit]."""
        return 4 * (self.side / 8) ** 2 * 16.0

    def picture_bit(self, codec: str) -> float:
        """A downloaded picture [bit]."""
        return BIT_A_PIXEL[codec] * self.side**2

    @cached_property
    def batch_s(self) -> dict[int, float]:
        """A step of so many chains together at the edge [s]."""
        stage = "denoise_step" if self.passes == 2 else "denoise_pass"
        return {row.batch: row.time_s for row in rows_of(self.edge, self.model, stage)}

    def step_s(self, together: int) -> float:
        """Edge time of a step of one of so many chains: measured batches, straight lines between them [s]."""
        sizes = sorted(self.batch_s)
        at = min(together, sizes[-1])
        return float(np.interp(at, sizes, [self.batch_s[size] for size in sizes])) / at

    @property
    def law(self) -> tuple[float, float]:
        """a and b of the straight line a X + b through the measured batches, least squares [s]."""
        slope, base = np.polyfit(list(self.batch_s), list(self.batch_s.values()), 1)
        return float(slope), float(base)

    @cached_property
    def phone_step_s(self) -> float:
        """A denoising step on the phone [s]."""
        model = "SDXL" if self.model == "SDXL-LCM" else self.model  # the same network
        return self.passes * published(self.phone, model, "denoise_pass")

    def edge_decode_s(self, passes: float) -> float:
        """Decoding at the edge: published, or borrowed as so many passes [s]."""
        own = rows_of(self.edge, self.model, "decode")
        return own[0].time_s if own else passes * self.step_s(1) / self.passes

    def phone_decode_s(self, passes: float) -> float:
        """Decoding on the phone: published, or borrowed as so many passes [s]."""
        own = rows_of(self.phone, self.model, "decode")
        return own[0].time_s if own else passes * self.phone_step_s / self.passes


SD15 = Pair(model="SD1.5", edge="A100 (compiled)", phone="Samsung Galaxy S25", steps=20, passes=2, side=512)
SDXL = Pair(model="SDXL", edge="A100", phone="Snapdragon 8 Elite (Adreno)", steps=20, passes=2, side=1024)
LCM = Pair(model="SDXL-LCM", edge="H100", phone="Snapdragon 8 Elite (Adreno)", steps=4, passes=1, side=1024)
PAIRS = (SD15, SDXL, LCM)


@dataclass(frozen=True, kw_only=True)
class PhoneCell:
    """K phones; the options of each are local, centralised, and handing over behind n edge steps, n = 1 .. N.

    Parameters
    ----------
    pair : Pair
    efficiency : array, (K,)
        Downlink [bit/s/Hz].
    band_hz : float
        Downlink [Hz].
    codec : str
        Of downloaded pictures.
    passes : float
        What borrowed decoding takes [passes].
    """

    pair: Pair
    efficiency: NDArray[np.float64]
    band_hz: float
    codec: str
    passes: float

    @property
    def names(self) -> list[str]:
        """Mechanism of each option."""
        return ["local", "centralised", *["SEU"] * (self.pair.steps - 1), "E2U"]

    def problem(
        self, together: int, objective: str, only: str | None = None, *, interior: bool = True
    ) -> AllocationProblem:
        """The allocation problem with the edge's steps at the price of batches of so many chains.

        Parameters
        ----------
        together : int
            Chains in a batch [1]; all edge work of denoising takes what one chain takes of it.
        objective : str
            "max" or "sum".
        only : str, optional
            The one mechanism that is allowed.
        interior : bool
            Whether cuts between the ends are allowed too.
        """
        pair, users = self.pair, len(self.efficiency)
        cut = np.array([0, pair.steps, *range(1, pair.steps + 1)])
        at_edge = np.array([name == "centralised" for name in self.names])  # where the picture is decoded
        fixed = (pair.steps - cut) * pair.phone_step_s + ~at_edge * pair.phone_decode_s(self.passes)
        work = cut * pair.step_s(together) + at_edge * pair.edge_decode_s(self.passes)
        payload = np.where(cut == 0, 0.0, np.where(at_edge, pair.picture_bit(self.codec), pair.latent_bit))
        allowed = np.array([only in (None, name) and (interior or name != "SEU") for name in self.names])

        def every(row: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.tile(row, (users, 1))

        return AllocationProblem(
            fixed_s=every(fixed), edge_work_s=every(work), downlink_bit=every(payload), uplink_bit=every(0 * payload),
            allowed=every(allowed), downlink_hz=self.band_hz, uplink_hz=0.0, downlink_efficiency=self.efficiency,
            edge_share_max=np.ones(users), objective=objective,
        )  # fmt: skip


def links(users: int, seed: int) -> NDArray[np.float64]:
    """Spectral efficiencies of phones [bit/s/Hz]."""
    return np.random.default_rng([seed, users]).uniform(1.0, 6.0, users)
