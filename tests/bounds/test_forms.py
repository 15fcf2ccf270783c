"""Single-user forms, thresholds, the balance point and generation splitting."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import GenerationSplitProblem, InvalidInput, bounds, solve
from megdt_opt.bounds.checks import precise
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.timing.published import published_profile
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

ALONE = bounds.Alone(
    steps=10, edge_step_s=0.02, device_step_s=0.2, edge_encode_s=0.01, device_encode_s=0.05, edge_decode_s=0.04,
    device_decode_s=0.3, compress_s=0.02, decompress_s=0.03, request_bit=1e3, image_bit=2e6, seed_bit=3e5,
    handover_bit=6e5, handover_up_bit=7e5, uplink_bit_per_s=1e6, downlink_bit_per_s=2e6, edge_share=0.5,
    propagation_s=0.005,
)  # fmt: skip


def test_forms_of_one_user_by_hand() -> None:
    assert bounds.local_s(ALONE) == pytest.approx(0.05 + 2.0 + 0.3)
    assert bounds.e2u_s(ALONE) == pytest.approx(0.001 + 0.21 / 0.5 + 0.15 + 0.3 + 0.01)
    assert bounds.centralised_s(ALONE) == pytest.approx(0.001 + (0.21 + 0.04 + 0.02) / 0.5 + 1.0 + 0.03 + 0.01)
    assert bounds.seu_s(ALONE, 4) == pytest.approx(0.05 + 0.001 + 0.09 / 0.5 + 0.3 + 1.2 + 0.3 + 0.01)
    assert bounds.seu_device_first_s(ALONE, 4) == pytest.approx(0.05 + 0.8 + 0.7 + 0.12 / 0.5 + 0.15 + 0.3 + 0.01)
    kept = replace(ALONE, shown_at="edge")
    assert bounds.centralised_s(kept) == pytest.approx(0.001 + 0.25 / 0.5 + 0.005)
    assert bounds.seu_device_first_s(kept, 4) == pytest.approx(0.05 + 0.8 + 0.7 + 0.16 / 0.5 + 0.005)


def test_the_best_cut_alone_is_an_end() -> None:
    assert bounds.best_seu(ALONE)[0] == 9  # the edge is faster even at half a server
    assert bounds.best_seu_device_first(ALONE)[0] == 1
    slow = replace(ALONE, edge_share=0.05)
    assert bounds.best_seu(slow)[0] == 1
    assert bounds.best_seu_device_first(slow)[0] == 9


def test_forms_refuse_what_they_are_not_about() -> None:
    for wrong in (0, 10, 2.5, True):
        with pytest.raises(InvalidInput, match="hand-over inside the chain"):
            bounds.seu_s(ALONE, wrong)  # type: ignore[arg-type]
    kept = replace(ALONE, shown_at="edge")
    for form in (bounds.e2u_s, bounds.peu_s, lambda x: bounds.seu_s(x, 2)):
        with pytest.raises(InvalidInput, match="shown_at"):
            form(kept)
    with pytest.raises(InvalidInput, match="edge_share.*above 0"):
        replace(ALONE, edge_share=0.0)
    with pytest.raises(InvalidInput, match="seed_bit.*at least 0"):
        replace(ALONE, seed_bit=-1.0)
    with pytest.raises(InvalidInput, match="whole number of steps"):
        replace(ALONE, steps=2.5)  # type: ignore[type-var]


def test_published_timings_put_the_download_threshold_where_the_paper_reads_it() -> None:
    """SD1.5 on a Galaxy S25: about 40 Mbit/s against raw pixels, about 2 Mbit/s against a 0.6 Mbit JPEG."""
    decode_s = published_profile("Samsung Galaxy S25", "SD1.5").stage_s("decode")
    terms = {"seed_bit": 16_384 * 16.0, "device_decode_s": decode_s, "edge_decode_s": 0.030}
    raw = bounds.download_threshold_bit_per_s(image_bit=786_432 * 8.0, **terms)
    jpeg = bounds.download_threshold_bit_per_s(image_bit=0.6e6, **terms)
    assert raw == pytest.approx(40e6, rel=0.05)
    assert jpeg == pytest.approx(2e6, rel=0.2)


def test_threshold_cases() -> None:
    terms = {"device_decode_s": 0.3, "edge_decode_s": 0.05}
    threshold = bounds.download_threshold_bit_per_s(image_bit=2e6, seed_bit=1e6, **terms)
    assert threshold == pytest.approx(1e6 / 0.25)
    assert bounds.download_threshold_bit_per_s(image_bit=1e6, seed_bit=1e6, **terms) == 0.0
    busy = bounds.download_threshold_bit_per_s(image_bit=2e6, seed_bit=1e6, edge_share=0.1, **terms)
    assert math.isinf(busy)  # a tenth of the edge decodes more slowly than the device
    assert bounds.download_threshold_hz(threshold, efficiency=4.0) == pytest.approx(1e6)
    assert math.isinf(bounds.download_threshold_hz(threshold, snr_hz=threshold * math.log(2) * 0.99))
    band = bounds.download_threshold_hz(threshold, snr_hz=1e8)
    assert band == pytest.approx(precise.shannon_band_hz(threshold, 1e8), rel=EXACT)
    with pytest.raises(InvalidInput, match="E2U wins above the rate"):
        bounds.download_threshold_bit_per_s(image_bit=1e6, seed_bit=2e6, edge_share=0.1, **terms)
    with pytest.raises(InvalidInput, match="exactly one"):
        bounds.download_threshold_hz(1e6)


def test_devices_join_in_at_half_the_crowd_for_the_mean() -> None:
    terms = {"local_s": 6.1, "remote_fixed_s": 0.1, "remote_shared_s": 1.0}
    assert bounds.device_joins_in(6, **terms).at_edge == 6
    assert bounds.device_joins_in(6, **terms, objective="sum").at_edge == 3
    assert bounds.device_joins_in(7, **terms).objective_s == pytest.approx(6.1)
    for wrong in ({"users": 0}, {"objective": "mean"}, {"remote_shared_s": 0.0}):
        with pytest.raises(InvalidInput):
            bounds.device_joins_in(**({"users": 2} | terms | wrong))  # type: ignore[arg-type]


def test_balance_and_its_clamps() -> None:
    terms = {"edge_constant_s": 0.5, "edge_whole_s": 2.0, "device_constant_s": 0.25, "device_whole_s": 6.0}
    found = bounds.peu_balance(**terms)
    assert (found.share, found.clamped) == (pytest.approx(5.75 / 8), "")
    assert found.latency_s == pytest.approx(0.5 + 2 * found.share)
    assert bounds.peu_balance(**terms, share_max=0.5).clamped == "edge first"
    assert bounds.peu_balance(**terms, share_min=0.8).clamped == "device first"
    late = bounds.peu_balance(**(terms | {"edge_constant_s": 9.0}))
    assert (late.share, late.clamped) == (0.0, "device first")
    for wrong in ({"share_min": 0.7, "share_max": 0.6}, {"share_max": 1.5}, {"edge_whole_s": math.nan}):
        with pytest.raises(InvalidInput):
            bounds.peu_balance(**(terms | wrong))


positive = st.floats(1e-3, 1e3)


@given(positive, positive, st.floats(0.02, 0.98), positive, positive, st.floats(0, 1))
def test_splitting_is_never_beaten(
    edge: float, device: float, k: float, eps: float, power: float, least: float
) -> None:
    p = GenerationSplitProblem(
        edge_s=edge, device_s_at_1_w=device, exponent=k, payload_bit=1e5, rate_bit_per_s=1e6, energy_max_j=eps,
        power_max_w=power, share_min=least,
    )  # fmt: skip
    found = solve(p)
    seen = p.evaluate(found.share, found.power_w)
    assert seen.violation <= EXACT
    assert (found.latency_s, found.energy_j) == (seen.latency_s, seen.energy_j)
    for share in np.linspace(least, 1.0, 41):
        other = p.evaluate(float(share), p.power_w(1 - float(share)))
        assert found.latency_s <= other.latency_s * (1 + EXACT)
    gains = p.fastest_device_s < p.whole_edge_s * (1 - 1e-9) and least < 0.99
    if gains and eps / (p.power_max_w * p.fastest_device_s) > 1e-9:
        assert found.latency_s < p.whole_edge_s
    if p.fastest_device_s > p.whole_edge_s:
        assert (found.share, found.power_w, found.latency_s) == (1.0, 0.0, p.whole_edge_s)


CASE = GenerationSplitProblem(
    edge_s=2.0, device_s_at_1_w=3.0, exponent=0.5, payload_bit=1e6, rate_bit_per_s=1e6, energy_max_j=2.0,
    power_max_w=4.0,
)  # fmt: skip


def test_splitting_at_its_edges() -> None:
    tied = replace(CASE, edge_s=CASE.fastest_device_s, payload_bit=0.0)
    assert tied.whole_edge_s == tied.fastest_device_s
    found = solve(tied)
    assert found.share == pytest.approx(1 - tied.energy_max_j / (tied.power_max_w * tied.fastest_device_s))
    assert found.share_tied_max == 1.0
    assert found.latency_s == pytest.approx(tied.whole_edge_s)
    for idle in (replace(CASE, energy_max_j=0.0), replace(CASE, share_min=1.0)):
        found = solve(idle)
        assert (found.share, found.power_w, found.energy_j) == (1.0, 0.0, 0.0)
    steep = replace(CASE, exponent=0.01, energy_max_j=1e-3)  # (1-k)/k = 99: only logarithms survive
    truth = precise.split_latency_s(
        whole_edge_s=3.0, device_s_at_1_w=3.0, exponent=0.01, energy_max_j=1e-3, power_max_w=4.0, share_min=0.0
    )
    assert solve(steep).latency_s == pytest.approx(truth, rel=EXACT)


@pytest.mark.parametrize(
    "change",
    [{"exponent": 1.0}, {"share_min": 1.1}, {"rate_bit_per_s": 0.0}, {"energy_max_j": -1.0}, {"edge_s": math.inf}],
)
def test_a_wrong_splitting_problem_is_named(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(change))):
        replace(CASE, **change)


def test_the_power_cone_program_finds_the_closed_form() -> None:
    for eps in (0.1, 2.0, 50.0):
        p = replace(CASE, energy_max_j=eps)
        solved, closed = solve(p, method="energy_delay", gap=1e-8), solve(p)
        assert solved.latency_s == pytest.approx(closed.latency_s, rel=SOLVER)
        assert solved.lower_bound_s <= closed.latency_s * (1 + BOUND)
        assert (solved.status, closed.status) == ("feasible", "optimal")
        assert p.evaluate(solved.share, solved.power_w).violation <= EXACT


def test_solve_dispatches_on_the_class() -> None:
    with pytest.raises(InvalidInput, match="GenerationSplitProblem"):
        solve(CASE, method="prices")
    one = AllocationProblem(
        fixed_s=[[1.0]], downlink_bit=[[0.0]], uplink_bit=[[0.0]], edge_work_s=[[0.0]], downlink_hz=1.0, uplink_hz=1.0
    )
    with pytest.raises(InvalidInput, match="energy_delay"):
        solve(one, method="energy_delay")


def test_the_front_is_drawn() -> None:
    pd = pytest.importorskip("pandas")
    from megdt_opt.plot import pareto_figure

    front = bounds.energy_delay_front(CASE)
    assert front.latency_s[0] == CASE.whole_edge_s
    assert (np.diff(front.latency_s) <= 0).all()
    assert (front.energy_j <= front.energy_max_j * (1 + EXACT)).all()
    figure = pareto_figure(pd.DataFrame(vars(front)), "energy_j", "latency_s", curve=True)
    drawn = figure.axes[0].lines[0].get_xydata()
    assert len(drawn) > 10
    with pytest.raises(InvalidInput, match="energy_max_j"):
        bounds.energy_delay_front(CASE, 1.0)
