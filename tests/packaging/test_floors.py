"""Imports go one way: no arrow from a lower floor to a higher one, and no circle, as docs/design.md has the floors.

Read from the sources: imports of modules and of names, inside functions and under TYPE_CHECKING too, and modules that
strings name (`importlib.import_module`, tables of lazy names, `-m` arguments, "module:Class" paths).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BY_NAME = {("solving/door.py", "formulations/__init__.py")}
"""What may run up: the door finds formulations by name. The face's table of lazy names runs down, from near the top."""


@cache
def sources() -> dict[str, Path]:
    """Every module of the package: its path below `megdt_opt` and the file in the repository."""
    package = ROOT / "src" / "megdt_opt"
    found = {p.relative_to(package).as_posix(): p for p in package.rglob("*.py")}
    found |= {f"formulations/{p.name}": p for p in (ROOT / "formulations").glob("*.py")}
    return dict(sorted(found.items()))


@cache
def floors() -> dict[str, int]:
    """Floor of each room, from the table of docs/design.md."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    return {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def room(path: str) -> str:
    """The room of a module: its top folder, or the module itself where it lies on the top level."""
    return path.split("/")[0].removesuffix(".py")


def module(name: str) -> str | None:
    """The file of a dotted name, as far as it names a module of the package; None for anything else."""
    parts = name.split(".")
    if parts[0] != "megdt_opt":
        return None
    path = "/".join(parts[1:])
    for candidate in (f"{path}.py" if path else "__init__.py", f"{path}/__init__.py"):
        if candidate in sources():
            return candidate
    return None


def named_in(text: str) -> str | None:
    """The module that a string names: "megdt_opt.a.b", "megdt_opt.a.b:Name", or code that imports it."""
    path = re.fullmatch(r"(megdt_opt(?:\.\w+)+)(?::\w+)?", text)
    path = path or re.match(r"(?:from|import) (megdt_opt[.\w]*)", text)
    return module(path[1]) if path else None


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the strings that stand by themselves as statements."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def imported(node: ast.ImportFrom, path: str) -> Iterator[str | None]:
    """What `from x import a, b` names: the modules among the names, else x itself."""
    package = ("megdt_opt/" + path).split("/")[: -node.level] if node.level else []
    home = ".".join([*package, *([node.module] if node.module else [])])
    for alias in node.names:
        yield module(f"{home}.{alias.name}") or module(home)


def lazily_named(node: ast.JoinedStr, tree: ast.Module) -> Iterator[str | None]:
    """What f"megdt_opt.a.{...}" names: the entries of a table that is looked up there, else the folder itself."""
    prefix, *rest = node.values
    if not (isinstance(prefix, ast.Constant) and str(prefix.value).startswith("megdt_opt.") and rest):
        return
    home, key = str(prefix.value), rest[0].value if isinstance(rest[0], ast.FormattedValue) else None
    if isinstance(key, ast.Subscript) and isinstance(key.value, ast.Name):
        for entry in ast.walk(tree):
            if isinstance(entry, ast.Assign) and any(getattr(t, "id", None) == key.value.id for t in entry.targets):
                yield from (module(home + name) for name in ast.literal_eval(entry.value).values())
    elif re.fullmatch(r"megdt_opt(\.\w+)*\.", home):
        yield module(home.removesuffix("."))


def modules_named(tree: ast.Module, path: str) -> Iterator[str | None]:
    """The modules that a file at `path` imports or names, in every way that counts."""
    told = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (module(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from imported(node, path)
        elif isinstance(node, ast.JoinedStr):
            yield from lazily_named(node, tree)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield named_in(node.value)


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """All pairs of a file that imports and a file imported, without the ties by name."""
    found: set[tuple[str, str]] = set()
    for path, source in sources().items():
        named = modules_named(ast.parse(source.read_text(encoding="utf-8")), path)
        found |= {(path, to) for to in named if to is not None and to != path}
    return frozenset(found)


def runs_up(path: str, to: str) -> bool:
    return floors()[room(path)] < floors()[room(to)]


def circles(ties: Iterable[tuple[str, str]]) -> list[set[str]]:
    """The sets of nodes that reach each other, of more than one node (Warshall's closure)."""
    reach: dict[str, set[str]] = {}
    for path, to in ties:
        reach.setdefault(path, set()).add(to)
        reach.setdefault(to, set())
    for between in reach:
        for node in reach:
            if between in reach[node]:
                reach[node] |= reach[between]
    found = {frozenset(b for b in reach[a] if a in reach[b]) for a in reach if a in reach[a]}
    return sorted((set(c) for c in found), key=min)


def test_every_room_has_its_floor() -> None:
    assert {room(path) for path in sources()} == set(floors())


def test_no_arrow_runs_up() -> None:
    found = {(path, to) for path, to in arrows() if runs_up(path, to)}
    assert found == BY_NAME, "a lower floor imports a higher one (docs/design.md, Floors)"


def test_no_circle_of_files() -> None:
    assert not circles(arrows() - BY_NAME), "these files import each other in a circle"


def test_no_circle_of_rooms() -> None:
    between = {(room(path), room(to)) for path, to in arrows() - BY_NAME if room(path) != room(to)}
    assert not circles(between), "these rooms import each other in a circle"


def test_a_circle_is_found() -> None:
    assert circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == [{"a", "b", "c"}]
    assert not circles({("a", "b"), ("b", "c"), ("a", "c")})


def test_lazy_names_of_the_face_are_read() -> None:
    """Its table, its module by name and a worker's start are arrows like any other."""
    assert ("__init__.py", "problem/allocation_problem.py") in arrows()
    assert ("__init__.py", "bounds/__init__.py") in arrows()
    assert ("execution/process.py", "execution/worker.py") in arrows()


@pytest.mark.parametrize(
    ("code", "to"),
    [
        ("from megdt_opt.solving.door import solve", "solving/door.py"),
        ("from megdt_opt.solving import door", "solving/door.py"),
        ("from megdt_opt import solve", "__init__.py"),
        ("from ..solving.door import solve", "solving/door.py"),
        ("def f():\n    import megdt_opt.solving.door", "solving/door.py"),
        ("if TYPE_CHECKING:\n    from megdt_opt.solving import solve", "solving/__init__.py"),
        ("MODEL = 'megdt_opt.models.twin.model:TwinModel'", "models/twin/model.py"),
        ("f'megdt_opt.bounds.{name}'", "bounds/__init__.py"),
        ("T = {'a': 'solving.door'}\nf'megdt_opt.{T[name]}'", "solving/door.py"),
        ("run(['-m', 'megdt_opt.execution.worker'])", "execution/worker.py"),
    ],
)
def test_each_way_of_importing_is_seen(code: str, to: str) -> None:
    assert to in modules_named(ast.parse(code), "program/stages.py")


def test_words_in_a_docstring_are_no_import() -> None:
    assert list(modules_named(ast.parse("'megdt_opt.solving.door'"), "program/stages.py")) == []
