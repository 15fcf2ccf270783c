"""From transmit power to received power, SNR and rate.

The rate laws themselves are in `megdt_opt.radio.rates`; this module yields their parameter: the SNR-bandwidth
product g = P * gain / N0 [Hz] of a user, so that a band b carries b * log2(1 + g / b) bit/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.units import db_to_linear

BOLTZMANN_J_PER_K = 1.380649e-23
SPEED_OF_LIGHT_M_PER_S = 299_792_458.0


@dataclass(frozen=True, kw_only=True)
class PathLoss:
    """Log-distance path loss with log-normal shadowing.

    PL(d) = 20 log10(4 pi d0 f / c) + 10 n log10(d / d0) + X, in dB, with X ~ N(0, sigma^2)
    (Rappaport, Wireless Communications, section 4.9; d0 = 1 m).

    Parameters
    ----------
    carrier_hz : float
        Carrier frequency [Hz].
    exponent : float
        Path-loss exponent n [1].
    shadowing_std_db : float
        Standard deviation sigma of the shadowing [dB].
    reference_loss_db : float, optional
        Loss at the reference distance d0 [dB]; default that of free space at the carrier.
    """

    carrier_hz: float
    exponent: float = 3.0
    shadowing_std_db: float = 0.0
    reference_loss_db: float | None = None

    def __post_init__(self) -> None:
        for name, value, low in (
            ("carrier_hz", self.carrier_hz, 0.0),
            ("exponent", self.exponent, 0.0),
            ("shadowing_std_db", self.shadowing_std_db, -1e-300),
        ):
            if not (math.isfinite(value) and value > low):
                raise InvalidInput(
                    name, value, "a finite positive number", "Give the value in the unit that the name ends in."
                )

    def loss_db(self, distance_m: float, shadowing_db: float = 0.0) -> float:
        """Path loss at a distance of at least 1 m [dB].

        Raises
        ------
        InvalidInput
            Where the distance is below the reference distance of 1 m or not finite.
        """
        if not (math.isfinite(distance_m) and distance_m >= 1.0):
            raise InvalidInput("distance_m", distance_m, "at least the reference distance of 1 m", "Move the user.")
        reference_db = self.reference_loss_db
        if reference_db is None:
            reference_db = 20 * math.log10(4 * math.pi * self.carrier_hz / SPEED_OF_LIGHT_M_PER_S)
        return reference_db + 10 * self.exponent * math.log10(distance_m) + shadowing_db

    def draw_shadowing_db(self, seed: int, users: int) -> np.ndarray:
        """Shadowing of each user from a seed, shape (users,) [dB]."""
        return self.shadowing_std_db * np.random.default_rng(seed).standard_normal(users)


def noise_density_w_per_hz(noise_figure_db: float = 0.0, temperature_k: float = 290.0) -> float:
    """Noise density k T F of a receiver [W/Hz]; times the band it is the noise power."""
    return BOLTZMANN_J_PER_K * temperature_k * db_to_linear(noise_figure_db)


def received_w(transmit_w: float, loss_db: float, antenna_gain_db: float = 0.0) -> float:
    """Received power [W]."""
    return transmit_w * db_to_linear(antenna_gain_db - loss_db)


def snr_hz(transmit_w: float, loss_db: float, *, noise_figure_db: float, antenna_gain_db: float = 0.0) -> float:
    """SNR-bandwidth product g = P_received / N0 [Hz]."""
    return received_w(transmit_w, loss_db, antenna_gain_db) / noise_density_w_per_hz(noise_figure_db)


def snr(snr_product_hz: float, bandwidth_hz: float) -> float:
    """SNR of a user on a band: g / b [1]; the noise grows with the band."""
    return snr_product_hz / bandwidth_hz
