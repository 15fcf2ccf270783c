"""Reports of plans over several edge servers call each by its name."""

from __future__ import annotations

import json

import pytest
from sample_run import execution_of, make_plan, pictures_of, small_scenario

from megdt_opt.planning.plan import Plan
from megdt_opt.report.caveats import caveats
from megdt_opt.report.lanes import colours_of
from megdt_opt.report.page import page_text
from megdt_opt.report.plan_grids import baseline_grid, plan_grid
from megdt_opt.report.profile_grids import provenance_grid
from megdt_opt.report.result import result_text
from megdt_opt.report.timeline import timeline_figure
from megdt_opt.scenario.scenario import Scenario


@pytest.fixture(scope="module")
def made() -> Plan:
    """The small cell with a second edge near to its first two users."""
    data = small_scenario().model_dump(mode="json", exclude_none=True)
    del data["edge"]
    data["edges"] = [
        {"name": "hall-1", "profile": "here", "stretch": 3, "memory_byte": 1e9},
        {"name": "hall-2", "profile": "here", "stretch": 5, "downlink_hz": 30e3, "uplink_hz": 30e3},
    ]
    data["users"] = data["users"][:3]
    for k, user in enumerate(data["users"]):
        user.pop("deadline_s", None)
        user.pop("energy_max_j", None)
        for side in ("downlink", "uplink"):
            field = f"{side}_efficiency_bit_per_s_per_hz"
            user[field] = {"hall-1": user[field] / (1 + 9 * (k < 2)), "hall-2": user[field] / (1 + 9 * (k >= 2))}
    return make_plan(Scenario(**data))


def test_the_table_of_the_plan_has_a_column_of_edges(made: Plan) -> None:
    grid = plan_grid(made)
    column = grid.headers.index("edge server")
    assert [row[column] for row in grid.rows] == [user.edge or "–" for user in made.users]
    assert len({user.edge for user in made.users if user.edge}) == 2
    assert "edge server" not in plan_grid(make_plan(small_scenario(), compare=False)).headers


def test_each_edge_has_its_colour_and_its_place_in_the_legend(made: Plan) -> None:
    figure = timeline_figure(made, execution_of(made, late=False))
    told = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert told == ["uplink", "compute at hall-1", "compute at hall-2", "downlink", "device compute"]
    colours = colours_of(["hall-1", "hall-2"])
    assert len(set(colours.values())) == len(colours)
    assert list(colours_of(["edge"])) == ["uplink", "edge compute", "downlink", "device compute"]


def test_baselines_sources_and_caveats_name_every_edge(made: Plan) -> None:
    choices = [row[0] for row in baseline_grid(made).rows]
    assert {"only hall-1", "only hall-2"} <= set(choices)
    actors = [row[0] for row in provenance_grid(made.table).rows]
    assert actors[:2] == ["hall-1", "hall-2"]
    told = " ".join(caveats(made))
    assert all(name in told for name in ("hall-1", "hall-2", "Memory counts"))


def test_result_and_page_name_the_edge_of_every_user(made: Plan) -> None:
    data = json.loads(result_text(made, execution_of(made), None, pictures_of(made)))
    assert [user["edge"] for user in data["users"]] == [user.edge for user in made.users]
    assert [edge["name"] for edge in data["provenance"]["edges"]] == ["hall-1", "hall-2"]
    page = page_text(made)
    assert all(f"only {edge}" in page and edge in page for edge in ("hall-1", "hall-2"))
