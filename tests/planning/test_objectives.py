"""Scenarios whose objective is "mixed", "missed" or "mean_cvar": plans against rivals, files, sweeps, reports."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, InvalidInput, Plan, Scenario, plan, solve, sweep
from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.plot import latency_figure, pareto_figure
from megdt_opt.program.stages import Compute, leaves
from megdt_opt.report import write_report
from megdt_opt.report.facts import headline, objective_label, objective_text
from megdt_opt.report.plan_grids import baseline_grid
from megdt_opt.report.run_grids import verification_grid
from megdt_opt.sweeping import run_sweep
from megdt_opt.trials.verification import VerifiedSet, judge, measured_objective_s

PHONE: dict[str, Any] = {
    "device": {"profile": "twin-cpu", "stretch": 30},
    "downlink_efficiency": "4 bit/s/Hz",
    "uplink_efficiency": "2 bit/s/Hz",
    "mechanisms": ["local", "E2U"],
    "precisions": ["int8"],
}


def cell(objective: str, *users: dict[str, Any], **more: Any) -> Scenario:
    named = [{"name": f"u{k}", "scene": k, **PHONE, **user} for k, user in enumerate(users)]
    band = {"downlink": "30 kHz", "uplink": "30 kHz"}
    return Scenario(
        **{"steps": 4, "objective": objective, "edge": {"stretch": 8}, "channel": band, "users": named, **more}
    )


def late(*deadlines_s: float | None, weights: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Scenario:
    users = [
        {"weight": w} | ({} if d is None else {"deadline": f"{d} s"})
        for d, w in zip(deadlines_s, weights, strict=False)
    ]
    return cell("missed", *users)


def least_weight(problem: AllocationProblem) -> float:
    """Least weight of late users: the largest set that can be on time together, each set tried."""
    users = range(problem.users)
    found = []
    for count in range(problem.users + 1):
        for on_time in itertools.combinations(users, count):
            limits = np.where(np.isin(users, on_time), problem.deadline_s, 1e9)
            held = replace(problem, objective="max", deadline_s=limits)
            try:
                solve(held, gap=1e-3)
            except ValueError:
                continue
            except Exception as error:
                if type(error).__name__ != "Infeasible":
                    raise
                continue
            found.append(sum(problem.weights[k] for k in users if k not in on_time))
    return float(min(found))


@pytest.mark.parametrize(
    "deadlines_s", [(0.1, 0.1, 0.1), (0.9, 0.9, 0.9), (0.7, None, 0.9), (0.5, 1.2, 2.0), (30.0, 30.0, 30.0)]
)
def test_missed_is_the_least_weight_of_late_users(deadlines_s: tuple[float | None, ...]) -> None:
    made = plan(late(*deadlines_s), compare=False)
    assert made.status == "optimal"
    assert made.objective_s == pytest.approx(least_weight(made.problem))
    late_users = [u.latency_s > (d or 1e9) for u, d in zip(made.users, deadlines_s, strict=True)]
    assert made.objective_s == sum(w for w, is_late in zip((1.0, 2.0, 3.0), late_users, strict=True) if is_late)
    assert all(np.isfinite(u.latency_s) for u in made.users)


def test_a_deadline_is_no_limit_where_it_is_counted() -> None:
    """Of "missed" no option is closed by it, no baseline breaks it, and every baseline is counted by it."""
    made = plan(late(0.1, 0.9, 30.0))
    assert not any("deadline" in reason for k in range(3) for reason in made.table.closings(k))
    assert all(b.breaks == () for b in made.baselines if b.name in ("all local", "all E2U"))
    assert all(0 <= b.objective_s <= 6 for b in made.baselines)
    same = cell("sum", {"deadline": "0.1 s"}, {})
    with pytest.raises(Exception, match="deadline"):
        plan(same)


@pytest.mark.parametrize("max_weight", [1e-3, 1.0, 50.0])
def test_mixed_is_between_sum_and_max(max_weight: float) -> None:
    users = ({}, {"weight": 2.0}, {"device": {"profile": "twin-cpu", "stretch": 60}})
    made = plan(cell("mixed", *users, max_weight=max_weight), compare=False, gap=1e-8)
    least = {name: plan(cell(name, *users), compare=False, gap=1e-8).objective_s for name in ("sum", "max")}
    weighted = [u.latency_s * w for u, w in zip(made.users, (1.0, 2.0, 1.0), strict=True)]
    assert made.status == "optimal"
    assert made.objective_s == pytest.approx(sum(weighted) + max_weight * max(weighted), rel=1e-12)
    assert made.objective_s >= least["sum"] + max_weight * least["max"] - 1e-7
    other = plan(cell("sum", *users), compare=False, gap=1e-8)
    theirs = [u.latency_s * w for u, w in zip(other.users, (1.0, 2.0, 1.0), strict=True)]
    assert made.objective_s <= (sum(theirs) + max_weight * max(theirs)) * (1 + 1e-7)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(("level", "cvar_weight"), [(0.0, 1.0), (0.6, 0.5), (0.9, 3.0)])
def test_the_mean_and_the_tail_are_those_of_the_users(level: float, cvar_weight: float) -> None:
    users = ({}, {"weight": 2.0}, {"device": {"profile": "twin-cpu", "stretch": 60}})
    made = plan(cell("mean_cvar", *users, cvar_level=level, cvar_weight=cvar_weight))
    late_s, part = np.array([u.latency_s for u in made.users]), np.array([0.25, 0.5, 0.25])
    tail_s = min(t + part @ np.maximum(late_s - t, 0) / (1 - level) for t in late_s)
    assert made.status == "optimal"
    assert made.objective_s == pytest.approx(part @ late_s + cvar_weight * tail_s, rel=1e-12)
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds
    assert made.scenario.objective_of(late_s.tolist()) == pytest.approx(made.objective_s, rel=1e-12)
    assert all(b.objective_s >= made.objective_s * (1 - 2e-6) for b in made.baselines)
    assert f"{cvar_weight:g} times that of the worst {100 * (1 - level):.3g} %" in objective_label(made)
    if level == 0.0:
        other = plan(cell("sum", *users), compare=False)
        assert made.objective_s == pytest.approx(2 * other.objective_s / 4, rel=4e-6)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(
    "scenario",
    [
        late(0.7, None, 0.9),
        cell("mixed", {}, {}, max_weight=2),
        cell("mean_cvar", {}, {}, cvar_level=0.5, cvar_weight=2),
    ],
    ids=["missed", "mixed", "mean_cvar"],
)
def test_a_plan_is_saved_and_read_again(scenario: Scenario, tmp_path: Path) -> None:
    made = plan(scenario)
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert (again.users, again.objective_s, again.scenario) == (made.users, made.objective_s, made.scenario)
    data = json.loads((tmp_path / "plan.json").read_text())
    for name, value in (("objective_s", data["objective_s"] + 1), ("lower_bound_s", data["objective_s"] + 1)):
        (tmp_path / "altered.json").write_text(json.dumps({**data, name: value}))
        with pytest.raises(InvalidInput, match=name):
            Plan.load(tmp_path / "altered.json")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"objective": "missed"}, "objective: found 'missed'.*Give users a deadline"),
        ({"objective": "mixed"}, "max_weight: found None"),
        ({"objective": "max", "max_weight": 2}, "max_weight: found 2.0"),
        ({"objective": "missed", "max_weight": 2}, "max_weight: found 2.0"),
        ({"objective": "mixed", "max_weight": 0}, "max_weight"),
        ({"objective": "mixed", "max_weight": "2"}, "max_weight: found '2'"),
        ({"objective": "mean"}, "objective.*found 'mean'"),
        ({"objective": "mean_cvar"}, "cvar_level: found None"),
        ({"objective": "mean_cvar", "cvar_level": 0.5}, "cvar_weight: found None"),
        ({"objective": "mean_cvar", "cvar_level": 1.0, "cvar_weight": 1.0}, "cvar_level"),
        ({"objective": "max", "cvar_weight": 1.0}, "cvar_weight: found 1.0"),
        ({"objective": "alpha_fair"}, "objective: found 'alpha_fair'.*no bound is proven"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        cell(fields.pop("objective"), {}, {}, **fields)


def test_a_sweep_over_objectives_is_kept_and_drawn_with_their_units(tmp_path: Path) -> None:
    base = late(0.7, 1.2, 0.9)
    first = run_sweep(base, {"channel.downlink": ["20 kHz", "80 kHz"]}, cache=tmp_path)
    again = run_sweep(base, {"channel.downlink": ["20 kHz", "80 kHz"]}, cache=tmp_path)
    assert (first.computed, again.computed, again.remembered) == (2, 0, 2)
    assert again.cells["objective_s"].tolist() == [plan(c, compare=False).objective_s for c in (
        base.model_copy(update={"channel": base.channel.model_copy(update={"downlink_hz": band})})
        for band in (20e3, 80e3)
    )]  # fmt: skip
    label = latency_figure(again.cells, "channel.downlink_hz").axes[0].get_ylabel()
    assert label == "weight of users later than their deadline"
    assert pareto_figure(again.cells, "edge_s", "objective_s").axes[0].get_ylabel() == label
    frame = sweep(base, {("objective", "max_weight"): [("max", None), ("sum", None), ("mixed", 2.0), ("missed", None)]})
    assert frame["objective"].tolist() == ["max", "sum", "mixed", "missed"]
    mixed = frame[frame["objective"] == "mixed"]
    assert latency_figure(mixed, "objective").axes[0].get_ylabel() == "sum and worst of weighted latencies [s]"
    assert pareto_figure(frame, "edge_s", "objective_s").axes[0].get_ylabel() == "objective"


def executed(made: Plan, factor: float) -> Execution:
    """A run in which every stage took `factor` times as long as predicted."""
    rows = []
    for user in made.users:
        for index, (leaf, time) in enumerate(zip(leaves(user.program), user.stages, strict=True)):
            compute = isinstance(leaf, Compute)
            rows.append(
                StageRow(
                    user=user.name, index=index, label=leaf.label, actor=leaf.at if compute else leaf.source,
                    kind=str(leaf.kind) if compute else f"send {leaf.payload.value}",
                    predicted_start_s=time.start_s, predicted_duration_s=time.duration_s,
                    start_s=factor * time.start_s, end_s=factor * (time.start_s + time.duration_s),
                )
            )  # fmt: skip
    return Execution(mode="paced", rows=tuple(rows), stretch={}, environment={})


def test_the_report_names_objective_and_unit(tmp_path: Path) -> None:
    made = plan(late(30.0, 30.0, 30.0))
    assert made.objective_s == 0
    assert (objective_label(made), objective_text(made, 3.0)) == ("weight of users later than their deadline", "3 of 6")
    assert "weight of users later than their deadline 0 of 6" in headline(made, None, None)
    assert "[s]" not in baseline_grid(made).headers[1]
    result = write_report(tmp_path / "missed", made)["result"]
    data = json.loads(result.read_text())
    assert (data["objective"], data["objective_unit"], data["objective_s"], data["speed_up"]) == (
        "missed",
        "1",
        0,
        None,
    )
    assert " 0 s" not in (tmp_path / "missed" / "index.html").read_text().partition("</header>")[0]
    mixed = plan(cell("mixed", {}, {}, max_weight=2))
    assert objective_label(mixed) == "sum of latencies and 2 times the worst [s]"
    assert json.loads(write_report(tmp_path / "mixed", mixed)["result"].read_text())["objective_unit"] == "s"


def test_a_run_is_judged_by_the_scenarios_objective() -> None:
    made = plan(late(30.0, 30.0, 0.1), compare=False)
    slowest_s = max(u.latency_s for u in made.users)
    assert measured_objective_s(made, executed(made, 1.0)) == made.objective_s == 3
    assert measured_objective_s(made, executed(made, 31.0 / slowest_s)) > 3
    mixed = plan(cell("mixed", {}, {}, max_weight=2), compare=False)
    assert measured_objective_s(mixed, executed(mixed, 2.0)) == pytest.approx(2 * mixed.objective_s)
    sets = (
        VerifiedSet(name="plan", options=(), predicted_s=0.0, measured_s=(0.0, 0.0)),
        VerifiedSet(name="rival", options=(), predicted_s=2.0, measured_s=(2.0, 2.0)),
        VerifiedSet(name="equal", options=(), predicted_s=0.0, measured_s=(0.0, 1.0)),
    )
    found = judge(sets, "")
    assert found.plan_is_fastest
    assert "predicted" in verification_grid(found).headers
    assert not any("[s]" in header for header in verification_grid(found).headers)
