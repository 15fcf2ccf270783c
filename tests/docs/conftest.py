"""Programs and commands of the pages, each in a process of its own that finds the libraries imported."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share page_programs

from page_programs import WARM, Programs, search_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """The process that forks them, and the command of the package under test."""
    folder = tmp_path_factory.mktemp("bin")
    address = str(folder / "socket")
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["megdt-opt"]
    module, _, function = entry.partition(":")
    client = shlex.join([sys.executable, "-IS", str(WARM), address, "megdt-opt"])
    command = folder / "megdt-opt"
    command.write_text(f"#!/bin/sh\nexec {client} 'from {module} import {function}; {function}()' \"$@\"\n")
    command.chmod(0o755)
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # no thread before a fork
    environment = {**os.environ, **single, "PYTHONPATH": search_path()}
    with subprocess.Popen([sys.executable, "-P", str(WARM), address], stdin=subprocess.DEVNULL, env=environment) as one:
        while not Path(address).exists():
            assert one.poll() is None
            time.sleep(0.01)
        yield Programs(folder, address)
        one.kill()
