"""Airtime limits where the band is far above the signal: the rate hardly grows with it, so that floats place the least
share with few digits."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.certificate.allocation import ExactTable, ExactValuer, FloatValuer
from megdt_opt.certificate.tree import Leaf, Part
from megdt_opt.pricing.scaled import UPLINK, Resources
from megdt_opt.radio.rates import bend
from megdt_opt.solving import compiled
from megdt_opt.tolerances import SOLVER


def drawn(rng: np.random.Generator, objective: str) -> AllocationProblem:
    """One to three users with one or two options, and limits that leave each about its part of the band or more."""
    users, options = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    shape = (users, options)
    band_hz = 10.0 ** rng.uniform(0, 9)
    snr_hz = band_hz * 10.0 ** rng.uniform(-12, 1, users)
    bits = 10.0 ** rng.uniform(-2, 3, shape) * snr_hz[:, None]
    needed_hz = band_hz * rng.uniform(0.01, 1.2 / users, shape)
    airtime_s = bits / (needed_hz * np.log1p(snr_hz[:, None] / needed_hz) / np.log(2.0))
    return AllocationProblem(
        fixed_s=rng.uniform(0, 2, shape), downlink_bit=np.zeros(shape), uplink_bit=bits,
        edge_work_s=rng.uniform(0, 5, shape), downlink_hz=1.0, uplink_hz=band_hz, uplink_snr_hz=snr_hz,
        downlink_snr_hz=np.ones(users), objective=objective,
        uplink_airtime_max_s=np.where(rng.random(shape) < 0.2, np.inf, airtime_s),
    )  # fmt: skip


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "numpy"])
def test_the_optimum_is_found_and_proven_exactly(
    objective: str, is_compiled: bool, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "usable", lambda _: is_compiled)
    rng = np.random.default_rng(1)
    for _ in range(200 if full else 20):
        problem = drawn(rng, objective)
        try:
            least = solve(problem, "enumerate").objective_s
        except Infeasible:
            with pytest.raises(Infeasible):
                solve(problem, "prices")
            continue
        found = solve(problem, "prices")
        assert found.status == "optimal"
        assert found.objective_s == pytest.approx(least, rel=SOLVER)
        assert found.certificate is not None
        for exact in (True, False):
            assert found.certificate.verify(problem, exact=exact).holds


@pytest.mark.parametrize("flat", [1.0, 1e-3, 1e-6, 1e-9, 1e-12])
def test_a_least_share_is_below_the_exact_one_by_what_its_rate_is_rounded_by(flat: float) -> None:
    """The least share of the certificate is the exact one but for 40 digits: see `ExactTable`."""
    rng = np.random.default_rng(2)
    snr_hz = flat * rng.uniform(0.5, 2.0, 20)
    needed = rng.uniform(0.1, 0.9, 20)
    bits = needed * np.log1p(snr_hz / needed) / np.log(2.0)
    some = np.ones((20, 1))
    problem = AllocationProblem(
        fixed_s=some, downlink_bit=0 * some, uplink_bit=bits[:, None], edge_work_s=some, downlink_hz=1.0, uplink_hz=1.0,
        uplink_snr_hz=snr_hz, downlink_snr_hz=np.ones(20), uplink_airtime_max_s=some, objective="sum",
    )  # fmt: skip
    resources = Resources.of(problem)
    table = ExactTable(problem, resources, (1.0, 1.0, 1.0), None)
    for k, low in enumerate(resources.lo[UPLINK, :, 0].tolist()):
        part = table._part(UPLINK, k, 0)
        assert part is not None
        assert low <= part.lo
        u = snr_hz[[k]] / low
        grows = float((bend(u) / np.log1p(u))[0])  # the rate where the share does, both relatively
        assert low == pytest.approx(float(part.lo), rel=min(2e-14 / grows, 0.1))


@pytest.mark.parametrize("band_hz", [590513.5608759347, 1e6, 3e7])
def test_least_shares_of_a_flat_rate_are_proven(band_hz: float) -> None:
    """Where the band is far above the signal, an airtime limit that is just kept fixes the share to few digits only."""
    snr_hz = np.array([2.24, 7.77])
    fastest = band_hz * np.log2(1.0 + snr_hz / band_hz)
    # all options need nearly the whole band to keep their airtime, so that its price counts for each
    problem = AllocationProblem(
        fixed_s=[[1.0, 1.0], [0.0, 0.0]],
        downlink_bit=np.zeros((2, 2)),
        uplink_bit=[[1.0, 7.0], [3.0, 7.0]],
        edge_work_s=[[2.0, 2.0], [0.0, 0.0]],
        downlink_hz=2.0,
        uplink_hz=band_hz,
        uplink_snr_hz=snr_hz,
        uplink_airtime_max_s=np.array([[1.0, 7.0], [3.0, 7.0]]) / (fastest[:, None] * (1.0 - 1e-9)),
        objective="sum",
        weight=[2e4, 0.1],
    )
    resources = Resources.of(problem)
    nearly = resources.lo[1] > 0.0
    assert nearly.all()
    exact = ExactValuer(problem, resources)
    part = Part(Leaf((0.0, 1e6, 0.0)), problem.open_options, ())
    assert float(exact.value(part, None)) == pytest.approx(FloatValuer(problem, resources).value(part, None), rel=1e-3)
