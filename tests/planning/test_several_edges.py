"""Plans over several edge servers: proven, saved, read again, and compared with what each edge does alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import STEPS, make_profile

from megdt_opt import (
    Infeasible,
    InvalidInput,
    PlacementProblem,
    Plan,
    Scenario,
    explain,
    plan,
    replan,
    shadow_prices,
    solve,
)
from megdt_opt.planning.baselines import baselines, equal_shares, fixed, next_best
from megdt_opt.planning.planner import solved
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import actors, is_edge
from megdt_opt.scenario.options import OptionTable

NEAR, FAR = "4 bit/s/Hz", "0.5 bit/s/Hz"


def halls(objective: str = "max", *, stretch: float = 1.0, **more: Any) -> Scenario:
    """Two users in each of two halls, each near to the hall's own edge."""

    def user(k: int, hall: int) -> dict[str, Any]:
        reach = {f"hall-{i}": NEAR if i == hall else FAR for i in (1, 2)}
        device = {"profile": "here", "stretch": 4.0 + k, "compute_power_w": 2.0}
        return {"name": f"u{k}", "device": device, "downlink_efficiency": reach, "uplink_efficiency": reach}

    return Scenario(
        name="two halls",
        model="small",
        steps=STEPS,
        cuts=[2, 4],
        peu_shares=[0.5],
        objective=objective,
        edges=[{"name": "hall-1", "profile": "here"}, {"name": "hall-2", "profile": "here", "stretch": stretch}],
        channel={"downlink": "40 kHz", "uplink": "40 kHz", "propagation": "5 ms"},
        users=[{**user(k, 1 + k // 2), **more} for k in range(4)],
    )


@pytest.fixture(scope="module")
def table(spec: ModelSpec) -> OptionTable:
    return OptionTable.build(halls(), {"here": make_profile()}, spec=spec)


@pytest.fixture(scope="module")
def made(table: OptionTable) -> Plan:
    return plan(table)


@pytest.mark.parametrize("objective", ["max", "sum"])
def test_the_plan_is_proven_and_every_stage_adds_up(spec: ModelSpec, objective: str) -> None:
    found = solved(OptionTable.build(halls(objective), {"here": make_profile()}, spec=spec))
    assert isinstance(found.problem, PlacementProblem)
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    latency_s = [user.latency_s for user in found.users]
    # the stages are walked one by one, the objective is the problem's own: both are the same time
    expected = max(latency_s) if objective == "max" else sum(latency_s)
    assert found.objective_s == pytest.approx(expected, rel=1e-12)
    for user in found.users:
        assert user.edge == user.option.edge
        assert {str(actor) for actor in actors(user.program) if is_edge(actor)} <= {user.edge}


def test_each_user_is_served_by_the_edge_that_it_is_near_to(made: Plan) -> None:
    assert {user.name: user.edge for user in made.users if user.edge} == {
        name: edge
        for name, edge in {"u0": "hall-1", "u1": "hall-1", "u2": "hall-2", "u3": "hall-2"}.items()
        if edge in {user.edge for user in made.users if user.name == name}
    }
    frame = made.to_frame().set_index("user")
    assert frame["edge"].tolist() == [user.edge for user in made.users]
    for name, edge in frame["edge"].items():
        assert made.users[int(str(name)[1])].hand_over.count(edge) >= bool(edge)
    for side in ("downlink_hz", "uplink_hz"):
        assert (frame.groupby("edge")[side].sum() <= 40e3 * (1 + 1e-9)).all()


def test_a_second_edge_is_never_worse_than_the_better_one_alone(made: Plan) -> None:
    alone = {b.name: b for b in made.baselines if b.name.startswith("only ")}
    assert set(alone) == {"only hall-1", "only hall-2"}
    for name, baseline in alone.items():
        assert baseline.proven
        assert baseline.objective_s >= made.objective_s * (1 - 1e-6)
        edge = name.removeprefix("only ")
        assert {text.partition("@")[2] for text in baseline.options} <= {"", edge}
        # the same figure as that of a scenario which never had the other edge
        data = made.scenario.model_dump(mode="json", exclude_none=True)
        data["edges"] = [each for each in data["edges"] if each["name"] == edge]
        for user in data["users"]:
            for side in ("downlink", "uplink"):
                user[f"{side}_efficiency_bit_per_s_per_hz"] = user[f"{side}_efficiency_bit_per_s_per_hz"][edge]
        one = OptionTable.build(Scenario(**data), {"here": make_profile()}, spec=made.table.spec)
        assert solved(one).objective_s == pytest.approx(baseline.objective_s, rel=2e-6)


def test_baselines_stand_in_their_order_with_equal_shares_last(made: Plan) -> None:
    *singles, equal = made.baselines
    assert [b.objective_s for b in singles] == sorted(b.objective_s for b in singles)
    assert equal == equal_shares(made.table, made.options)
    for e, site in enumerate(made.table.sites):
        here = [k for k, user in enumerate(made.users) if user.edge == site.name]
        for shares, budget in ((equal.downlink_hz, 40e3), (equal.uplink_hz, 40e3), (equal.edge_share, 1.0)):
            used = [shares[k] for k in here if shares[k] > 0]
            assert sum(used) == pytest.approx(budget if used else 0.0)
            assert len(set(used)) <= 1, e
    assert equal.objective_s >= made.objective_s


def test_runners_up_differ_in_mechanism_cut_or_edge(made: Plan) -> None:
    rivals = next_best(made.table, made.options)
    assert rivals
    for rival in rivals:
        theirs = [made.table.options[made.table.index(name)] for name in rival.options]
        assert not all(user.option.alike(other) for user, other in zip(made.users, theirs, strict=True))
        assert rival.objective_s >= made.lower_bound_s


def test_robustness_keeps_the_edge(made: Plan) -> None:
    assert made.robustness is not None
    assert made.robustness.corners == 4
    assert made.robustness.regret >= 0


def test_best_shares_of_the_plans_own_options_are_the_plans(made: Plan) -> None:
    again = fixed(made.problem, made.options)
    assert again.objective_s == pytest.approx(made.objective_s, rel=1e-6)


def as_data(found: Plan) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(found.to_dict()))
    return data


def test_a_plan_is_what_it_was(made: Plan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert as_data(again) == as_data(made)
    assert again.users == made.users
    assert again.certificate is not None
    assert again.certificate.verify(again.problem).holds


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("options", 0), "E2U fp32", "options|option"),
        (("options", 0), "E2U fp32 @hall-3", "option"),
        (("edge_share", 0), 1.5, "shares"),
        (("objective_s",), 0.1, "objective_s"),
        (("lower_bound_s",), 0.1, "lower_bound_s"),
        (("scenario", "edges", 0, "name"), "hall-9", "hall-1|hall-9"),
        (("scenario", "edges", 1, "stretch"), 1.5, "."),
    ],
)
def test_what_does_not_follow_from_the_rest_is_refused(
    made: Plan, path: tuple[Any, ...], value: Any, says: str
) -> None:
    data = as_data(made)
    node = data
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(InvalidInput, match=says):
        Plan.from_dict(data)


