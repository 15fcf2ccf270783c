"""What the command says, on any terminal, and what it does where it cannot say it or cannot write its result."""

from __future__ import annotations

import codecs
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from megdt_opt import Plan, Scenario, TimingProfile, plan
from megdt_opt.cli.app import app
from megdt_opt.cli.terminal import nearest
from megdt_opt.version import __version__

COMMAND = [sys.executable, "-P", "-m", "megdt_opt"]

CELL = """
name: cell × two – Müller
steps: 4
channel: {downlink: 60 kHz, uplink: 60 kHz}
users:
  - {name: Müller, device: {stretch: 8}, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz,
     mechanisms: [local, E2U], precisions: [int8]}
"""


def run(*words: str | Path, encoding: str = "utf-8", **more: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    keys: dict[str, object] = {"capture_output": True, "env": environment, "check": False, "timeout": 120, **more}
    return subprocess.run([*COMMAND, *map(str, words)], **keys)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    path = tmp_path / "cell.yaml"
    path.write_text(CELL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of the cell."""
    path = tmp_path_factory.mktemp("made") / "plan.json"
    plan(Scenario.from_yaml(CELL)).save(path)
    return path


def invoke(*words: str | Path) -> Result:
    """The command in this process, which has loaded what it needs."""
    return CliRunner().invoke(app, [str(word) for word in words])


def one_message(done: subprocess.CompletedProcess[bytes] | Result) -> str:
    """The only line on standard error, of a command that ended with exit code 2."""
    if isinstance(done, Result):
        assert done.exit_code == 2, done.output
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert said.count("\n") == 1, said
    return said


# ---- doors


# typer itself loads pydantic for the options of a command
@pytest.mark.parametrize(
    ("words", "also"), [("--help", {"pydantic"}), ("--version", {"pydantic"}), ("plan --help", set())]
)
def test_help_and_version_load_nothing_heavy(words: str, also: set[str]) -> None:
    heavy = {"numpy", "yaml", "rich", "pandas", "scipy", "numba", "torch", "joblib", *also}
    code = (
        f"import sys; sys.argv = ['megdt-opt', *{words.split()}]\n"
        "from megdt_opt.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"heavy = {heavy} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert __version__ in done.stdout or "Usage:" in done.stdout


def test_the_module_runs_as_the_command() -> None:
    done = run("--version")
    assert done.stdout.decode() == f"megdt-opt {__version__}\n"
    assert run("no-such-command").returncode == 2


# ---- any terminal


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "shift_jis", "utf-8"])
def test_terminals_get_text_that_they_can_show(encoding: str, made: Path) -> None:
    done = run("show", made, encoding=encoding)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert ("Müller" if encoding in ("latin-1", "cp437", "utf-8") else "Muller") in text
    assert ("\N{EN DASH}" in text) == (encoding == "utf-8")
    assert "?" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_messages_as_well(encoding: str, tmp_path: Path) -> None:
    wrong = tmp_path / "Müller – ×.yaml"
    wrong.write_text(CELL.replace("steps: 4", "steps: 0"), encoding="utf-8")
    done = run("show", wrong, encoding=encoding)
    assert done.returncode == 2
    assert "ller - x.yaml, line 3: steps: found 0" in done.stderr.decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding", "right"),
    [
        ("12 – 34 × 5 µs", "ascii", "12 - 34 x 5 us"),
        ("café 日本", "ascii", "cafe ??"),
        ("日本 – é", "shift_jis", "日本 - e"),
    ],
)
def test_the_nearest_characters(text: str, encoding: str, right: str) -> None:
    codecs.register_error("nearest for a test", nearest)
    assert text.encode(encoding, "nearest for a test").decode(encoding) == right


@pytest.mark.parametrize("name", ["exp[/1]", "[bold]", "a[/]b", "run[s] :smile:"])
def test_brackets_in_paths_are_text(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    assert str(folder / "x.yaml") in one_message(invoke("plan", folder / "x.yaml"))
    folder.mkdir(parents=True)
    (folder / "x.yaml").write_text(CELL, encoding="utf-8")
    done = invoke("plan", folder / "x.yaml", "--output", folder / "plan.json")
    assert done.exit_code == 0, done.output
    assert f"written: {folder / 'plan.json'}" in done.output.replace("\n", "")


@pytest.mark.parametrize(
    ("change", "unit"),
    [({"samples_s": [0.0]}, "[s]"), ({"batch": 0}, "[chains]"), ({"rows": 5, "rows_total": 3}, "[rows]")],
)
def test_units_in_brackets_stay_in_messages(change: dict[str, object], unit: str, tmp_path: Path) -> None:
    profile = TimingProfile.bundled("twin-cpu").to_dict()
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({**profile, "cells": [{**profile["cells"][0], "at_s": [], **change}]}))
    assert unit in one_message(invoke("show", path))


def test_control_characters_of_a_file_are_shown_and_not_sent(made: Path, tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b[Hproven by the auditor\x07\x9b1m\u202e"
    shown = r"\x1b[2J\x1b[Hproven"
    profile = TimingProfile.bundled("twin-cpu").to_dict()
    profile["device"] = evil
    profile["provenance"]["method"] = evil
    path, plan_path = tmp_path / "profile.json", tmp_path / "plan.json"
    path.write_text(json.dumps(profile))
    plan_path.write_text(json.dumps({**json.loads(made.read_text()), "notes": [evil]}))
    # the notes of a plan are recomputed when it is read, so that nothing of these is left to show
    for file, there in ((path, True), (plan_path, False)):
        done = invoke("show", file)
        assert done.exit_code == 0, done.output
        assert (shown in done.output.replace("\n", "")) == there
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.output)
    said = one_message(invoke("plan", f"{evil}.yaml"))
    assert shown in said.replace("\\\\", "\\")
    assert "\x1b" not in said


# ---- outputs that cannot be written


@pytest.mark.parametrize("place", ["a folder", "below a file", "in a place without room"])
@pytest.mark.parametrize("command", ["plan", "calibrate", "sweep", "demo", "execute"])
def test_the_output_is_tried_before_the_work(command: str, place: str, cell: Path, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    folders = command in ("sweep", "demo", "execute")
    output = {
        "a folder": file if folders else tmp_path,
        "below a file": file / "inner" / "out",
        "in a place without room": Path("/proc/out/inner"),
    }[place]
    # the work itself would end in another message
    cell.write_text(CELL.replace("mechanisms", "deadline: 1 us, mechanisms"), encoding="utf-8")
    words: dict[str, list[str | Path]] = {
        "plan": [cell, "--output", output],
        "calibrate": [output, "--model", "no-such-model"],
        "sweep": [cell, "--over", "no-such-field=1", "--out", output],
        "demo": ["--scenario", cell, "--output", output],
        "execute": [made, "--output", output],
    }
    said = one_message(invoke(command, *words[command]))
    assert "output: found" in said
    assert str(output) in said
    assert file.read_text() == "kept"


def test_a_full_disk_ends_with_one_message(cell: Path) -> None:
    assert "No space left on device" in one_message(invoke("plan", cell, "--output", "/dev/full"))
    with open("/dev/full", "wb") as full:
        for words in (["show", "twin-cpu"], ["--help"], ["--version"]):
            done = run(*words, capture_output=False, stdout=full, stderr=subprocess.PIPE)
            assert "No space left on device" in one_message(done)


def test_a_closed_standard_output_is_refused_and_a_gone_reader_ends_in_silence(cell: Path, tmp_path: Path) -> None:
    command, result = " ".join(COMMAND), tmp_path / "plan.json"
    assert "Standard output is closed" in one_message(shell(f"{command} show published >&-"))
    done = shell(f"{command} show published | head -c 10")
    assert (done.stdout, done.stderr) == (b"Published ", b"")
    # the result is written though nobody reads what is said about it
    shell(f"{command} plan {cell} --output {result} | true")
    assert Plan.load(result).users


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(line, shell=True, capture_output=True, check=False, timeout=120)


def test_results_go_where_links_and_devices_lead(cell: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    assert invoke("plan", cell, "--output", link).exit_code == 0
    assert link.is_symlink()
    assert Plan.load(target).users
    done = run("plan", cell, "--output", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert b'"format": "megdt-opt plan' in done.stdout


def test_an_interrupted_command_says_one_line() -> None:
    words = ["bounds", "--count", "100000"]
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # a suite that runs in the background hands down that the signal is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )  # fmt: skip
    maps = Path(f"/proc/{process.pid}/maps")
    while "scipy" not in maps.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.decode() == "Interrupted.\n"
    # where an extension's own Python code was interrupted, the interpreter ends by the signal: a shell's 130 as well
    assert process.returncode in (130, -signal.SIGINT)


def test_the_first_command_of_the_readme_needs_no_measurement() -> None:
    done = invoke("show", "demo")
    assert done.exit_code == 0, done.output
    assert "bundled 'twin-cpu' stands in" in done.output
    assert invoke("show", "demo", "--user", "panel").exit_code == 0
    assert "NAME=FILE" in invoke("show", "demo", "--profile", "here").stderr
