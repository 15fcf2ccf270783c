"""README's Python example runs and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_ten_line_example() -> None:
    text = README.read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "AllocationProblem(" in block)
    promised = re.search(r"^# (\[.*)$", code, re.MULTILINE)
    assert promised is not None
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 14
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == promised[1]


def test_commands_in_the_readme_exist() -> None:
    from typer.main import get_command

    from megdt_opt.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"^    megdt-opt (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert used
    assert used <= known
