"""Formulations whose agreement counts share neither pricing nor search with the method that they are compared with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "formulations"

COUNTS = (
    "batched_edge", "convex_allocation", "edge_placement", "energy_delay", "option_gdp", "option_gdp_bigm",
    "option_gdp_outer", "option_misocp", "option_misocp_perspective", "sequenced_edge", "shared_prefix",
    "task_program",
)  # fmt: skip
SHARES = ("alpha_fair", "deadline_milp", "lexicographic", "square_root_milp")
"""What cuts by priced costs, or compares option sets by the package's own best shares."""

ALLOWED = (
    "errors", "tolerances", "problem", "radio", "shares.batched_band", "shares.closed_forms", "solving.allocation",
    "solving.answers", "solving.highs", "formulations",
)  # fmt: skip
"""Arrays, rate laws and closed forms, errors, the form of an answer and a backend."""


def imports(module: str) -> Iterator[str]:
    """Modules of the package that a formulation imports, itself or through the private parts beside it."""
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in seen or not (FOLDER / f"{name}.py").is_file():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))):
            found = []
            if isinstance(node, ast.ImportFrom) and node.module:
                found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            for one in found:
                if one.startswith("megdt_opt."):
                    yield one.removeprefix("megdt_opt.")
                    todo.append(one.rsplit(".", 1)[-1] if "formulations" in one else "")


def shared(module: str) -> set[str]:
    """Imports beyond what a formulation may share."""
    return {one for one in imports(module) if not any(one == a or one.startswith(f"{a}.") for a in ALLOWED)}


@pytest.mark.parametrize("module", COUNTS)
def test_what_counts_as_agreement_shares_no_pricing_and_no_search(module: str) -> None:
    assert shared(module) - {"shares", "solving"} == set()


@pytest.mark.parametrize("module", SHARES)
def test_what_shares_pricing_is_told_apart(module: str) -> None:
    assert any(one.startswith(("pricing", "shares", "solving")) for one in shared(module))


def test_every_formulation_is_on_one_side() -> None:
    public = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert public == {*COUNTS, *SHARES}
