"""Seeded random instances for the validation of the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.generation_split import GenerationSplitProblem
from megdt_opt.scenario.scenario import Scenario

Draw = np.random.Generator


def log(rng: Draw, low: float, high: float) -> float:
    """A number between powers of ten, uniform in its logarithm."""
    return float(10 ** rng.uniform(low, high))


def problem(rng: Draw, objective: str, *, users: int, options: int = 1, **fields: Any) -> AllocationProblem:
    """K users, O options, some of which leave a resource unused; linear rates unless the fields say otherwise."""
    shape = (users, options)
    numbers: dict[str, Any] = {
        "fixed_s": rng.uniform(0.0, 2.0, shape),
        "downlink_bit": rng.uniform(1e4, 1e6, shape) * (rng.random(shape) < 0.8),
        "uplink_bit": rng.uniform(1e3, 5e5, shape) * (rng.random(shape) < 0.8),
        "edge_work_s": rng.uniform(0.05, 2.0, shape) * (rng.random(shape) < 0.8),
        "downlink_hz": 2e5 * users,
        "uplink_hz": 1e5 * users,
        "edge_capacity": max(users / 4, 0.5),
        "weight": rng.uniform(0.3, 3.0, users),
        "objective": objective,
    }
    if "downlink_snr_hz" not in fields:
        numbers["downlink_efficiency"] = rng.uniform(0.5, 6.0, users)
    if "uplink_snr_hz" not in fields:
        numbers["uplink_efficiency"] = rng.uniform(0.5, 6.0, users)
    return AllocationProblem(**(numbers | fields))


def shannon(rng: Draw, users: int) -> dict[str, Any]:
    """Fields that make both rates Shannon rates."""
    return {"downlink_snr_hz": 10 ** rng.uniform(5, 7, users), "uplink_snr_hz": 10 ** rng.uniform(5, 7, users)}


def split(rng: Draw) -> GenerationSplitProblem:
    """A generation splitting in which each case of the closed form comes up."""
    return GenerationSplitProblem(
        edge_s=log(rng, -2, 1),
        device_s_at_1_w=log(rng, -1, 2),
        exponent=float(rng.uniform(0.1, 0.9)),
        payload_bit=log(rng, 4, 7),
        rate_bit_per_s=log(rng, 5, 8),
        energy_max_j=log(rng, -2, 2),
        power_max_w=log(rng, -1, 1),
        share_min=float(rng.choice([0.0, rng.uniform()])),
    )


def scenario(rng: Draw) -> Scenario:
    """One user of the bundled twin with a random cell, device, edge and place of the picture."""
    law = str(rng.choice(["linear", "shannon"]))
    user: dict[str, Any] = {
        "name": "alone",
        "device": {"profile": "twin-cpu", "stretch": 1 + log(rng, -1, 1.5)},
        "shown_at": str(rng.choice(["device", "device", "edge"])),
        "senses": True,
    }
    if law == "linear":
        user |= {
            "downlink_efficiency_bit_per_s_per_hz": float(rng.uniform(0.5, 6)),
            "uplink_efficiency_bit_per_s_per_hz": float(rng.uniform(0.5, 6)),
        }
    else:
        user["distance_m"] = float(rng.uniform(20, 400))
    return Scenario(
        steps=int(rng.integers(2, 9)),
        scheduler=str(rng.choice(["ddim", "dpmpp"])),
        edge={"profile": "twin-cpu", "stretch": 1 + log(rng, -1, 1), "servers": float(rng.uniform(0.4, 2.0))},  # type: ignore[arg-type]
        channel={  # type: ignore[arg-type]
            "law": law,
            "downlink_hz": log(rng, 4, 7),
            "uplink_hz": log(rng, 4, 7),
            "propagation_s": float(rng.uniform(0, 0.01)),
        },
        users=(user,),  # type: ignore[arg-type]
    )
