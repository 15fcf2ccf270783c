"""What the installed package is made of."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import megdt_opt

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(megdt_opt.__file__).parent


def _sources() -> list[tuple[Path, Path]]:
    """(file in the repository, where it is installed)."""
    found = [(p, p.relative_to(ROOT / "src" / "megdt_opt")) for p in (ROOT / "src" / "megdt_opt").rglob("*.py")]
    found += [(p, Path("formulations") / p.name) for p in (ROOT / "formulations").glob("*.py")]
    return [(source, INSTALLED / place) for source, place in found if "__pycache__" not in source.parts]


@pytest.mark.parametrize(("source", "place"), _sources(), ids=lambda p: p.name)
def test_every_module_is_installed(source: Path, place: Path) -> None:
    assert place.read_bytes() == source.read_bytes(), "install the package again, or list its folder in pyproject.toml"


def test_data_files_are_installed() -> None:
    for pattern in (
        "data/*.csv",
        "data/profiles/*.json",
        "data/quality/*.json",
        "data/scenarios/*.yaml",
        "models/twin/weights/*.safetensors",
    ):
        wanted = {p.name for p in (ROOT / "src" / "megdt_opt").glob(pattern)}
        assert wanted, pattern
        assert wanted == {p.name for p in INSTALLED.glob(pattern)}, pattern


def test_weights_are_small_enough_for_a_wheel() -> None:
    assert sum(p.stat().st_size for p in (INSTALLED / "models" / "twin" / "weights").iterdir()) <= 12_000_000


def test_the_import_is_light() -> None:
    code = (
        "import sys, megdt_opt; "
        "heavy = {'torch', 'pyomo', 'cvxpy', 'matplotlib', 'pandas', 'diffusers', 'simpy', 'gymnasium'}; "
        "heavy &= set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys, megdt_opt; megdt_opt.plan, megdt_opt.Scenario, megdt_opt.solve; "
        "heavy = {'torch', 'pyomo', 'cvxpy', 'matplotlib', 'diffusers', 'grpc'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_public_names_resolve() -> None:
    for name in megdt_opt.__all__:
        assert getattr(megdt_opt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = megdt_opt.nothing


def test_public_functions_are_not_hidden_by_modules() -> None:
    """Importing every module of the package must leave `megdt_opt.solve` and the like callable."""
    for source, place in _sources():
        if source.parent == ROOT / "src" / "megdt_opt" and source.stem not in ("__init__", "__main__"):
            importlib.import_module(f"megdt_opt.{source.stem}")
        assert place
    for name in ("solve", "plan", "execute", "evaluate", "calibrate"):
        assert callable(getattr(megdt_opt, name)), name


def test_formulations_have_one_home() -> None:
    code = "import formulations"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "megdt_opt.formulations" in done.stderr


def test_version_agrees() -> None:
    assert metadata.version("megdt-opt") == megdt_opt.__version__


def test_typed() -> None:
    assert (INSTALLED / "py.typed").is_file()
