"""The recipes of CONTRIBUTING.md, run as they stand there in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    title: re.findall(r"```(\w+)(?: (\S+))?\n(.*?)```", body, re.DOTALL)
    for title, body in re.findall(r"^### (Add .*?)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's sources, laid out as in the repository."""
    skip = shutil.ignore_patterns("__pycache__", "formulations")
    shutil.copytree(ROOT / "src" / "megdt_opt", tmp_path / "src" / "megdt_opt", ignore=skip)
    shutil.copytree(ROOT / "formulations", tmp_path / "formulations", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src" / "megdt_opt" / "formulations").symlink_to(tmp_path / "formulations")
    return tmp_path


def patched(text: str, diff: str) -> str:
    """A text with the hunks of a diff applied; "@@" stands between hunks, and each must fit in one place."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"found {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def test_every_recipe_is_here() -> None:
    kinds = ("mechanism", "formulation", "bound", "rate law", "model")
    assert set(RECIPES) == {f"Add a {kind}" for kind in kinds}


@pytest.mark.parametrize("title", RECIPES)
def test_the_recipe_works(title: str, copy: Path) -> None:
    ran = 0
    for language, path, code in RECIPES[title]:
        if language == "diff":
            file = copy / path
            file.write_text(patched(file.read_text(encoding="utf-8"), code), encoding="utf-8")
        elif path:
            assert not (copy / path).exists(), path
            (copy / path).write_text(code, encoding="utf-8")
        else:
            done = subprocess.run(
                [sys.executable, "-P", "-c", code], env={**os.environ, "PYTHONPATH": str(copy / "src")},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines() == re.findall(r"^# (.*)$", code, re.MULTILINE)
            ran += 1
    assert ran > 0


@pytest.mark.parametrize("title", RECIPES)
def test_what_a_recipe_adds_is_clean(title: str, copy: Path) -> None:
    """Its files and edits pass the linter with the repository's settings."""
    shutil.copy(ROOT / "pyproject.toml", copy)
    written = []
    for language, path, code in RECIPES[title]:
        if path:
            file = copy / path
            file.write_text(patched(file.read_text(encoding="utf-8"), code) if language == "diff" else code, "utf-8")
            written.append(str(file))
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *written], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_commands_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z ]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known = {word for line in targets for word in line.split()}
    assert {"check", "test", "full"} <= known
    assert set(re.findall(r"^    make (\w+)", TEXT, re.MULTILINE)) <= known


def test_hooks_are_the_checks_of_make_check() -> None:
    """Nothing is downloaded, every push runs `make check`, and what a commit runs is part of that."""
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = {hook["stages"][0]: hook["entry"] for hook in repos[0]["hooks"]}
    assert hooks["pre-push"] == "make check"
    make = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(TEST_ENV)", ".env-test")
    assert "\ncheck: installed\n\t$(MAKE) lint\n" in make
    recipe = re.search(r"^lint:\n((?:\t.*\n)+)", make, re.MULTILINE)
    assert recipe is not None
    for hook in repos[0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"] in ("make check", *(line.strip() for line in recipe[1].splitlines()))
