"""Files, functions and folders stay readable: at most so long, at most so wide, or with the reason beside it.

A reason is a comment in the signature or just above it, `# long: why` or `# wide: why`. Compiled code, which pays for
calls, may give one for all its functions in the docstring of its module, on a line that begins with "Long and wide
functions:".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES = 500
CODE_LINES = 60
PARAMETERS = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    """The text of every module of the package, by its path in the repository."""
    found = [*(ROOT / "src").rglob("*.py"), *(ROOT / "formulations").glob("*.py")]
    linked = ROOT / "src" / "megdt_opt" / "formulations"
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(found)
        if linked not in path.parents
    }


def functions(text: str) -> Iterator[tuple[str, Function]]:
    """All functions with their names, those of classes and functions with the names around them."""

    def within(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield prefix + child.name, child
            named = isinstance(child, Function | ast.ClassDef)
            yield from within(child, f"{prefix}{child.name}." if named else prefix)

    yield from within(ast.parse(text), "")


def code_lines(function: Function, lines: list[str]) -> int:
    """Lines of the body that are neither blank nor comment nor docstring; nested functions count."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    taken = lines[body[0].lineno - 1 : function.end_lineno]
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in taken)


def parameters(function: Function) -> int:
    every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return sum(argument.arg not in ("self", "cls") for argument in every)


def excused(function: Function, lines: list[str], word: str) -> bool:
    """Whether a comment in the signature or just above it gives the reason."""
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    head = lines[max(first - 2, 0) : function.body[0].lineno]
    return any(re.search(rf"# {word}: \w", line) for line in head)


@cache
def oversized() -> tuple[frozenset[str], frozenset[str]]:
    """Functions that are too long and too wide, and give no reason."""
    long, wide = set(), set()
    for path, text in sources().items():
        if re.search(r"^Long and wide functions: \w", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE):
            continue
        lines = text.splitlines()
        for name, function in functions(text):
            if code_lines(function, lines) > CODE_LINES and not excused(function, lines, "long"):
                long.add(f"{path}:{name}")
            if parameters(function) > PARAMETERS and not excused(function, lines, "wide"):
                wide.add(f"{path}:{name}")
    return frozenset(long), frozenset(wide)


def test_no_file_is_too_long() -> None:
    found = {path for path, text in sources().items() if len(text.splitlines()) > FILE_LINES}
    assert not found, "divide the file"


def test_no_function_is_too_long() -> None:
    assert not oversized()[0], "cut it or say why beside it"


def test_no_function_is_too_wide() -> None:
    assert not oversized()[1], "group its parameters or say why beside it"


@pytest.mark.parametrize("path", [path for path in sources() if path.endswith("/__init__.py")])
def test_a_folder_says_what_lives_there(path: str) -> None:
    """The first paragraph of its docstring is one sentence."""
    told = ast.get_docstring(ast.parse(sources()[path]))
    assert told, "an __init__ with no docstring"
    first = " ".join(told.split("\n\n")[0].split())
    assert re.fullmatch(r"[^.]+(?:\.[^ .][^.]*)*\.", first), first


def test_sizes_are_counted() -> None:
    """The measure itself: docstring, comments and blank lines do not count, and a reason excuses."""
    body = "".join(f"    a = {i}\n\n    # told\n" for i in range(CODE_LINES))
    text = f'def f(a, *, b):\n    """Told."""\n{body}'
    (_, function), *_ = functions(text)
    assert code_lines(function, text.splitlines()) == CODE_LINES
    assert parameters(function) == 2
    assert not excused(function, text.splitlines(), "long")
    (_, function), *_ = functions(f"# long: one pass\n{text}")
    assert excused(function, f"# long: one pass\n{text}".splitlines(), "long")
