"""What people hand to the public functions: paths and names where they would; what is neither is refused by name."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import pytest

from megdt_opt import (
    InvalidInput,
    Plan,
    ProfileError,
    Scenario,
    TimingProfile,
    calibrate,
    execute,
    explain,
    plan,
    regret,
    replan,
    shadow_prices,
    sweep,
)
from megdt_opt.tolerances import EXACT

CELL = """
steps: 4
edge: {profile: here}
channel: {downlink: 60 kHz, uplink: 60 kHz}
users:
  - {name: a & b, device: {profile: here, stretch: 8}, downlink_efficiency: 2 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, mechanisms: [local, E2U], precisions: [int8]}
"""


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    path = tmp_path / "cell.yaml"
    path.write_text(CELL)
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "here.json"
    TimingProfile.bundled("twin-cpu").save(path)
    return path


def test_scenarios_and_profiles_by_path_or_name(cell: Path, here: Path) -> None:
    profile = TimingProfile.load(here)
    # either engine may solve it, and they differ by rounding
    right = pytest.approx(plan(Scenario.load(cell), {"here": profile}, compare=False).objective_s, rel=EXACT)
    for scenario in (cell, str(cell)):
        for profiles in ({"here": here}, {"here": str(here)}, {"here": "twin-cpu"}):
            assert plan(scenario, profiles, compare=False).objective_s == right
    assert plan("demo", {"here": here}, compare=False).scenario == Scenario.bundled("demo")
    assert list(sweep(str(cell), {"steps": [4]}, profiles={"here": str(here)}, compare=False).objective_s) == [right]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("no-such-name",), "scenario"),
        ((3,), "scenario"),
        (({"steps": 4},), "scenario"),
        ((None,), "scenario"),
        (("demo", "here.json"), "profiles"),
        (("demo", {"here": 3}), r"profiles\['here'\]"),
        (("demo", {"here": {"device": "x"}}), r"profiles\['here'\]"),
        (("demo", {"here": "no-such.json"}), r"no-such\.json"),
        (("no-such.yaml",), r"no-such\.yaml"),
    ],
)
def test_plan_refuses_what_is_none_by_name(arguments: tuple[Any, ...], field: str) -> None:
    for door in (plan, lambda scenario, profiles=None: sweep(scenario, {"steps": [20]}, profiles=profiles)):
        with pytest.raises((InvalidInput, ProfileError), match=field):
            door(*arguments)


def test_the_message_says_how_to_measure_a_missing_profile() -> None:
    with pytest.raises(ProfileError, match=r"'here'.*calibrate"):
        plan("demo")


@pytest.mark.parametrize("given", ["plan.json", Path("plan.json"), 3, None, {"format": "megdt-opt plan 2"}])
def test_execute_and_load_take_a_path_and_refuse_what_is_none(given: Any) -> None:
    for door in (execute, Plan.load, TimingProfile.load):
        with pytest.raises((InvalidInput, ProfileError)) as caught:
            door(given)
        assert str(given)[:9] in str(caught.value)


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_planned(cell: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache in (tmp_path / "file", tmp_path / "file" / "inner", "/proc/nowhere", 3):
        # the field would be refused next
        with pytest.raises(InvalidInput, match="cache: found"):
            sweep(cell, {"no_such_field": [1]}, cache=cache)  # type: ignore[arg-type]


def test_calibrate_takes_a_models_name() -> None:
    with pytest.raises(InvalidInput, match="samples"):
        calibrate("twin", samples=0)


def test_long_objects_have_a_short_repr(cell: Path, here: Path) -> None:
    made = plan(cell, {"here": here}, compare=False)
    assert repr(made).startswith("<Plan: scenario, 1 user (")
    answers = (explain(made), shadow_prices(made), regret(made, samples=2), replan(made, made))
    for thing in (made, made.scenario, made.table, made.problem, TimingProfile.load(here), *answers):
        assert len(repr(thing)) < 250, type(thing)
        assert "\n" not in repr(thing)
    assert repr(made.scenario) == "<Scenario: scenario, twin, 4 steps, 1 user, max>"


def test_answers_in_a_notebook_are_their_whole_text_escaped(cell: Path, here: Path) -> None:
    """In plain words: no field's name of an array, and one server is no "servers"."""
    made = plan(cell, {"here": here}, compare=False)
    prices, lost = shadow_prices(made), regret(made, samples=2)
    assert "edge (1 server)" in str(prices)
    assert "edge times off by up to 10 %" in str(lost)
    for answer in (prices, lost):
        assert answer._repr_html_() == f"<pre>{escape(str(answer))}</pre>"
        assert str(answer).splitlines()[0] in repr(answer)


@pytest.mark.parametrize("name", ["demoo", "guided_tour", "two-hals"])
def test_a_mistyped_bundled_scenario_gets_the_nearest(name: str) -> None:
    with pytest.raises(InvalidInput, match="Did you mean '(demo|guided-tour|two-halls)'"):
        plan(name)


def test_a_plan_in_a_notebook_is_a_table_with_its_texts_escaped(cell: Path, here: Path) -> None:
    page = plan(cell, {"here": here}, compare=False)._repr_html_()
    assert "a &amp; b" in page
    assert "a & b" not in page
    assert page.count("<table") == page.count("</table>") == 1
    cell.write_text("name: <script>x</script>\n" + CELL)
    assert "<script>" not in plan(cell, {"here": here}, compare=False)._repr_html_()
