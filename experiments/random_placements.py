"""Seeded random placement problems: every combination of objective, rate law and limits comes up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.placement_problem import PlacementProblem


def draw_placement(
    number: int, seed: int = 0, *, users: int | None = None, servers: int | None = None
) -> PlacementProblem:
    """Problem `number` of a seed: K <= 3 users, E <= 3 servers, O <= 4 options unless told otherwise.

    Objectives alternate, half of the problems are Shannon, and half place models; efficiencies by server, share caps,
    device branches, forbidden options, and servers without some resource come and go with the number.
    """
    rng = np.random.default_rng([seed, number])
    k, e = users or int(rng.integers(2, 4)), servers or int(rng.integers(2, 4))
    o = int(rng.integers(3, 5))
    server = rng.integers(0, e, (k, o))
    alone = rng.random(k) < 0.7
    server[alone, -1] = -1
    away = server == -1
    each = (k, e) if number % 3 else (k,)
    fields: dict[str, Any] = {
        "fixed_s": rng.uniform(0.0, 2.0, (k, o)) + away * rng.uniform(2.0, 8.0, (k, o)),
        "downlink_bit": rng.uniform(1e3, 1e5, (k, o)) * (rng.random((k, o)) < 0.8) * ~away,
        "uplink_bit": rng.uniform(1e3, 5e4, (k, o)) * (rng.random((k, o)) < 0.8) * ~away,
        "edge_work_s": rng.uniform(0.1, 2.0, (k, o)) * (rng.random((k, o)) < 0.8) * ~away,
        "option_server": server,
        "downlink_hz": rng.uniform(3e4, 8e4, e),
        "uplink_hz": rng.uniform(2e4, 6e4, e),
        "edge_capacity": rng.uniform(0.5, 3.0, e),
        "weight": rng.uniform(0.5, 2.0, k),
        "objective": "max" if number % 2 == 0 else "sum",
    }
    if number % 4 >= 2:
        fields |= {"downlink_snr_hz": rng.uniform(1e5, 1e7, each), "uplink_snr_hz": rng.uniform(1e5, 1e6, each)}
    else:
        fields |= {"downlink_efficiency": rng.uniform(1, 5, each), "uplink_efficiency": rng.uniform(0.5, 3, each)}
    if number % 5 == 0:
        fields["device_branch_s"] = rng.uniform(0, 4, (k, o)) * (rng.random((k, o)) < 0.5)
    if number % 7 < 3:
        fields["edge_share_max"] = rng.uniform(0.2, 1.0, k)
    if number % 9 == 4:
        fields["edge_capacity"][int(rng.integers(e))] = 0.0
    if number % 11 < 3:
        fields["allowed"] = rng.random((k, o)) < 0.8
    if number % 8 >= 4:
        models = int(rng.integers(2, 4))
        size = rng.integers(1, 5, models).astype(float)
        memory = rng.integers(1, 7, e).astype(float)
        memory[int(rng.integers(e))] = max(float(size.max()), float(memory.max()))
        fields |= {"user_model": rng.integers(0, models, k), "model_byte": 1e9 * size, "memory_byte": 1e9 * memory}
    try:
        return PlacementProblem(**fields)
    except InvalidInput:  # a user is left without any option: all may stay on their devices instead
        for name in ("downlink_bit", "uplink_bit", "edge_work_s"):
            fields[name][:, -1] = 0.0
        fields["fixed_s"][:, -1] += np.where(alone, 0.0, 6.0)
        fields["option_server"][:, -1] = -1
        fields["allowed"] = fields.get("allowed", np.ones((k, o), dtype=bool)) | (np.arange(o) == o - 1)
        return PlacementProblem(**fields)


def draw_parts(number: int, seed: int = 0) -> PlacementProblem:
    """Problem `number` of a seed, whose options need some of two to four parts each at their servers; every second one
    with a memory that holds few of them."""
    problem = draw_placement(number, seed)
    rng = np.random.default_rng([seed, number, 2])
    parts = int(rng.integers(2, 5))
    needs = rng.random((*problem.option_server.shape, parts)) < 0.5
    needs &= (problem.option_server >= 0)[:, :, None]
    size = rng.integers(1, 5, parts).astype(float)
    memory = rng.integers(1, 7 if number % 2 else 4, problem.servers).astype(float)
    memory[int(rng.integers(problem.servers))] = max(float(size.max()), float(memory.max()))
    fields = {"user_model": None, "option_model": needs, "model_byte": 1e9 * size, "memory_byte": 1e9 * memory}
    try:
        return replace(problem, **fields)
    except InvalidInput:  # a user is left without any option: what it asks for at a server is small then
        fits = (needs @ size) <= memory[np.maximum(problem.option_server, 0)]
        lost = ~(problem.open_options & fits).any(axis=1)
        needs[lost] = False
        return replace(problem, **fields)


def draw_limited(number: int, seed: int = 0) -> PlacementProblem:
    """Problem `number` of a seed, with deadlines of some users, limits on what they send, or both.

    Deadlines are a few times what a user's fastest option takes with a third of its server, so that some problems have
    no solution; every third problem has no deadline, every second one limits on airtime.
    """
    problem = draw_placement(number, seed)
    rng = np.random.default_rng([seed, number, 1])
    rows = np.arange(problem.users)
    server = problem.option_server
    at = np.maximum(server, 0)
    down, up, edge = problem.budgets / 3.0
    each = [
        rate[at] * (problem.law(side)[rows[:, None], at] if problem.linear else 3.0)
        for side, rate in (("downlink", down), ("uplink", up))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        sends = np.nan_to_num(problem.uplink_bit / each[1], nan=0.0)
        times = np.nan_to_num(problem.downlink_bit / each[0], nan=0.0) + sends
        times = problem.fixed_s + times + np.nan_to_num(problem.edge_work_s / edge[at], nan=0.0)
    fields: dict[str, Any] = {}
    if number % 3:
        best = np.where(problem.open_options, times, np.inf).min(axis=1)
        factor = rng.uniform(0.5, 1.8, rows.size)
        fields["deadline_s"] = np.where(rng.random(rows.size) < 0.8, best * factor, np.inf)
    if number % 2:
        fields["uplink_airtime_max_s"] = np.where(
            rng.random(server.shape) < 0.7, sends * rng.uniform(0.5, 2.0, server.shape), np.inf
        )
    return replace(problem, **fields)
