"""Actors in two and three network namespaces, over mutual TLS, executed as one cluster."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time

import numpy as np
import pytest
from fault_cases import picture
from host_site import Site, namespaces_work
from run_builder import make_run
from standin_model import FAULTY_SPEC

from megdt_opt.cli.probe import measure
from megdt_opt.errors import ExecutionError, ExecutionTimeout, InvalidInput, NotAuthorised, PeerLost
from megdt_opt.execution import Cluster, Execution, ExecutionOptions
from megdt_opt.execution.authority import Authority
from megdt_opt.execution.credentials import Credentials
from megdt_opt.execution.hosts_world import HostsWorld
from megdt_opt.program.mechanisms import Option

MOVED_S = 5000.0
WHY_NOT = namespaces_work()

pytestmark = [
    pytest.mark.alone,  # rates and clocks
    pytest.mark.slow,
    pytest.mark.usefixtures("single_thread"),
    pytest.mark.skipif(bool(WHY_NOT), reason=f"network namespaces cannot be made here: {WHY_NOT}"),
]

OPTIONS = ExecutionOptions(timeout_s=30)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An edge and two devices; the clock of one of them shows 5,000 s more."""
    made = Site(tmp_path_factory.mktemp("site"), ["edge", "u1", "u2"], {"u2": MOVED_S})
    yield made
    made.close()


def cluster_at(site, actors=("edge", "u1", "u2"), **more):
    return Cluster(actors, "standin_model:Faulty", world=HostsWorld(site.hosts), start_timeout_s=30, **more)


def run_of(mechanism="E2U", device="u1", scheduler="ddim", **more):
    option = {
        "local": Option(mechanism="local"),
        "E2U": Option(mechanism="E2U", cut=6, precision="fp32"),
        "SEU": Option(mechanism="SEU", cut=3, precision="fp32"),
        "PEU": Option(mechanism="PEU", share=0.5, precision="fp32"),
    }[mechanism]
    return make_run(option, name=f"user {device}", device=device, spec=FAULTY_SPEC, scheduler=scheduler, **more)


@pytest.mark.parametrize("actors", [("edge", "u1"), ("edge", "u1", "u2")])
def test_pictures_are_those_of_one_process(site, actors):
    runs = [run_of(device=device, edge_share=0.4) for device in actors[1:]]
    with cluster_at(site, actors) as cluster:
        done = cluster.run(runs, OPTIONS)
    for run in runs:
        assert np.array_equal(done.images[run.name], picture(run.chains[0]))
    assert all(0 <= row.start_s <= row.end_s < 30 for row in done.rows)


def test_stamps_of_another_clock_are_brought_to_one(site, tmp_path):
    with cluster_at(site) as cluster:
        done = cluster.run([run_of("PEU", "u2"), run_of("SEU", "u1", edge_share=0.3)], OPTIONS, fallbacks={})
    assert not done.faults
    clocks = done.environment["clock_offset_s"]
    assert clocks["edge"] == clocks["u1"] == [0.0, 0.0]  # the same clock, by its name
    low_s, high_s = clocks["u2"]
    assert low_s <= MOVED_S <= high_s
    assert high_s - low_s < 0.5
    done.save(tmp_path / "run.json")
    assert Execution.load(tmp_path / "run.json").environment["clock_offset_s"] == clocks
    rows = {row.index: row for row in done.rows if row.user == "user u2"}
    assert all(rows[i].start_s < 30 for i in rows)


def test_actors_go_on_serving_after_a_run_and_take_up_renewed_keys(site):
    before = json.loads(site.audit("edge").read_text().splitlines()[-1])["serial"]
    with cluster_at(site) as cluster:
        cluster.run([run_of()], OPTIONS)
        for name in ("edge", "u1", "coordinator"):
            site.authority.issue(name)
        done = cluster.run([run_of()], OPTIONS)  # on connections that stand, and with new ones
    assert done.images
    with cluster_at(site) as cluster:
        assert cluster.run([run_of()], OPTIONS).images
    lines = [json.loads(line) for line in site.audit("edge").read_text().splitlines()]
    assert lines[-1]["serial"] != before
    assert {line["verb"] for line in lines} >= {"ping", "prepare", "start", "wait", "results", "abort"}
    assert all(line["caller"] == "coordinator coordinator" and line["result"] for line in lines)


