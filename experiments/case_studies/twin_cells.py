"""Cells of the bundled twin model for studies of its mechanisms: one profile, devices as stretches of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt import AllocationProblem, Scenario
from megdt_opt.scenario.options import OptionTable

MECHANISMS = ("local", "centralised", "E2U", "U2E", "SEU", "SEU-UE-first", "PEU")
EDGE_STRETCH = 4.0
MOST_USERS = 64
STEPS, BAND_HZ, USERS, SLOWDOWN = 20, 60e3, 6, 24.0
"""The cell from which one thing at a time is varied: steps [1], each band [Hz], users [1], slowdown of devices
[1]."""


@lru_cache(maxsize=32)
def table(steps: int, slowdown: float = 1.0) -> OptionTable:
    """Options of one user who senses its surroundings, so that every mechanism is open."""
    user = {
        "name": "user", "device": {"profile": "twin-cpu", "stretch": slowdown, "compute_power": "5 W"},
        "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz", "senses": True,
    }  # fmt: skip
    return OptionTable.build(
        Scenario.model_validate({
            "name": "cell", "model": "twin", "steps": steps, "scheduler": "ddim", "objective": "sum", "users": [user],
            "edge": {"profile": "twin-cpu", "stretch": EDGE_STRETCH},
            "channel": {"downlink": f"{BAND_HZ} Hz", "uplink": f"{BAND_HZ} Hz", "propagation": "5 ms"},
        })
    )  # fmt: skip


def names(steps: int) -> NDArray[np.str_]:
    """Mechanism of each option."""
    return np.array([option.mechanism for option in table(steps).options])


@lru_cache(maxsize=32)
def _arrays(steps: int) -> tuple[AllocationProblem, AllocationProblem]:
    """The problem of one user whose device is the profile's machine, and of one whose device is twice as slow.

    Device times are proportional to the slowdown and nothing else depends on it, so two give all.
    """
    first, second = table(steps).problem(), table(steps, 2.0).problem()
    assert isinstance(first, AllocationProblem)
    assert isinstance(second, AllocationProblem)
    return first, second


def problem(
    slowdown: Sequence[float] | NDArray[np.float64],
    down: NDArray[np.float64],
    up: NDArray[np.float64],
    *,
    steps: int = STEPS,
    downlink_hz: float = BAND_HZ,
    uplink_hz: float = BAND_HZ,
    servers: float = 1.0,
    objective: str = "sum",
    allowed: NDArray[np.bool_] | None = None,
) -> AllocationProblem:
    """The allocation problem of users with devices and links of their own.

    Parameters
    ----------
    slowdown : array_like, (K,)
        Of the devices, over the profile's machine [1].
    down, up : array, (K,)
        Spectral efficiencies [bit/s/Hz].
    steps, downlink_hz, uplink_hz, servers, objective
        As a scenario has them.
    allowed : array of bool, (O,), optional
        Options that are open, for all users; default all.
    """
    first, second = _arrays(steps)
    pace = np.asarray(slowdown, dtype=float)[:, None]

    def stretched(name: str) -> Any:
        one, two = getattr(first, name), getattr(second, name)
        return None if one is None else one + (two - one) * (pace - 1.0)

    users, options = len(pace), first.fixed_s.shape[1]
    return AllocationProblem(
        fixed_s=stretched("fixed_s"), device_branch_s=stretched("device_branch_s"),
        **{name: np.tile(getattr(first, name), (users, 1)) for name in ("downlink_bit", "uplink_bit", "edge_work_s")},
        downlink_efficiency=down, uplink_efficiency=up, downlink_hz=downlink_hz, uplink_hz=uplink_hz,
        edge_capacity=servers, edge_share_max=np.ones(users), objective=objective,
        allowed=None if allowed is None else np.broadcast_to(allowed, (users, options)),
    )  # fmt: skip


def population(seed: int, users: int, slowdown: float = SLOWDOWN) -> tuple[NDArray[np.float64], ...]:
    """Slowdowns within a factor of two about their middle, and efficiencies of down- and uplink [bit/s/Hz].

    The users of a smaller cell are among those of a larger one.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(size=(MOST_USERS, 3))[:users]
    down = 1.0 + 4.0 * drawn[:, 1]
    return slowdown * 2.0 ** (2.0 * drawn[:, 0] - 1.0), down, down * (0.3 + 0.5 * drawn[:, 2])
