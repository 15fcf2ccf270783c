"""README's commands and blocks run as they stand there, in their order and in one folder, and print what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_programs import Programs
from typer.main import get_command

from megdt_opt import TimingProfile
from megdt_opt.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

LONG = ("calibrate", "demo", "execute")
"""Commands that take minutes: without --full their words are read and a prepared profile stands for what they write."""


@dataclass(frozen=True)
class Block:
    """A piece of README: one command, a Python program, or a file named in the sentence before it."""

    kind: str
    text: str
    file: str = ""

    def __str__(self) -> str:
        return self.text.splitlines()[0] if self.kind == "command" else f"{self.kind} {self.file}".strip()


def blocks() -> list[Block]:
    found = []
    pattern = r"```(\w+)\n(.*?)```|^    ((?:megdt-opt|make|python) [^\n]*)$"
    for match in re.finditer(pattern, TEXT, re.DOTALL | re.MULTILINE):
        if match[3]:
            found.append(Block("command", match[3].partition(" #")[0].strip()))
        elif match[1] == "yaml":
            named = re.findall(r"`(\w+\.yaml)`:\s*$", TEXT[: match.start()])
            found.append(Block("yaml", match[2], named[0]))
        else:
            found.append(Block(match[1], match[2]))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the profile that `calibrate` would write."""
    path = tmp_path_factory.mktemp("readme")
    TimingProfile.bundled("twin-cpu").save(path / "here.json")
    return path


def test_there_are_blocks_of_every_kind() -> None:
    assert {block.kind for block in blocks()} == {"command", "python", "yaml"}
    assert {"show", "calibrate", "plan", "execute", "sweep"} <= {
        block.text.split()[1] for block in blocks() if block.text.startswith("megdt-opt")
    }
    # no block of a kind, and no command, that the pattern above does not know
    assert len(re.findall(r"^```\w+$", TEXT, re.MULTILINE)) == sum(block.kind != "command" for block in blocks())
    assert len(re.findall(r"^    (?:megdt-opt|make|pip|python|bash) ", TEXT, re.MULTILINE)) == sum(
        block.kind == "command" for block in blocks()
    )


# one after the other: each uses the files of those before
@pytest.mark.parametrize("block", blocks(), ids=str)
def test_the_block_runs_as_written(block: Block, folder: Path, programs: Programs, full: bool) -> None:
    if block.kind == "yaml":
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.kind == "python":
        printed = programs.python(block.text, folder)
        promised = re.search(r"^# (\[.*)$", block.text, re.MULTILINE)
        assert printed.strip() == promised[1] if promised else printed
    elif block.text.startswith("make"):
        assert programs.line(f"make --dry-run --directory {ROOT} {block.text.removeprefix('make')}", folder)
    elif block.text.split()[1] in LONG and not full:
        _, name, *words = block.text.split()
        get_command(app).commands[name].make_context(name, words)  # type: ignore[attr-defined]
    else:
        programs.line(block.text, folder)


def test_the_ten_line_example_is_short() -> None:
    code = next(block.text for block in blocks() if "AllocationProblem(" in block.text)
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 14


def test_files_that_the_readme_names_are_there() -> None:
    named = re.findall(r"\]\(([^):]+)\)", TEXT)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
