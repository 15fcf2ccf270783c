"""What earlier verified runs say on the command line: intervals of a plan's latencies, deadlines at a level."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from megdt_opt import Plan
from megdt_opt.cli import exit_codes
from megdt_opt.cli.app import app
from megdt_opt.verdict.store import LatencyStore, key_of

CELL = """
name: one
steps: 4
channel: {{downlink: 2 MHz, uplink: 1 MHz}}
users:
  - {{name: a, device: {{profile: twin-cpu, stretch: 4}}, {deadline}
     downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}}
"""


@pytest.fixture
def cell(tmp_path):
    """A scenario's file, with a deadline."""
    path = tmp_path / "cell.yaml"
    path.write_text(CELL.format(deadline="deadline: 3 s,"), encoding="utf-8")
    return path


@pytest.fixture
def earlier(tmp_path):
    """A file of 60 earlier latencies, 10 % late on average."""
    path = tmp_path / "latencies.json"
    errors = np.random.default_rng(0).normal(0.1, 0.03, 60)
    LatencyStore(path).add(key_of("paced", "twin", "planned"), [[float(e)] for e in errors])
    return path


def run(*arguments):
    """The command's result."""
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_a_plan_says_where_its_latencies_lie_or_what_is_missing(cell, earlier):
    told = run(cell, "--latencies", earlier).output
    assert "90 % interval" in told
    assert "from 60 earlier latencies" in told
    assert "no interval yet (0 of 40 earlier latencies)" in run(cell, "--latencies", earlier, "--mode", "kernel").output


def test_deadlines_at_a_level_are_kept_by_shorter_predictions(cell, earlier, tmp_path):
    found = run(cell, "--latencies", earlier, "--level", 0.9, "--output", tmp_path / "plan.json")
    assert found.exit_code == exit_codes.OK, found.output
    assert "for 3 s" in found.output
    kept_s = Plan.load(tmp_path / "plan.json").scenario.users[0].deadline_s
    high = LatencyStore(earlier).rolling(key_of("paced", "twin", "planned")).interval().high
    assert kept_s == pytest.approx(3 / (1 + high))


@pytest.mark.parametrize(
    ("level", "deadline", "mode", "said"),
    [
        (0.9, "deadline: 3 s,", "raw", "deadlines at a level: found 0; expected 40 latencies"),
        (0.5, "deadline: 3 s,", "paced", "level of deadlines: found 0.5; expected 0.9"),
        (0.9, "", "paced", "level of deadlines: found 0.9; expected nothing where no user has a deadline"),
    ],
    ids=["no earlier runs", "another level", "no deadline"],
)
def test_what_cannot_be_kept_at_a_level_is_refused(earlier, tmp_path, level, deadline, mode, said):
    path = tmp_path / "cell.yaml"
    path.write_text(CELL.format(deadline=deadline), encoding="utf-8")
    found = run(path, "--latencies", earlier, "--level", level, "--mode", mode)
    assert found.exit_code == exit_codes.REFUSED
    assert said in found.output.replace("\n", " ")