def test_another_placement_of_a_user_is_not_believed(made: Plan) -> None:
    """The same figures with a user moved to the other edge are those of no plan."""
    data = as_data(made)
    k = next(k for k, user in enumerate(made.users) if user.edge == "hall-1")
    data["options"][k] = data["options"][k].replace("hall-1", "hall-2")
    with pytest.raises(InvalidInput):
        Plan.from_dict(data)


def test_a_shannon_channel_with_distances_by_edge(spec: ModelSpec) -> None:
    data = halls().model_dump(mode="json", exclude_none=True)
    data["channel"] |= {"law": "shannon", "shadowing_std_db": 6.0}
    for k, user in enumerate(data["users"]):
        user["distance_m"] = {"hall-1": 20.0 if k < 2 else 150.0, "hall-2": 150.0 if k < 2 else 20.0}
        for side in ("downlink", "uplink"):
            del user[f"{side}_efficiency_bit_per_s_per_hz"]
    found = solved(OptionTable.build(Scenario(**data), {"here": make_profile()}, spec=spec), gap=1e-4)
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    assert np.allclose([u.latency_s for u in found.users], found.problem.evaluate(_shares(found)).latency_s, rtol=1e-12)


def _shares(found: Plan) -> Any:
    from types import SimpleNamespace

    names = ("downlink_hz", "uplink_hz", "edge_share")
    return SimpleNamespace(option=found.options, **{n: np.array([getattr(u, n) for u in found.users]) for n in names})


