"""Seeded random problems for agreement runs: every combination of objective, rate law and limits comes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megdt_opt import AllocationProblem


@dataclass(frozen=True)
class Instance:
    """A problem with what it is made of."""

    number: int
    problem: AllocationProblem
    traits: tuple[str, ...]


def draw(number: int, seed: int = 0, *, users: int | None = None, options: int | None = None) -> Instance:
    """Instance `number` of a seed: K <= 4 users, O <= 5 options unless told otherwise.

    Objectives alternate; half of the instances are Shannon; parallel branches, forbidden options, share caps, hard
    deadlines and airtime limits come and go with the number.
    """
    rng = np.random.default_rng([seed, number])
    k = users or int(rng.integers(1, 5))
    o = options or int(rng.integers(1, 6))
    traits = ["max" if number % 2 == 0 else "sum", "shannon" if number % 4 >= 2 else "linear"]
    fields: dict[str, object] = {
        "fixed_s": rng.uniform(0.0, 2.0, (k, o)),
        "downlink_bit": rng.uniform(1e3, 1e5, (k, o)) * (rng.random((k, o)) < 0.8),
        "uplink_bit": rng.uniform(1e3, 5e4, (k, o)) * (rng.random((k, o)) < 0.8),
        "edge_work_s": rng.uniform(0.1, 2.0, (k, o)) * (rng.random((k, o)) < 0.8),
        "downlink_hz": 5e4,
        "uplink_hz": 4e4,
        "weight": rng.uniform(0.5, 2.0, k),
        "objective": traits[0],
    }
    if traits[1] == "shannon":
        fields |= {"downlink_snr_hz": rng.uniform(1e5, 1e7, k), "uplink_snr_hz": rng.uniform(1e5, 1e6, k)}
    else:
        fields |= {"downlink_efficiency": rng.uniform(1, 5, k), "uplink_efficiency": rng.uniform(0.5, 3, k)}
    if number % 3 == 0:
        traits.append("parallel")
        fields["device_branch_s"] = rng.uniform(0, 6, (k, o)) * (rng.random((k, o)) < 0.5)
    if number % 5 < 2:
        traits.append("forbidden")
        allowed = rng.random((k, o)) < 0.7
        allowed[np.arange(k), rng.integers(0, o, k)] = True
        fields["allowed"] = allowed
    if number % 7 < 3:
        traits.append("caps")
        fields["edge_share_max"] = rng.uniform(0.2, 1.0, k)
    if number % 8 == 5:
        traits.append("deadlines")
        fields["deadline_s"] = rng.uniform(10, 25, k)
    if number % 9 == 4:
        traits.append("airtime")
        fields["uplink_airtime_max_s"] = rng.uniform(3, 9, (k, o))
    return Instance(number, AllocationProblem(**fields), tuple(traits))  # type: ignore[arg-type]
