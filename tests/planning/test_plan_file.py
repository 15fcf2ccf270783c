"""What a plan file claims is recomputed when it is read: nothing in it is believed that follows from the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_cell import make_profile, scenario

from megdt_opt import InvalidInput, Plan, ProfileError, Scenario, TimingProfile, plan
from megdt_opt.planning.planner import solved
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.options import OptionTable

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def table(spec: ModelSpec) -> OptionTable:
    here = make_profile()
    users = ({"mechanisms": ["local", "E2U"]}, {"mechanisms": ["centralised", "E2U"]})
    return OptionTable.build(scenario(*users), {"here": here}, spec=spec)


@pytest.fixture(scope="module")
def bare(table: OptionTable) -> dict[str, Any]:
    """A plan that was compared with nothing, as plain data."""
    return as_data(solved(table))


@pytest.fixture(scope="module")
def whole(table: OptionTable) -> dict[str, Any]:
    """A plan with baselines and robustness."""
    return as_data(plan(table))


@pytest.fixture(scope="module")
def honest(whole: dict[str, Any]) -> Plan:
    return Plan.from_dict(whole)


def as_data(made: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(made.to_dict()))
    return found


def altered(data: dict[str, Any], change: Change) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(data))
    change(copy)
    return copy


def put(field: str, value: Any) -> Change:
    """Set a field, which may lie deeper: "baselines.0.objective_s"."""

    def change(data: Any) -> None:
        *path, last = field.split(".")
        for name in path:
            data = data[int(name) if isinstance(data, list) else name]
        data[int(last) if isinstance(data, list) else last] = value

    return change


def test_a_plan_is_what_it_was(whole: dict[str, Any], tmp_path: Path) -> None:
    made = Plan.from_dict(whole)
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert as_data(again) == as_data(made) == whole
    assert again.status == "optimal"
    assert again.certificate is not None
    assert again.certificate.verify(again.problem).holds


@pytest.mark.parametrize(
    ("method", "status", "source"),
    [
        pytest.param("enumerate", "optimal", "enumeration", id="enumeration"),
        pytest.param("option_misocp", "feasible", "solver", id="bound of a solver"),
    ],
)
def test_a_bound_without_a_certificate_is_proven_anew(
    table: OptionTable, method: str, status: str, source: str
) -> None:
    data = as_data(solved(table, method=method))
    made = Plan.from_dict(data)
    assert (made.status, made.bound_source, made.certificate) == (status, source, None)
    assert made.lower_bound_s == data["lower_bound_s"]


@pytest.mark.parametrize("source", ["leaves", "closed form"])
def test_a_source_that_the_proof_does_not_have_is_refused(bare: dict[str, Any], source: str) -> None:
    data = altered(bare, lambda d: d.update(certificate=None, bound_source=source))
    with pytest.raises(InvalidInput, match=f"bound_source: found '{source}'"):
        Plan.from_dict(data)


@pytest.mark.parametrize("kind", ["as it came", "minus infinity", "named"])
def test_a_plan_without_a_bound_is_saved_and_read(table: OptionTable, kind: str, tmp_path: Path) -> None:
    """As a route leaves it that finds no bound: JSON has no infinity, and null stands for it."""
    made = replace(
        solved(table), lower_bound_s=-math.inf, gap=math.inf, status="feasible", bound_source="none", certificate=None
    )
    made.save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    again = Plan.load(tmp_path / "plan.json")
    assert (again.lower_bound_s, again.gap, again.status) == (-math.inf, math.inf, "feasible")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        # proofs: what was written in by hand would load as "proven optimal"
        ("certificate", put("certificate", None)),
        ("lower_bound_s", lambda d: d.update(lower_bound_s=d["objective_s"] * (1 - 1e-12), gap=1e-12)),
        ("lower_bound_s", lambda d: d.update(lower_bound_s=2 * d["objective_s"], gap=0.0)),
        ("lower_bound_s", put("lower_bound_s", None)),
        ("gap", put("gap", 1e-3)),
        ("gap", put("gap", None)),
        ("status", put("status", "feasible")),
        ("status", put("status", "proven")),
        ("status", put("asked_gap", 0.0)),
        ("bound_source", put("bound_source", "none")),
        ("bound_source", put("bound_source", "word of mouth")),
        ("certificate", lambda d: d["certificate"].update(bound_s=1.01 * d["objective_s"])),
        # figures
        ("solve_s", put("solve_s", -1)),
        ("solve_s", put("solve_s", True)),
        ("solve_s", put("solve_s", math.nan)),
        ("gap", put("gap", math.nan)),
        ("lower_bound_s", put("lower_bound_s", math.nan)),
        ("objective_s", put("objective_s", "fast")),
        ("latency_s", put("latency_s.1", 1e-3)),
        ("latency_s", put("latency_s", [0.1])),
        ("shares|edge_share", put("edge_share", [0.9, 0.9])),
        ("edge_share", put("edge_share.0", -0.1)),
        ("method", put("method", "oracle")),
        ("time_limit_s", put("time_limit_s", 0)),
        ("asked_gap", put("asked_gap", -1)),
        ("option", put("options.0", "E2U fp8")),
        ("options", put("options", "E2U")),
        # fields
        ("plan.remark", put("remark", "audited")),
        ("profiles.spare", put("profiles.spare", {})),
        ("certificate.auditor", put("certificate.auditor", "me")),
        ("spec.licence", put("spec.licence", "mine")),
        ("plan.solve_s", lambda d: d.pop("solve_s")),
        ("profiles.here", lambda d: d["profiles"].pop("here")),
        ("robustness", put("robustness", {})),
        ("baselines", put("baselines", None)),
    ],
)  # fmt: skip
def test_a_claim_that_does_not_follow_is_refused_by_its_name(bare: dict[str, Any], field: str, change: Change) -> None:
    with pytest.raises(InvalidInput, match=field):
        Plan.from_dict(altered(bare, change))


@pytest.mark.parametrize("source", ["solver", "enumeration"])
def test_a_bound_that_no_proof_reaches_is_refused(table: OptionTable, source: str) -> None:
    """A bound equal to the objective of a plan that is far from the optimum."""
    allowed = table.allowed.copy()
    worse = solved(replace_mechanisms(table, ["local"], ["centralised"]))
    data = as_data(solved(table))
    assert worse.objective_s > data["objective_s"] * 1.01
    assert allowed.any()
    for field, value in as_data(worse).items():
        if field in ("options", "downlink_hz", "uplink_hz", "edge_share", "latency_s", "objective_s"):
            data[field] = value
    data |= {"certificate": None, "bound_source": source, "lower_bound_s": data["objective_s"], "gap": 0.0}
    data["status"] = "optimal" if source == "enumeration" else "feasible"
    with pytest.raises(InvalidInput, match="lower_bound_s"):
        Plan.from_dict(data)


def replace_mechanisms(table: OptionTable, *each: list[str]) -> OptionTable:
    """The table with the same options, of which each user may run some."""
    users = [u.model_copy(update={"mechanisms": tuple(m)}) for u, m in zip(table.scenario.users, each, strict=True)]
    return replace(table, scenario=table.scenario.model_copy(update={"users": tuple(users)}))


def test_an_emulated_device_stays_one(bare: dict[str, Any], table: OptionTable) -> None:
    """The stretch is the scenario's, so that a profile in the file cannot hide it."""
    assert [p.stretch for p in table.machines.devices] == [4.0, 4.0]
    made = Plan.from_dict(bare)
    assert [p.provenance.stretches for p in made.table.machines.devices] == [
        p.provenance.stretches for p in table.machines.devices
    ]
    assert bare["profiles"]["here"]["provenance"]["factor"] == 1.0