def test_who_is_out_of_reach_of_an_edge_keeps_its_options_in_that_edges_baseline(spec: ModelSpec) -> None:
    data = halls().model_dump(mode="json", exclude_none=True)
    last = data["users"][3]
    last["mechanisms"] = ["E2U"]
    last["shown_at"] = "device"
    for side in ("downlink", "uplink"):
        last[f"{side}_efficiency_bit_per_s_per_hz"] = {"hall-2": 2.0}
    table = OptionTable.build(Scenario(**data), {"here": make_profile()}, spec=spec)
    found = {b.name: b for b in baselines(table, solved(table).options)}
    # the baseline waives wishes, so the user goes local
    assert found["only hall-1"].options[3] == "local"
    assert found["only hall-1"].breaks == ("u3",)


def test_a_plan_has_the_prices_of_each_edge(made: Plan) -> None:
    found = shadow_prices(made.problem)
    assert found.objective_s == pytest.approx(made.objective_s, rel=1e-5)
    assert {price.server for price in found.prices} == {0, 1}


def test_a_plan_is_explained(made: Plan) -> None:
    assert explain(made.problem).feasible


@pytest.mark.parametrize("ask", [lambda problem: replan(problem, [0] * 4)])
def test_questions_about_one_edge_are_refused_by_name(made: Plan, ask: Callable[[Any], object]) -> None:
    with pytest.raises(InvalidInput, match=r"problem: found 'PlacementProblem'; expected an AllocationProblem for"):
        ask(made.problem)


@pytest.mark.parametrize("objective", ["max", "sum"])
def test_one_edge_in_a_list_has_the_plan_of_the_only_edge_bit_for_bit(spec: ModelSpec, objective: str) -> None:
    data = halls(objective).model_dump(mode="json", exclude_none=True)
    for user in data["users"]:
        for side in ("downlink", "uplink"):
            field = f"{side}_efficiency_bit_per_s_per_hz"
            user[field] = user[field]["hall-1"]
    (edge, _), single = data["edges"], {name: value for name, value in data.items() if name != "edges"}
    listed = single | {"edges": [edge]}
    single["edge"] = {name: value for name, value in edge.items() if name != "name"}
    tables = [OptionTable.build(Scenario(**d), {"here": make_profile()}, spec=spec) for d in (listed, single)]
    plans = [as_data(solved(table)) for table in tables]
    for found in plans:
        del found["scenario"], found["solve_s"]
    assert plans[0] == plans[1]
    # and the file of the only edge is what it was: nothing in it speaks of several
    assert "edges" not in Scenario(**single).model_dump(mode="json", exclude_none=True)


def test_deadlines_are_kept_and_who_cannot_keep_them_is_named(spec: ModelSpec, tmp_path: Path) -> None:
    def tabled(*deadline_s: float | None) -> OptionTable:
        data = halls("sum").model_dump(mode="json", exclude_none=True)
        for user, limit in zip(data["users"], deadline_s, strict=True):
            user |= {} if limit is None else {"deadline_s": limit}
        return OptionTable.build(Scenario(**data), {"here": make_profile()}, spec=spec)

    free = plan(tabled(None, None, None, None))
    busy = max(free.users, key=lambda user: user.latency_s if user.edge else 0.0)
    k = free.users.index(busy)
    limit_s = 0.97 * busy.latency_s
    made = plan(tabled(*(limit_s if n == k else None for n in range(4))))
    assert made.users[k].latency_s <= limit_s * (1 + 1e-9) < free.users[k].latency_s
    assert made.status == "optimal"
    assert made.objective_s > free.objective_s
    made.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").users == made.users
    data = json.loads((tmp_path / "plan.json").read_text())
    data["scenario"]["users"][k]["deadline_s"] = 0.99 * made.users[k].latency_s
    with pytest.raises(InvalidInput, match="shares"):
        Plan.from_dict(data)
    with pytest.raises(Infeasible, match="u0: deadline"):
        plan(tabled(1e-3, None, None, None))


