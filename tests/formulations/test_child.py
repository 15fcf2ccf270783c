"""A child process that crashes, is killed or hangs is an ordinary failure of the solver."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.formulations import _child, _scip, option_gdp, option_misocp


def test_value_comes_back() -> None:
    assert _child.run("math:sqrt", 9.0, wall_limit_s=60) == 3.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_killed_child(number: signal.Signals) -> None:
    with pytest.raises(SolverFailure, match=f"died of {number.name}"):
        _child.run("signal:raise_signal", int(number), wall_limit_s=60)


def test_a_child_that_just_leaves() -> None:
    with pytest.raises(SolverFailure, match="code 3"):
        _child.run("os:_exit", 3, wall_limit_s=60)


def test_a_child_that_hangs() -> None:
    begin = time.perf_counter()
    with pytest.raises(SolverFailure, match="killed after its limit of 2 s"):
        _child.run("time:sleep", 300, wall_limit_s=2)
    assert time.perf_counter() - begin < 30


def test_an_error_in_the_child() -> None:
    with pytest.raises(SolverFailure, match="ValueError"):
        _child.run("math:sqrt", -1.0, wall_limit_s=60)


def test_what_the_child_prints_is_no_answer() -> None:
    assert _child.run("builtins:print", "noise", wall_limit_s=60) is None


def test_own_errors_keep_their_class(make_problem: Any) -> None:
    hopeless = make_problem(2, 2, 0, "max", deadline_s=[1e-4, 1e3])
    with pytest.raises(Infeasible) as caught:
        _child.run("megdt_opt.formulations._checks:workable_options", hopeless, wall_limit_s=60)
    assert caught.value.users == (0,)


@pytest.mark.parametrize("program", [option_misocp, option_gdp])
def test_scip_that_aborts(make_problem: Any, program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # the child is the real one, and aborts where it is about to call SCIP
    abort = "import os, megdt_opt.formulations._scip as scip; scip.settings = lambda *_: os.abort(); "
    place = "from megdt_opt.formulations._child"
    monkeypatch.setattr(_child, "_BOOT", _child._BOOT.replace(place, abort + place))
    with pytest.raises(SolverFailure, match="died of SIGABRT"):
        program.solve(make_problem(2, 2, 0, "max"), gap=1e-6, time_limit_s=20.0)


@pytest.mark.parametrize("program", [option_misocp, option_gdp])
def test_scip_that_runs_out_of_time(make_problem: Any, program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scip, "STARTING_S", 0.0)
    with pytest.raises(SolverFailure, match="killed after its limit"):
        program.solve(make_problem(8, 6, 0, "max"), gap=1e-6, time_limit_s=0.1)


def test_no_second_copy_of_the_modules(tmp_path: Any) -> None:
    import megdt_opt.formulations

    folder = megdt_opt.formulations.__path__[0]
    code = (
        "import importlib.util, sys; "
        f"spec = importlib.util.spec_from_file_location('formulations', {folder + '/__init__.py'!r}); "
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "import megdt_opt.formulations" in done.stderr
