"""`megdt-opt show`: what it takes, and what it says of a name that it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.cli.app import app
from megdt_opt.timing.profile_file import bundled_names


def show(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["show", *map(str, words)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scenario, its plan and a profile."""
    folder = tmp_path_factory.mktemp("files")
    named = {
        kind: folder / f"{kind}{end}" for kind, end in [("cell", ".yaml"), ("plan", ".json"), ("profile", ".json")]
    }
    named["cell"].write_text(
        "channel: {downlink: 1 MHz, uplink: 1 MHz}\n"
        "users: [{name: a, distance: 20 m, mechanisms: [local], device: {stretch: 2}}]\n"
    )
    plan(Scenario.load(named["cell"])).save(named["plan"])
    TimingProfile.bundled("twin-cpu").save(named["profile"])
    return named


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("cell", "Options"),
        ("plan", "Shares"),
        ("profile", "Timing of twin"),
        ("demo", "closed by"),
        ("twin-cpu", "Timing of twin"),
        ("published", "published: DEVICE / MODEL"),
    ],
)
def test_whatever_has_a_name_or_a_file_is_shown(what: str, said: str, files: dict[str, Path]) -> None:
    done = show(files.get(what, what))
    assert done.exit_code == 0, done.output
    assert said.lower() in done.output.lower()


@pytest.mark.parametrize(
    ("what", "near"),
    [
        ("dmo", "Did you mean 'demo'?"),
        ("twin-gpu", "Did you mean 'twin-cpu'"),
        ("publishd", "Did you mean 'published'?"),
        ("quite different", "Name one of them."),
    ],
)
def test_an_unknown_name_is_told_all_that_can_be_shown(what: str, near: str) -> None:
    done = show(what)
    assert done.exit_code == 2
    for known in (*Scenario.bundled_names(), *bundled_names(), "published", "YAML file", "JSON file"):
        assert known in done.stderr
    assert f"found {what!r}" in done.stderr
    assert near in done.stderr


def test_names_of_profiles_at_hand_are_known_too(files: dict[str, Path]) -> None:
    assert show("here", "--profile", f"here={files['profile']}").exit_code == 0
    assert show("demo", "--profile", "here=sd15-cpu").exit_code == 2  # of another model
    assert "stands in" not in show("demo", "--profile", "here=twin-cpu").output
    assert "Did you mean 'here'?" in show("her", "--profile", f"here={files['profile']}").stderr


@pytest.mark.parametrize(
    ("words", "row"),
    [(["A100"], "A100"), (["a100", "sd1.5"], "SD1.5"), (["sdxl-lcm"], "SDXL-LCM")],
    ids=["a device", "a device and a model, in lower case", "a model"],
)
def test_published_timings_are_filtered(words: list[str], row: str) -> None:
    def shown(*texts: str) -> str:
        done = CliRunner().invoke(app, ["show", "published", *(w for text in texts for w in ("--match", text))])
        assert done.exit_code == 0, done.output
        return done.output

    some = shown(*words)
    assert row in some
    assert len(some.splitlines()) < 0.5 * len(shown().splitlines())
    assert "`--match TEXT` shows those" in " ".join(shown().split())


@pytest.mark.parametrize("text", ["SD1.55", "SDXL-LMC", "A1000 "])
def test_a_filter_without_a_row_names_the_nearest(text: str) -> None:
    done = CliRunner().invoke(app, ["show", "published", "--match", text])
    assert done.exit_code == 2
    assert "Did you mean" in done.stderr
    assert CliRunner().invoke(app, ["show", "demo", "--match", "A100"]).exit_code == 2
