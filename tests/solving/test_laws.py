"""What an option costs at given prices: the table of the Shannon law and the matched times, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from megdt_opt.solving.compiled.curve import HIGHEST, LOWEST, brink, curve, least_cost

F = NDArray[np.float64]


def test_the_table_is_exact_to_rounding() -> None:
    """Value, slope and curvature of the pieces, against Newton's method in the middle of each piece and at its ends."""
    table = curve()
    rng = np.random.default_rng(0)
    sigma = np.exp2(rng.uniform(LOWEST, HIGHEST, 20_000))
    octave = np.floor(np.log2(sigma))
    place = sigma / np.exp2(octave) - 1
    row = ((octave - LOWEST) * 64 + np.floor(place * 64)).astype(int)
    t = place * 64 - np.floor(place * 64)
    value = sum(table[row, n] * t**n for n in range(6))
    slope = sum(n * table[row, n] * t ** (n - 1) for n in range(1, 6)) * table[row, 6]
    exact, exact_slope, _ = least_cost(sigma)
    np.testing.assert_allclose(value, exact, rtol=3e-15)
    np.testing.assert_allclose(slope, exact_slope, rtol=1e-12)


def test_the_least_cost_is_the_least() -> None:
    """G against a fine grid of u, and its slope against a difference."""
    for sigma in (1e-6, 1e-3, 0.3, 4.0, 300.0):
        value, slope, bend = (float(v[0]) for v in least_cost(np.array([sigma])))
        u = np.exp(np.linspace(-12, 30, 400_001))
        assert value == pytest.approx(float((1 / u + sigma**2 * u / np.log1p(u)).min()), rel=1e-7)
        h = 1e-4 * sigma
        (above, *_), (below, *_) = least_cost(np.array([sigma + h])), least_cost(np.array([sigma - h]))
        assert slope == pytest.approx(float(above[0] - below[0]) / (2 * h), rel=1e-6)
        assert bend == pytest.approx(float(above[0] - 2 * value + below[0]) / h**2, rel=1e-4)


def test_the_brink_is_where_the_share_is_the_whole_budget() -> None:
    gamma = np.array([1e-2, 0.5, 3.0, 1e4, np.inf])
    edge, full = brink(gamma)
    assert (edge[-1], full[-1]) == (1.0, 1.0)
    np.testing.assert_allclose(full[:-1], 1 / np.log1p(gamma[:-1]))
    # just below it the best share is just below 1: gamma (G - sigma G' / 2)
    sigma = edge[:-1] / gamma[:-1]
    value, slope, _ = least_cost(sigma)
    np.testing.assert_allclose(gamma[:-1] * (value - 0.5 * sigma * slope), 1.0, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("curved", [False, True], ids=["linear", "shannon"])
def test_costs_of_options_agree_with_numpy(curved: bool) -> None:
    """Random demands, branches, limits and least shares, at random prices, against the NumPy form."""
    import numba

    from megdt_opt import AllocationProblem
    from megdt_opt.pricing.priced import priced
    from megdt_opt.pricing.scaled import Resources
    from megdt_opt.solving.compiled.driver import terms_of
    from megdt_opt.solving.compiled.kernels import Terms, law_of
    from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM, Three, option_at

    @numba.njit  # type: ignore[untyped-decorator]
    def costs(kind: int, terms: Terms, end: NDArray[np.int64], level: float, price: F, stop: float, out: F) -> None:
        r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
        for k in range(end.shape[0]):
            law = law_of(terms.cap, terms.gamma, terms.brink, terms.full, k)
            for j in range(end[k]):
                out[k, terms.ids[k, j]], _ = option_at(
                    kind, terms.weight[k], terms.fixed[k, j], terms.branch[k, j], terms.limit[k], level,
                    Three(terms.down[k, j], terms.up[k, j], terms.edge[k, j]), r, terms.least[k, j], law, terms.curve,
                    1.0, stop, 1e-8,
                )  # fmt: skip

    matched = closed = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, curved])
        shape = (6, 8)
        snr = rng.uniform(0.2, 20, (2, 6))
        links = {"uplink_snr_hz": snr[0], "downlink_snr_hz": snr[1]} if curved else {
            "uplink_efficiency": snr[0], "downlink_efficiency": snr[1]
        }  # fmt: skip
        problem = AllocationProblem(
            fixed_s=rng.uniform(0, 1, shape),
            downlink_bit=rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.8),
            uplink_bit=rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.8),
            edge_work_s=rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.8),
            device_branch_s=rng.uniform(0, 30, shape) * (rng.random(shape) < 0.5),
            uplink_airtime_max_s=rng.uniform(1, 60, shape),
            deadline_s=rng.uniform(5, 60, 6),
            downlink_hz=1.0, uplink_hz=1.0, edge_capacity=1.0,
            edge_share_max=rng.uniform(0.1, 1.0, 6),
            weight=rng.uniform(0.5, 2, 6),
            objective="sum" if seed % 2 else "max",
            **links,
        )  # fmt: skip
        resources = Resources.of(problem)
        terms, head, end = terms_of(problem, resources)
        price = np.exp(rng.uniform(-3, 4, 3)) * (rng.random(3) < 0.9)
        level = None if seed % 2 else float(rng.uniform(5, 40))
        truth = priced(problem, resources, price, level)
        out = np.full(shape, np.nan)
        costs(SUM if seed % 2 else MAX, terms, end, level or 0.0, price, np.inf, out)
        for k, o in np.argwhere((head == np.arange(8)) & resources.open):
            expected = truth.cost[k, o]
            if np.isinf(expected):
                assert out[k, o] >= HUGE
                closed += 1
                continue
            # the NumPy form matches times to about 1e-13 only, which large multipliers magnify
            assert out[k, o] == pytest.approx(expected, rel=1e-10, abs=1e-12), (seed, k, o)
            matched += abs(truth.mu[k, o] / problem.weights[k] - 1) > 1e-6
        # what stops early is a lower bound that is no less than where it stopped
        stop = float(np.nanmedian(out))
        early = np.full(shape, np.nan)
        costs(SUM if seed % 2 else MAX, terms, end, level or 0.0, price, stop, early)
        known = np.isfinite(out)
        np.testing.assert_allclose(early[known & (out < stop)], out[known & (out < stop)], rtol=1e-9)
        assert (early[known] <= out[known] * (1 + 1e-12)).all()
        assert (early[known & (out >= stop)] >= stop * (1 - 1e-12)).all()
    assert matched > 500
    assert closed > 20
