"""Programs of groups: their stages, and that their terms and their predicted schedule tell the same latency."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from megdt_opt import SharedPrefixProblem
from megdt_opt.errors import InvalidInput
from megdt_opt.program.groups import (
    COOPERATIVE,
    SHARED_DEVICE,
    SHARED_EDGE,
    Trunk,
    group_program,
    rides,
    tail,
    tail_terms,
)
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.schedule import Pace, schedule
from megdt_opt.program.stages import EDGE, Compute, Kind, Payload, Send, is_edge, leaves
from megdt_opt.program.wire import payload_byte

STEPS = 6
DEVICES = ("lead", "b", "c", "d")
SPEED = {EDGE: 1.0, "lead": 5.0, "b": 7.0, "c": 9.0, "d": 11.0}
WORK_S = {Kind.ENCODE_PROMPT: 0.02, Kind.DENOISE: 0.1, Kind.DECODE: 0.25, Kind.COMPRESS: 0.01, Kind.DECOMPRESS: 0.015}
PROPAGATION_S = 0.004


def compute_s(leaf):
    return WORK_S[leaf.kind] * leaf.amount * SPEED[leaf.at]


def send_bit(leaf):
    if leaf.precision in ("png", "jpeg"):
        return 8.0 * 9000
    return 8.0 * payload_byte(leaf.tensors, "fp32" if leaf.precision == "raw" else leaf.precision)


HOW = {"compute_s": compute_s, "send_bit": send_bit, "propagation_s": PROPAGATION_S}


def setting(spec, device, scheduler="ddim", **more):
    return Setting(spec=spec, scheduler=scheduler, steps=STEPS, device=device, **more)


def mixed(draw, trunk, spec):
    """A random option for each member of a group, with at least one that rides."""
    riding = {
        False: [
            Option(mechanism=SHARED_EDGE, cut=trunk.steps, codec="png"),
            Option(mechanism=SHARED_EDGE, cut=trunk.steps, codec="raw"),
            Option(mechanism=SHARED_DEVICE, cut=trunk.steps, precision="fp16"),
        ],
        True: [Option(mechanism=COOPERATIVE, cut=trunk.steps, precision="fp16")],
    }[trunk.hosted]
    alone = [
        Option(mechanism="local"),
        Option(mechanism="SEU", cut=2, precision="int8"),
        Option(mechanism="centralised", cut=STEPS, codec="jpeg"),
    ]
    chosen = {}
    for number, device in enumerate(DEVICES):
        ride = number == 0 or draw.random() < 0.7  # the host takes part
        options = riding if ride else alone
        chosen[device] = (options[draw.integers(len(options))], setting(spec, device, trunk.lead.scheduler))
    return chosen


def problem_of(trunk, members, link, reserve):
    """A group's one choice as a problem of a single option each and a single trunk."""
    rows, waits = [], []
    for device, (option, its) in members.items():
        leads = device == trunk.lead.device
        waits.append([rides(option, leads=leads)])
        rows.append(tail_terms(option, its, trunk if waits[-1][0] else None, **HOW))
    shared = trunk.terms(**HOW)
    table = {name: [[getattr(r, name)] for r in rows] for name in ("fixed_s", "uplink_bit", "edge_work_s")}
    count = len(rows)
    return SharedPrefixProblem(
        **table, downlink_bit=[[r.downlink_bit] for r in rows], rides=waits, group=[0] * count, trunk_group=[0],
        trunk_fixed_s=[shared.fixed_s], trunk_uplink_bit=[shared.uplink_bit],
        trunk_edge_work_s=[shared.edge_work_s], multicast_bit=[shared.multicast_bit],
        compatible=np.ones((count, 1, 1), bool), downlink_hz=1e6, uplink_hz=1e6, edge_capacity=1.0, reserve=reserve,
        edge_share_max=np.ones(count), trunk_edge_share_max=[1.0], downlink_efficiency=link[:, 0],
        uplink_efficiency=link[:, 1], trunk_uplink_efficiency=[link[0, 1]],
        multicast_efficiency=[link[:, 0].min()], objective="sum",
    )  # fmt: skip


