"""Plans of mechanisms whose programs fork more than once: which problem, which proof, the file, the runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked_programs import register

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, Plan, ProgramProblem, Scenario, plan
from megdt_opt.program.stages import Send, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.runs import baseline_parts, user_runs

PHONE: dict[str, Any] = {
    "device": {"profile": "twin-cpu", "stretch": 12}, "downlink_efficiency": "4 bit/s/Hz",
    "uplink_efficiency": "2 bit/s/Hz", "precisions": ["fp16"], "codecs": ["png"],
}  # fmt: skip
WISHES: tuple[dict[str, Any], ...] = (
    {"mechanisms": ["ahead", "SEU-UE-first"]}, {"mechanisms": ["both-up"], "senses": True},
    {"mechanisms": ["local", "E2U"], "device": {"profile": "twin-cpu", "stretch": 6}},
)  # fmt: skip


@pytest.fixture(autouse=True)
def registered() -> None:
    register()


def cell(*wishes: dict[str, Any], **more: Any) -> Scenario:
    users = [{"name": f"u{k}", "scene": k, **PHONE, **wish} for k, wish in enumerate(wishes or WISHES)]
    channel = {"downlink": "200 kHz", "uplink": "100 kHz", "propagation": "2 ms"}
    edge = {} if "edges" in more else {"edge": {"profile": "twin-cpu", "stretch": 4}}
    return Scenario(**{"steps": 4, "objective": "sum", "channel": channel, "users": users, **edge, **more})


@pytest.fixture(scope="module")
def made() -> Plan:
    register()
    return plan(cell())


def test_the_plan_is_proven_on_the_problem_that_was_solved(made: Plan) -> None:
    assert isinstance(made.problem, ProgramProblem)
    assert [user.option.mechanism for user in made.users][1] == "both-up"
    assert made.status == "optimal"
    assert made.certificate is not None
    assert made.certificate.verify(made.problem, exact=True).holds
    assert made.objective_s == pytest.approx(sum(user.latency_s for user in made.users), rel=1e-12)


def test_two_uploads_at_once_divide_the_uplink(made: Plan) -> None:
    user = made.users[1]
    up = [n for n, leaf in enumerate(leaves(user.program)) if isinstance(leaf, Send) and leaf.direction == "uplink"]
    assert len(up) == 2
    assert sum(user.parts[n] for n in up) == pytest.approx(1.0, rel=1e-9)
    assert min(user.parts[n] for n in up) > 0.05
    for n in up:
        sent_s = made.table.send_bit(list(leaves(user.program))[n], 1) / (user.parts[n] * user.uplink_bit_per_s)
        assert user.stages[n].duration_s == pytest.approx(sent_s + 0.002)
    # both end when the edge begins: no part of the link waits
    assert user.stages[up[0]].start_s + user.stages[up[0]].duration_s == pytest.approx(
        user.stages[up[1]].start_s + user.stages[up[1]].duration_s, rel=1e-6
    )
    assert any("u1 that may run at once divide its share" in note for note in made.notes)
    assert all(part == 1.0 for part in (*made.users[0].parts, *made.users[2].parts))


def test_runs_get_each_stage_its_part(made: Plan) -> None:
    runs = user_runs(made.table, made.users)
    for user, run in zip(made.users, runs, strict=True):
        for leaf, pace, part in zip(leaves(user.program), run.pace, user.parts, strict=True):
            if isinstance(leaf, Send):
                whole = user.uplink_bit_per_s if leaf.direction == "uplink" else user.downlink_bit_per_s
                assert pace == pytest.approx(whole * part, rel=1e-12)


def test_rivals_are_solved_and_can_be_run(made: Plan) -> None:
    named = {b.name: b for b in made.baselines}
    assert {"all ahead", "all E2U", "plan's options, equal shares"} <= set(named)
    assert all(b.objective_s >= made.lower_bound_s * (1 - 1e-9) for b in made.baselines if not b.breaks)
    even = named["plan's options, equal shares"]
    users, _ = baseline_parts(made.table, even)
    assert [u.latency_s for u in users] == pytest.approx(even.latency_s)
    assert sorted(users[1].parts)[:2] == [0.5, 0.5]
    assert made.robustness is not None


def test_its_file_comes_back_and_believes_nothing(made: Plan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.users == made.users
    assert again.restated == ()
    data = json.loads((tmp_path / "plan.json").read_text())
    for change, said in (
        (lambda d: d["part"][1].__setitem__(1, 0.9), "keep every budget and limit"),
        (lambda d: d["part"][1].__setitem__(1, 0.9 * d["part"][1][1]), "latency_s"),
        (lambda d: d["part"][2].__setitem__(0, 0.5), "1 for each stage of a chain"),
        (lambda d: d["part"].pop(), "a list of 3 lists"),
        (lambda d: d.pop("part"), "part"),
    ):
        changed = json.loads(json.dumps(data))
        change(changed)
        with pytest.raises(InvalidInput, match=said):
            Plan.from_dict(changed)


def test_without_an_open_program_of_that_shape_the_core_problem_stays() -> None:
    table = OptionTable.build(cell({"mechanisms": ["SEU", "PEU"]}, {"mechanisms": ["local", "E2U"]}))
    assert isinstance(table.problem(), AllocationProblem)
    # one is there, but a limit closes it: the core problem keeps the limit
    limited = OptionTable.build(cell({**WISHES[0], "deadline": "30 s"}, WISHES[2]))
    assert isinstance(limited.problem(), AllocationProblem)
    assert isinstance(limited.waived_problem(), ProgramProblem)
    closed = limited.closed_by(0, limited.index("ahead 1 fp16"))
    assert closed == (
        "programs that fork more than once are not planned where a user, here u0, has a deadline of 30 s",
    )
    assert plan(limited, compare=True).status == "optimal"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"objective": "missed"}, "for the objective 'missed'", id="objective"),
        pytest.param({"costs": {"edge_time": {"max": "9 s"}}}, "where costs are limited", id="costs"),
        pytest.param({"groups": [{"members": ["u0", "u1"], "psnr_min": "20 dB"}]}, "beside groups", id="groups"),
        pytest.param(
            {"edges": [{"name": n, "profile": "twin-cpu", "stretch": 4, "downlink": "1 MHz", "uplink": "1 MHz"}
                       for n in ("hall-1", "hall-2")], "channel": {"propagation": "2 ms"}},
            "over several edges", id="edges",
        ),
    ],
)  # fmt: skip
def test_where_it_cannot_be_planned_its_options_say_so(more: dict[str, Any], said: str) -> None:
    deadlines = {"deadline": "9 s"} if more.get("objective") == "missed" else {}
    table = OptionTable.build(cell({**WISHES[0], **deadlines}, {**WISHES[2], **deadlines}, **more))
    assert not isinstance(table.problem(), ProgramProblem)
    names = [option.name for option in table.options]
    for o, name in enumerate(names):
        if name.startswith("ahead"):
            assert any(said in words for words in table.closed_by(0, o)), name
            assert not table.allowed[0, o]


def test_who_has_nothing_else_is_told_why() -> None:
    device = {**PHONE["device"], "compute_power": "5 W", "transmit_power": "1 W"}
    with pytest.raises(Infeasible, match="fork more than once.*a limit of 5 J"):
        plan(cell({"mechanisms": ["ahead"], "energy_max": "5 J", "device": device}, WISHES[2]))


def test_it_is_never_worse_than_without() -> None:
    bands = ({"downlink": f"{2 * n} kHz", "uplink": f"{n} kHz"} for n in (50, 200))
    for channel in bands:
        with_it = plan(cell(WISHES[0], WISHES[2], channel=channel), compare=False)
        without = plan(cell({"mechanisms": ["SEU-UE-first"]}, WISHES[2], channel=channel), compare=False)
        assert with_it.objective_s <= without.objective_s * (1 + 1e-6)
        assert np.isfinite(with_it.objective_s)
