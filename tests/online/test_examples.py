"""The examples of `megdt_opt.online` run and print what they say."""

from __future__ import annotations

import doctest
import inspect

import pytest

from megdt_opt import online

WITH_EXAMPLES = ("Service", "Simulation", "Trace", "simulate")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_runs_and_prints_what_it_says(name: str) -> None:
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(getattr(online, name)) or "", {}, name, None, None)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(example, out=said.append)
    assert not said, "".join(said)