def shares_of(draw, members, waits, reserve):
    """Shares within the budgets: the group's on the edge, divided by those who ride."""
    count = len(members)
    parts = draw.dirichlet(np.ones(count + 1), 3)
    edge = parts[1, :count].copy()
    if reserve == "phased":
        riders = waits > 0
        edge[riders] = draw.dirichlet(np.ones(riders.sum())) * parts[1, count]
    return parts[0] * 1e6, parts[2] * 1e6, edge, parts[1, count]


@pytest.mark.parametrize("reserve", ["phased", "separate"])
@pytest.mark.parametrize("hosted", ["edge", "host", "host out of band"])
@pytest.mark.parametrize("scheduler", ["ddim", "dpmpp"])
@pytest.mark.parametrize("seed", range(6))
def test_terms_and_schedule_tell_the_same_latency(spec, reserve, hosted, scheduler, seed):
    draw = np.random.default_rng([seed, len(hosted), len(reserve)])
    trunk = Trunk(
        lead=setting(spec, "lead", scheduler), steps=int(draw.integers(0, STEPS + 1)), hosted=hosted != "edge",
        precision="fp16", d2d_bit_per_s=3e5 if hosted == "host out of band" else None,
    )  # fmt: skip
    members = mixed(draw, trunk, spec)
    link = draw.uniform(0.5, 5.0, (len(members), 2))
    problem = problem_of(trunk, members, link, reserve)
    waits = problem.rides[:, 0]
    up, down, edge, share = shares_of(draw, members, waits, reserve)
    found = problem.evaluate(
        SimpleNamespace(
            option=np.zeros(len(members), int), trunk=[0], uplink_hz=up[:-1], edge_share=edge, downlink_hz=down[:-1],
            trunk_uplink_hz=up[-1:], trunk_edge_share=[share], multicast_hz=down[-1:],
        )
    )  # fmt: skip
    assert found.violation <= 1e-12

    made = group_program(trunk, members)
    own = {
        device: Pace(uplink_bit_per_s=link[k, 1] * up[k], downlink_bit_per_s=link[k, 0] * down[k], edge_share=edge[k])
        for k, device in enumerate(members)
    }
    multicast = trunk.d2d_bit_per_s or link[:, 0].min() * down[-1]
    paces = made.pace(Pace(uplink_bit_per_s=link[0, 1] * up[-1], edge_share=share), multicast, own)
    stages = list(leaves(made.program))
    seconds = [
        compute_s(leaf) / pace if isinstance(leaf, Compute) else send_bit(leaf) / pace + PROPAGATION_S
        for leaf, pace in zip(stages, paces, strict=True)
    ]
    times = schedule(made.program, seconds)
    assert len(made.chain) == len(times)
    for k, device in enumerate(members):
        ends = [t.start_s + t.duration_s for t, chain in zip(times, made.chain, strict=True) if chain == device]
        assert max(ends) == pytest.approx(found.latency_s[k], rel=1e-12), (device, waits[k])


@pytest.mark.parametrize("cut", range(STEPS + 1))
@pytest.mark.parametrize("mechanism", [SHARED_EDGE, SHARED_DEVICE, COOPERATIVE])
def test_common_and_own_steps_are_the_chain(spec, cut, mechanism):
    hosted = mechanism == COOPERATIVE
    option = Option(mechanism=mechanism, cut=cut, codec="png") if mechanism == SHARED_EDGE else None
    option = option or Option(mechanism=mechanism, cut=cut, precision="int8")
    trunk = Trunk(lead=setting(spec, "lead"), steps=cut, hosted=hosted, precision="int8")
    made = group_program(trunk, {d: (option, setting(spec, d)) for d in DEVICES})
    for device in DEVICES:
        steps = [
            n
            for leaf, chain in zip(leaves(made.program), made.chain, strict=True)
            if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and chain in (made.shared, device)
            for n in range(leaf.first, leaf.first + leaf.amount)
        ]
        assert steps == list(range(STEPS))
    multicasts = [s for s in leaves(made.program) if isinstance(s, Send) and s.direction in ("multicast", "d2d")]
    assert len(multicasts) == (cut > 0 and mechanism != SHARED_EDGE)
    for send in multicasts:
        receivers = DEVICES[1:] if hosted else DEVICES
        assert (send.source, send.to) == ("lead" if hosted else EDGE, receivers)
        assert send.payload is (Payload.SEED if cut == STEPS else Payload.LATENT)


