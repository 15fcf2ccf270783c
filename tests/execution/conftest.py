"""Runs of every mechanism with a small stand-in model, and the cluster that most tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # the workers import the stand-in model by name

from run_builder import STANDIN

from megdt_opt.execution import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """An edge and three devices."""
    with Cluster(["edge", "u1", "u2", "u3"], STANDIN) as started:
        yield started


@pytest.fixture
def single_thread() -> Iterator[None]:
    """The executor's thread count, so that bits can be compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(5)
