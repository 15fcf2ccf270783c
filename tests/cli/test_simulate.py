"""The command `megdt-opt simulate`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from megdt_opt.cli.app import app

SCENARIO = """
steps: 4
channel: {downlink: 60 kHz, uplink: 60 kHz}
users:
  - {name: a, device: {stretch: 8, compute_power: 9 W}, downlink_efficiency: 2 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, precisions: [int8]}
  - {name: b, device: {stretch: 20, compute_power: 2 W}, downlink_efficiency: 1 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, precisions: [int8]}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "cell.yaml"
    path.write_text(SCENARIO)
    return str(path)


def test_tables_and_figures_of_all_policies_are_written(scenario: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["simulate", scenario, "--rate", "0.4", "--requests", "200", "--fading", "3", "--slot", "1"]
    done = CliRunner().invoke(app, [*words, "--seed", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    frame = pd.read_csv(out / "simulation.csv")
    assert list(frame["policy"]) == ["speculative", "plain", "replan", "greedy", "edge", "local"]
    assert (frame["ratio"] >= 1 - 1e-9).all()
    assert len(pd.read_csv(out / "requests-replan.csv")) == 200
    assert {p.name for p in out.glob("*.png")} == {"flow-times.png", "ages.png"}
    again = CliRunner().invoke(app, [*words, "--seed", "3", "--out", str(tmp_path / "again"), "--policy", "replan"])
    assert again.exit_code == 0
    assert (tmp_path / "again" / "requests-replan.csv").read_bytes() == (out / "requests-replan.csv").read_bytes()
    assert not (tmp_path / "again" / "requests-edge.csv").exists()


def test_a_trace_is_taken_from_files(scenario: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("request,arrival_s,user\n0,0.5,b\n1,0.75,a\n")
    words = ["simulate", scenario, "--trace", str(tmp_path / "trace.csv"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--policy", "local"])
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "out" / "requests-local.csv")["user"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "rate: found None; expected either a rate [1/s] or a trace file"),
        (["--rate", "-1"], "rate_per_s (user 0): found -1.0"),
        (["--rate", "nan"], "rate_per_s (user 0): found nan"),
        (["--rate", "1", "--fading", "3"], "slot_s: found None; expected the length of a slot [s]"),
        (["--rate", "1", "--policy", "best"], "policy: found 'best'"),
        (["--rate", "1", "--links", "x.csv"], "links: found 'x.csv'"),
        (["--trace", "missing.csv"], "trace file: found 'missing.csv'"),
    ],
)
def test_wrong_words_are_refused_in_one_message_and_nothing_is_written(
    words: list[str], message: str, scenario: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["simulate", scenario, *words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
