"""Seeded random problems of a batched edge: every combination of objective, rate law and limits comes up."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem


def draw_batches(
    number: int, objective: str, seed: int = 0, *, users: int | None = None, steps: int | None = None
) -> BatchedEdgeProblem:
    """Problem `number` of a seed: K <= 4 users with N <= 3 steps (N <= 2 of four users) unless told otherwise.

    A third of the problems are Shannon; forbidden cuts, late starts, another rest of users without edge steps,
    work of devices before they go on, users without bits, equal weights, a law of steps without slope or without
    intercept, and cuts in between that alone are allowed come and go with the number.
    """
    rng = np.random.default_rng([seed, number, ("sum", "max", "quality").index(objective)])
    k = users or int(rng.integers(2, 5))
    n = steps or int(rng.integers(1, 4 if k < 4 else 3))
    slope, ratio = rng.uniform(0.05, 0.3), float(rng.choice([0.2, 0.5, 1.6]))
    own = rng.uniform(1.0, 3.0, k) * slope * (1 + ratio) * max(1.0, k / 2)
    fields: dict[str, Any] = {
        "steps": n, "step_slope_s": slope, "step_base_s": ratio * slope,
        "after_s": rng.uniform(0.0, 0.3, k), "downlink_bit": rng.uniform(1e4, 2e5, k),
        "downlink_hz": float(rng.uniform(1e5, 1e6)), "weight": rng.uniform(0.5, 2.0, k), "objective": objective,
    }  # fmt: skip
    if objective == "quality":
        fields["quality"] = np.cumsum(rng.exponential(1.0, (k, n + 1)) / np.arange(1, n + 2), axis=1) - 1.0
        fields["deadline_s"] = 0.4 + n * (slope * k + ratio * slope) * rng.uniform(0.4, 1.5, k)
    else:
        fields["device_step_s"] = own
    if number % 3 == 2:
        fields["downlink_snr_hz"] = rng.uniform(2e5, 5e6, k)
    else:
        fields["downlink_efficiency"] = rng.uniform(0.5, 4.0, k)
    _vary(fields, rng, number)
    try:
        return BatchedEdgeProblem(**fields)
    except InvalidInput:  # a user must be served and cannot be: all may be left alone instead
        fields["cut_allowed"] = np.asarray(fields["cut_allowed"]) | (np.arange(n + 1) == 0)
        return BatchedEdgeProblem(**fields)


def _vary(fields: dict[str, Any], rng: np.random.Generator, number: int) -> None:
    """What comes and goes with the number."""
    k, n = len(fields["downlink_bit"]), fields["steps"]
    if number % 4 == 1:
        allowed = rng.random((k, n + 1)) < 0.7
        allowed[~allowed.any(axis=1), 0] = True
        fields["cut_allowed"] = allowed
    if number % 5 == 2:
        fields["edge_start_s"] = float(rng.uniform(0.0, 0.5))
    if number % 7 == 3:
        fields["downlink_bit"][rng.random(k) < 0.4] = 0.0
    if number % 6 == 4:
        fields["weight"] = None
    if number % 11 == 5:
        fields["step_base_s"] = 0.0
    if number % 11 == 6:
        fields["step_slope_s"], fields["step_base_s"] = 0.0, 2.0 * fields["step_slope_s"]
    if number % 13 == 7:
        fields["downlink_hz"] *= 1e-2
    if number % 10 == 3 and "quality" not in fields:
        fields["hand_over_s"] = rng.uniform(0.0, 2.0, k) * fields["step_slope_s"] * n
    if number % 8 == 6 and "quality" not in fields:
        most = fields["after_s"] + fields.get("edge_start_s", 0.0) + fields.get("hand_over_s", 0.0)
        fields["local_after_s"] = most * rng.uniform(0.0, 1.2, k).clip(max=1.0)
