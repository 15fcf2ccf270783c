"""Fits and intervals against data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt.errors import ProfileError
from megdt_opt.timing.fit import affine_fit, bootstrap_medians, expected_byte, median_interval


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.005), (1.5, 0.0), (0.02, -0.004)])
def test_exact_affine_data_is_recovered(a: float, b: float) -> None:
    sizes = (1, 2, 4, 8)
    fit = affine_fit(sizes, [(a * x + b,) * 5 for x in sizes])
    assert fit.a_s == pytest.approx(a, rel=1e-12)
    assert fit.b_s == pytest.approx(b, abs=1e-12)
    assert fit.r2 == pytest.approx(1.0)
    assert fit.misfit == pytest.approx(0.0, abs=1e-12)
    assert fit.sizes == sizes
    assert fit.at(6) == pytest.approx(6 * a + b)
    low, high = fit.interval_at(6) or (0.0, 0.0)
    assert low == pytest.approx(high)


def test_two_sizes_are_interpolated_and_have_no_r2() -> None:
    fit = affine_fit((1, 4), [(1.0,), (2.5,)])
    assert fit.a_s == pytest.approx(0.5)
    assert fit.b_s == pytest.approx(0.5)
    assert fit.r2 is None


def test_equal_medians_have_no_r2() -> None:
    assert affine_fit((1, 2, 4), [(1.0,), (1.0,), (1.0,)]).r2 is None


def test_a_curved_cost_shows_as_misfit_and_widens_the_interval() -> None:
    sizes = (1, 2, 4, 8)
    fit = affine_fit(sizes, [(x**1.3,) * 9 for x in sizes])
    assert fit.misfit > 0.02
    low, high = fit.interval_at(3) or (0.0, 0.0)
    assert high / low > 1.04


def test_published_figures_have_no_interval() -> None:
    fit = affine_fit((1, 4), [(1.0,), (2.5,)], certain=True)
    assert fit.a_interval_s is None
    assert fit.b_interval_s is None
    assert fit.interval_at(2) is None


def test_a_time_that_is_not_positive_is_refused() -> None:
    fit = affine_fit((4, 8), [(1.0,), (3.0,)])
    with pytest.raises(ProfileError, match="fitted time at size 1"):
        fit.at(1)


def test_the_median_interval_is_the_textbook_one() -> None:
    # order statistics 2 and 9 of 10, 6 and 15 of 20, 10 and 21 of 30 (tables of the sign test)
    assert median_interval(range(1, 11)) == (2, 9)
    assert median_interval(range(1, 21)) == (6, 15)
    assert median_interval(range(1, 31)) == (10, 21)
    assert median_interval([3.0]) == (3.0, 3.0)
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def test_the_median_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    draws = np.exp(rng.normal(size=(2000, 20)))  # skewed, with median 1
    covered = [low <= 1.0 <= high for low, high in map(median_interval, draws)]
    assert 0.94 <= np.mean(covered) <= 0.98  # nominal 0.9586 at n = 20


def test_the_fit_interval_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    sizes = (1, 2, 4, 8)
    slope = prediction = 0
    trials = 150
    for _ in range(trials):
        samples = [list((0.01 * x + 0.004) * np.exp(rng.normal(0.0, 0.05, 20))) for x in sizes]
        fit = affine_fit(sizes, samples)
        low, high = fit.a_interval_s or (0.0, 0.0)
        slope += low <= 0.01 <= high
        low, high = fit.interval_at(3) or (0.0, 0.0)
        prediction += low <= 0.034 <= high
    assert slope / trials > 0.88  # the percentile bootstrap of a median is a little short at n = 20
    assert prediction / trials > 0.9


def test_the_bootstrap_is_reproducible() -> None:
    samples = [list(np.random.default_rng(seed).random(12)) for seed in range(3)]
    first, second = bootstrap_medians(samples), bootstrap_medians(samples)
    assert first.shape == (1000, 3)
    assert np.array_equal(first, second)


def test_without_a_reference_the_median_is_expected() -> None:
    assert expected_byte([10, 40, 30], [], 20) == 30
    assert expected_byte([10, 40, 30], [1, 2, 3], None) == 30
    assert expected_byte([10, 40, 30], [2, 2, 2], 5) == 30


def test_a_line_through_the_samples_is_found() -> None:
    reference = [100, 200, 300, 400]
    byte = [50 + 3 * n for n in reference]
    assert [expected_byte(byte, reference, n) for n in (100, 250, 400)] == [350, 800, 1250]


def test_an_expected_length_stays_near_the_measured_ones() -> None:
    reference, byte = [100, 200, 300], [1000, 2000, 3000]
    assert expected_byte(byte, reference, 100_000) == 4500
    assert expected_byte(byte, reference, 1) == round(1000 / 1.5)
