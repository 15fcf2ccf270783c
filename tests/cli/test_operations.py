"""What an operator meets: the documented exit codes, log files, metrics, Ctrl-C and TERM while workers start."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from megdt_opt.cli import exit_codes
from megdt_opt.cli.app import app
from megdt_opt.execution.record import Execution, Fault, StageRow
from megdt_opt.logs import write_metrics
from megdt_opt.trials.metrics import metrics_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_documentation_lists_every_exit_code_and_no_other():
    text = (ROOT / "docs" / "howto" / "exit-codes.md").read_text(encoding="utf-8")
    listed = {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)}
    assert listed == exit_codes.MEANING


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "no such thing"], exit_codes.REFUSED),
        (["execute", "no such plan.json"], exit_codes.REFUSED),
        (["--log-file", "/no/such/folder\0/x", "show", "demo"], exit_codes.REFUSED),
        (["--version"], exit_codes.OK),
    ],
)
def test_exit_codes_are_those_of_the_table(arguments, code):
    assert CliRunner().invoke(app, arguments).exit_code == code


def test_an_infeasible_plan_has_its_own_code(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(
        "name: late\nchannel: {downlink: 1 MHz, uplink: 1 MHz}\nusers:\n"
        "  - {name: a, device: {profile: twin-cpu, stretch: 30}, deadline: 1 ms,\n"
        "     downlink_efficiency: 1 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz}\n",
        encoding="utf-8",
    )
    log = tmp_path / "log.txt"
    assert CliRunner().invoke(app, ["--log-file", str(log), "plan", str(path)]).exit_code == exit_codes.INFEASIBLE
    assert log.exists()


def test_metrics_are_json_lines_whole_or_not_at_all(tmp_path):
    row = StageRow(
        user="a", index=0, label="decode", actor="a", kind="decode", predicted_start_s=0.0,
        predicted_duration_s=0.0, start_s=0.0, end_s=0.1, cpu_s=0.05,
    )  # fmt: skip
    fault = Fault(user="b", cause="edge is gone", at_s=0.1, fell_back=False)
    run = Execution(rows=(row,), mode="raw", stretch={}, environment={"cores": 1}, cpu_s={"a": 0.2}, faults=(fault,))
    path = tmp_path / "metrics.jsonl"
    write_metrics(path, metrics_of(run))
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [one["metric"] for one in found] == ["run", "user", "stage", "actor", "fault"]
    assert found[1]["error_percent"] is None
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(path, [{"metric": "run", "x": float("nan")}])
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from megdt_opt.execution import Cluster
from megdt_opt.cli.clear_errors import clear_errors
import signal
signal.signal(signal.SIGTERM, signal.default_int_handler)
@clear_errors
def start():
    cluster = Cluster(["edge", "u1", "u2"])
    try:
        import threading
        from megdt_opt.execution import fork_server
        def pids():  # the process that forks actors is there first, the actors once it has imported
            forking = fork_server._shared._process.pid
            return [forking, *cluster.pids.values()]
        threading.Timer({after_s}, lambda: print("started", *pids(), flush=True)).start()
        cluster.start()
        input()
    finally:
        cluster.close()
import contextlib, typer
with contextlib.suppress(typer.Exit):
    start()
"""


def children_of(pids):
    """Those of the processes that still run."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue
        found += [pid] if state != "Z" else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="process states are read from /proc")
@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGKILL,)])
@pytest.mark.parametrize("after_s", [0.4])
def test_whoever_ends_the_command_while_workers_start_leaves_nothing_and_no_traceback(after_s, signals):
    """Interrupted twice, terminated, killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(path=[p for p in sys.path if p], after_s=after_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a suite that runs in the background hands down that the signal is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()[1:]]
    assert pids
    for number in signals:
        os.killpg(process.pid, number)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=60)
    limit_s = time.monotonic() + 20
    while children_of(pids) and time.monotonic() < limit_s:
        time.sleep(0.02)
    assert not children_of(pids)
    assert "Traceback" not in errors, errors
    assert "BrokenPipe" not in errors
