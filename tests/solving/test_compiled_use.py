"""When the compiled price method is used: no small call waits for compiling."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, solve
from megdt_opt.solving import closing, compiled, door
from megdt_opt.solving.compiled.folder import compiled_before, folder, mark_compiled

SCRIPT = """
import megdt_opt.solving.compiled.driver
from megdt_opt import AllocationProblem, solve
from megdt_opt.solving import compiled

def problem(users, options):
    row = [[float(o + 1) for o in range(options)]] * users
    return AllocationProblem(fixed_s=row, downlink_bit=row, uplink_bit=row, edge_work_s=row, downlink_hz=1.0,
                             uplink_hz=1.0, downlink_efficiency=[1.0] * users, uplink_efficiency=[1.0] * users)

print(compiled.usable(problem(2, 2)), compiled.usable(problem(10, 100)), compiled.usable(problem(100, 100)))
solve(problem(2, 2))
from megdt_opt.solving.compiled.passes import narrow
print(len(narrow.signatures))
"""


def test_an_import_alone_makes_no_small_call_wait(tmp_path: Path) -> None:
    """Numba compiles at the first call: what was only imported would take a minute."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["False", "False", "True", "0"]


def test_small_calls_use_what_has_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_seconds", [0.0])
    small = draw(0, seed=1).problem
    before = list(compiled._here)
    try:
        compiled._here[:] = []
        assert not compiled.usable(small)
        compiled._here[:] = [True]
        assert compiled.usable(small)
    finally:
        compiled._here[:] = before


def test_a_process_loads_the_compiled_code_once_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plain problem of a process is solved sooner in NumPy; not so a second one, nor one with deadlines."""
    monkeypatch.setattr(compiled, "_here", [])
    monkeypatch.setattr(compiled, "_in_numpy", [0])
    monkeypatch.setattr(compiled, "_seconds", [0.0])
    monkeypatch.setattr("megdt_opt.solving.compiled.folder.compiled_before", lambda: True)
    row = np.ones((10, 32))
    plain = AllocationProblem(
        fixed_s=row, downlink_bit=row, uplink_bit=row, edge_work_s=row, downlink_hz=1.0, uplink_hz=1.0,
        downlink_efficiency=np.ones(10), uplink_efficiency=np.ones(10),
    )  # fmt: skip
    assert compiled.usable(replace(plain, deadline_s=np.full(10, 1e3)))
    assert not compiled.usable(plain)
    solve(plain)
    assert not compiled._here
    assert compiled.usable(plain)


def test_getting_the_compiled_code_ready_is_no_solving(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before the clock of a time limit starts, and the answer says how long it took."""
    calls: list[str] = []
    close = door.close

    def prepared(problem: AllocationProblem) -> float:
        calls.append("prepare")
        return 30.0

    def closed(*arguments: Any, **settings: Any) -> Any:
        calls.append("close")
        return close(*arguments, **settings)

    monkeypatch.setattr(door, "prepare", prepared)
    monkeypatch.setattr(door, "close", closed)
    found = solve(draw(0).problem)
    assert calls == ["prepare", "close"]
    assert "30.0 s before that" in found.message


def test_the_compiled_code_is_at_hand_once_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_here", [])
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    assert closing.prepare(draw(0).problem) > 0.0
    assert compiled.at_hand()
    assert closing.prepare(draw(0).problem) == 0.0


def test_what_mixed_takes_is_got_ready_for_mixed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_here", [])
    monkeypatch.setattr(compiled, "_mixed_here", [])
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    plain = draw(0).problem
    assert closing.prepare(plain) > 0.0
    assert compiled.at_hand()
    assert not compiled.at_hand(mixed=True)
    mixed = replace(plain, objective="mixed", max_weight=1.0)
    assert closing.prepare(mixed) > 0.0
    assert compiled.at_hand(mixed=True)
    assert closing.prepare(mixed) == 0.0


def test_a_small_problem_does_not_wait_for_what_mixed_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_here", [True])
    monkeypatch.setattr(compiled, "_mixed_here", [])
    monkeypatch.setattr("megdt_opt.solving.compiled.folder.compiled_before", lambda mark="": mark != "mixed")
    mixed = replace(draw(0).problem, objective="mixed", max_weight=1.0)
    monkeypatch.setattr(compiled, "_seconds", [2.0])
    assert not compiled.usable(mixed)
    assert compiled.usable(replace(mixed, objective="sum", max_weight=None))
    monkeypatch.setattr(compiled, "_mixed_here", [True])
    assert compiled.usable(mixed)


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sources with one kernel, and an empty place for compiled code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "passes.py").write_text("import numba\n", encoding="utf-8")
    return sources


def test_a_copy_of_the_sources_is_not_taken_for_compiled(kernels: Path, tmp_path: Path) -> None:
    """Numba keeps code by the path of its source, so that a copy compiles all of it again."""
    mark_compiled(kernels)
    copy = tmp_path / "copy"
    shutil.copytree(kernels, copy)
    assert compiled_before(kernels)
    assert not compiled_before(copy)


@pytest.mark.parametrize("change", ["time", "text", "file"])
def test_sources_written_again_are_not_taken_for_compiled(kernels: Path, change: str) -> None:
    """As by installing anew: what was kept before goes with the next mark, that of other sources stays."""
    other = kernels.with_name("other")
    shutil.copytree(kernels, other)
    mark_compiled(other)
    mark_compiled(kernels)
    before = folder(kernels)
    if change == "time":
        os.utime(kernels / "passes.py", ns=(0, 0))
    elif change == "text":
        (kernels / "passes.py").write_text("import numba\n\n", encoding="utf-8")
    else:
        (kernels / "more.py").write_text("import numba\n", encoding="utf-8")
    folder.cache_clear()
    assert folder(kernels) != before
    assert not compiled_before(kernels)
    mark_compiled(kernels)
    assert compiled_before(kernels)
    assert compiled_before(other)
    assert not before.exists()
