"""Plans of groups that share their first steps: proven, saved, read again, and against the best without sharing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_cell import STEPS, make_profile

from megdt_opt import InvalidInput, Plan, Scenario, SharedPrefixProblem, plan
from megdt_opt.planning.baselines import UNSHARED, Baseline, next_best
from megdt_opt.planning.planner import solved
from megdt_opt.program.groups import COOPERATIVE, GROUP_MECHANISMS
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.runs import baseline_parts

GROUP = {"members": ["u0", "u1", "u2"], "steps": [2, 4]}
HOST = {"host": "u0", "d2d_rate": "2 Mbit/s"}


def cell(objective: str = "sum", group: dict[str, Any] | None = None, *, edge: float = 2.0, **more: Any) -> Scenario:
    """Three members and a user of its own at a busy edge."""
    users = [
        {
            "name": f"u{k}",
            "device": {"profile": "here", "stretch": 8.0 + 2 * k, "compute_power_w": 2.0},
            "downlink_efficiency": f"{4 - 0.5 * k} bit/s/Hz",
            "uplink_efficiency": "2 bit/s/Hz",
            "precisions": ["fp16", "int8"],
            "codecs": ["jpeg"],
            **more.get(f"u{k}", {}),
        }
        for k in range(4)
    ]
    return Scenario(
        name="a group",
        model="small",
        unmeasured_quality="accept",  # of a model that nobody looked at
        steps=STEPS,
        cuts=[3],
        peu_shares=[],
        objective=objective,
        edge={"profile": "here", "stretch": edge},
        channel={"downlink": "60 kHz", "uplink": "60 kHz", "propagation": "5 ms"},
        users=users,
        groups=[{**GROUP, **(group or {})}],
    )


def table_of(spec: ModelSpec, *args: Any, **more: Any) -> OptionTable:
    return OptionTable.build(cell(*args, **more), {"here": make_profile()}, spec=spec)


@pytest.fixture(scope="module")
def made(spec: ModelSpec) -> Plan:
    return plan(table_of(spec))


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("reserve", ["phased", "separate"])
def test_the_plan_is_proven_and_every_stage_adds_up(spec: ModelSpec, objective: str, reserve: str) -> None:
    found = solved(table_of(spec, objective, {"reserve": reserve}), gap=1e-4, time_limit_s=60)
    assert isinstance(found.problem, SharedPrefixProblem)
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    latency_s = [user.latency_s for user in found.users]
    assert found.objective_s == pytest.approx({"sum": sum, "max": max}[objective](latency_s), rel=1e-9)
    for group in found.groups:  # the tree of the group says the same as its members' own stages
        for user in found.users:
            if user.name in group.riders:
                own = [t for t, c in zip(group.stages, group.program.chain, strict=True) if c == user.name]
                assert [t.start_s for t in own] == pytest.approx([t.start_s for t in user.stages])
                assert [t.duration_s for t in own] == pytest.approx([t.duration_s for t in user.stages])
    alone = solved(found.table.unshared(), gap=1e-6)
    assert found.lower_bound_s <= alone.objective_s


def test_sharing_wins_where_the_edge_is_busy(made: Plan) -> None:
    (unshared,) = [b for b in made.baselines if b.name == UNSHARED]
    assert unshared.proven
    assert not any(baseline.breaks for baseline in made.baselines)
    assert made.objective_s < 0.95 * unshared.objective_s
    (group,) = made.groups
    assert set(group.riders) <= set(group.members) == {"u0", "u1", "u2"}
    assert group.lead == "u0"
    assert len(group.riders) >= 2
    assert group.steps == 4
    assert any(note.startswith(f"{', '.join(group.riders)} share 4 steps of u0's request") for note in made.notes)
    frame = made.to_frame()
    assert frame["group"].tolist() == [0, 0, 0, -1]
    assert [u for u, r in zip(frame["user"], frame["rides"], strict=True) if r] == list(group.riders)
    assert set(frame["common_steps"]) <= {0, 4}
    assert any("4 common steps, then 2" in user.hand_over for user in made.users)


def test_runners_up_share_other_steps_or_go_on_elsewhere(made: Plan) -> None:
    rivals = next_best(made.table, made.options, count=9)
    shared = [(rival, *baseline_parts(made.table, rival)) for rival in rivals]
    assert {group.steps for _, _, groups in shared for group in groups} >= {2, 4}
    assert len({groups[0].receivers for _, _, groups in shared if groups}) > 1
    for rival, users, groups in shared:
        assert rival.objective_s >= made.objective_s * (1 - 1e-6)
        assert [user.latency_s for user in users] == pytest.approx(rival.latency_s)
        riding = {user.name for user in users if user.option.mechanism in GROUP_MECHANISMS}
        assert riding == {name for group in groups for name in group.riders}
        ends = [max(t.start_s + t.duration_s for t in user.stages) for user in users]
        assert ends == pytest.approx(rival.latency_s)  # stage by stage, by the groups' own trees
        assert Baseline.from_dict(json.loads(json.dumps(rival.to_dict()))) == rival


def test_without_a_reason_nothing_is_shared(spec: ModelSpec) -> None:
    quick = {f"u{k}": {"device": {"profile": "here", "stretch": 1.0}} for k in range(4)}
    found = solved(table_of(spec, edge=60.0, **quick))
    assert found.groups == ()
    assert {user.option.mechanism for user in found.users} == {"local"}


def test_a_plan_reads_back_and_is_recomputed(made: Plan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert (again.users, again.groups, again.baselines) == (made.users, made.groups, made.baselines)
    assert again.to_dict() == made.to_dict()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("trunk", [-1], "shares"),
        ("trunk", [999], r"trunk\[0\]: found 999"),
        ("trunk", [], "trunk: .*a list of 1 values, one per group"),
        ("trunk", None, "trunk"),
        ("trunk_edge_share", [0.0], "shares|latency"),
        ("trunk_edge_share", [5.0], "shares"),
        ("trunk_uplink_hz", [1e9], "shares"),
        ("multicast_hz", ["wide"], r"multicast_hz\[0\]"),
        ("multicast_hz", [1e9], "shares"),
    ],
)
def test_an_altered_plan_is_refused(made: Plan, tmp_path: Path, field: str, value: object, words: str) -> None:
    data = made.to_dict()
    data[field] = value
    (tmp_path / "plan.json").write_text(json.dumps(data))
    with pytest.raises(InvalidInput, match=words):
        Plan.load(tmp_path / "plan.json")


def test_a_host_makes_the_steps_where_the_edge_is_slow(spec: ModelSpec) -> None:
    quick = {"u0": {"device": {"profile": "here", "stretch": 1.0, "powered": "mains"}}}
    found = solved(table_of(spec, "sum", HOST, edge=30.0, **quick))
    (group,) = found.groups
    assert group.hosted
    assert group.lead == "u0"
    assert {found.users[k].option.mechanism for k in range(3)} >= {COOPERATIVE}
    assert found.users[0].option.mechanism == COOPERATIVE  # a host takes part itself
    assert group.multicast_bit_per_s == 2e6
    # its own costs are those of the steps that it makes for itself alone
    assert found.users[0].costs.device_s == pytest.approx((STEPS - group.steps) * 0.05 + 0.02, rel=0.05)


@pytest.mark.parametrize(
    ("energy_j", "closed"),
    [
        (20.0, {}),
        (0.45, {"fp16": "making and sending the common steps exceeds it"}),  # computing 0.32 J, sending 0.16 or 0.08 J
        (0.3, {"fp16": "the device's computing exceeds it", "int8": "the device's computing exceeds it"}),
    ],
)
def test_a_hosts_energy_counts_common_steps_and_sending(
    spec: ModelSpec, energy_j: float, closed: dict[str, str]
) -> None:
    limited = {"u0": {"device": {"profile": "here", "compute_power_w": 1.0}, "energy_max_j": energy_j}}
    table = table_of(spec, "sum", {**HOST, "d2d_rate": "20 kbit/s"}, edge=30.0, **limited)
    for o, option in enumerate(table.options):
        if option.mechanism == COOPERATIVE:
            reasons = " ".join(table.closed_by(0, o))
            assert (closed.get(option.precision, "-") in reasons) == (option.precision in closed), (option, reasons)


def test_a_private_lead_lets_no_edge_make_its_steps(spec: ModelSpec) -> None:
    table = table_of(spec, u0={"private_steps": 1})
    assert table.shared is not None
    assert table.shared.trunks == ()
    names = [o for o, option in enumerate(table.options) if option.mechanism in GROUP_MECHANISMS]
    assert names
    assert not table.allowed[:, names].any()
    hosted = table_of(spec, "sum", HOST, u0={"private_steps": 3, "device": {"profile": "here", "powered": "mains"}})
    assert hosted.shared is not None
    assert {(t.trunk.hosted, t.trunk.steps) for t in hosted.shared.trunks} == {(True, 4)}


def test_a_private_member_may_still_receive(spec: ModelSpec) -> None:
    table = table_of(spec, u1={"private_steps": 2})
    open_to = {table.options[o].mechanism for o in range(len(table.options)) if table.allowed[1, o]}
    assert "shared-device" in open_to
    assert "shared-edge" not in open_to


def test_a_floor_needs_a_model_that_was_measured(spec: ModelSpec) -> None:
    group = {"members": ["u0", "u1", "u2"], "psnr_min": "30 dB", "similarity": 0.9, "steps": None}
    scenario = cell("sum", group).model_copy(update={"model": "small"})
    with pytest.raises(
        InvalidInput, match="model: found 'small'; expected a model whose shared prefixes were measured"
    ):
        OptionTable.build(scenario, {"here": make_profile()}, spec=spec)
