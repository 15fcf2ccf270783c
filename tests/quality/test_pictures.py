"""PSNR and SSIM against scikit-image's, and the Frechet distance against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.quality.pictures import frechet, psnr_db, spread, ssim


def pair(seed: int, noise: float, rows: int = 24, columns: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture in colour and a noisy copy, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    clean = 128 + 100 * np.sin(x / rng.uniform(2, 9))[..., None] * np.cos(y / rng.uniform(2, 9))[..., None]
    first = clean + rng.uniform(-20, 20, 3)
    second = first + noise * rng.standard_normal((rows, columns, 3))
    return tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (first, second))  # type: ignore[return-value]


@given(st.integers(0, 10_000), st.floats(0.5, 120))
def test_psnr_and_ssim_are_those_of_scikit_image(seed: int, noise: float) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    first, second = pair(seed, noise)
    assert psnr_db(second, first) == pytest.approx(metrics.peak_signal_noise_ratio(first, second), rel=1e-12)
    other = metrics.structural_similarity(
        first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
    )
    assert ssim(second, first) == pytest.approx(other, abs=1e-10)


def test_equal_pictures_have_the_best_figures() -> None:
    first, _ = pair(3, 0.0)
    assert psnr_db(first, first) == np.inf
    assert ssim(first, first) == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_frechet_distance_of_scaled_and_moved_features_is_its_closed_form(scale: float) -> None:
    rng = np.random.default_rng(1)
    base = rng.standard_normal((400, 5))
    moved = scale * base + 0.3
    centre, cov = base.mean(axis=0), np.cov(base, rowvar=False)
    step = (scale - 1) * centre + 0.3
    assert frechet(moved, base) == pytest.approx(step @ step + (scale - 1) ** 2 * np.trace(cov), rel=1e-6)
    assert spread(base + 2.0, base) == pytest.approx(0.0, abs=1e-6)  # the same whatever pictures are left out
