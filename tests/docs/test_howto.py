"""The pages of docs/howto: files and commands run as they stand there, in their order and in one folder a page."""

from __future__ import annotations

import ast
import os
import re
import signal
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_programs import Programs

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))


@dataclass(frozen=True)
class Block:
    """A piece of a page: a file to be saved, a Python program, or a command."""

    kind: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.file}".strip() if self.kind != "command" else self.text


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    pattern = r"^```(\w+)(?: (\S+))?\n(.*?)^```$|^    (megdt-opt [^\n]*)$"
    found = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return [
        Block("command", "", command) if command else Block(kind, file, code) for kind, file, code, command in found
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """An empty folder for each page; what a page leaves running ends with it, by the `.pid` files that it wrote."""
    made = {page.stem: tmp_path_factory.mktemp(page.stem) for page in PAGES}
    yield made
    for file in (file for path in made.values() for file in path.glob("*.pid")):
        os.kill(int(file.read_text(encoding="ascii")), signal.SIGTERM)


# one after the other: each uses the files of those before
@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "block"),
    [pytest.param(page.stem, block, id=f"{page.stem}: {block}") for page in PAGES for block in blocks(page)],
)
def test_the_block_runs_as_written(page: str, block: Block, folders: dict[str, Path], programs: Programs) -> None:
    folder = folders[page]
    if block.file:
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.kind == "python":
        printed = programs.python(block.text, folder)
        assert printed.splitlines() == re.findall(r"^# (.*)$", block.text, re.MULTILINE)
    elif block.kind == "command":
        programs.line(block.text, folder)
    else:
        assert block.kind == "toml"
        assert tomllib.loads(block.text)


def test_each_function_that_the_page_registers_is_short() -> None:
    code = next(block.text for block in blocks(ROOT / "docs" / "howto" / "own_mechanism.md") if block.file)
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(lengths) == {"encode", "decode", "small_decoder", "stages"}
    assert max(lengths.values()) <= 10
