"""Seeded problems for the tests of the formulations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from megdt_opt.problem.allocation_problem import AllocationProblem

Maker = Callable[..., AllocationProblem]


def _make(users: int, options: int, seed: int, objective: str, *, shannon: bool = False, **fields: Any):
    r = np.random.default_rng(seed)
    shape = (users, options)
    numbers: dict[str, Any] = {
        "fixed_s": r.uniform(0.01, 1.0, shape),
        "downlink_bit": r.uniform(1e5, 1e7, shape),
        "uplink_bit": r.uniform(1e4, 1e6, shape) * (r.random(shape) < 0.7),
        "edge_work_s": r.uniform(0.05, 3.0, shape),
        "downlink_hz": 2e6 * users,
        "uplink_hz": 1e6 * users,
        "edge_capacity": users / 10,
        "weight": r.uniform(0.5, 2.0, users),
        "objective": objective,
    }
    down, up = r.uniform(0.5, 6.0, users), r.uniform(0.5, 6.0, users)
    if shannon:
        numbers |= {"downlink_snr_hz": 10 ** (6 + down / 2), "uplink_snr_hz": 10 ** (6 + up / 2)}
    else:
        numbers |= {"downlink_efficiency": down, "uplink_efficiency": up}
    if objective == "mixed":
        numbers["max_weight"] = 2.0
    return AllocationProblem(**(numbers | fields))


@pytest.fixture(scope="session")
def make_problem() -> Maker:
    """Problem of (users, options, seed, objective), with fields replaced by keyword."""
    return _make


@pytest.fixture(scope="session")
def edge_only() -> Maker:
    """Problem with fixed options that share nothing but the edge: its optimum is a search in one price."""

    def make(users: int, seed: int, objective: str, **fields: Any) -> AllocationProblem:
        zero = np.zeros((users, 1))
        return _make(users, 1, seed, objective, **({"downlink_bit": zero, "uplink_bit": zero} | fields))

    return make


@pytest.fixture(scope="session")
def make_cuts() -> Maker:
    """Problem of (seed, objective, limited): three users, four cuts that trade device time for edge time."""
    return _make_cuts


def _make_cuts(seed: int, objective: str, *, limited: bool, users: int = 3, options: int = 4) -> AllocationProblem:
    r = np.random.default_rng([5, seed])
    shape = (users, options)
    done = np.linspace(0.0, 1.0, options)
    numbers: dict[str, Any] = {
        "fixed_s": r.uniform(1, 4, (users, 1)) * done + r.uniform(0, 0.3, shape),
        "edge_work_s": r.uniform(0.3, 1, (users, 1)) * (1 - done) + 0 * r.random(shape),
        "downlink_bit": r.uniform(1e5, 1e6, shape) * (done < 1),
        "uplink_bit": r.uniform(1e4, 5e5, shape) * (done < 1),
        "downlink_hz": 2e6,
        "uplink_hz": 1e6,
        "weight": r.uniform(0.5, 2, users),
        "downlink_efficiency": r.uniform(1, 4, users),
        "uplink_efficiency": r.uniform(1, 3, users),
        "objective": objective,
        "max_weight": 2.0 if objective == "mixed" else None,
    }
    if limited:
        numbers |= {
            "device_branch_s": r.uniform(0, 3, shape) * (r.random(shape) < 0.5),
            "deadline_s": r.uniform(3.5, 6, users),
            "edge_share_max": r.uniform(0.3, 0.5, users),
            "uplink_airtime_max_s": r.uniform(0.5, 2, shape),
        }
    return AllocationProblem(**numbers)
