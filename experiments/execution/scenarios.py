"""Seeded scenarios for executions: one to four users with devices, radios and limits drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt import Scenario
from megdt_opt.program.mechanisms import MECHANISMS

EDGE_STRETCH = 6.0
STEPS = 10


def user(rng: np.random.Generator, number: int, mechanism: str | None = None) -> dict[str, Any]:
    """One user; with `mechanism`, only that one is accepted."""
    fields: dict[str, Any] = {
        "name": f"user-{number}",
        "device": {"profile": "here", "stretch": float(rng.uniform(16, 60)), "compute_power": "4 W"},
        "downlink_efficiency": f"{rng.uniform(1, 5):.3f} bit/s/Hz",
        "uplink_efficiency": f"{rng.uniform(0.5, 3):.3f} bit/s/Hz",
        "scene": int(rng.integers(0, 10**6)),
        "seed": int(rng.integers(0, 10**6)),
    }
    if mechanism is not None:
        fields["mechanisms"] = [mechanism]
        fields["senses"] = mechanism == "U2E"
        fields["shown_at"] = "edge" if mechanism == "U2E" and rng.random() < 0.5 else "device"
        fields["precisions"] = [str(rng.choice(["fp32", "fp16", "int8"]))]
        fields["codecs"] = [str(rng.choice(["raw", "png", "jpeg"]))]
    return fields


def scenario(number: int, users: int, mechanisms: tuple[str, ...] | None = None, seed: int = 0) -> Scenario:
    """Scenario `number`; user k accepts only the k-th of `mechanisms`, where they are given."""
    rng = np.random.default_rng([seed, number])
    return Scenario(
        name=f"seeded {number}",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler", "dpmpp"])),
        objective=str(rng.choice(["max", "sum"])),
        edge={"profile": "here", "stretch": EDGE_STRETCH},
        channel={
            "downlink": f"{rng.uniform(30, 90):.1f} kHz",
            "uplink": f"{rng.uniform(30, 90):.1f} kHz",
            "propagation": "5 ms",
        },
        users=[user(rng, k, mechanisms[k] if mechanisms else None) for k in range(users)],
    )


def mechanism_list(count: int) -> list[tuple[str, ...]]:
    """Mechanisms of `count` runs: every one comes up alone and in company of one to three others."""
    runs: list[tuple[str, ...]] = []
    rng = np.random.default_rng(20_261_123)
    while len(runs) < count:
        users = 1 + len(runs) % 4
        first = MECHANISMS[len(runs) % len(MECHANISMS)]
        runs.append((first, *(str(m) for m in rng.choice(MECHANISMS, users - 1))))
    return runs
