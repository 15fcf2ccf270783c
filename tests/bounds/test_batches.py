"""Batches: pauses that go away, blocks, and what the propositions refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import BatchedEdgeProblem, InvalidInput, bounds, solve
from megdt_opt.bounds.checks.validation import validate

SETS = st.sets(st.integers(0, 4), min_size=1).map(lambda one: tuple(sorted(one)))


def ends(batches: tuple[tuple[int, ...], ...], slope: float, base: float) -> dict[int, float]:
    now, found = 0.0, {}
    for batch in batches:
        now += slope * len(batch) + base
        for k in batch:
            found[k] = now
    return found


@given(st.lists(SETS, max_size=9), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_nobody_ends_later_without_pauses(batches: list[tuple[int, ...]], slope: float, base: float) -> None:
    found = bounds.contiguous_batches(batches)
    before, after = ends(tuple(batches), slope, base), ends(found, slope, base)
    assert before.keys() == after.keys()
    for k, end in before.items():
        places = [j for j, batch in enumerate(found) if k in batch]
        assert len(places) == sum(k in batch for batch in batches)
        assert places == list(range(places[0], places[-1] + 1))
        assert after[k] <= end * (1 + 1e-12) + 1e-12


def test_both_propositions_hold_on_many_instances() -> None:
    for found in validate(60, 1, names=["chains without pauses", "blocks of batches"]):
        assert found.holds, found


def test_blocks_are_what_solve_finds() -> None:
    rng = np.random.default_rng(5)
    for users in (1, 4, 12):
        w, own = rng.uniform(0.3, 3.0, users), rng.exponential(2.0, users)
        found = bounds.batch_blocks(7, 0.1, 0.16, w, device_step_s=own)
        problem = BatchedEdgeProblem(
            steps=7, step_slope_s=0.1, step_base_s=0.16, device_step_s=own, after_s=np.zeros(users), weight=w,
            downlink_bit=np.zeros(users), downlink_hz=1.0, objective="sum",
        )  # fmt: skip
        best = solve(problem, gap=1e-10)
        assert best.objective_s == pytest.approx(found.objective_s, rel=1e-12)
        assert best.is_proven(problem, 1e-9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 0}, "steps: found 0"), ({"steps": 1.5}, "steps: found 1.5"),
        ({"step_slope_s": -1.0}, "step_slope_s: found -1.0"), ({"step_base_s": np.nan}, "step_base_s: found nan"),
        ({"step_slope_s": 0.0, "step_base_s": 0.0}, "step_slope_s: found 0.0"), ({"weight": []}, "weight"),
        ({"weight": [1.0, 0.0]}, r"weight \(user 1"), ({"device_step_s": [1.0]}, r"device_step_s: found \(1,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(changed: dict[str, object], said: str) -> None:
    fields = {"steps": 2, "step_slope_s": 0.1, "step_base_s": 0.2, "weight": [1.0, 2.0], **changed}
    with pytest.raises(InvalidInput, match=f"^{said}"):
        bounds.batch_blocks(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("batches", [[()], [(1, 0)], [(0, 0)], [(-1,)], [(0.5,)], [3]])
def test_what_is_no_batch_is_refused(batches: list[object]) -> None:
    with pytest.raises(InvalidInput, match=r"^batches \(batch 0\)"):
        bounds.contiguous_batches(batches)  # type: ignore[arg-type]
