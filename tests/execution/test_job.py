"""Runs and options: validation, and plain data that reads back."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from run_builder import make_run

from megdt_opt.errors import InvalidInput
from megdt_opt.execution import Chain, ExecutionOptions, Pace, Run, StageTime
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import Compute, Kind, Series, leaves

SEU = Option(mechanism="SEU", cut=3, precision="fp16")


@pytest.mark.parametrize("mechanism", ["SEU", "PEU", "U2E"])
def test_a_run_reads_back_from_json(mechanism):
    run = make_run(Option(mechanism=mechanism, cut=3, share=0.5, precision="int8", codec="png"))
    back = Run.from_dict(json.loads(json.dumps(run.to_dict())))
    for field in dataclasses.fields(Run):
        if field.name != "chains":
            assert getattr(back, field.name) == getattr(run, field.name)
    (mine,), (its,) = run.chains, back.chains
    for field in dataclasses.fields(Chain):
        if field.name not in ("request", "camera"):
            assert getattr(its, field.name) == getattr(mine, field.name)
    assert np.array_equal(its.camera, mine.camera)
    assert all(np.array_equal(its.request[k], v) for k, v in mine.request.items())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("slot_s", (0.1,), "one entry for each of 7 leaves"),
        ("slot_s", (float("nan"),) * 7, "slot_s of user user"),
        ("predicted", (StageTime(start_s=-1.0, duration_s=0.1),) * 7, "predicted.start_s"),
        ("propagation_s", float("inf"), "propagation_s of user user"),
        ("steps", 5, "steps below 5"),
        ("program", Series(()), "at least one stage"),
        ("pace", (1.0,) * 6, "pace of user user: found 6; expected one entry for each of 7 leaves"),
        ("pace", (0.5, 4e6, 0.5, 0.5, 4e6, 1.0, 1.0), "pace of user user: found 0.5; expected 1 for 'encode_prompt at"),
        ("chain", ("user",) * 6 + ("other",), "chains of user user"),
        ("chains", (), r"chains of user user: found \[\]; expected different names"),
    ],
)
def test_bad_runs_are_refused_by_field(field, value, message):
    run = make_run(SEU)
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(run, **{field: value})


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"edge_share": 0.0}, r"edge_share of user user: found 0.0; expected in \(0, 1\]"),
        ({"edge_share": 1.5}, "edge_share"),
        ({"uplink_bit_per_s": 0.0}, "uplink_bit_per_s of user user"),
        ({"downlink_bit_per_s": float("nan")}, "downlink_bit_per_s of user user"),
    ],
)
def test_bad_shares_are_refused_by_name(shares, message):
    user = Pace(**{"uplink_bit_per_s": 4e6, "downlink_bit_per_s": 4e6, "edge_share": 0.5, **shares})
    run = make_run(SEU)
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(run, pace=tuple(user.of(leaf) for leaf in leaves(run.program)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", -1, "seed of user user: found -1"),
        ("goes_on_from", "user", "goes_on_from of user user: found 'user'; expected another chain"),
        ("goes_on_from", "nobody", "goes_on_from of user user: found 'nobody'"),
    ],
)
def test_bad_chains_are_refused_by_field(field, value, message):
    run = make_run(SEU)
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(run, chains=(dataclasses.replace(run.chains[0], **{field: value}),))


def test_a_local_program_needs_no_link_and_no_share():
    make_run(Option(mechanism="local"), uplink_bit_per_s=0.0, downlink_bit_per_s=0.0, edge_share=0.0, rate=1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "fast"},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"chunk_s": 0.0},
        {"slack_s": -1.0},
        {"stretch": {"phone": 0.0}},
        {"mode": "raw", "stretch": {"phone": 2.0}},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(InvalidInput):
        ExecutionOptions(**options)


def test_options_read_back():
    options = ExecutionOptions(stretch={"phone": 3.0}, timeout_s=5.0)
    assert ExecutionOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    with pytest.raises(InvalidInput):
        ExecutionOptions.from_dict({"speed": 3})


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("chains"),
        lambda d: d["chains"][0].pop("seed"),
        lambda d: d.update(program={"series": [{"compute": {"at": "x"}}]}),
        lambda d: d.update(program={"series": [{"walk": {}}]}),
        lambda d: d["chains"][0]["request"]["state"].update(base64="%%"),
        lambda d: d["chains"][0]["request"]["state"].update(dtype="object"),
        lambda d: d["chains"][0]["request"]["state"].update(shape=[3]),
        lambda d: d.update(predicted=[[0]]),
    ],
)
def test_damaged_plain_data_are_refused(damage):
    data = make_run(SEU).to_dict()
    damage(data)
    with pytest.raises(InvalidInput):
        Run.from_dict(data)


def test_a_denoise_stage_beyond_the_chain_is_refused():
    stage = Compute(at="u1", kind=Kind.DENOISE, first=4, amount=5)
    with pytest.raises(InvalidInput, match="Move the cut"):
        make_run(stages=stage)
