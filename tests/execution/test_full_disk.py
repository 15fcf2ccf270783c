"""A disk that is full while a run's files are written: each is there whole or not at all, and the cause is said."""

from __future__ import annotations

import contextlib
import json
import subprocess

import numpy as np
import pytest
from run_builder import make_run
from test_failures import during

from megdt_opt.errors import InvalidInput
from megdt_opt.execution import Execution
from megdt_opt.execution.audit import AuditFile
from megdt_opt.execution.record import StageRow
from megdt_opt.logs import write_metrics
from megdt_opt.program.mechanisms import Option
from megdt_opt.trials.metrics import metrics_of

DISK_BYTE = 16384


@pytest.fixture
def disk(request, tmp_path):
    """A disk of a few blocks, or of the bytes that a test asks for."""
    made = ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', DISK_BYTE)}", "none", str(tmp_path)]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {getattr(error, 'stderr', error)}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True, capture_output=True)


def run_of(rows, seed=0):
    """A record with a picture that does not fit on the disk."""
    made = tuple(
        StageRow(user="a", index=k, label="decode", actor="a", kind="decode", predicted_start_s=0.0,
                 predicted_duration_s=0.1, start_s=0.0, end_s=0.1)
        for k in range(rows)
    )  # fmt: skip
    image = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    return Execution(rows=made, mode="paced", stretch={}, environment={"cores": 1}, images={"a": image})


def test_a_record_is_whole_or_not_there(disk):
    with pytest.raises(InvalidInput, match=r"run\.json.*No space left"):
        run_of(1).save(disk / "run.json")
    assert list(disk.iterdir()) == []


def test_a_record_that_is_there_stays_as_it_was(disk):
    (disk / "run.json").write_text("earlier", encoding="utf-8")
    with pytest.raises(InvalidInput, match="No space left"):
        run_of(1).save(disk / "run.json")
    assert [(file.name, file.read_text()) for file in disk.iterdir()] == [("run.json", "earlier")]


def test_metrics_are_whole_or_not_there(disk):
    with pytest.raises(InvalidInput, match="No space left"):
        write_metrics(disk / "metrics.jsonl", metrics_of(run_of(200)))
    assert list(disk.iterdir()) == []


def test_an_audit_has_no_half_line_and_goes_on_when_there_is_space(disk, caplog):
    audit = AuditFile(disk / "audit.jsonl")
    filler = disk / "filler"
    filler.write_bytes(bytes(DISK_BYTE - 4096))  # a block is left for the audit
    for _ in range(60):
        audit(None, "ping", "here", "x" * 100)
    assert "No space left" in caplog.text
    before = (disk / "audit.jsonl").read_text().splitlines()
    assert 0 < len(before) < 60
    assert all(json.loads(line)["verb"] == "ping" for line in before)
    filler.unlink()
    audit(None, "ping", "here", "again")
    assert json.loads((disk / "audit.jsonl").read_text().splitlines()[-1])["result"] == "again"


@pytest.mark.parametrize("disk", [2**20], indirect=True)
def test_a_run_outlives_a_disk_that_fills_meanwhile(disk, cluster):
    run = make_run(Option(mechanism="SEU", cut=3, precision="fp32"), step_s=0.05)
    before = cluster.run([run])
    before.save(disk / "record.json")
    earlier = (disk / "record.json").read_bytes()
    filler = disk / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # until no space is left
            while True:
                file.write(bytes(4096))

    filling = during(cluster, fill, after_s=0.1)
    done = cluster.run([run])
    filling.join(30)
    assert (done.images["user"] == before.images["user"]).all()
    with pytest.raises(InvalidInput, match=r"record\.json.*No space left"):
        done.save(disk / "record.json")
    assert {file.name for file in disk.iterdir()} == {"record.json", "filler"}
    assert (disk / "record.json").read_bytes() == earlier
    filler.unlink()
    done.save(disk / "record.json")
    assert Execution.load(disk / "record.json").measured_s == done.measured_s
