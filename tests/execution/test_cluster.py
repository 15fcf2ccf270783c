"""Several users at once, the order of stages, shares, calibration, and the records of it all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from run_builder import make_run

from megdt_opt.errors import MegdtError
from megdt_opt.execution import Execution, ExecutionOptions, Probe
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import EDGE, Compute, Kind, Parallel, Series
from megdt_opt.program.wire import payload_byte

pytestmark = pytest.mark.alone  # times of stages

MIX = (
    Option(mechanism="PEU", share=0.5, precision="fp16"),
    Option(mechanism="SEU", cut=3, precision="int8"),
    Option(mechanism="centralised", cut=6, codec="jpeg"),
)


@pytest.fixture(scope="module")
def mixed(cluster):
    """A paced run of three users with three mechanisms, and what was asked."""
    runs = [
        make_run(option, name=f"user {n}", device=f"u{n}", edge_share=0.3, step_s=0.03, rate=1e6, seed=n)
        for n, option in enumerate(MIX, start=1)
    ]
    return runs, cluster.run(runs, ExecutionOptions(stretch={"u1": 3.0}))


def test_every_stage_is_stamped_once(mixed):
    runs, execution = mixed
    assert [(r.user, r.index) for r in execution.rows] == [
        (run.name, n) for run in runs for n in range(len(run.predicted))
    ]
    assert execution.users == ("user 1", "user 2", "user 3")
    for row in execution.rows:
        assert 0 <= row.start_s <= row.end_s
        assert (row.busy_s > 0) != row.kind.startswith("send")
        assert (row.payload_byte > 0) == row.kind.startswith("send")


def test_payloads_have_the_predicted_size(mixed):
    from megdt_opt.program.stages import Send, leaves

    runs, execution = mixed
    for run in runs:
        for n, leaf in enumerate(leaves(run.program)):
            if isinstance(leaf, Send) and leaf.precision != "jpeg":
                row = next(r for r in execution.rows if (r.user, r.index) == (run.name, n))
                assert row.payload_byte == payload_byte(leaf.tensors, leaf.precision)


def test_stages_follow_the_program(mixed):
    from megdt_opt.execution.graph import graph

    runs, execution = mixed
    for run in runs:
        rows = {r.index: r for r in execution.rows if r.user == run.name}
        for node in graph(run.program):
            for before in node.before:
                # the schedule is absolute: a stage may begin a slack before the stamp of the last one's end
                assert rows[node.index].start_s >= rows[before].end_s - 0.005


def test_parallel_branches_run_at_the_same_time(mixed):
    _, execution = mixed
    rows = [r for r in execution.rows if r.user == "user 1"]
    edge, device = rows[:4], rows[4:6]
    assert {r.actor for r in device} == {"u1"}
    assert edge[0].start_s < device[-1].end_s
    assert device[0].start_s < edge[0].end_s


def test_paced_slots_last_as_long_as_predicted_within_a_loose_bound(mixed):
    runs, execution = mixed
    for user, error in execution.error_percent.items():
        assert -2 < error < 50, (user, execution.summary())
    for run in runs:
        for row in execution.rows:
            if row.user == run.name and not row.kind.startswith("send"):
                slot_s = run.slot_s[row.index] / run.pace[row.index]
                assert row.end_s - row.start_s > 0.5 * slot_s


def test_record_states_how_it_was_made(mixed, tmp_path):
    _, execution = mixed
    assert execution.mode == "paced"
    assert execution.stretch == {"u1": 3.0}
    assert execution.environment["torch_threads"] == 1
    assert 0 < execution.busy_fraction < 1
    assert set(execution.cpu_s) == {"edge", "u1", "u2", "u3"}
    execution.save(tmp_path / "run.json")
    assert Execution.load(tmp_path / "run.json").summary() == execution.summary()


def test_raw_mode_is_padded_for_the_share_only(cluster):
    run = make_run(Option(mechanism="centralised", cut=6, codec="raw"), edge_share=0.25, step_s=5.0, rate=1e7)
    execution = cluster.run([run], ExecutionOptions(mode="raw"))
    denoise = next(r for r in execution.rows if r.kind == "denoise")
    assert denoise.end_s - denoise.start_s >= 4 * denoise.busy_s * 0.99
    assert execution.measured_s["user"] < 5
    assert all(r.kind.startswith("send") for r in execution.overruns)


def test_an_overrun_is_counted_and_shows_in_the_end(cluster):
    run = make_run(Option(mechanism="local"), step_s=1e-6)
    execution = cluster.run([run], ExecutionOptions(slack_s=0.0))
    assert execution.summary()["overruns"] == 3
    assert all(r.overrun_s > 0 for r in execution.rows)
    assert execution.measured_s["user"] > execution.predicted_s["user"]


def test_two_users_on_one_device_take_turns(cluster):
    runs = [make_run(Option(mechanism="local"), name=n, device="u1", step_s=0.02) for n in ("a", "b")]
    execution = cluster.run(runs)
    assert set(execution.images) == {"a", "b"}


def test_an_end_elsewhere_is_signalled(cluster):
    """A stage after one of another actor, without a send between them, still waits for it."""

    def encode(at):
        return Compute(at=at, kind=Kind.ENCODE_PROMPT)

    stages = Series((encode("u1"), Parallel((encode("u1"), encode("u1"))), Compute(at="u2", kind=Kind.ENCODE_PROMPT)))
    run = make_run(stages=stages, device="u1")
    # u2 has no request, so that the stage there must fail, and only after the others
    with pytest.raises(Exception, match="item 'request' is not at this actor"):
        cluster.run([run])


def test_a_late_short_stage_is_caught_up_by_the_next(cluster):
    """The prompt encoder's slot is far too short, the denoiser's is long: the chain ends in time."""
    run = make_run(Option(mechanism="local"), step_s=0.1)
    run = replace(run, slot_s=(1e-6, *run.slot_s[1:]))
    rows = cluster.run([run], ExecutionOptions(slack_s=0.0)).rows
    assert rows[0].overrun_s > 0
    # the denoiser was due a slot after the start, not a slot after the encoder's late end
    assert rows[1].end_s - rows[1].overrun_s == pytest.approx(run.slot_s[0] + run.slot_s[1], abs=0.002)


def test_multicast_reaches_all(cluster):
    from megdt_opt.program.stages import Payload, Send, TensorSpec

    tensors = (TensorSpec(name="request.state", shape=(1, 5, 6)),)
    up = Send(source="u1", to=(EDGE,), payload=Payload.REQUEST, tensors=tensors)
    latent = (TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),)
    down = Send(source=EDGE, to=("u1", "u2"), payload=Payload.LATENT, tensors=latent)
    stages = Series(
        (
            up,
            Compute(at=EDGE, kind=Kind.ENCODE_PROMPT),
            Compute(at=EDGE, kind=Kind.DENOISE, amount=6),
            down,
            Parallel((Compute(at="u1", kind=Kind.DECODE), Compute(at="u2", kind=Kind.DECODE))),
        )
    )
    execution = cluster.run([make_run(stages=stages)])
    assert [r.actor for r in execution.rows if r.kind == "decode"] == ["u1", "u2"]


def test_calibration_returns_raw_samples(cluster):
    probes = [Kind.DECODE, Kind.FUSE, Probe(kind=Kind.DENOISE, rows=(0, 8), scheduler="dpmpp", steps=4)]
    found = cluster.calibrate(probes, samples=5, actors=["edge", "u1"])
    assert set(found) == {
        (actor, kind, rows)
        for actor in ("edge", "u1")
        for kind, rows in (("decode", None), ("fuse", None), ("denoise", (0, 8)))
    }
    assert all(len(s) == 5 and min(s) > 0 for s in found.values())


LACKING = (Kind.ADAPT,)
"""Stages that the stand-in model has not."""


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in LACKING])
def test_every_kind_can_be_timed(cluster, kind):
    probe = Probe(kind=kind, scheduler="ddim", steps=3, codec="jpeg", gap_s=0.001)
    assert len(cluster.measure("edge", probe, samples=4)) == 4


def test_a_stage_and_the_reference_kernel_are_timed_by_turns(cluster):
    pairs = cluster.measure_beside("u1", Probe(kind=Kind.DENOISE, scheduler="ddim", steps=6), 2**20, 4)
    assert len(pairs) == 4
    assert all(used > 0 and reference > 0 for used, reference in pairs)


@pytest.mark.parametrize("kind", LACKING)
def test_kinds_that_a_model_has_not_are_refused(cluster, kind):
    with pytest.raises(MegdtError):
        cluster.measure("edge", Probe(kind=kind, scheduler="ddim", steps=3), samples=1)