def placing(spec: ModelSpec, objective: str = "sum", **more: Any) -> OptionTable:
    """The halls, each with a memory for the denoiser and for one of encoder and decoder; two users' devices sense."""
    size = spec.weight_byte
    memory = float(size["denoise"] + max(size["encode_prompt"], size["decode"]))
    scenario = halls(objective).model_dump(mode="json", exclude_none=True)
    for edge in scenario["edges"]:
        edge |= {"memory_byte": memory, "load_byte_per_s": 1e6, **more}
    for k, user in enumerate(scenario["users"]):
        user |= {"mechanisms": ["U2E"], "senses": True, "shown_at": "device"} if k % 2 else {"mechanisms": ["E2U"]}
        user["device"]["stretch"] = 40.0
    return OptionTable.build(Scenario(**scenario), {"here": make_profile()}, spec=spec)


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_parts_are_placed_where_no_memory_holds_all(spec: ModelSpec, tmp_path: Path, objective: str) -> None:
    table = placing(spec, objective)
    made = plan(table)
    assert made.status == "optimal"
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds
    if objective == "sum":  # with "max" it takes long; small ones agree in tests/agreement
        other = solve(made.problem, method="edge_placement", gap=1e-3)
        assert made.objective_s <= other.objective_s * (1 + 1e-6)
        assert other.lower_bound_s <= made.objective_s * (1 + 1e-6)
    # who draws is served where the encoder is, who senses where the decoder is, near or not
    (drawn,), (sensed,) = ({user.edge for user in made.users[k::2]} for k in (0, 1))
    assert {drawn, sensed} == {"hall-1", "hall-2"}
    assert set(made.edge_parts[drawn]) == {"encode_prompt", "denoise"}
    assert set(made.edge_parts[sensed]) == {"denoise", "decode"}
    for site in table.sites:
        byte, load_s = made.edge_resident[site.name]
        assert byte == sum(made.edge_parts[site.name].values())
        assert byte <= (site.edge.memory_byte or 0.0)
        assert load_s == pytest.approx(byte / 1e6)
    (note,) = [note for note in made.notes if note.startswith("Parts of the model are placed")]
    assert f"{drawn} holds denoise, encode_prompt" in note
    free = plan(placing(spec, objective, memory_byte=1e12), compare=False)
    assert free.table.parts is None
    assert free.objective_s < made.objective_s
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.to_dict() == made.to_dict()
    rivals = next_best(table, made.options)
    assert all(rival.objective_s >= made.objective_s * (1 - 1e-6) for rival in rivals)


def test_parts_that_no_memory_holds_together_are_refused_by_name(spec: ModelSpec) -> None:
    with pytest.raises(Infeasible, match=r"u0: .*memory of hall-1 50 kB: the weights do not fit"):
        plan(placing(spec, memory_byte=float(spec.weight_byte["denoise"])))
    scenario = placing(spec).scenario.model_dump(mode="json", exclude_none=True)
    for user in scenario["users"]:  # only one hall is in reach
        for side in ("downlink", "uplink"):
            user[f"{side}_efficiency_bit_per_s_per_hz"] = {"hall-1": 4.0}
    table = OptionTable.build(Scenario(**scenario), {"here": make_profile()}, spec=spec)
    with pytest.raises(Infeasible, match=r"memories cannot hold together.*u0.*of .*B.*has a memory of"):
        plan(table)
