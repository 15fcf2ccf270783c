"""Questions about a scenario or a plan are answered in the users' and options' names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from megdt_opt import InvalidInput, Plan, Scenario, explain, plan, regret, replan, shadow_prices
from megdt_opt.cli.app import app
from megdt_opt.scenario.options import OptionTable

PHONE: dict[str, Any] = {
    "name": "phone", "device": {"stretch": 30}, "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz",
    "mechanisms": ["local", "centralised", "E2U"], "precisions": ["int8"],
}  # fmt: skip
WATCH = PHONE | {"name": "watch", "device": {"stretch": 60}}
BAND = {"downlink": "60 kHz", "uplink": "60 kHz"}


def cell(*users: dict[str, Any], **more: Any) -> Scenario:
    return Scenario(**{"steps": 4, "channel": BAND, "users": list(users or (PHONE, WATCH)), **more})


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(cell(), compare=False)


@pytest.mark.parametrize(
    ("users", "said"),
    [
        pytest.param((PHONE, WATCH | {"deadline": "10 ms"}), "watch", id="a deadline that nothing keeps"),
        pytest.param(
            (PHONE | {"deadline": "320 ms"}, WATCH | {"deadline": "320 ms"}), "phone", id="deadlines in conflict"
        ),
        pytest.param(
            (PHONE, WATCH | {"mechanisms": ["local"], "device": {"stretch": 60, "memory": "1 kB"}}),
            "watch",
            id="a user without an option",
        ),
    ],
)
def test_explaining_a_scenario_names_users_and_options(users: tuple[dict[str, Any], ...], said: str) -> None:
    scenario = cell(*users)
    found = explain(scenario, time_limit_s=5.0)
    assert not found.feasible
    assert said in str(found)
    for number in ("user 0", "user 1", "option 0", "option 1"):
        assert number not in str(found)
    assert str(explain(OptionTable.build(scenario), time_limit_s=5.0)) == str(found)
    for change in found.changes:
        if change.field == "allowed":
            assert repr(OptionTable.build(scenario).options[change.options[0]].name) in str(change)


def test_explaining_a_plan_says_that_it_is_feasible(made: Plan) -> None:
    assert explain(made).feasible
    assert explain(made.table.scenario).feasible


def test_shadow_prices_of_a_plan_are_those_of_its_scenario(made: Plan) -> None:
    of_plan, of_scenario = shadow_prices(made, step=0.5), shadow_prices(cell(), step=0.5)
    assert of_plan.downlink.kept_s == pytest.approx(of_scenario.downlink.kept_s, rel=1e-3)
    said = str(replace(of_plan.downlink, switch_more=(1,), switch_less=(0, 1)))
    assert "more watch switch" in said
    assert "less phone, watch switch" in said
    with pytest.raises(InvalidInput, match="allocation"):
        shadow_prices(made, [0, 1])


def test_regret_of_a_plan_and_of_its_scenario_agree(made: Plan) -> None:
    one, other = regret(made, percent=20.0, samples=5), regret(cell(), percent=20.0, samples=5)
    assert one.share_median == pytest.approx(other.share_median, abs=1e-5)
    assert regret(made, percent=0.0, samples=2).share_worst <= 2e-6


def test_replanning_a_scenario_says_who_switches_to_what(made: Plan) -> None:
    slow = cell(channel={"downlink": "1 kHz", "uplink": "1 kHz"})
    found = replan(slow, made, 0.01)
    assert found.switched
    for k in found.switched:
        option = found.names.options[int(found.allocation.option[k])]
        assert f"{('phone', 'watch')[k]} to {option!r}" in str(found)
    assert replan(cell(), made, 10.0).switched == ()
    with pytest.raises(InvalidInput, match="phone"):
        replan(cell(PHONE), made)
    odd = replace(made.users[0], option=replace(made.users[0].option, codec="odd"))
    with pytest.raises(InvalidInput, match="offers, of user phone"):
        replan(cell(), replace(made, users=(odd, made.users[1])))
    with pytest.raises(InvalidInput, match="a Plan beside a scenario"):
        replan(cell(), made.options)


def test_what_has_no_such_answer_is_refused_by_its_problem() -> None:
    turns = cell(edge={"discipline": "in_turns"})
    for ask in (explain, shadow_prices, regret):
        with pytest.raises(InvalidInput, match="SequencedEdgeProblem"):
            ask(turns)


def test_the_command_line_answers_for_scenarios_and_plans(made: Plan, tmp_path: Path) -> None:
    kept, file, late = tmp_path / "plan.json", tmp_path / "cell.yaml", tmp_path / "late.yaml"
    made.save(kept)
    file.write_text(json.dumps(cell().model_dump(mode="json", exclude_none=True)))
    late.write_text(json.dumps(cell(PHONE, WATCH | {"deadline": "10 ms"}).model_dump(mode="json", exclude_none=True)))

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words))
        return done.exit_code, done.output + done.stderr

    assert run("explain", str(file)) == (0, "It is feasible: every user has an option within its limits.\n")
    code, said = run("explain", str(late))
    assert code == 1
    assert "watch" in said
    for what in (file, kept):
        code, said = run("shadow-prices", str(what), "--step", "0.1")
        assert code == 0
        assert "downlink (60 kHz)" in said
        code, said = run("regret", str(what), "--samples", "3")
        assert code == 0
        assert "3 samples" in said
    code, said = run("replan", str(file), "--from", str(kept), "--switch-cost", "1 s")
    assert code == 0
    assert "switches: nobody" in said
    code, said = run("replan", str(file), "--from", str(kept), "--switch-cost", "1")
    assert code == 2
    assert "--switch-cost" in said
    code, said = run("report", str(kept), "--output", str(tmp_path / "page"))
    assert code == 0, said
    assert list((tmp_path / "page").glob("*.html"))
    assert run("regret", str(kept), "--profile", f"here={kept}")[0] == 2
