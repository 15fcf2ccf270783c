"""A long list of cases is thinned to a seeded tenth, with every cell kept, and run whole with `--full`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

SAMPLE = """
import pytest

@pytest.mark.long_list("kind")
@pytest.mark.parametrize("kind", ["a", "b", "c"])
@pytest.mark.parametrize("number", range({count}))
def test_case(kind, number):
    pass

@pytest.mark.parametrize("number", range(15))
def test_short(number):
    pass

@pytest.mark.long_list(of=25)
@pytest.mark.parametrize("number", range({count}))
def test_slow(number):
    pass
"""


def collected(folder: Path, count: int, *flags: str) -> list[str]:
    """Names of the cases that would be run."""
    shutil.copy(Path(__file__).resolve().parents[1] / "conftest.py", folder)
    (folder / "test_sample.py").write_text(SAMPLE.format(count=count), encoding="utf-8")
    where = [str(folder), "--rootdir", str(folder), "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--collect-only", *where, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return re.findall(r"::(test_\w+\[.*\])$", done.stdout, re.MULTILINE)


def test_a_tenth_is_kept_with_every_cell(tmp_path: Path) -> None:
    kept = collected(tmp_path, 20)
    assert Counter(re.findall(r"test_case\[\d+-(\w)\]", " ".join(kept))) == {"a": 2, "b": 2, "c": 2}
    assert sum("short" in name for name in kept) == 15
    assert collected(tmp_path, 20) == kept


def test_a_cell_of_few_cases_keeps_one(tmp_path: Path) -> None:
    kept = collected(tmp_path, 3)
    assert Counter(re.findall(r"test_case\[\d+-(\w)\]", " ".join(kept))) == {"a": 1, "b": 1, "c": 1}


def test_a_list_of_slow_cases_keeps_as_few_as_it_says(tmp_path: Path) -> None:
    assert sum("slow" in name for name in collected(tmp_path, 50)) == 2


def test_full_runs_all(tmp_path: Path) -> None:
    assert len(collected(tmp_path, 20, "--full")) == 95
