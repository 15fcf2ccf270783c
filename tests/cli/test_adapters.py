"""`megdt-opt adapters` and `plan --adapter`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from megdt_opt import Plan
from megdt_opt.cli.app import app
from megdt_opt.models.twin.adapters import bundled_adapters

CELL = (
    "{name: a cell, steps: 4, cuts: [2], channel: {downlink: 1 MHz, uplink: 1 MHz}, users: [{name: phone, "
    "mechanisms: [local], downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 4 bit/s/Hz}]}"
)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_bundled_adapters_are_listed() -> None:
    done = run("adapters")
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in bundled_adapters())


@pytest.mark.parametrize("words", [["fundry"], ["gone.safetensors"], ["--model", "sd15"]])
def test_what_is_no_adapter_is_refused(words: list[str]) -> None:
    done = run("adapters", *words)
    assert done.exit_code == 2
    assert words[-1] in done.output


def test_a_user_gets_an_adapter_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "cell.yaml").write_text(CELL)
    out = tmp_path / "plan.json"
    done = run("plan", tmp_path / "cell.yaml", "--adapter", "phone=workshop", "--output", out)
    assert done.exit_code == 0, done.output
    assert Plan.load(out).scenario.users[0].adapter == "workshop"
    assert "workshop" in done.output
    for wrong in ("phone", "other=workshop"):
        assert run("plan", tmp_path / "cell.yaml", "--adapter", wrong).exit_code == 2
