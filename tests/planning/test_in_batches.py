"""Scenarios whose edge makes steps of several chains in one pass: problem, plan, baselines, files, and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import BatchedEdgeProblem, Infeasible, InvalidInput, Plan, Scenario, TimingProfile, plan
from megdt_opt.errors import ProfileError
from megdt_opt.planning.in_batches import COMMON, cuts_of
from megdt_opt.program.stages import Compute, Kind, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.runs import baseline_parts, batch_schedule, user_runs

SCENARIO = """
name: batches
steps: 6
objective: {objective}
edge: {{profile: twin-cpu, stretch: 6, discipline: batched, compute_power: 100 W}}
channel: {{downlink: 120 kHz, uplink: 120 kHz, propagation: 5 ms}}
x-reach: &reach {{downlink_efficiency: 3 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}}
users:
  - {{name: a, device: {{profile: twin-cpu, stretch: 20}}, <<: *reach, scene: 1, seed: 1}}
  - {{name: b, device: {{profile: twin-cpu, stretch: 30, compute_power: 5 W}}, <<: *reach, scene: 2, seed: 2}}
  - {{name: c, device: {{profile: twin-cpu, stretch: 40}}, <<: *reach, scene: 3, seed: 3, precisions: [fp16]}}
"""


def cell(objective: str = "sum", change: Callable[[dict[str, Any]], None] = lambda data: None) -> Scenario:
    data = Scenario.from_yaml(SCENARIO.format(objective=objective)).model_dump(mode="json", exclude_none=True)
    change(data)
    return Scenario(**data)


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(cell(), time_limit_s=1.0)


@pytest.fixture(scope="module")
def largest() -> Plan:
    return plan(cell("max"), time_limit_s=0.5)


@pytest.mark.parametrize("name", ["made", "largest"])
def test_a_plan_is_its_problems_answer_and_its_stages_schedule(name: str, request: pytest.FixtureRequest) -> None:
    found: Plan = request.getfixturevalue(name)
    problem = found.problem
    assert isinstance(problem, BatchedEdgeProblem)
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
    assert found.bound_source == "certificate"
    assert found.lower_bound_s <= found.objective_s
    assert found.scenario.objective_of([u.latency_s for u in found.users]) == pytest.approx(
        found.objective_s, rel=1e-12
    )
    for k, user in enumerate(found.users):
        cut = cuts_of(found.table, found.options)[k]
        assert (user.batched is None) == (cut == 0)
        if user.batched is not None:
            assert len(user.batched.numbers) == cut
            assert user.batched.start_s >= problem.start_s
            assert all(k in found.batches[number] for number in user.batched.numbers)
            assert user.stages[-1].start_s + user.stages[-1].duration_s == user.latency_s


def test_the_law_the_start_and_the_rest_are_those_of_the_stages(made: Plan) -> None:
    problem, table = made.problem, made.table
    assert isinstance(problem, BatchedEdgeProblem)
    law = table.batch_law()
    fit = TimingProfile.bundled("twin-cpu").fit("denoise")
    assert (law.slope_s, law.base_s) == pytest.approx((6 * fit.a_s, 6 * fit.b_s), rel=1e-9)
    assert (problem.step_slope_s, problem.step_base_s) == (law.slope_s, law.base_s)
    # until the batches: a request on a third of the uplink, and three encodings at once at the edge; devices encode for
    # themselves when they go on
    one = TimingProfile.bundled("twin-cpu").stage_s("encode_prompt")
    bit = next(
        table.send_bit(x, 2) for x in leaves(table.program(2, _option(table, "SEU"))) if not isinstance(x, Compute)
    )
    assert problem.start_s == pytest.approx(0.005 + bit / (2 * 40e3) + 3 * 6 * one, rel=1e-9)
    assert problem.handed_s == pytest.approx(np.array([20, 30, 40]) * one, rel=1e-9)
    assert problem.after_s is not None
    decode = TimingProfile.bundled("twin-cpu").stage_s("decode")
    assert problem.after_s == pytest.approx(0.005 + np.array([20, 30, 40]) * decode, rel=1e-9)
    assert problem.local_rest_s == pytest.approx(np.array([20, 30, 40]) * (decode + one), rel=1e-9)
    assert problem.downlink_bit[0] < problem.downlink_bit[2]  # the third takes nothing coarser than fp16


def _option(table: OptionTable, mechanism: str) -> int:
    return next(o for o, option in enumerate(table.options) if option.mechanism == mechanism)


def test_rivals_are_the_reserved_optimum_one_common_batch_and_single_mechanisms(made: Plan) -> None:
    named = {rival.name: rival for rival in made.baselines}
    assert {"all local", "all E2U", "all SEU", COMMON, "reserved shares", "plan's options, equal shares"} <= set(named)
    assert named["reserved shares"].proven
    reserved = named["reserved shares"]
    assert made.objective_s < 0.95 * reserved.objective_s
    for rival in made.baselines:
        # who waives its limits may be faster, and is named
        assert rival.breaks == ("c",) or rival.objective_s >= made.lower_bound_s * (1 - 1e-9)
        users, _ = baseline_parts(made.table, rival)
        again = made.scenario.objective_of([user.latency_s for user in users])
        assert again == pytest.approx(rival.objective_s, rel=1e-9)
    common = {batch for batch in named[COMMON].batches}
    assert len(common) == 1
    assert len(named[COMMON].batches) == 6


def test_edge_seconds_are_the_parts_of_the_batches(made: Plan) -> None:
    problem = made.problem
    assert isinstance(problem, BatchedEdgeProblem)
    took = sum(problem.step_slope_s * len(batch) + problem.step_base_s for batch in made.batches)
    encoded = sum(
        made.table.seconds(leaf)
        for user in made.users
        for leaf in leaves(user.program)
        if isinstance(leaf, Compute) and is_edge(leaf.at) and leaf.kind is Kind.ENCODE_PROMPT
    )
    assert sum(user.costs.edge_s for user in made.users) == pytest.approx(took + encoded, rel=1e-9)
    assert sum(user.costs.edge_compute_j or 0.0 for user in made.users) == pytest.approx(
        100 * (took + encoded), rel=1e-9
    )


@pytest.mark.parametrize("name", ["made", "largest"])
def test_a_saved_plan_is_read_and_recomputed(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found: Plan = request.getfixturevalue(name)
    path = tmp_path / "plan.json"
    replace(found, baselines=(), robustness=None).save(path)
    read = Plan.load(path)
    assert read.users == found.users
    assert read.batches == found.batches
    assert read.restated == ()
    frame = read.to_frame()
    assert frame["batches"].tolist() == [0 if u.batched is None else len(u.batched.numbers) for u in read.users]


def _first(data: dict[str, Any]) -> None:
    data["batches"] = data["batches"][1:]


def _stranger(data: dict[str, Any]) -> None:
    data["batches"][0] = [7]


def _none(data: dict[str, Any]) -> None:
    del data["batches"]


def _late(data: dict[str, Any]) -> None:
    data["batches"] = data["batches"][::-1] if data["batches"] != data["batches"][::-1] else data["batches"][1:]


@pytest.mark.parametrize(
    "change", [_first, _stranger, _none, _late], ids=["a batch less", "a stranger", "none", "turned"]
)
def test_plans_whose_batches_are_not_their_own_are_refused(
    made: Plan, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    data = json.loads(json.dumps(replace(made, baselines=(), robustness=None).to_dict()))
    change(data)
    with pytest.raises(InvalidInput):
        Plan.from_dict(data)


@pytest.mark.parametrize("source", ["enumeration", "closed form", "leaves"])
def test_a_bound_that_only_a_solver_can_vouch_for_is_no_proof(largest: Plan, source: str) -> None:
    """Written in by hand, the objective as its own bound would load as optimal."""
    assert largest.status == "feasible"
    data = json.loads(json.dumps(replace(largest, baselines=(), robustness=None).to_dict()))
    data |= {"certificate": None, "bound_source": source, "lower_bound_s": data["objective_s"], "gap": 0.0}
    with pytest.raises(InvalidInput, match=f"bound_source: found '{source}'"):
        Plan.from_dict(data | {"status": "optimal"})


def test_a_bound_by_the_solvers_word_is_read_as_that(largest: Plan) -> None:
    data = json.loads(json.dumps(replace(largest, baselines=(), robustness=None).to_dict()))
    read = Plan.from_dict(data | {"certificate": None, "bound_source": "solver"})
    assert (read.status, read.bound_source, read.lower_bound_s) == ("feasible", "solver", data["lower_bound_s"])


def test_runs_and_batches_for_the_executor_are_those_of_the_plan(largest: Plan) -> None:
    planned = batch_schedule(largest.table, largest.users)
    assert planned is not None
    names = [user.name for user in largest.users]
    assert planned.batches == tuple(tuple(names[k] for k in batch) for batch in largest.batches)
    planned.check(user_runs(largest.table, largest.users))
    for user in largest.users:
        if user.batched is not None:
            assert planned.times_s[user.batched.numbers[0]][0] == pytest.approx(user.batched.start_s, rel=1e-12)
            assert planned.times_s[user.batched.numbers[-1]][1] == pytest.approx(user.batched.end_s, rel=1e-12)


def _reads(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for user in data["users"]:
            user[name] = value

    return change


def test_decoding_at_the_edge_and_other_forms_are_closed_by_name() -> None:
    table = OptionTable.build(cell())
    said = {table.options[o].mechanism: table.closed_by(0, o) for o in range(len(table.options))}
    assert "not planned in batches: stage 'decode at edge'" in " ".join(said["centralised"])
    assert "makes the first steps of a whole latent" in " ".join(said["SEU-UE-first"])
    assert "stages side by side" in " ".join(said["PEU"])
    with pytest.raises(Infeasible, match="decode at edge"):
        plan(cell("sum", _reads("mechanisms", ["centralised"])), compare=False)


@pytest.mark.parametrize(
    ("wishes", "cuts"),
    [({}, [0, 6]), ({"mechanisms": ["SEU"]}, [1, 2, 3, 4, 5]), ({"precisions": ["fp16"]}, [0, 6])],
    ids=["a hand-over with history beside a whole chain", "hand-overs with history alone", "one precision"],
)
def test_a_cut_that_batches_leave_out_is_closed_by_name(wishes: dict[str, Any], cuts: list[int]) -> None:
    def multistep(data: dict[str, Any]) -> None:
        data["scheduler"] = "dpmpp"
        for user in data["users"]:
            user.update(wishes)

    table = OptionTable.build(cell("sum", multistep))
    problem = table.problem()
    assert isinstance(problem, BatchedEdgeProblem)
    for k, mask in enumerate(problem.allowed_mask):
        # what is open in the table are the cuts of the problem, and what is not says why
        assert sorted({table.options[o].cut for o in np.flatnonzero(table.allowed[k])}) == np.flatnonzero(mask).tolist()
        assert np.flatnonzero(mask).tolist() == cuts
        for o, option in enumerate(table.options):
            if option.mechanism == ("SEU" if 0 in cuts else "E2U") and option.precision == "fp16":
                assert "a sampler's history is in one alone" in " ".join(table.closed_by(k, o))


@pytest.mark.parametrize(
    ("mechanisms", "said"),
    [
        (["SEU"], r"that of a with SEU 1 \w+, is there and encoded, whoever"),
        (["E2U"], r"that of a with E2U \w+, is there and encoded, whoever"),
        (["local", "E2U"], r"that of a with E2U \w+, is there and encoded, whoever"),
    ],
)
def test_the_note_says_what_the_batches_wait_for_and_whose_it_is(mechanisms: list[str], said: str) -> None:
    def change(data: dict[str, Any]) -> None:
        _reads("mechanisms", mechanisms)(data)
        if "local" in mechanisms:  # requests are there before the devices have encoded theirs
            data["channel"].update(uplink_hz=1e9, propagation_s=0.0)

    serving = OptionTable.build(cell("sum", change)).serving
    assert serving is not None
    assert re.search(said, serving.notes()[0])


@pytest.mark.parametrize("stretch", [100, 1000, 4000])
def test_a_slow_device_holds_up_nobody_else(stretch: float) -> None:
    def slow(data: dict[str, Any]) -> None:
        data["users"][2]["device"]["stretch"] = stretch

    usual, found = OptionTable.build(cell()), OptionTable.build(cell("sum", slow))
    one, other = usual.problem(), found.problem()
    assert isinstance(one, BatchedEdgeProblem)
    assert isinstance(other, BatchedEdgeProblem)
    assert other.start_s == one.start_s
    encode = TimingProfile.bundled("twin-cpu").stage_s("encode_prompt")
    assert other.handed_s[2] == pytest.approx(stretch * encode, rel=1e-9)
    kinds = [leaf.kind for leaf in leaves(found.program(2, _option(found, "SEU"))) if isinstance(leaf, Compute)]
    encoding, steps = Kind.ENCODE_PROMPT, Kind.DENOISE
    assert kinds == [encoding, steps, encoding, steps, Kind.DECODE]


def test_a_device_that_is_through_before_the_last_request_encodes_while_it_waits() -> None:
    def far(data: dict[str, Any]) -> None:  # one request takes longer than others and their devices' encoding
        data["users"][0]["uplink_efficiency_bit_per_s_per_hz"] = 0.03

    table = OptionTable.build(cell("sum", far))
    problem = table.problem()
    assert isinstance(problem, BatchedEdgeProblem)
    first = next(leaves(table.program(1, _option(table, "SEU"))))
    assert isinstance(first, Compute)
    assert problem.handed_s[1] == 0.0
    assert problem.handed_s[0] > 0.0


def test_a_profile_without_batches_is_refused_by_name() -> None:
    bundled = TimingProfile.bundled("twin-cpu")
    alone = replace(bundled, cells=tuple(c for c in bundled.cells if c.kind != "denoise" or c.batch == 1))
    with pytest.raises(ProfileError, match=r"sizes of denoise batches of edge.*at least 2 batch sizes"):
        plan(cell(), {"twin-cpu": alone}, compare=False)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_a_deadline_that_the_best_batches_miss_is_kept_by_others(objective: str, request: Any, tmp_path: Path) -> None:
    def dated(data: dict[str, Any]) -> None:
        data["users"][0]["deadline_s"] = 1.1

    free: Plan = request.getfixturevalue("made" if objective == "sum" else "largest")
    assert free.users[0].latency_s > 1.1
    found = plan(cell(objective, dated), compare=False, time_limit_s=2.0)
    assert found.users[0].latency_s <= 1.1 * (1 + 1e-9)
    assert free.objective_s < found.objective_s < 1.3 * free.objective_s
    assert found.lower_bound_s <= free.objective_s
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    assert "Deadlines are kept" in found.notes[0]
    found.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").batches == found.batches


def test_deadlines_that_no_batches_keep_together_are_named_and_no_others() -> None:
    def dated(data: dict[str, Any]) -> None:
        for user, deadline_s in zip(data["users"], (1.03, 1.13, 9.0), strict=True):
            user["deadline_s"] = deadline_s

    with pytest.raises(Infeasible, match="no order of service keeps these deadlines together") as error:
        plan(cell("sum", dated), compare=False, time_limit_s=60.0)
    assert error.value.users == (0, 1)
    assert [conflict.value for conflict in error.value.conflicts] == [1.03, 1.13]