def test_only_the_lead_needs_not_ask_again(spec):
    option = Option(mechanism=SHARED_EDGE, cut=3, codec="raw")

    def asks(stages):
        return [s.kind.value if isinstance(s, Compute) else s.payload.value for s in leaves(stages)]

    other = asks(tail(option, setting(spec, "b")))
    assert other == ["request", "encode_prompt", "denoise", "decode", "image"]
    assert asks(tail(option, setting(spec, "lead"), leads=True)) == ["denoise", "decode", "image"]
    # on its device the lead of an edge's trunk has no conditioning yet; a host has
    received = Option(mechanism=SHARED_DEVICE, cut=3, precision="fp16")
    assert asks(tail(received, setting(spec, "lead"), leads=True)) == ["encode_prompt", "denoise", "decode"]
    hosts = Option(mechanism=COOPERATIVE, cut=3, precision="fp16")
    assert asks(tail(hosts, setting(spec, "lead"), leads=True)) == ["denoise", "decode"]


def test_without_common_steps_each_member_runs_its_own_program(spec):
    edge, device = Option(mechanism=SHARED_EDGE, cut=0, codec="png"), Option(mechanism=SHARED_DEVICE, precision="fp16")
    s = setting(spec, "b")
    assert tail(edge, s) == program(Option(mechanism="centralised", cut=STEPS, codec="png"), s)
    assert tail(device, s, leads=True) == program(Option(mechanism="local"), s)


def test_a_picture_kept_at_the_edge_is_not_sent(spec):
    option = Option(mechanism=SHARED_EDGE, cut=3)
    assert not any(s.direction == "downlink" for s in leaves(tail(option, setting(spec, "b", shown_at="edge")))
                   if isinstance(s, Send))  # fmt: skip


def test_the_trunk_runs_before_any_tail_and_once(spec):
    trunk = Trunk(lead=setting(spec, "lead"), steps=4)
    option = Option(mechanism=SHARED_EDGE, cut=4, codec="raw")
    made = group_program(trunk, {d: (option, setting(spec, d)) for d in DEVICES})
    times = schedule(made.program, [1.0] * len(made.chain))
    shared = [n for n, chain in enumerate(made.chain) if chain == made.shared]
    end_s = times[shared[-1]].start_s + 1.0
    assert all(times[b].start_s == times[a].start_s + 1.0 for a, b in pairwise(shared))
    assert all(t.start_s >= end_s for n, t in enumerate(times) if n not in shared)
    at_edge = [s for s in leaves(made.program) if isinstance(s, Compute) and is_edge(s.at) and s.kind is Kind.DENOISE]
    assert [s.amount for s in at_edge] == [4, *[STEPS - 4] * len(DEVICES)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s: Trunk(lead=s, steps=STEPS + 1), r"steps: found 7; expected 0\.\.6 common denoising steps"),
        (lambda s: tail(Option(mechanism=SHARED_EDGE, cut=-1), s), "cut: found -1"),
        (
            lambda s: group_program(
                Trunk(lead=s, steps=3), {"lead": (Option(mechanism=SHARED_EDGE, cut=2, codec="raw"), s)}
            ),
            "option of lead: .*expected an option of 3 common steps made at the edge",
        ),
        (
            lambda s: group_program(
                Trunk(lead=s, steps=3, hosted=True),
                {"lead": (Option(mechanism=SHARED_DEVICE, cut=3, precision="fp16"), s)},
            ),
            "option of lead: .*expected an option of 3 common steps made on a device",
        ),
        (lambda s: group_program(Trunk(lead=s, steps=3), {"lead": (Option(mechanism="local"), s)}), "members"),
    ],
)
def test_what_does_not_fit_is_refused(spec, make, words):
    with pytest.raises(InvalidInput, match=words):
        make(setting(spec, "lead"))
