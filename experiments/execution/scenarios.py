"""Seeded scenarios for executions: users, groups and edges with devices, radios and limits drawn at random."""

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
        fields["senses"] = senses = mechanism.startswith("U2E")
        fields["shown_at"] = "edge" if senses and rng.random() < 0.5 else "device"
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


KINDS = ("group", "host", "edges", "group beside others", "host beside others")
"""Kinds of the list of several users, in turn."""


def several(number: int, attempt: int = 0) -> Scenario:
    """Scenario `number` of the list of shared steps, hosts and edges; further attempts draw it anew."""
    rng = np.random.default_rng([3, number, attempt])
    kind = KINDS[number % len(KINDS)]
    if kind == "edges":
        return _edges(number, rng)
    hosted, count = kind.startswith("host"), int(rng.integers(2, 5))
    scene, seed = int(rng.integers(0, 10**6)), int(rng.integers(0, 10**6))
    members = [user(rng, k) | {"scene": scene, "seed": seed} for k in range(count)]
    for member in members:
        member["precisions"] = [str(rng.choice(["fp32", "fp16", "int8"]))]
        member["codecs"] = [str(rng.choice(["png", "jpeg"]))]
    precisions = members[0]["precisions"]
    for member in members[1:]:
        member["precisions"] = precisions
    others = [
        user(rng, k, str(rng.choice([m for m in MECHANISMS if m != "U2E"])))
        for k in range(count, count + (int(rng.integers(1, 3)) if kind.endswith("others") else 0))
    ]
    group: dict[str, Any] = {"members": [m["name"] for m in members], "steps": [int(rng.integers(3, STEPS))]}
    if hosted:
        members[0]["device"] |= {"stretch": float(rng.uniform(4, 8)), "powered": "mains"}
        group |= {"host": "user-0", "d2d_rate": f"{rng.uniform(0.1, 1):.3f} Mbit/s"}
    return Scenario(
        name=f"seeded {number}: {kind}",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler", "dpmpp"])),
        cuts=[],
        peu_shares=[],
        objective=str(rng.choice(["max", "sum"])),
        edge={"profile": "here", "stretch": 40.0 if hosted else EDGE_STRETCH},
        channel=_channel(rng),
        users=[*members, *others],
        groups=[group],
    )


def formed(number: int, attempt: int = 0) -> Scenario:
    """Scenario `number` in which all ask for the same, and who shares steps with whom is left to the plan."""
    rng = np.random.default_rng([5, number, attempt])
    scene, seed = int(rng.integers(0, 10**6)), int(rng.integers(0, 10**6))
    wishes = {"precisions": [str(rng.choice(["fp32", "fp16", "int8"]))], "codecs": [str(rng.choice(["png", "jpeg"]))]}
    return Scenario(
        name=f"seeded {number}: formed",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler", "dpmpp"])),
        cuts=[],
        peu_shares=[],
        objective=("sum", "sum", "max")[number % 3],
        edge={"profile": "here", "stretch": EDGE_STRETCH},
        channel=_channel(rng),
        users=[user(rng, k) | {"scene": scene, "seed": seed} | wishes for k in range(4 + number % 3)],
        grouping={"similarity_min": 0.9, "size_max": 2 + number % 2, "steps": [int(rng.integers(3, STEPS))]},
    )


def _edges(number: int, rng: np.random.Generator) -> Scenario:
    count = int(rng.integers(2, 5))
    users = [user(rng, k, str(rng.choice([m for m in MECHANISMS if m != "local"]))) for k in range(count)]
    for k, fields in enumerate(users):
        for side in ("downlink", "uplink"):
            near, far = rng.uniform(2, 5), rng.uniform(0.3, 1)
            first, second = (near, far) if k % 2 == 0 else (far, near)
            fields[f"{side}_efficiency"] = {"edge": f"{first:.3f} bit/s/Hz", "edge-2": f"{second:.3f} bit/s/Hz"}
    edges = [{"name": "edge", "profile": "here", "stretch": 4.0}, {"name": "edge-2", "profile": "here", "stretch": 8.0}]
    return Scenario(
        name=f"seeded {number}: edges",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler", "dpmpp"])),
        objective=str(rng.choice(["max", "sum"])),
        edges=edges,
        channel=_channel(rng),
        users=users,
    )


def _channel(rng: np.random.Generator) -> dict[str, str]:
    bands = {side: f"{rng.uniform(30, 90):.1f} kHz" for side in ("downlink", "uplink")}
    return {**bands, "propagation": "5 ms"}


def mechanism_list(count: int) -> list[tuple[str, ...]]:
    """Mechanisms of `count` runs: every one comes up alone and in company of one to three others."""
    runs: list[tuple[str, ...]] = []
    rng = np.random.default_rng(20_261_123)
    while len(runs) < count:
        users = 1 + len(runs) % 4
        first = MECHANISMS[len(runs) % len(MECHANISMS)]
        runs.append((first, *(str(m) for m in rng.choice(MECHANISMS, users - 1))))
    return runs