@pytest.mark.parametrize(
    "change",
    [
        put("profiles.here.provenance", None),
        put("profiles.here.cells", []),
        put("profiles.here.provenance.factor", math.nan),
    ],
    ids=["no provenance", "no samples", "factor that is no number"],
)
def test_a_profile_that_cannot_be_trusted_is_refused(bare: dict[str, Any], change: Change) -> None:
    with pytest.raises((ProfileError, InvalidInput)):
        Plan.from_dict(altered(bare, change))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda d: [b.update(objective_s=100 * b["objective_s"]) for b in d["baselines"]], id="slower baselines"
        ),
        pytest.param(put("baselines.0.proven", False), id="proof of a baseline"),
        pytest.param(lambda d: d["baselines"].pop(0), id="baseline left out"),
        pytest.param(put("baselines.0.breaks", ["u0", "u1"]), id="limits that a baseline breaks"),
        pytest.param(put("robustness.survives", [False, False]), id="survival"),
        pytest.param(lambda d: d["robustness"].update(regret=d["robustness"]["regret"] + 0.5), id="regret"),
        pytest.param(put("robustness.corners", 100), id="corners"),
        pytest.param(put("notes", ["proven by the auditor"]), id="notes"),
    ],
)
def test_comparisons_are_recomputed(whole: dict[str, Any], honest: Plan, change: Change) -> None:
    changed = altered(whole, change)
    made = Plan.from_dict(changed)
    assert made.restated == tuple(name for name in ("baselines", "robustness", "notes") if changed[name] != whole[name])
    assert honest.restated == ()
    assert [b.name for b in made.baselines] == [b.name for b in honest.baselines]
    for found, right in zip(made.baselines, honest.baselines, strict=True):
        assert found.objective_s == pytest.approx(right.objective_s, rel=1e-6)
        assert (found.proven, found.breaks, found.options) == (right.proven, right.breaks, right.options)
    assert made.robustness is not None
    assert honest.robustness is not None
    assert made.robustness.survives == honest.robustness.survives
    assert made.robustness.regret == pytest.approx(honest.robustness.regret, abs=1e-6)
    assert made.robustness.corners == honest.robustness.corners
    assert made.notes == honest.notes


