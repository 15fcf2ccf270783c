"""A real world of namespaces, shaped links and quotas; skipped only where one cannot be written and read back."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from run_builder import STANDIN, make_run

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.cli.demo import run_plan
from megdt_opt.errors import InvalidInput
from megdt_opt.execution import ExecutionOptions
from megdt_opt.execution.kernel.commands import command
from megdt_opt.execution.kernel.prediction import HEADER_BYTE, SECURE
from megdt_opt.execution.kernel.quotas import PARENT, ROOT
from megdt_opt.execution.kernel.settings import edge_actor, paired
from megdt_opt.execution.kernel.world import KernelWorld, obstacle
from megdt_opt.machine import cpu_model
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import EDGE
from megdt_opt.timing.reference import Reference
from megdt_opt.timing.shaped import HEADER_BYTE as SEGMENT_BYTE
from megdt_opt.trials.kernel import kernel_cluster
from megdt_opt.verdict.evidence import Cause

pytestmark = pytest.mark.alone  # one kernel-mode world on a machine

OPTION = Option(mechanism="SEU", cut=3, precision="fp32")
FOR_A = edge_actor(EDGE, "a", None)
RATE = 4e5
LAUNCH = """
import sys, time
from megdt_opt.execution.kernel.world import KernelWorld
world = KernelWorld(["u1"], wait_s=60.0)
world.open(["u1", "edge"])
world.hold({"u1": 0.2})
print("open", flush=True)
try:
    time.sleep(60)
finally:
    world.close()
"""


def left():
    """Namespaces and groups of such a world."""
    names = [line.split()[0] for line in command("ip", "netns", "list").splitlines() if line.startswith("megdt-")]
    return names, [str(p) for p in ROOT.glob(f"*/{PARENT}")] + [str(p) for p in ROOT.glob(PARENT)]


@pytest.fixture(scope="module", autouse=True)
def possible():
    """A world can be written and read back here."""
    reason = obstacle()
    if reason:
        pytest.skip(f"no kernel world here: {reason}")


@pytest.fixture(scope="module")
def processes():
    """An edge's part and a device."""
    with kernel_cluster(dict.fromkeys(("u1", FOR_A), STANDIN), ["u1"], wait_s=120.0) as found:
        found.cluster.start()
        yield found


@pytest.fixture(scope="module")
def run(processes):
    """A device-and-edge program there."""
    options = ExecutionOptions(mode="kernel", stretch={"u1": 4.0, FOR_A: 1.25}, lead_s=0.5)
    return processes.cluster.run([paired(make_run(OPTION, name="a", rate=RATE, edge_share=0.5))], options)


def test_what_is_set_reads_back_and_is_told(run):
    actors, links = run.world["actors"], run.world["links"]
    assert {name: a["share"] for name, a in actors.items()} == pytest.approx({"u1": 0.25, FOR_A: 0.4}, rel=0.01)
    assert actors["u1"]["cpus"] != actors[FOR_A]["cpus"]
    assert {link["direction"] for link in links} == {"uplink", "downlink"}
    assert all(link["rate_bit_per_s"] == pytest.approx(RATE, rel=0.005) for link in links)
    assert all(link["burst_byte"] == pytest.approx(1600, abs=2) for link in links)
    assert all(link["congestion_control"] for link in links)
    assert run.mode == run.world["mode"] == "kernel"
    assert run.world["security"] == "mutual TLS 1.3"


def test_the_picture_is_that_of_the_local_world(run, cluster):
    same = cluster.run([make_run(OPTION, name="a", rate=4e7)], ExecutionOptions(mode="raw"))
    np.testing.assert_array_equal(run.images["a"], same.images["a"])


def test_bytes_on_the_wire_follow_the_law(run):
    sends = [row for row in run.rows if row.payload_byte]
    assert len(sends) >= 2
    for row in sends:
        law = SECURE.byte(row.payload_byte + HEADER_BYTE)
        # acknowledgements of the other direction ride along, and gRPC's estimate of the bandwidth: a PING of 8 byte in
        # either direction and its acknowledgement, each a record and a segment of its own (105 byte)
        pings = 2 * (8 + SECURE.per_record_byte + SEGMENT_BYTE)
        room = 0.03 * law + 2 * SEGMENT_BYTE
        assert -room <= row.wire_byte - law <= room + pings


def test_no_send_is_faster_than_its_link(run):
    for row in run.rows:
        if row.payload_byte:
            assert row.end_s - row.start_s >= 8 * (row.payload_byte - 1600) / RATE


def test_a_second_launcher_is_refused_while_the_first_lives(processes):
    with pytest.raises(InvalidInput, match=f"process {os.getpid()} has one"):
        KernelWorld(["u2"]).open(["u2"])
    assert left()[0]  # the first one's namespaces are still there


CELL = """
name: one
steps: 2
channel: {downlink: 400 kHz, uplink: 400 kHz}
edge: {profile: here, stretch: 1.25}
users:
  - {name: u1, device: {profile: here, stretch: 2}, mechanisms: [E2U], downlink_efficiency: 4 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz}
"""


@pytest.mark.slow
def test_a_decision_and_its_inputs_are_verified_there(processes, tmp_path):
    processes.cluster.close()  # the world is free
    found, latencies = [], tmp_path / "latencies.json"
    made = plan(Scenario.from_yaml(CELL), {"here": measured_here()})
    console = Console(file=io.StringIO(), width=200)
    how = {"mode": "kernel", "repeats": 1, "console": console, "on_verdict": found.append, "latencies": latencies}
    run_plan(made, tmp_path / "report", **how)
    (verdict,) = found
    assert {"plan", "payload", "model", "link", "share", "profile"} <= {f.cause for f in verdict.figures} | {
        one.cause for one in verdict.unjudged
    }
    assert not {f.cause for f in verdict.alarms} & {Cause.PLAN, Cause.PAYLOAD, Cause.MODEL}
    assert verdict.intervals is not None
    said = console.file.getvalue()
    assert "all local" in said
    assert "no interval yet" in said
    assert "verify" in said
    if verdict.ok:
        assert len(json.loads(latencies.read_text())["runs"]) == 2  # planned and rehearsed


def measured_here():
    """The bundled profile as if it had been measured here, with a reference kernel."""
    made = TimingProfile.bundled("twin-cpu")
    here = replace(made.provenance, hardware={**made.provenance.hardware, "processor": cpu_model()})
    return replace(made, provenance=here, reference=Reference(weight_byte=6_000_000, samples_s=(0.01,)))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_nothing_is_left_when_a_launcher_is_ended(processes, end):
    processes.cluster.close()  # the last test: the world is free
    launcher = subprocess.Popen(
        [sys.executable, "-P", "-c", LAUNCH], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, preexec_fn=_default_signals,
    )  # fmt: skip
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "open\n"
    assert left() != ([], [])
    launcher.send_signal(end)
    launcher.wait(20)
    launcher.stdout.close()
    if end is signal.SIGKILL:  # nobody could clean up, so the next one does
        world = KernelWorld(["u1"], wait_s=60.0)
        world.open(["u1"])
        world.close()
    assert left() == ([], [])


def _default_signals():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it


def test_the_lock_is_free_again():
    assert obstacle(wait_s=30.0) == ""