def test_a_second_coordinator_is_refused_while_a_run_is_in_progress(site):
    answers = []
    with cluster_at(site) as first, cluster_at(site) as second:

        def intrude():
            while first.start_s is None:
                time.sleep(0.01)
            try:
                second.run([run_of()], OPTIONS)
            except ExecutionError as error:
                answers.append(error)

        thread = threading.Thread(target=intrude)
        thread.start()
        done = first.run([run_of(step_s=0.2, edge_share=0.5)], OPTIONS)
        thread.join(20)
        assert done.images
        assert "a run of coordinator coordinator is in progress" in str(answers[0])
        assert second.run([run_of()], OPTIONS).images


def test_strangers_get_nothing(site, tmp_path):
    other = Authority.create(tmp_path / "other", HostsWorld(site.hosts)._hosts)
    world = HostsWorld(site.hosts)
    for identity in (
        other.credentials("coordinator"),
        Credentials(other.key_file("coordinator"), site.authority.certificate_file),
        site.authority.credentials("u1"),  # an actor is no coordinator
    ):
        world._identity = identity
        with pytest.raises((NotAuthorised, PeerLost, ExecutionTimeout)):
            Cluster(["edge"], "standin_model:Faulty", world=world, start_timeout_s=1).start()


def test_an_actor_that_is_nowhere_is_named(site):
    with pytest.raises(InvalidInput, match="u9.*actors of the hosts file"):
        cluster_at(site, ["edge", "u9"]).start()


def test_links_are_probed_both_ways(site):
    links = measure(site.hosts, ["edge"])
    assert set(links) == {("edge", "u1"), ("u1", "edge"), ("edge", "u2"), ("u2", "edge")}
    assert all(link.rate_bit_per_s > 1e6 and 0 < link.round_trip_s < 1 for link in links.values())


def test_an_actor_that_has_just_been_started_is_waited_for(site):
    """It takes seconds until its packages are loaded."""
    site.processes["u1"].terminate()
    site.processes["u1"].wait(10)
    site.serve("u1")
    assert ("edge", "u1") in measure(site.hosts, ["edge"])
    site.wait("u1")


def test_a_probe_finds_the_rates_that_the_kernel_keeps(site):
    """Payloads get what headers leave of a shaped link: 1448 of 1514 byte of each packet, and less for framing."""
    rates = {"edge": 8e6, "u1": 2e6}
    try:
        for actor, rate in rates.items():
            site.shape(actor, rate)
        links = measure(site.hosts, ["edge"])
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"links cannot be shaped here: {error}")
    finally:
        for actor in rates:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                site.shape(actor, 0)
    for actor, to in (("edge", "u1"), ("u1", "edge")):
        assert 0.88 * rates[actor] < links[actor, to].rate_bit_per_s < rates[actor]


def test_an_actor_that_is_stuck_starts_itself_anew(site):
    with cluster_at(site, ("edge", "u1")) as cluster:
        with pytest.raises(ExecutionTimeout):
            cluster.run([run_of("local", scheduler="sleeping", step_s=0.01)], ExecutionOptions(timeout_s=1.0))
        assert cluster.run([run_of()], OPTIONS).images
    site.wait("u1")  # it has said so a second time


def test_one_that_is_told_to_stop_ends_well(site):
    process = site.processes["u1"]
    process.terminate()
    assert process.wait(10) == 0
    with pytest.raises(ExecutionTimeout, match="u1 does not answer at .*megdt-opt serve u1"):
        Cluster(["u1"], "standin_model:Faulty", world=HostsWorld(site.hosts), start_timeout_s=0.5).start()
