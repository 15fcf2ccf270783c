"""The command `megdt-opt sweep`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from megdt_opt import InvalidInput
from megdt_opt.cli.app import app
from megdt_opt.cli.sweep import read_over
from megdt_opt.sweeping.sweep_file import SweepFile

SCENARIO = """
steps: 4
channel: {downlink: 60 kHz, uplink: 60 kHz}
users:
  - {name: a, device: {stretch: 8, compute_power: 9 W}, downlink_efficiency: 2 bit/s/Hz,
     uplink_efficiency: 2 bit/s/Hz, mechanisms: [local, E2U], precisions: [int8]}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "cell.yaml"
    path.write_text(SCENARIO)
    return str(path)


def test_values_are_read_as_in_a_scenario_file() -> None:
    found = read_over(
        ["channel.downlink=1 MHz, 2 MHz", "users = 1,2", "cuts=[1,2],null", 'edge.profile="published: x / y",b']
    )
    assert found == {
        "channel.downlink": ["1 MHz", "2 MHz"],
        "users": [1, 2],
        "cuts": [[1, 2], None],
        "edge.profile": ["published: x / y", "b"],
    }
    for wrong in (["steps"], ["steps="], ["=1"], ["steps=[1"], ["steps=1", "steps=2"]):
        with pytest.raises(InvalidInput, match="over"):
            read_over(wrong)


def test_tables_and_figures_are_written_and_a_second_run_plans_nothing(scenario: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["sweep", scenario, "--over", "users=1,2,4", "--over", "steps=2,4", "--seeds", "2", "--out", str(out)]
    first = CliRunner().invoke(app, [*words, "--no-baselines"])
    assert first.exit_code == 0, first.output
    assert "12 rows: 12 optimal (12 cells planned now, 0 found in the cache)" in first.output
    frame = pd.read_csv(out / "sweep.csv")
    assert list(frame.columns[:3]) == ["users", "steps", "seed"]
    assert len(pd.read_csv(out / "users.csv")) == 2 * 2 * (1 + 2 + 4)
    figures = {path.name for path in out.glob("*.png")}
    assert figures == {"latency-users.png", "latency-steps.png", "mechanisms.png", "solve-time.png"}
    again = CliRunner().invoke(app, [*words, "--no-baselines"])
    assert "0 cells planned now, 12 found in the cache" in again.output
    pd.testing.assert_frame_equal(pd.read_csv(out / "sweep.csv"), frame)


def test_a_sweep_over_an_energy_limit_draws_a_front(scenario: str, tmp_path: Path) -> None:
    words = ["sweep", scenario, "--over", "users.*.energy_max=0.1 mJ,0.1 J,1 kJ,null", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "infeasible" in done.output
    assert (tmp_path / "pareto.png").is_file()


def test_a_folder_holds_one_sweep(scenario: str, tmp_path: Path) -> None:
    def run(over: str) -> int:
        words = ["sweep", scenario, "--over", over, "--no-baselines", "--out", str(tmp_path / "out")]
        return CliRunner().invoke(app, words).exit_code

    def written() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}

    assert run("users=1,2") == 0
    (tmp_path / "out" / "notes.png").write_bytes(b"mine")
    assert set(written()) == {"sweep.csv", "users.csv", "latency-users.png", "solve-time.png", "notes.png"}
    assert run("steps=2,4") == 0
    assert set(written()) == {"sweep.csv", "users.csv", "latency-steps.png", "notes.png"}
    # where one file cannot be replaced, all of the old ones stay
    (tmp_path / "out" / "users.csv").unlink()
    (tmp_path / "out" / "users.csv").mkdir()
    before = written()
    assert run("users=1,2,3") == 2
    assert written() == before


def test_mistakes_end_with_a_message(scenario: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sweep", scenario, "--over", "channel.downlink=5", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "a frequency with a unit" in done.stderr


def test_sweeping_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, megdt_opt, megdt_opt.plot; megdt_opt.sweep; "
        "heavy = {'torch', 'pyomo', 'cvxpy', 'matplotlib', 'pandas', 'diffusers', 'grpc'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_a_sweep_of_a_file_in_chunks_is_merged(scenario: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"scenario: {scenario}\nover:\n  channel.downlink: [30 kHz, 60 kHz]\n  steps: [2, 4]\n"
        f"baselines: false\nchunk: 3\ntime_limit: 10 s\nout: {out}\n"
    )
    done = CliRunner().invoke(app, ["sweep", str(file)])
    assert done.exit_code == 0, done.output
    assert "4 rows: 4 optimal (4 cells planned now, 0 found in" in done.output.replace("\n", " ")
    again = CliRunner().invoke(app, ["sweep", str(file)])
    assert "0 cells planned now, 4 found" in again.output.replace("\n", " ")
    merged = CliRunner().invoke(app, ["merge", str(out), "--out", str(tmp_path / "m")])
    assert merged.exit_code == 0, merged.output
    read = pd.read_parquet(tmp_path / "m" / "cells.parquet")
    assert read[["channel.downlink_hz", "steps"]].to_numpy().tolist() == [[3e4, 2], [3e4, 4], [6e4, 2], [6e4, 4]]


def test_parts_of_one_file_from_anywhere_are_merged(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file names its scenario and its trace from its own folder; parts and their folders are said beside it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "cell.yaml").write_text(Path(scenario).read_text())
    (home / "trace.csv").write_text("channel.downlink\n30 kHz\n60 kHz\n30 kHz\n")
    (home / "sweep.yaml").write_text(
        "scenario: cell.yaml\nover: {rows: trace.csv}\nbaselines: false\nchunk: 1\nshard: 1/1\nout: whole\n"
        "profiles: {twin-cpu: twin-cpu}\n"
    )
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--shard", "1/2", "--out", "one"], ["--shard", "2/2", "--out", "two"]):
        done = CliRunner().invoke(app, ["sweep", "home/sweep.yaml", *words])
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "two").glob("*.parquet")) == [
        "cells-000001.parquet",
        "users-000001.parquet",
    ]
    for folders, out in ((["whole"], "a"), (["one", "two"], "b")):
        merged = CliRunner().invoke(app, ["merge", *folders, "--out", out])
        assert merged.exit_code == 0, merged.output
    for table in ("cells.parquet", "users.parquet"):
        assert (tmp_path / "a" / table).read_bytes() == (tmp_path / "b" / table).read_bytes()
    assert pd.read_parquet(tmp_path / "a" / "cells.parquet")["row"].tolist() == [0, 1, 2]
    wrong = CliRunner().invoke(app, ["sweep", "home/sweep.yaml", "--shard", "half"])
    assert wrong.exit_code == 2
    assert "shard" in wrong.stderr


