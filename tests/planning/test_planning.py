"""From a scenario to a plan: limits, options, shares, files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cell import scenario

from megdt_opt import Infeasible, InvalidInput, ProfileError, Scenario, evaluate
from megdt_opt.planning.baselines import equal_shares, next_best
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import plan
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Kind, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.tolerances import EXACT
from megdt_opt.trials.runs import baseline_parts
from megdt_opt.trials.verification import VerifiedSet, judge, kendall_tau


def allowed(table: OptionTable, user: int = 0) -> set[str]:
    return {table.options[o].mechanism for o in np.flatnonzero(table.allowed[user])}


def test_privacy_keeps_request_and_first_steps_on_the_device(build: Any) -> None:
    table = build({"private_steps": 3})
    assert allowed(table) == {"local", "SEU-UE-first"}
    for o in np.flatnonzero(table.allowed[0]):
        for leaf in leaves(table.program(0, int(o))):
            if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and is_edge(leaf.at):
                assert leaf.first >= 3
    assert any("privacy: the request would leave" in line for line in table.summary(0))


def test_energy_limits_the_steps_on_the_device(build: Any) -> None:
    step_j = 2.0 * 4.0 * 0.05
    table = build({"energy_max_j": 2.5 * step_j + 2.0 * 4.0 * 0.03})
    problem = table.problem()
    assert "local" not in allowed(table)
    assert problem.uplink_airtime_max_s is not None
    for o in np.flatnonzero(table.allowed[0]):
        costs = table.costs(0, int(o))
        assert costs.device_compute_j < 2.5 * step_j + 2.0 * 4.0 * 0.03
    assert any("energy" in line for line in table.summary(0))


def test_memory_and_wishes(build: Any) -> None:
    table = build({"device": {"profile": "here", "memory_byte": 30_000.0}})
    # 30 kB hold the decoder (20 kB) but not the denoiser (50 kB)
    assert allowed(table) == {"centralised", "E2U"}
    assert allowed(build({"mechanisms": ["local"]})) == {"local"}
    table = build({"precisions": ["fp32"], "mechanisms": ["E2U"]})
    assert {table.options[o].precision for o in np.flatnonzero(table.allowed[0])} == {"fp32"}


def test_a_picture_kept_at_the_edge_ends_there(build: Any) -> None:
    table = build({"shown_at": "edge", "senses": True})
    assert allowed(table) == {"centralised", "SEU-UE-first", "U2E"}
    assert "U2E" not in allowed(build({"shown_at": "edge"}))


def test_user_without_options_is_named_with_reasons(build: Any) -> None:
    table = build({}, {"private_steps": 3, "mechanisms": ["E2U"]})
    with pytest.raises(Infeasible, match=r"u1.*privacy"):
        table.problem()


SMALL = {"profile": "here", "memory_byte": 10.0}


@pytest.mark.parametrize(
    ("user", "limit", "value", "unit", "said"),
    [
        ({"deadline_s": 0.02, "mechanisms": ["E2U"]}, "deadline", 0.02, "s", "deadline 20 ms: the device alone"),
        ({"energy_max_j": 0.001, "mechanisms": ["local"]}, "energy", 0.001, "J", "energy 1 mJ per picture"),
        ({"private_steps": 3, "mechanisms": ["E2U"]}, "private steps", 3.0, "", "privacy: the request would leave"),
        ({"device": SMALL, "mechanisms": ["local"]}, "device memory", 10.0, "B", "device memory 10 B"),
    ],
)  # fmt: skip
def test_what_closes_a_users_options_is_data(
    build: Any, user: dict[str, Any], limit: str, value: float, unit: str, said: str
) -> None:
    with pytest.raises(Infeasible, match=r"user u1: ") as caught:
        build({}, user).problem()
    error = caught.value
    assert error.users == (1,)
    found = {(c.user, c.limit, c.value, c.unit) for c in error.conflicts}
    assert (1, limit, value, unit) in found
    assert said in str(error)
    assert "options)" in str(error)


def test_deadlines_in_conflict_name_the_users(build: Any) -> None:
    table = build({}, {"deadline_s": 0.9, "mechanisms": ["E2U"]}, {"deadline_s": 0.9, "mechanisms": ["E2U"]})
    with pytest.raises(Infeasible, match=r"user u1: deadline 900 ms; user u2: deadline 900 ms") as caught:
        plan(table)
    assert caught.value.users == (1, 2)


@pytest.mark.parametrize("method", ["prices", "enumerate", "option_misocp"])
@pytest.mark.parametrize("name", ["phone", "7", "user 1"])
def test_a_user_in_conflict_is_called_by_its_name(build: Any, method: str, name: str) -> None:
    table = build({"name": "0", "mechanisms": ["local"]}, {"name": name, "deadline_s": 0.2, "mechanisms": ["E2U"]})
    assert table.allowed[1].any(), "the deadline closes every option before the search"
    with pytest.raises(Infeasible, match=f"user {name}: ") as caught:
        plan(table, method=method)
    assert "user 0" not in str(caught.value)
    (conflict,) = caught.value.conflicts
    assert (conflict.user, conflict.limit, conflict.value, conflict.unit) == (1, "deadline", 0.2, "s")


def test_plan_is_what_its_shares_say(build: Any) -> None:
    made = plan(build({}, {"private_steps": 2}, {"device": {"profile": "here", "stretch": 30.0}}, objective="sum"))
    problem = made.table.problem()
    shares = [np.array([getattr(u, n) for u in made.users]) for n in ("downlink_hz", "uplink_hz", "edge_share")]
    seen = evaluate(problem, made.options, *shares)
    assert seen.violation <= EXACT
    assert seen.objective_s == pytest.approx(made.objective_s, rel=EXACT)
    assert made.status == "optimal"
    for k, user in enumerate(made.users):
        # the walk over the stages and the optimiser's formula are the same algebra
        assert user.latency_s == pytest.approx(seen.latency_s[k], rel=EXACT)
        assert user.refresh_hz >= 1 / user.latency_s * (1 - EXACT)
    assert all(b.objective_s >= made.lower_bound_s for b in made.baselines if not b.breaks)
    assert made.robustness is not None
    assert len(made.to_frame()) == 3
    assert len(made.stage_frame()) == sum(len(u.stages) for u in made.users)


def test_baselines_waive_limits_and_name_who_is_broken(build: Any) -> None:
    made = plan(build({"private_steps": 3}, {}))
    named = {b.name: b for b in made.baselines}
    assert named["all E2U"].breaks == ("u0",)
    assert named["all local"].breaks == ()
    assert set(named) <= {*(f"all {m}" for m in MECHANISMS), "plan's options, equal shares"}


def test_next_best_differs_from_the_plan(build: Any) -> None:
    table = build({}, {})
    made = plan(table, compare=False)
    for rival in next_best(table, made.options):
        assert rival.options != tuple(u.option.name for u in made.users)
        assert rival.objective_s >= made.lower_bound_s
        users, _ = baseline_parts(table, rival)
        assert [u.latency_s for u in users] == pytest.approx(list(rival.latency_s), rel=EXACT)
    assert equal_shares(table, made.options).objective_s >= made.lower_bound_s


def test_plan_survives_saving(build: Any, tmp_path: Path) -> None:
    made = plan(build({}, {"private_steps": 2}))
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert [u.option for u in again.users] == [u.option for u in made.users]
    assert [u.latency_s for u in again.users] == pytest.approx([u.latency_s for u in made.users], rel=EXACT)
    assert again.baselines == made.baselines
    assert again.robustness == made.robustness


@pytest.mark.parametrize("field", ["objective_s", "edge_share", "options", "scenario", "profiles"])
def test_an_altered_or_broken_plan_is_refused(build: Any, tmp_path: Path, field: str) -> None:
    made = plan(build({"mechanisms": ["E2U"]}), compare=False)
    path = tmp_path / "plan.json"
    made.save(path)
    data = json.loads(path.read_text())
    if field == "objective_s":
        data[field] *= 0.9
    elif field == "edge_share":
        data[field] = [1.5]
    elif field == "options":
        data[field] = ["E2U fp8"]
    else:
        del data[field]
    path.write_text(json.dumps(data))
    with pytest.raises((InvalidInput, ProfileError)):
        Plan.load(path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(InvalidInput, match="whole JSON"):
        Plan.load(path)


def test_unknown_profile(spec: ModelSpec) -> None:
    with pytest.raises(ProfileError, match="here"):
        OptionTable.build(scenario({}), spec=spec)


def sets(*measured: tuple[float, ...], breaks: tuple[str, ...] = ()) -> tuple[VerifiedSet, ...]:
    predicted = [1.0 + 0.2 * i for i in range(len(measured))]
    return tuple(
        VerifiedSet(name=f"s{i}", options=(), predicted_s=predicted[i], measured_s=m, breaks=breaks if i else ())
        for i, m in enumerate(measured)
    )


def test_judging() -> None:
    good = judge(sets((1.0, 1.1), (1.2, 1.3), (1.4, 1.5)))
    assert good.plan_is_fastest
    assert good.rank_correlation == pytest.approx(1.0)
    missed = judge(sets((1.0, 1.3), (0.9, 1.2), (1.4, 1.5)))
    assert not missed.plan_is_fastest
    assert [m.rival for m in missed.misses] == ["s1"]
    assert missed.misses[0].mean_s == pytest.approx(0.1)
    assert judge(sets((1.0, 1.1), (0.5, 0.6), breaks=("u0",))).plan_is_fastest
    tied = tuple(replace(s, predicted_s=1.0) for s in sets((1.0, 1.1), (0.99, 1.09)))
    assert judge(tied).plan_is_fastest


def test_order_is_judged_by_pairs_that_differ_by_more_than_the_interval() -> None:
    order = sets((1.0,), (1.1,), (1.9,), (1.7,))  # predicted 1.0, 1.2, 1.4, 1.6
    assert kendall_tau(order, 0.1) == (pytest.approx(4 / 6), 6)
    assert kendall_tau(order, 0.3) == (1.0, 3)  # 1.4 and 1.6 are a tie
    assert math.isnan(kendall_tau(order, 1.0)[0])
    assert kendall_tau(sets((2.0,), (1.0,)), 0.1) == (-1.0, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"picture": "no.png"}, "picture: found 'no.png'; expected nothing without a user that senses"),
        ({"picture": "no.png", "senses": True}, "picture: found 'no.png'; expected none: only pipelines"),
        ({"picture": "no.png", "senses": True, "mechanisms": ["E2U"]}, "no.png'; expected nothing where no mechanism"),
        ({"prompt": "x", "scene": 7}, "prompt: found 'x'; expected a prompt or a scene"),
        ({"prompt": "x"}, "prompt: found 'x'; expected a scene: the twin takes no prompts"),
    ],
)
def test_what_would_not_be_shown_or_sensed_is_refused(fields: dict[str, object], said: str) -> None:
    user = {"name": "a", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz", "codecs": ["raw"]}
    with pytest.raises(InvalidInput, match=said):
        plan(Scenario(channel={"downlink": "2 MHz", "uplink": "2 MHz"}, users=[user | fields]), compare=False)
