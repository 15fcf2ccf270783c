"""A part of the fuzzing of `experiments/fuzz.py`: bad and extreme problems end in a right answer or a clear error."""

from __future__ import annotations

from dataclasses import replace

import fuzz_judge
import pytest
from fuzz import table
from fuzz_judge import Report, judge
from fuzz_problems import draw_case

from megdt_opt import AllocationProblem, solve

SEED = 3
BLOCKS = 26
PER_BLOCK = 10


@pytest.mark.long_list
@pytest.mark.parametrize("block", range(BLOCKS))
def test_malformed_problems(block: int) -> None:
    numbers = range(block * PER_BLOCK, (block + 1) * PER_BLOCK)
    reports = [judge(draw_case(5 * n + n % 2, SEED), ("numpy",), timed=False) for n in numbers]
    assert not [r.wrong for r in reports if r.wrong]
    assert all(r.kind == "malformed" for r in reports)


@pytest.mark.long_list
@pytest.mark.parametrize("number", [5 * n + 2 + n % 3 for n in range(40)])
def test_extreme_problems(number: int) -> None:
    report = judge(draw_case(number, SEED), ("numpy", "enumerate"), timed=False)
    assert not report.wrong


@pytest.mark.parametrize("number", [256, 298, 385, 604, 1049, 1255])
def test_limited_problems_that_were_not_closed_once(number: int) -> None:
    """Levels that were taken for proven though limits alone used up a budget; multipliers that rounding put beside the
    weight, which a certificate then did without."""
    assert not judge(draw_case(number, 2, limited=True), ("compiled", "enumerate"), timed=False).wrong


def test_a_level_that_leaves_next_to_no_time_warns_of_nothing() -> None:
    assert not judge(draw_case(737, 3, limited=True), ("compiled", "enumerate"), timed=False).wrong


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(300))
def test_limited_problems(number: int) -> None:
    report = judge(draw_case(number, SEED, limited=True), ("compiled", "enumerate"), timed=False)
    assert report.kind == "limited"
    assert not report.wrong


def test_the_judge_sees_what_is_wrong() -> None:
    """A route whose answer is worse, or whose error is foreign, does not pass."""
    case = replace(draw_case(2, SEED), gap=1e-6)
    usual = AllocationProblem(
        fixed_s=[[1.0, 2.0]], downlink_bit=[[1.0, 0.0]], uplink_bit=[[0.0, 0.0]], edge_work_s=[[1.0, 0.5]],
        downlink_hz=1.0, uplink_hz=1.0, downlink_efficiency=[1.0],
    )  # fmt: skip
    best = solve(usual)
    assert not fuzz_judge._wrong(usual, case, best, best.objective_s)
    assert fuzz_judge._wrong(usual, case, best, best.objective_s * 0.9)
    assert fuzz_judge._wrong(usual, case, replace(best, objective_s=best.objective_s * 0.9), best.objective_s)
    assert fuzz_judge._wrong(usual, case, replace(best, certificate=None), best.objective_s)
    wide = replace(best, lower_bound_s=best.lower_bound_s * 0.9, gap=0.1, status="feasible")
    assert not fuzz_judge._wrong(usual, case, wide, best.objective_s)
    assert fuzz_judge._wrong(usual, replace(case, kind="limited"), wide, best.objective_s)
    report = Report(0, "extreme")

    def fail() -> None:
        raise ZeroDivisionError

    fuzz_judge._attempt(report, "numpy", fail)
    assert report.outcomes["numpy"] == "WRONG"
    assert "1 with something wrong" in table([report])
