"""Reports of plans whose edge makes batches show the batches, and what the plan is compared with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sample_run import execution_of, pictures_of, small_scenario

from megdt_opt import Plan, Scenario, TimingProfile, plan
from megdt_opt.planning.baselines import RESERVED_SHARES
from megdt_opt.planning.in_batches import COMMON
from megdt_opt.program.batches import batched_step
from megdt_opt.report.caveats import caveats
from megdt_opt.report.cost_grids import cost_grid
from megdt_opt.report.page import page_text
from megdt_opt.report.plan_grids import baseline_grid, batch_grid, plan_grid
from megdt_opt.report.result import result_text
from megdt_opt.report.timeline import timeline_figure


@pytest.fixture(scope="module")
def made() -> Plan:
    """The small cell with an edge in batches, by a profile that has some."""
    data = small_scenario().model_dump(mode="json", exclude_none=True)
    data["edge"]["discipline"] = "batched"
    data["objective"] = "sum"
    for user in data["users"]:
        for field in ("deadline_s", "mechanisms", "shown_at"):
            user.pop(field, None)
    return plan(Scenario(**data), {"here": TimingProfile.bundled("twin-cpu")})


def test_tables_have_the_batches(made: Plan) -> None:
    grid = plan_grid(made)
    assert "edge share [%]" not in grid.headers
    cells = [row[grid.headers.index("batches")] for row in grid.rows]
    for cell, user in zip(cells, made.users, strict=True):
        numbers = () if user.batched is None else user.batched.numbers
        assert cell == (f"{numbers[0] + 1} to {numbers[-1] + 1}" if numbers else "–")
    lines = batch_grid(made).rows
    assert lines
    assert len(lines) <= len(made.batches)
    assert lines[0][-1] == ", ".join(made.users[k].name for k in made.batches[0])
    assert any("a step of X chains takes" in note for note in grid.notes)


def test_waiting_is_that_for_batches(made: Plan) -> None:
    assert any("Waiting for batches: " in note for note in cost_grid(made).notes)


def test_baselines_have_reserved_shares_and_one_common_batch_in_words(made: Plan) -> None:
    grid = baseline_grid(made)
    assert {RESERVED_SHARES, COMMON} <= {row[0] for row in grid.rows}
    assert any(COMMON in note for note in grid.notes)
    assert "in batches by the fitted law" in caveats(made)[0]


def test_the_timeline_has_a_line_between_batches_as_predicted_and_as_measured(made: Plan) -> None:
    done = execution_of(made, late=False)
    users = {user.name: user for user in made.users if user.batched is not None}
    rows = [
        replace(row, step_s=users[row.user].batched.times_s)
        if row.user in users and row.index == batched_step(users[row.user].program)
        else row
        for row in done.rows
    ]
    figure = timeline_figure(made, replace(done, rows=tuple(rows)))
    lines = [len(one.get_segments()) for one in figure.axes[0].collections if hasattr(one, "get_segments")]
    between = [len(user.batched.numbers) - 1 for user in users.values() if user.batched is not None]
    assert sorted(n for n in lines if n) == sorted(n for n in 2 * between if n)


def test_waiting_for_the_first_batch_is_drawn_as_predicted_and_as_measured(made: Plan) -> None:
    waiting = [user for user in made.users if user.batched is not None and user.batched.waiting_s > 1e-9]
    assert waiting
    done = execution_of(made, late=False)
    starts = {user.name: batched_step(user.program) for user in made.users}
    rows = [replace(row, waiting_s=0.5 if row.index == starts[row.user] else 0.0) for row in done.rows]
    plain = timeline_figure(made, replace(done, rows=tuple(replace(row, waiting_s=0.0) for row in rows)))
    drawn = timeline_figure(made, replace(done, rows=tuple(rows)))
    (before,), (after,) = ([len(axes.collections) for axes in figure.axes] for figure in (plain, drawn))
    assert after == before + sum(user.batched is not None for user in made.users)
    assert "waits for its batch" in [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    for user in waiting:
        assert user.batched is not None
        before_s = [t.start_s + t.duration_s for t in user.stages[: batched_step(user.program)]]
        assert user.batched.ready_s == pytest.approx(before_s[-1], rel=1e-9)


def test_the_page_and_the_result_have_the_batches(made: Plan) -> None:
    done = execution_of(made, late=False)
    result = json.loads(result_text(made, done, None, pictures_of(made)))
    for stated, user in zip(result["users"], made.users, strict=True):
        assert ("batches" in stated) == (user.batched is not None)
        if user.batched is not None:
            assert tuple(stated["batches"]["numbers"]) == user.batched.numbers
    text = page_text(made)
    assert "in one pass with" in text
    assert "Batches" in text
