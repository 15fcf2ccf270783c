"""What users registered, in scenarios, plans, sweeps and messages: by name alone, and only where it is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from megdt_opt import InvalidInput, Plan, Scenario, plan, register_mechanism, register_precision, sweep
from megdt_opt.cli.app import app
from megdt_opt.execution.job import Run
from megdt_opt.plot import mechanism_map_figure
from megdt_opt.program import blocks
from megdt_opt.program.mechanisms import Option, Setting
from megdt_opt.program.stages import Stage
from megdt_opt.scenario.options import OptionTable
from megdt_opt.sweeping import run_sweep
from megdt_opt.trials.runs import user_runs

PHONE: dict[str, Any] = {
    "device": {"profile": "twin-cpu", "stretch": 30},
    "downlink_efficiency": "4 bit/s/Hz",
    "uplink_efficiency": "2 bit/s/Hz",
}


def edge_alone(option: Option, s: Setting) -> Iterable[Stage]:
    return (
        blocks.send_request(s),
        blocks.encode_prompt(s.edge),
        blocks.denoise(s.edge, 0, s.steps),
        blocks.send_latent(s, option.precision, history=False),
        blocks.decode(s.device),
    )


def device_first(option: Option, s: Setting) -> Iterable[Stage]:
    return (blocks.encode_prompt(s.device), *edge_alone(option, s))


@pytest.fixture(autouse=True)
def registered() -> None:
    """A precision of one byte a value, and E2U that offers it; each test finds them as new."""
    register_precision(
        "byte",
        lambda v: {"codes": np.clip(np.rint(v * 16) + 128, 0, 255).astype(np.uint8)},
        lambda parts, shape: (parts["codes"].astype(np.float32) - 128) / 16,
        quality="a byte for each value",
        replace=True,
    )
    declare(edge_alone)


def declare(stages: Any) -> None:
    register_mechanism(
        "E2U-byte", stages, choices=("precision",), runs_at="edge", precisions=("byte",), quality="as E2U, in bytes",
        replace=True,
    )  # fmt: skip


def cell(*wishes: dict[str, Any], **more: Any) -> Scenario:
    users = [{"name": f"u{k}", "scene": k, **PHONE, **wish} for k, wish in enumerate(wishes)]
    return Scenario(**{"steps": 4, "channel": {"downlink": "60 kHz", "uplink": "60 kHz"}, "users": users, **more})


OWN = {"mechanisms": ["local", "E2U-byte"]}


def test_it_is_open_to_who_names_it_and_to_nobody_else() -> None:
    table = OptionTable.build(cell(OWN, {}, {"mechanisms": ["E2U"]}))
    open_to = [{table.options[o].mechanism for o in np.flatnonzero(row)} for row in table.allowed]
    assert open_to[0] == {"local", "E2U-byte"}
    assert "E2U-byte" not in open_to[1] | open_to[2]
    assert all(option.precision != "byte" for option in OptionTable.build(cell({})).options)
    # a precision goes with every mechanism of who names it
    wide = OptionTable.build(cell({"precisions": ["byte"]}, {}))
    names = [[wide.options[o].name for o in np.flatnonzero(row) if wide.options[o].precision] for row in wide.allowed]
    assert {name.split()[0] for name in names[0]} == {"E2U", "SEU", "SEU-UE-first", "PEU"}
    assert all(name.endswith("byte") for name in names[0])
    assert not any(name.endswith("byte") for name in names[1])


def test_a_plan_with_it_is_saved_under_its_name_and_read_again(tmp_path: Path) -> None:
    made = plan(cell(OWN, {}))
    assert made.users[0].option.name == "E2U-byte byte"
    assert made.notes[0] == "Mechanism E2U-byte, registered by the user: as E2U, in bytes."
    assert "all E2U" in {b.name for b in made.baselines}
    made.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").users == made.users
    # with other stages under the same name, what the file says does not follow any more
    declare(device_first)
    with pytest.raises(InvalidInput, match=r"latency_s\[0\]"):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize("name", ["E2U-bite", "evil", "os:system"])
def test_unknown_names_are_refused_and_nothing_is_imported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    with pytest.raises(InvalidInput, match="users.0.mechanisms: found.*'E2U-byte'.*--plugin MODULE"):
        cell({"mechanisms": [name]})
    with pytest.raises(InvalidInput, match="users.0.precisions: found.*'byte'.*--plugin MODULE"):
        cell({"precisions": [name]})
    made = plan(cell(OWN), compare=False)
    made.save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(text.replace('"E2U-byte"', json.dumps(name)))
    with pytest.raises(InvalidInput, match="plan.json: users.0.mechanisms: found"):
        Plan.load(tmp_path / "plan.json")
    (run,) = user_runs(made.table, made.users)
    message = json.dumps(run.to_dict())
    assert Run.from_dict(json.loads(message)).program == run.program
    for known in ('"precision": "byte"', '"kind": "decode"'):
        assert known in message
        altered = json.loads(message.replace(known, f"{known.split(':')[0]}: {json.dumps(name)}"))
        with pytest.raises(InvalidInput, match="--plugin MODULE"):
            Run.from_dict(altered)
    assert "evil" not in sys.modules


def test_a_sweep_counts_its_users_and_draws_them() -> None:
    frame = sweep(cell(OWN, {}), {"edge.stretch": [1, 4000], "channel.downlink": ["60 kHz", "1 MHz"]}, compare=False)
    assert frame["users_E2U-byte"].tolist() == [1, 1, 0, 0]
    figure = mechanism_map_figure(frame, "edge.stretch", "channel.downlink_hz")
    assert figure.axes
    bare = sweep(cell({}, {}), {"edge.stretch": [1]}, compare=False)
    assert "users_E2U-byte" not in bare.columns


def test_a_sweep_plans_again_when_stages_or_sizes_change(tmp_path: Path) -> None:
    def cells() -> tuple[int, float]:
        found = run_sweep(cell(OWN), {"steps": [4]}, cache=tmp_path, compare=False)
        return found.computed, found.cells["objective_s"][0]

    first = cells()
    assert cells() == (0, first[1])
    declare(device_first)
    later = cells()
    assert later[0] == 1
    assert later[1] > first[1]
    register_precision(
        "byte",
        lambda v: {"": v.astype(np.float16)},
        lambda parts, shape: parts[""].astype(np.float32),
        quality="two bytes",
        replace=True,
    )
    larger = cells()
    assert larger[0] == 1
    assert larger[1] > later[1]


def test_privacy_holds_for_what_users_send() -> None:
    """A request that is sent as another payload is the request still."""

    def disguised(option: Option, s: Setting) -> Iterable[Stage]:
        from dataclasses import replace

        from megdt_opt.program.stages import Payload

        request, *rest = edge_alone(option, s)
        return (replace(request, payload=Payload.FEATURE), *rest)  # type: ignore[type-var]

    declare(disguised)
    table = OptionTable.build(cell({**OWN, "private_steps": 1}))
    (own,) = [o for o, option in enumerate(table.options) if option.mechanism == "E2U-byte"]
    assert "privacy: the request would leave the device" in table.closed_by(0, own)


@pytest.mark.parametrize("command", [["plan", "demo"], ["show", "demo"], ["execute", "plan.json"]])
def test_the_command_line_names_a_plugin_that_is_not_there(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--plugin", "no_such_module"])
    assert done.exit_code == 2
    assert "plugin: found 'no_such_module'" in done.output
