"""What runs the pages' programs: each is a process of its own, and one that fails is a failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_programs import Programs


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit('no more')", "no more"),
        ("import os; os.kill(os.getpid(), 9)", ""),
    ],
)
def test_a_program_that_fails_is_a_failure(code: str, said: str, programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        programs.python(code, tmp_path)


def test_a_command_that_fails_is_a_failure(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No such command"):
        programs.line("megdt-opt no-such-command", tmp_path)


def test_a_program_finds_its_folder_and_path_and_no_trace_of_another(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("left = 1")
    code = "import os, sys; print('megdt_opt' in sys.modules, os.getpid(), sys.argv); import mine; mine.left += 1"
    one, other = (programs.python(f"{code}; print(mine.left)", tmp_path, str(tmp_path)) for _ in range(2))
    assert one.split()[:1] + one.split()[2:] == ["False", "['-c']", "2"]
    assert one.split()[2:] == other.split()[2:]
    assert one != other
    with pytest.raises(AssertionError, match="No module named 'mine'"):
        programs.python(code, tmp_path, "")


def test_no_thread_is_lost_by_the_forks(programs: Programs, tmp_path: Path) -> None:
    assert programs.python("import os; print(os.listdir(f'/proc/{os.getppid()}/task'))", tmp_path).count(",") == 0
