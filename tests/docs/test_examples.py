"""Every public name says what it returns and raises, and its example runs and prints what it says."""

from __future__ import annotations

import doctest
import inspect
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import megdt_opt
from megdt_opt import bounds
from megdt_opt.models.registry import MODELS
from megdt_opt.program.kinds import OWN_STAGES
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY
from megdt_opt.program.precisions import PRECISION_REGISTRY

RAISE_NOTHING = {"bounds.centralised_s", "bounds.local_s", "bounds.u2e_s"}
"""Functions of arguments that have been checked when they were made."""

PUBLIC = {
    **{name: getattr(megdt_opt, name) for name in megdt_opt.__all__ if name != "bounds"},
    **{f"bounds.{name}": getattr(bounds, name) for name in bounds.__all__},
}
FUNCTIONS = [name for name, value in PUBLIC.items() if inspect.isfunction(value)]


def sections(value: Any) -> set[str]:
    """Headings of a docstring in NumPy style."""
    lines = (inspect.getdoc(value) or "").splitlines()
    return {a for a, b in pairwise(lines) if a and b == "-" * len(a)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_returns_and_raises(name: str) -> None:
    wanted = {"Parameters", "Returns", "Raises"}
    if name in RAISE_NOTHING:
        wanted -= {"Raises"}
    assert wanted <= sections(PUBLIC[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_described(name: str) -> None:
    told = inspect.getdoc(PUBLIC[name]) or ""
    taken = inspect.signature(PUBLIC[name]).parameters.values()
    for parameter in (one.name for one in taken if one.kind is not one.VAR_KEYWORD):
        assert any(parameter in line.split(" : ")[0].split(", ") for line in told.splitlines()), parameter


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_runs_and_prints_what_it_says(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # files that an example writes
    # what an example registers ends with it
    for registry in (MECHANISM_REGISTRY, MODELS, OWN_STAGES, PRECISION_REGISTRY):
        monkeypatch.setattr(registry, "_own", dict(registry._own))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(PUBLIC[name]) or "", {name: PUBLIC[name]}, name, None, None
    )
    assert example.examples, "no example"
    said: list[str] = []
    with np.printoptions(legacy=False):
        doctest.DocTestRunner(optionflags=flags, verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
