"""Samples in place of times: what is read, refused and evaluated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.families import draw

from megdt_opt import AllocationProblem, InvalidInput, solve
from megdt_opt.pricing.samples import Sampled
from megdt_opt.pricing.scaled import Resources

ONE: dict[str, Any] = {
    "fixed_samples_s": [[[1.0, 2.0, 3.0, 0.5]]], "edge_work_samples_s": [[[2.0, 1.0, 0.0, 4.0]]], "samples_kept": 3,
    "downlink_bit": [[4.0]], "uplink_bit": [[0.0]], "downlink_hz": 1.0, "uplink_hz": 1.0, "downlink_efficiency": [1.0],
    "objective": "sum",
}  # fmt: skip


@pytest.mark.parametrize(("kept", "share", "latency"), [(1, 1.0, 7.0), (2, 1.0, 7.0), (3, 0.5, 9.0), (4, 0.5, 12.5)])
def test_the_latency_is_the_level_of_the_samples(kept: int, share: float, latency: float) -> None:
    # fixed + work / share: 3, 3, 3, 4.5 at the whole edge and 5, 4, 3, 8.5 at half of it; the download takes 4 s
    problem = AllocationProblem(**{**ONE, "samples_kept": kept})
    answer = SimpleNamespace(option=[0], downlink_hz=[1.0], uplink_hz=[0.0], edge_share=[share])
    assert problem.evaluate(answer).latency_s.tolist() == [latency]


def test_one_sample_is_the_nominal_problem() -> None:
    plain = AllocationProblem(
        fixed_s=[[1.0, 4.0], [0.5, 3.0]], edge_work_s=[[2.0, 0.0], [1.0, 0.0]], downlink_bit=[[1.0, 0.0], [2.0, 0.0]],
        uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=4.0, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0],
    )  # fmt: skip
    sampled = AllocationProblem(
        fixed_samples_s=plain.fixed_s[:, :, None], edge_work_samples_s=plain.edge_work_s[:, :, None], samples_kept=1,
        downlink_bit=plain.downlink_bit, uplink_bit=plain.uplink_bit, downlink_hz=4.0, uplink_hz=0.0,
        downlink_efficiency=[1.0, 1.0],
    )  # fmt: skip
    assert solve(sampled, gap=1e-8).objective_s == pytest.approx(solve(plain, gap=1e-8).objective_s, rel=1e-7)


def test_pieces_are_nowhere_above_the_level() -> None:
    rng = np.random.default_rng(3)
    shape = (2, 3, 600)
    problem = AllocationProblem(
        fixed_samples_s=rng.lognormal(0, 0.5, shape), edge_work_samples_s=rng.lognormal(0, 0.5, shape),
        samples_kept=300, downlink_bit=np.zeros((2, 3)), uplink_bit=np.zeros((2, 3)), downlink_hz=1.0, uplink_hz=1.0,
        objective="sum",
    )  # fmt: skip
    sampled = Sampled(problem)
    assert sampled.joined
    for k, row in enumerate(sampled.pieces):
        for o, one in enumerate(row):
            assert one is not None
            u = np.geomspace(1.0, 1e4, 3000)
            place = np.searchsorted(one.start, u, side="right") - 1
            line = one.fixed_s[place] + one.work_s[place] * u
            level = sampled.true_level(k, o, u)
            assert (line <= level).all()
            assert (line >= 0.9 * level)[u < 100].all()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("samples_kept", 5, "at most 4, the number of samples .*Give more samples"),
        ("samples_kept", 0, "at least 1"), ("samples_kept", 1.5, "integer"), ("samples_kept", None, "samples_kept"),
        ("edge_work_samples_s", None, "edge_work_samples_s"), ("edge_work_samples_s", [[[1.0, 2.0]]], "shape"),
        ("fixed_samples_s", [[[1.0, -2.0, 3.0, 0.5]]], "user 0, option 0, sample 1"),
        ("fixed_samples_s", [[1.0, 2.0]], "fixed_samples_s"), ("fixed_s", [[1.0]], "fixed_s.*left out beside samples"),
        ("edge_work_s", [[1.0]], "edge_work_s.*left out"), ("device_branch_s", [[1.0]], "device_branch_s"),
        ("uplink_airtime_max_s", [[1.0]], "uplink_airtime_max_s"), ("deviation_budget", 1.0, "deviation_budget"),
        ("objective", "mixed", "objective|max_weight"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(field: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        AllocationProblem(**{**ONE, field: value})


def test_times_without_samples_are_still_needed() -> None:
    with pytest.raises(InvalidInput, match="fixed_s"):
        AllocationProblem(downlink_bit=[[1.0]], uplink_bit=[[0.0]], downlink_hz=1.0, uplink_hz=1.0)


def test_nothing_that_knows_no_samples_takes_them_in_silence() -> None:
    problem = AllocationProblem(**ONE)
    with pytest.raises(InvalidInput, match="samples_kept"):
        Resources.of(problem)
    with pytest.raises(InvalidInput, match="method"):
        solve(problem, method="enumerate")


@pytest.mark.parametrize(("objective", "seed"), [("sum", 0), ("sum", 1), ("max", 0)])
def test_options_that_have_little_in_common_are_solved_at_a_level(objective: str, seed: int) -> None:
    """Many samples, whose pieces are joined: what is found is near the bound all the same."""
    nominal = draw("table", 6, 5, objective, seed)
    factor = np.random.default_rng(seed).lognormal(0.0, 0.05, (2, 6, 5, 200))
    problem = AllocationProblem(
        fixed_samples_s=nominal.fixed_s[:, :, None] * factor[0],
        edge_work_samples_s=nominal.edge_work_s[:, :, None] * factor[1], samples_kept=192,
        downlink_bit=nominal.downlink_bit, uplink_bit=nominal.uplink_bit, downlink_hz=nominal.downlink_hz,
        uplink_hz=nominal.uplink_hz, edge_capacity=nominal.edge_capacity, edge_share_max=nominal.edge_share_max,
        weight=nominal.weight, downlink_efficiency=nominal.downlink_efficiency,
        uplink_efficiency=nominal.uplink_efficiency, objective=objective,
    )  # fmt: skip
    assert Sampled(problem).joined
    found = solve(problem, gap=0.02)
    assert found.gap <= 0.02
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