def test_names_of_the_package_stay_names_in_a_sweep_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "scenario: demo\nover: {steps: [2]}\n"
        "profiles: {here: twin-cpu, there: 'published: A100 / sd15', mine: mine.json}\n"
    )
    asked = SweepFile.load(file)
    assert asked.scenario == "demo"
    assert asked.profiles == {
        "here": "twin-cpu",
        "there": "published: A100 / sd15",
        "mine": str(tmp_path / "mine.json"),
    }


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        pytest.param("chunck: 3", [], "Did you mean 'chunk'", id="a mistyped field"),
        pytest.param("baseline: false", [], "Did you mean 'baselines'", id="a mistyped field of two letters"),
        pytest.param("shrd: 1/2", [], "Did you mean 'shard'", id="a field without its vowel"),
        pytest.param("chunk: 0", [], "chunk", id="no cell in a chunk"),
        pytest.param("time_limit: 10", [], "a time with a unit", id="a time without its unit"),
        pytest.param("shard: 3/2", [], "shard", id="a part that is not there"),
        pytest.param("shard: half", [], "shard", id="a part in words"),
        pytest.param("gap: 1.0e-3", ["--jobs", "2"], "nothing beside the file", id="an option beside the file"),
    ],
)
def test_a_sweep_file_is_read_strictly(
    scenario: str, tmp_path: Path, text: str, words: list[str], message: str
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(f"scenario: {scenario}\nover: {{steps: [2]}}\nout: {tmp_path / 'out'}\n{text}\n")
    done = CliRunner().invoke(app, ["sweep", str(file), *words])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_sweep_without_a_field_to_change_is_refused(scenario: str) -> None:
    done = CliRunner().invoke(app, ["sweep", scenario])
    assert done.exit_code == 2
    assert "--over" in done.stderr