@pytest.mark.parametrize(
    ("field", "change"),
    [
        (r"baselines\[0\].objective_s", put("baselines.0.objective_s", None)),
        (r"baselines\[0\].objective_s", put("baselines.0.objective_s", math.inf)),
        (r"baselines\[1\].rank", put("baselines.1.rank", 1)),
        (r"baselines\[0\].options", put("baselines.0.options", "local")),
        ("robustness.regret", put("robustness.regret", -1)),
        ("robustness.survives", put("robustness.survives", [1, 0])),
        ("robustness.auditor", put("robustness.auditor", "me")),
    ],
)
def test_a_comparison_of_another_kind_is_refused(whole: dict[str, Any], field: str, change: Change) -> None:
    with pytest.raises(InvalidInput, match=field):
        Plan.from_dict(altered(whole, change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lambda t: t.replace('"gap": ', '"gap": NaN, "was": ', 1), "finite"),
        (lambda t: t.replace('"status": ', '"status": "feasible",\n "status": ', 1), "'status' twice"),
        (lambda t: t.replace('"cells": [', '"cells": [], "cells": [', 1), "'cells' twice"),
        (lambda t: t.replace("plan 2", "plan 1", 1), "format"),
        (lambda t: t[: len(t) // 2], "whole JSON"),
    ],
    ids=["not a number", "a field twice", "a field twice within a profile", "another format", "half a file"],
)
def test_a_file_that_is_no_plan_is_refused(
    bare: dict[str, Any], tmp_path: Path, text: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text(json.dumps(bare, indent=1)))
    with pytest.raises(InvalidInput, match=message):
        Plan.load(path)


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize(("objective", "named"), [("max", ()), ("sum", ("baselines",))])
def test_shares_that_the_largest_latency_leaves_open_are_no_other_baseline(
    objective: str, named: tuple[str, ...]
) -> None:
    """Engines divide what users below the largest latency do not need differently; of a sum shares are unique."""
    demo = Scenario.bundled("demo")
    made = plan(demo.model_copy(update={"objective": objective}), {"here": TimingProfile.bundled("twin-cpu")})
    data = json.loads(json.dumps(made.to_dict()))
    mine = data["baselines"][0]
    early = min(range(len(mine["latency_s"])), key=lambda k: mine["latency_s"][k])
    mine["latency_s"][early] *= 0.99
    read = Plan.from_dict(data)
    assert read.restated == named
    assert read.baselines[0].latency_s[early] == pytest.approx(made.baselines[0].latency_s[early], rel=1e-6)


@pytest.mark.parametrize("model", ["twin", "sd15", "sdxl"])
def test_a_scenario_that_names_another_model_than_the_spec_is_refused(bare: dict[str, Any], model: str) -> None:
    with pytest.raises(InvalidInput, match=f"model: found '{model}'; expected 'small', the model of the spec"):
        Plan.from_dict(altered(bare, put("scenario.model", model)))
