"""Link budget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.radio.path_loss import BOLTZMANN_J_PER_K, PathLoss, noise_density_w_per_hz, received_w, snr, snr_hz


def test_free_space_loss_of_a_textbook_case() -> None:
    # 2.4 GHz at 100 m in free space: 80.05 dB (20 log10 d + 20 log10 f - 147.55)
    assert PathLoss(carrier_hz=2.4e9, exponent=2.0).loss_db(100.0) == pytest.approx(80.05, abs=0.01)


def test_thermal_noise_is_minus_174_dbm_per_hz() -> None:
    dbm = 10 * math.log10(noise_density_w_per_hz() * 1e3)
    assert dbm == pytest.approx(-173.98, abs=0.01)
    assert noise_density_w_per_hz(3.0103) == pytest.approx(2 * BOLTZMANN_J_PER_K * 290, rel=1e-5)


def test_snr_falls_with_the_band() -> None:
    g = snr_hz(0.2, 100.0, noise_figure_db=7.0)
    assert g == pytest.approx(received_w(0.2, 100.0) / noise_density_w_per_hz(7.0))
    assert snr(g, 2e6) == pytest.approx(snr(g, 1e6) / 2)


def test_shadowing_follows_its_seed() -> None:
    loss = PathLoss(carrier_hz=3.5e9, shadowing_std_db=8.0)
    assert np.array_equal(loss.draw_shadowing_db(1, 5), loss.draw_shadowing_db(1, 5))
    assert not np.array_equal(loss.draw_shadowing_db(1, 5), loss.draw_shadowing_db(2, 5))
    assert loss.draw_shadowing_db(3, 4000).std() == pytest.approx(8.0, rel=0.05)


@pytest.mark.parametrize("distance_m", [0.5, math.nan, math.inf])
def test_refuses_distances(distance_m: float) -> None:
    with pytest.raises(InvalidInput, match="distance_m"):
        PathLoss(carrier_hz=1e9).loss_db(distance_m)


def test_refuses_a_carrier_that_is_no_number() -> None:
    with pytest.raises(InvalidInput, match="carrier_hz"):
        PathLoss(carrier_hz=math.nan)
