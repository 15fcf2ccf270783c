"""Reports of plans whose edge serves in turns show the turns, the waiting for them, and the best of reserved shares."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sample_run import execution_of, make_plan, pictures_of, small_scenario

from megdt_opt.planning.baselines import RESERVED_SHARES
from megdt_opt.planning.plan import Plan
from megdt_opt.program.turns import first_in_turn
from megdt_opt.report.cost_grids import cost_grid
from megdt_opt.report.page import page_text
from megdt_opt.report.plan_grids import baseline_grid, plan_grid
from megdt_opt.report.result import result_text
from megdt_opt.report.timeline import timeline_figure
from megdt_opt.scenario.scenario import Scenario


@pytest.fixture(scope="module")
def made() -> Plan:
    """The small cell with an edge in turns."""
    data = small_scenario().model_dump(mode="json", exclude_none=True)
    data["edge"]["discipline"] = "in_turns"
    for user in data["users"]:
        user.pop("deadline_s", None)
        user.pop("mechanisms", None)
    return make_plan(Scenario(**data))


def test_the_table_of_the_plan_has_the_turns_in_place_of_shares(made: Plan) -> None:
    grid = plan_grid(made)
    assert "edge share [%]" not in grid.headers
    places = [row[grid.headers.index("turn")] for row in grid.rows]
    assert places == ["–" if user.turn is None else str(user.turn.place + 1) for user in made.users]
    assert any("users may send" in note for note in grid.notes)
    assert "turn" not in plan_grid(make_plan(small_scenario(), compare=False)).headers


def test_the_table_of_baselines_has_reserved_shares_and_says_what_they_are(made: Plan) -> None:
    grid = baseline_grid(made)
    assert RESERVED_SHARES in [row[0] for row in grid.rows]
    assert any(RESERVED_SHARES in note for note in grid.notes)


def test_waiting_is_drawn_as_predicted_and_as_measured(made: Plan) -> None:
    waiting = [user for user in made.users if user.turn is not None and user.turn.waiting_s > 1e-9]
    assert waiting
    done = execution_of(made, late=False)
    rows = [
        replace(row, waiting_s=0.5 if row.user == user.name and row.index == first_in_turn(user.program) else 0.0)
        for user in made.users
        for row in done.rows
        if row.user == user.name
    ]
    turns = sum(user.turn is not None for user in made.users)
    plain = timeline_figure(made, replace(done, rows=tuple(replace(row, waiting_s=0.0) for row in rows)))
    drawn = timeline_figure(made, replace(done, rows=tuple(rows)))
    (before,), (after,) = ([len(axes.collections) for axes in figure.axes] for figure in (plain, drawn))
    assert after == before + turns
    told = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    assert "waits for its turn" in told
    reserved = make_plan(small_scenario(), compare=False)
    figure = timeline_figure(reserved, execution_of(reserved, late=False))
    assert "waits for its turn" not in [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def test_the_page_and_the_result_have_the_turns(made: Plan) -> None:
    done = execution_of(made, late=False)
    result = json.loads(result_text(made, done, None, pictures_of(made)))
    stated = [user.get("turn") for user in result["users"]]
    assert [None if turn is None else turn["place"] for turn in stated] == [
        None if user.turn is None else user.turn.place for user in made.users
    ]
    assert "waits for it [s]" in page_text(made)


def test_the_costs_say_for_how_long_users_wait_for_their_turns(made: Plan) -> None:
    (note, *_) = cost_grid(made).notes
    assert "Waiting for turns" in note
    assert "shares are reserved" in cost_grid(make_plan(small_scenario(), compare=False)).notes[0]
