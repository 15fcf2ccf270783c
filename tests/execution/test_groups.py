"""A group's run: common steps once, one multicast, each member's picture; and what happens when a process goes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from group_builder import make_group, member
from run_builder import make_run
from standin_model import FAULTY_SPEC, StandIn
from test_failures import LONG, during

from megdt_opt.errors import InvalidInput, PeerLost
from megdt_opt.execution import Cluster, Execution, ExecutionOptions
from megdt_opt.program.groups import COOPERATIVE, SHARED_DEVICE, SHARED_EDGE
from megdt_opt.program.mechanisms import Option

STEPS = 6
FAST = ExecutionOptions(mode="raw", timeout_s=60)
DEVICES = ("u1", "u2", "u3")

pytestmark = pytest.mark.usefixtures("single_thread")


def to_edge(cut, codec="png"):
    return Option(mechanism=SHARED_EDGE, cut=cut, codec=codec)


def to_device(cut):
    return Option(mechanism=SHARED_DEVICE, cut=cut, precision="fp32")


def hosted(cut):
    return Option(mechanism=COOPERATIVE, cut=cut, precision="fp32")


def ways(cut):
    """Ways in which three members can take their trunk, whether a device hosts it, and who gets the multicast."""
    return [
        ((to_edge(cut), to_edge(cut, "raw"), to_edge(cut)), False, ()),
        ((to_device(cut),) * 3, False, DEVICES),
        ((to_edge(cut), to_device(cut), to_device(cut)), False, DEVICES[1:]),
        ((to_device(cut), to_edge(cut), Option(mechanism="SEU", cut=2, precision="fp32")), False, DEVICES[:1]),
        ((Option(mechanism="local"), to_edge(cut), to_device(cut)), False, DEVICES[2:]),
        ((hosted(cut),) * 3, True, DEVICES[1:]),
        ((hosted(cut), hosted(cut), Option(mechanism="local")), True, DEVICES[1:2]),
    ]


@torch.no_grad()
def in_one_process(user, lead, *, common, scheduler):
    """A picture whose first steps follow the lead's request and seed, and the others the user's own."""
    model, how = StandIn.load(), {"scheduler": scheduler, "steps": STEPS}

    def conditioning(of):
        return model.encode_prompt({name: torch.from_numpy(a) for name, a in of.request.items()})

    state = model.start((lead if common else user).seed, **how)
    if common:
        state = model.denoise(state, conditioning(lead), first=0, count=common, **how)
    if common < STEPS:
        state = model.denoise(state, conditioning(user), first=common, count=STEPS - common, **how)
    return model.decode(state["latent"]).numpy()


@pytest.mark.long_list("way")
@pytest.mark.parametrize("scheduler", ["ddim", "dpmpp"])
@pytest.mark.parametrize("common", [0, 1, 4, STEPS])
@pytest.mark.parametrize("way", range(len(ways(1))))
def test_pictures_are_those_of_one_process(cluster, scheduler, common, way):
    options, at_host, receivers = ways(common)[way]
    members = [member(device, content=k, seed=k) for k, device in enumerate(DEVICES)]
    done = cluster.run([make_group(options, members, common=common, hosted=at_host, scheduler=scheduler)], FAST)
    assert set(done.users) == set(done.images) == {m.name for m in members}
    for user, option in zip(members, options, strict=True):
        steps = common if option.mechanism in (SHARED_EDGE, SHARED_DEVICE, COOPERATIVE) else 0
        expected = in_one_process(user, members[0], common=steps, scheduler=scheduler)
        assert np.array_equal(done.images[user.name], expected), user.name
        unsplit = in_one_process(user, user, common=0, scheduler=scheduler)
        # where nothing is shared each picture is the unsplit one; the lead's always is
        if steps == 0 or user is members[0]:
            assert np.array_equal(expected, unsplit)
        else:
            assert not np.array_equal(expected, unsplit)
    sends = [row for row in done.rows if row.shared and row.kind in ("send latent", "send seed")]
    assert [row.copies for row in sends] == ([len(receivers)] if receivers and common else [])
    steps_shared = [row for row in done.rows if row.shared and row.kind == "denoise"]
    assert len(steps_shared) == (common > 0)


@pytest.mark.parametrize("way", range(len(ways(1))))
def test_equal_requests_and_seeds_give_the_unsplit_pictures(cluster, way):
    options, at_host, _ = ways(3)[way]
    members = [member(device) for device in DEVICES]
    done = cluster.run([make_group(options, members, common=3, hosted=at_host, scheduler="dpmpp")], FAST)
    unsplit = in_one_process(members[0], members[0], common=0, scheduler="dpmpp")
    for user in members:
        assert np.array_equal(done.images[user.name], unsplit)


def test_a_paced_group_beside_a_user_of_its_own(cluster):
    members = [member(device, content=k) for k, device in enumerate(DEVICES[:2])]
    group = make_group([to_edge(4), to_device(4)], members, common=4, step_s=0.02, rate=2e6, share=0.6)
    alone = make_run(Option(mechanism="SEU", cut=3, precision="fp32"), name="alone", device="u3", edge_share=0.4)
    done = cluster.run([group, alone], ExecutionOptions(timeout_s=60))
    assert done.users == (*(m.name for m in members), "alone")
    rows = [row for row in done.rows if row.user != "alone"]
    assert [row.index for row in rows] == list(range(len(group.predicted)))
    shared = [row for row in rows if row.shared]
    assert {row.user for row in shared} == {"common steps: user u1, user u2"}
    (multicast,) = [row for row in shared if row.kind == "send latent"]
    assert multicast.copies == 1
    for row in rows:  # nobody goes on before the common steps have ended
        if not row.shared:
            assert row.start_s >= max(r.end_s for r in shared if r.kind == "denoise") - 0.005
    # one's latency is the end of one's own stages, not of another's multicast
    assert done.predicted_s["user u1"] == pytest.approx(
        max(t.start_s + t.duration_s for t, c in zip(group.predicted, group.chain, strict=True) if c == "user u1")
    )
    assert Execution.from_dict(done.to_dict()).rows == done.rows


def test_a_group_reads_back_from_plain_data():
    run = make_group([to_edge(2), to_device(2)], [member("u1"), member("u2", content=1)], common=2)
    back = type(run).from_dict(run.to_dict())
    assert [(c.name, c.device, c.goes_on_from, c.seed) for c in back.chains] == [
        ("user u1", "u1", "common steps: user u1, user u2", 3),
        ("user u2", "u2", "common steps: user u1, user u2", 3),
        ("common steps: user u1, user u2", "u1", "", 3),
    ]
    assert replace(back, chains=run.chains) == run


def test_a_phased_group_reserves_the_larger_of_its_trunk_and_its_members():
    run = make_group([to_edge(2)] * 2, [member("u1"), member("u2")], common=2, share=0.7)
    assert run.edge_shares() == pytest.approx({"edge": 0.7})


def test_groups_that_reserve_too_much_together_are_refused(cluster):
    one = make_group([to_edge(2)], [member("u1")], common=2, share=0.7)
    other = make_group([to_edge(2)] * 2, [member("u2"), member("u3")], common=2, share=0.4)
    with pytest.raises(InvalidInput, match=r"edge_share at edge: found 1\.1"):
        cluster.run([one, other])
    with pytest.raises(InvalidInput, match="different names"):
        cluster.run([one, make_run(Option(mechanism="local"), name="user u1", device="u2")])


@pytest.fixture(scope="module")
def faulty():
    """An edge and three devices to be killed."""
    with Cluster(["edge", *DEVICES], "standin_model:Faulty") as started:
        yield started


@pytest.mark.parametrize(
    ("killed", "at_host"),
    [("edge", False), ("u1", False), ("u2", False), ("u1", True), ("u3", True)],
    ids=["edge", "lead", "member", "host", "member of a host"],
)
def test_a_killed_process_ends_a_groups_run_with_its_name(faulty, killed, at_host):
    members = [member(device, content=k, spec=FAULTY_SPEC) for k, device in enumerate(DEVICES)]

    def group(step_s):
        options = [hosted(3)] * 3 if at_host else [to_edge(3), to_device(3), to_device(3)]
        return make_group(options, members, common=3, hosted=at_host, step_s=step_s, spec=FAULTY_SPEC)

    faulty.start()
    during(faulty, lambda: os.kill(faulty.pids[killed], signal.SIGKILL))
    begin = time.monotonic()
    with pytest.raises(PeerLost, match=killed):
        faulty.run([group(0.2)], LONG)
    assert time.monotonic() - begin < 25
    assert set(faulty.run([group(0.002)], LONG).images) == {m.name for m in members}
