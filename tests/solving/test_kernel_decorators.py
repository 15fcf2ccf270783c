"""How kernels are compiled: one version of what they call, and no memory lost."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

KERNELS = """
import numpy as np
from megdt_opt.solving.compiled.jit import inner, kernel, making, stay_whole

@inner
def power(value: float, times: int) -> float:
    stay_whole()
    result = 1.0
    for _ in range(times):
        result *= value
    return result

@making
def powers(value: float, count: int):
    row = np.empty(count)
    for n in range(count):
        row[n] = power(value, n)
    return row

@kernel
def everything(value: float, counts):
    total = power(value, 0) + power(value, 3) + power(value, counts[0])
    for n in range(counts[1]):
        total += powers(value, n).sum()
    return total

@inner
def copied(row):
    return row.copy().sum()

@kernel
def wrong(row):
    return copied(row)

@inner
def first_power(value: float):
    return powers(value, 2)[1]

@kernel
def leaking(value: float):
    return first_power(value)

@inner
def the_same(row):
    return row, 1.0

@kernel
def borrowing(row):
    return the_same(row)[1]
"""

SOLVE = """
import json
from numba.core.runtime import rtsys
from benchmarks.families import KINDS, draw
from dataclasses import replace
from megdt_opt import BatchProblem, Infeasible, solve, solve_batch

def everything():
    for kind in KINDS:
        for objective in ("max", "sum"):
            solve(draw("cuts", 100, 64, objective, 0, kind=kind), gap=0.05)
            mixed = replace(draw("table", 20, 20, "sum", 0, kind=kind), objective="mixed", max_weight=5.0)
            try:
                solve(mixed, gap=0.05)
            except Infeasible:
                pass
    solve_batch(BatchProblem.of([draw("cuts", 4, 10, "sum", 0)] * 3000))

everything()
stats = rtsys.get_allocation_stats()
print(json.dumps([stats.alloc, stats.free]))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Kernels of a file of their own, kept in a folder of their own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    path = tmp_path / "some_kernels.py"
    path.write_text(KERNELS)
    found = importlib.util.spec_from_file_location("some_kernels", path)
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


def test_what_kernels_call_has_one_version(module: ModuleType) -> None:
    """A constant, a small whole number and a large one: numba would compile each by itself."""
    counts = np.array([2, 4], np.int32)
    expected = 1.0 + 27.0 + 9.0 + sum(3.0**m for n in range(4) for m in range(n))
    assert module.everything(3.0, counts) == expected
    assert len(module.power.signatures) == 1
    assert len(module.powers.signatures) == 1


def test_an_array_made_where_none_is_counted_is_refused(module: ModuleType) -> None:
    """Nobody would free it."""
    with pytest.raises(Exception, match="NRT required but not enabled"):
        module.wrong(np.ones(3))


def test_an_array_handed_to_or_by_what_counts_none_is_refused(module: ModuleType) -> None:
    """It would never be freed, or be freed while others hold it."""
    with pytest.raises(Exception, match="nobody would free the array that powers hands back"):
        module.leaking(3.0)
    with pytest.raises(Exception, match="nobody would free the array that the_same hands back"):
        module.borrowing(np.ones(3))


def test_kernels_free_all_they_allocate() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-c", SOLVE],
        env={**os.environ, "NUMBA_NRT_STATS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    allocated, freed = json.loads(run.stdout)
    assert allocated > 1000
    assert freed == allocated
