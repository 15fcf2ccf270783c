"""Plans that form groups: proven, saved and read again, against all groups that could have been stated; refusals."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from megdt_opt import InvalidInput, Plan, Scenario, plan
from megdt_opt.errors import MegdtError
from megdt_opt.models.similarity import similarities
from megdt_opt.planning.planner import solved
from megdt_opt.program.groups import GROUP_MECHANISMS
from megdt_opt.scenario.options import OptionTable
from megdt_opt.sweeping.cell import Settings, compute, mechanisms_of
from megdt_opt.trials.runs import user_runs

GROUPING = {"similarity_min": 0.9, "size_max": 3, "steps": [2, 4]}


def cell(users: int = 4, objective: str = "sum", *, edge: float = 6.0, **more: Any) -> Scenario:
    """Phones, of which every other one asks for the same picture."""
    phones = [
        {
            "name": f"u{k}",
            "device": {"profile": "twin-cpu", "stretch": 30.0 + 4 * k, "compute_power_w": 2.0},
            "downlink_efficiency": f"{4 - 0.5 * k} bit/s/Hz",
            "uplink_efficiency": "2 bit/s/Hz",
            "precisions": ["int8"],
            "codecs": ["jpeg"],
            "scene": 7 if k % 2 else 9,
            **more.pop(f"u{k}", {}),
        }
        for k in range(users)
    ]
    made: dict[str, Any] = {
        "name": "phones", "steps": 6, "cuts": [3], "peu_shares": [], "objective": objective, "grouping": GROUPING,
        "edge": {"profile": "twin-cpu", "stretch": edge}, "users": phones,
        "channel": {"downlink": "80 kHz", "uplink": "80 kHz", "propagation": "5 ms"},
    }  # fmt: skip
    return Scenario(**{**made, **more})


@pytest.fixture(scope="module", params=["sum", "max"])
def made(request: pytest.FixtureRequest) -> Plan:
    return plan(cell(objective=request.param))


def test_groups_of_users_who_ask_for_the_same_are_formed_and_proven(made: Plan) -> None:
    assert made.groups
    assert made.status == "optimal"
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds
    assert made.scenario.grouping is None
    scene = {user.name: user.scene for user in made.scenario.users}
    for group in made.groups:
        assert 2 <= len(group.members) <= 3
        assert len({scene[name] for name in group.members}) == 1
        assert group.lead in group.members
    assert made.notes[0] == made.remarks[0]
    assert "formed" in made.remarks[0]
    assert "proven" in made.remarks[0]
    assert made.objective_s < solved(made.table.unshared()).objective_s


def test_a_plan_reads_back_with_what_was_said_of_its_groups(made: Plan) -> None:
    data = json.loads(json.dumps(made.to_dict()))
    again = Plan.from_dict(data)
    assert again.to_dict() == made.to_dict()
    assert (again.groups, again.remarks, again.restated) == (made.groups, made.remarks, ())
    for wrong in ([], [1], "formed", [""]):
        with pytest.raises(InvalidInput, match="remarks"):
            Plan.from_dict({**data, "remarks": wrong})


def test_it_runs_as_the_plan_of_stated_groups_does(made: Plan) -> None:
    runs = user_runs(made.table, made.users, made.groups)
    assert len(runs) == len(made.groups) + sum(
        not any(user.name in group.riders for group in made.groups) for user in made.users
    )


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_no_stated_groups_are_better(objective: str) -> None:
    """Every way to put three users of one wish into a group, with every lead, and nobody in one."""
    scenario = cell(3, objective, u1={"scene": 9})
    found = plan(scenario, compare=False)
    names = [user.name for user in scenario.users]
    best = solved(OptionTable.build(scenario).unshared()).objective_s
    for size in (2, 3):
        for members in combinations(names, size):
            for lead in members:
                group = {"members": list(members), "lead": lead, "steps": [2, 4]}
                stated = cell(3, objective, u1={"scene": 9}, grouping=None, groups=[group])
                best = min(best, plan(stated, compare=False).objective_s)
    assert found.objective_s <= best * (1 + 1.1e-3)
    assert best <= found.objective_s * (1 + 1e-6)


def test_where_nobody_asks_for_the_same_nothing_is_shared() -> None:
    scenario = cell(3, grouping={**GROUPING, "similarity_min": 1.0}, u0={"scene": 1}, u1={"scene": 2}, u2={"scene": 3})
    assert similarities([1, 2, 3], "twin")[0, 1] < 1
    found = plan(scenario, compare=False)
    assert found.groups == ()
    assert found.remarks[0].startswith("No two users may share steps")


def slow_edge(**shared: Any) -> Scenario:
    """Parallel generation is not planned beside groups, and beats those of two."""
    return cell(5, "max", edge=12.0, peu_shares=[0.25, 0.5], **shared)


def test_a_plan_of_groups_that_loses_to_one_without_them_is_that_one() -> None:
    scenario = slow_edge(grouping=None, groups=[{"members": ["u0", "u2"], "steps": [2]}])
    found = plan(scenario, compare=False)
    assert found.groups == ()
    assert any(user.option.mechanism == "PEU" for user in found.users)
    assert found.remarks[0].startswith("Nothing is shared: no plan of groups comes to less than")
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    assert Plan.from_dict(json.loads(json.dumps(found.to_dict()))).remarks == found.remarks


@pytest.mark.parametrize("size", [2, 3])
def test_a_plan_that_forms_groups_is_never_worse_than_with_nothing_shared(size: int) -> None:
    scenario = slow_edge(grouping={**GROUPING, "size_max": size, "steps": [2]})
    alone = solved(OptionTable.build(scenario).unshared())
    assert plan(scenario, compare=False).objective_s <= alone.objective_s * (1 + 1e-9)


def test_a_sweep_counts_who_shares() -> None:
    scenario = cell(4)
    table = OptionTable.build(scenario)
    row = compute(scenario, table.profiles, table.spec, Settings(compare=False))["cell"]
    assert set(GROUP_MECHANISMS) <= set(mechanisms_of([scenario]))
    assert row["status"] == "optimal"
    assert sum(row[f"users_{name}"] for name in GROUP_MECHANISMS) >= 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"grouping": {**GROUPING, "similarity_min": 1.2}}, r"similarity_min: found 1.2.*from 0 to 1"),
        ({"grouping": {**GROUPING, "similarity_min": float("nan")}}, "similarity_min"),
        ({"grouping": {**GROUPING, "size_max": 1}}, r"size_max: found 1.*at least 2 users"),
        ({"grouping": {"similarity_min": 0.9, "size_max": 3}}, "psnr_min"),
        ({"grouping": {"size_max": 3, "steps": [2]}}, "similarity_min"),
        ({"grouping": {**GROUPING, "steps": [7]}}, r"grouping.steps: found 7.*1\.\.6"),
        ({"grouping": {**GROUPING, "host": "u0"}}, "host"),
        ({"groups": [{"members": ["u0", "u1"], "steps": [2]}]}, r"grouping.*Leave out one of the two"),
        ({"objective": "mixed", "max_weight": 1.0}, r"objective.*grouping out"),
        ({"u0": {"deadline_s": 3.0}}, r"users.u0.deadline.*grouping out"),
        ({"users": 1}, r"grouping: found .1 user.*two users"),
        ({"grouping": None, "groups": [{"members": ["u0", "u1"], "lead": "u2", "steps": [2]}]}, "lead"),
        (
            {"grouping": None, "groups": [{"members": ["u0", "u1"], "lead": "u1", "host": "u0", "steps": [2],
                                           "d2d_rate": "1 Mbit/s"}]},
            r"lead: found .u1.*Leave out one",
        ),
    ],
)  # fmt: skip
def test_what_groups_cannot_be_formed_of_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        cell(**more)


def test_too_many_groups_are_refused_in_the_words_of_the_scenario() -> None:
    users = 30
    scenario = cell(2, grouping={**GROUPING, "size_max": 20, "similarity_min": 0.0})
    first = scenario.users[0]
    many = tuple(first.model_copy(update={"name": f"u{k}"}) for k in range(users))
    with pytest.raises(MegdtError, match=r"grouping.size_max.*raise similarity_min"):
        plan(scenario.model_copy(update={"users": many}), compare=False)
