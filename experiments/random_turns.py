"""Random problems of an edge that serves chains in turns, small enough to enumerate, of all forms of the class."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt import SequencedEdgeProblem


def draw_turns(number: int, *, objective: str, seed: int = 0) -> SequencedEdgeProblem:
    """A problem of up to 4 users; the number decides what it has: releases, Shannon rates, prefixes, closed options."""
    rng = np.random.default_rng([seed, number, len(objective)])
    users, options = int(rng.integers(1 if number % 20 == 0 else 2, 5)), int(rng.integers(1, 4))
    shape = (users, options)
    work = rng.uniform(0.2, 2.0, shape) * (rng.random(shape) < 0.75)
    ready = rng.uniform(0.0, 2.0, shape)
    fields: dict[str, Any] = {}
    if number % 4 == 0:
        ready = np.where(work > 0, 0.0, 2.0 * ready)  # all ready together
    if number % 5 == 3:
        fields["downlink_snr_hz"] = 10.0 ** rng.uniform(5, 7, users)
    else:
        fields["downlink_efficiency"] = rng.uniform(0.5, 6.0, users)
    if number % 3 == 1:
        fields["weight"] = rng.uniform(0.4, 2.5, users)
    if number % 6 == 5:
        groups = int(rng.integers(1, 3))
        fields |= {"group": rng.integers(-1, groups, users), "prefix_work_s": rng.uniform(0.1, 1.0, groups)}
        if number % 12 == 5:
            fields["prefix_weight"] = rng.uniform(0.0, 1.0, groups)
    if number % 7 == 6:
        allowed = rng.random(shape) < 0.7
        allowed[:, 0] = True
        fields["allowed"] = allowed
    band_hz = 10.0 ** rng.uniform(5.5, 6.7)
    return SequencedEdgeProblem(
        release_s=ready, edge_work_s=work, after_s=rng.uniform(0.0, 1.5, shape) * (rng.random(shape) < 0.7),
        downlink_bit=rng.uniform(1e5, 2e6, shape) * (rng.random(shape) < 0.7), downlink_hz=band_hz,
        objective=objective, **fields,
    )  # fmt: skip
