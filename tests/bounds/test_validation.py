"""Every public bound has a validator, and the command reports what they find."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from megdt_opt import InvalidInput, bounds
from megdt_opt.bounds.checks import validation
from megdt_opt.bounds.checks.validation import Check, Outcome, validate, validators
from megdt_opt.cli.app import app


def uncovered(names: list[str]) -> list[str]:
    covered = {name for one in validators().values() for name in one.covers}
    return [name for name in names if inspect.isfunction(getattr(bounds, name)) and name not in covered]


def test_every_public_bound_has_a_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    assert uncovered(list(bounds.__all__)) == []
    monkeypatch.setattr(bounds, "novelty", lambda: 0.0, raising=False)
    assert uncovered([*bounds.__all__, "novelty"]) == ["novelty"]


def test_validators_cover_only_what_exists() -> None:
    for one in validators().values():
        assert set(one.covers) <= set(bounds.__all__)
        assert one.loose


def test_every_public_bound_states_proposition_proof_region_and_source() -> None:
    for name in bounds.__all__:
        text = inspect.getdoc(getattr(bounds, name)) or ""
        if inspect.isfunction(getattr(bounds, name)):
            for word in ("Proposition.", "Proof", "Region", "ource"):
                assert word in text, f"{name} does not state its {word}"


@pytest.fixture(scope="module")
def outcomes() -> tuple[Outcome, ...]:
    return validate(2, 3)


@pytest.mark.parametrize("name", list(validators()))
def test_the_bound_holds(outcomes: tuple[Outcome, ...], name: str) -> None:
    (found,) = [o for o in outcomes if o.validator.name == name]
    assert found.instances == (1 if found.validator.share < 1 else 2)
    assert found.holds, found
    assert found.worst
    assert all(0 <= t <= 1 + 1e-9 for t in found.tightness)
    if found.validator.exact:
        assert set(found.tightness) <= {1.0}


def test_instances_depend_on_seed_and_number_alone() -> None:
    names = ["order of service", "best price bound"]
    both, one = validate(3, 1, names=names), validate(3, 1, names=names[1:])
    assert both[1].tightness == one[0].tightness
    assert validate(3, 2, names=names[1:])[0].tightness != one[0].tightness


def test_the_command_prints_a_row_for_each_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: one for name, one in validators().items() if name in ("order of service", "best price bound")}
    monkeypatch.setattr(validation, "validators", lambda: few)
    done = CliRunner().invoke(app, ["bounds", "--count", "3", "--seed", "5"])
    assert done.exit_code == 0, done.output
    for name in few:
        assert name.split()[0] in done.output
    assert "tightness" in done.output


def test_the_command_fails_on_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(rng: np.random.Generator, number: int) -> Iterator[Check]:
        yield Check("solver", 1e-3 if number == 2 else 0.0, 1.0)

    one = replace(validators()["order of service"], name="wrong", run=wrong)
    monkeypatch.setattr(validation, "validators", lambda: {"wrong": one})
    done = CliRunner().invoke(app, ["bounds", "--count", "4"])
    assert done.exit_code == 1
    assert "violated: wrong, instances 2 of seed 0" in done.output


def test_a_violation_is_seen_where_a_bound_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from megdt_opt.bounds.checks import orders

    monkeypatch.setattr(orders, "reserving_ratio_bound", lambda users, **_: 2 * users / (users + 1))
    (found,) = validate(16, 0, names=["reserving against sequencing"])
    assert not found.holds


def test_not_a_number_is_a_violation() -> None:
    def broken(rng: np.random.Generator, number: int) -> Iterator[Check]:
        yield Check("digits", float("nan"))

    with pytest.MonkeyPatch.context() as patch:
        one = replace(validators()["order of service"], run=broken)
        patch.setattr(validation, "validators", lambda: {"nan": one})
        (found,) = validate(1)
    assert not found.holds


def test_mistakes_end_with_a_message() -> None:
    with pytest.raises(InvalidInput, match="count"):
        validate(0)
    with pytest.raises(InvalidInput, match="bound"):
        validate(1, names=["nothing"])


def test_bounds_load_no_solver() -> None:
    code = (
        "import sys, megdt_opt; megdt_opt.bounds.square_root_rule; megdt_opt.GenerationSplitProblem; "
        "heavy = {'torch', 'pyomo', 'cvxpy', 'matplotlib', 'pandas', 'diffusers', 'mpmath'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
