"""Random problems of programs: graphs of device work, transfers and edge work, with forks and joins anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt import ProgramProblem


def draw_program(seed: int) -> ProgramProblem:
    """One to three users with one to four options of three to nine tasks each.

    Even seeds are "sum", odd ones "max"; of each two in turn have linear rates and two Shannon's; every third has caps.
    The options of a user take about as long as each other, if they had everything.
    """
    draw = np.random.default_rng(seed)
    users, options, tasks = int(draw.integers(1, 4)), int(draw.integers(1, 5)), int(draw.integers(3, 10))
    shape = (users, options, tasks)
    there = np.arange(tasks) < draw.integers(3, tasks + 1, shape[:2])[:, :, None]
    kind, size = draw.integers(0, 4, shape), draw.lognormal(0.0, 0.8, shape)
    tables = {
        name: np.where(there & (kind == i), size * unit, 0.0)
        for i, (name, unit) in enumerate(
            (("downlink_bit", 2e6), ("uplink_bit", 2e6), ("edge_work_s", 1.0), ("fixed_s", 1.0))
        )
    }
    later = np.triu(np.ones((tasks, tasks), bool), 1)
    density = draw.uniform(0.15, 0.5, shape[:2])[:, :, None, None]
    before = (draw.random((*shape, tasks)) < density) & later & there[:, :, :, None] & there[:, :, None, :]
    tables["fixed_s"] = tables["fixed_s"] + np.where(there & (kind < 2) & (draw.random(shape) < 0.3), 0.05, 0.0)
    wanted = draw.uniform(0.8, 1.25, shape[:2]) * 4.0 / np.maximum((size * there).sum(axis=2), 1e-9)
    tables = {name: table * wanted[:, :, None] for name, table in tables.items()}
    more: dict[str, Any] = {}
    if seed % 4 < 2:
        more |= {"downlink_efficiency": draw.uniform(0.5, 6, users), "uplink_efficiency": draw.uniform(0.5, 6, users)}
    else:
        more |= {
            "downlink_snr_hz": 10 ** draw.uniform(5.5, 7.5, users),
            "uplink_snr_hz": 10 ** draw.uniform(5.5, 7.5, users),
        }
    if seed % 3 == 0:
        more["edge_share_max"] = draw.uniform(0.3, 1.2, users)
    return ProgramProblem(
        **tables, **more, before=before, downlink_hz=1e6, uplink_hz=0.7e6, edge_capacity=float(draw.integers(1, 3)),
        weight=draw.uniform(0.5, 2.0, users), objective="max" if seed % 2 else "sum",
    )  # fmt: skip
