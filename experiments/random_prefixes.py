"""Random problems of shared prefixes: groups of devices, trunks of common denoising steps, and cooperating hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from megdt_opt import SharedPrefixProblem

STEPS = 20


def random_prefixes(
    seed: int,
    sizes: tuple[int, ...],
    *,
    objective: str = "sum",
    reserve: str = "phased",
    alone: int = 0,
    cuts: tuple[int, ...] = (8, 16),
    law: str = "linear",
    limits: bool = False,
    hosts: bool = False,
) -> SharedPrefixProblem:
    """Groups of given sizes and some users in none.

    Each user can run all steps on its device or at the edge; after x common steps, for each x of `cuts`, the rest on
    its device, after the multicast of the latent, or at the edge. A group has a trunk for each x, for two multicast
    rates of which the better leaves its weakest member out, and with `hosts` one more that a member's device runs.

    Parameters
    ----------
    seed : int
    sizes : tuple of int
        Users of each group.
    objective, reserve : str
        As for `SharedPrefixProblem`.
    alone : int
        Users in no group.
    cuts : tuple of int
        Numbers of common steps.
    law : str
        "linear" or "shannon".
    limits : bool
        Whether there are caps of edge shares and limits on the airtime of trunks.
    hosts : bool
        Whether members' devices may host the trunk.
    """
    draw = np.random.default_rng(seed)
    users = sum(sizes) + alone
    group = np.repeat(np.r_[np.arange(len(sizes)), -1], [*sizes, alone])
    device_step_s = draw.lognormal(np.log(0.35), 0.5, users)
    edge_step_s = 0.05 * draw.uniform(0.7, 1.3)
    request, latent, image = 2e4, 5e5 * draw.uniform(0.5, 2.0), 2e6 * draw.uniform(0.5, 2.0)
    options = 2 + 2 * len(cuts)
    tables: dict[str, Any] = {
        name: np.zeros((users, options)) for name in ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")
    }
    rides = np.zeros((users, options), np.int64)
    tables["fixed_s"][:, 0] = STEPS * device_step_s
    tables["fixed_s"][:, 1] = 0.2 * draw.uniform(0.5, 1.5, users)
    tables["uplink_bit"][:, 1], tables["edge_work_s"][:, 1], tables["downlink_bit"][:, 1] = (
        request, STEPS * edge_step_s, image,
    )  # fmt: skip
    for i, x in enumerate(cuts):
        device, edge = 2 + 2 * i, 3 + 2 * i
        rides[:, device], rides[:, edge] = 2, 1
        tables["fixed_s"][:, device] = (STEPS - x) * device_step_s
        tables["fixed_s"][:, edge] = 0.1
        tables["edge_work_s"][:, edge], tables["downlink_bit"][:, edge] = (STEPS - x) * edge_step_s, image
    efficiency = draw.uniform(0.5, 6.0, (2, users))
    trunks: list[tuple[int, int, float, float, float, float, float, int]] = []
    admitted: list[np.ndarray] = []
    for g in range(len(sizes)):
        members = np.flatnonzero(group == g)
        ranked = members[np.argsort(efficiency[0, members])]
        for i, x in enumerate(cuts):
            for weakest in ranked[: min(2, len(ranked) - 1)]:
                trunks.append((g, i, 0.0, request, x * edge_step_s, latent, efficiency[0, weakest], -1))
                admitted.append(efficiency[0] >= efficiency[0, weakest])
        if hosts:
            host = members[np.argmin(device_step_s[members])]
            trunks.append((g, 0, cuts[0] * device_step_s[host], 0.0, 0.0, latent, efficiency[0, ranked[0]], int(host)))
            admitted.append(np.ones(users, bool))
    compatible = np.zeros((users, options, len(trunks)), bool)
    for q, (g, i, *_, host) in enumerate(trunks):
        of = group == g
        compatible[of, :2, q] = True
        compatible[of & admitted[q], 2 + 2 * i, q] = True
        compatible[of, 3 + 2 * i, q] = host < 0
        if host >= 0:  # the host takes part whatever it does then
            compatible[host, :, q] = False
            compatible[host, 2 + 2 * i, q] = True
    columns = np.array([row[:-1] for row in trunks]).reshape(len(trunks), 7)
    found = SharedPrefixProblem(
        **tables, rides=rides, group=group, trunk_group=columns[:, 0].astype(np.int64), trunk_fixed_s=columns[:, 2],
        trunk_uplink_bit=columns[:, 3], trunk_edge_work_s=columns[:, 4], multicast_bit=columns[:, 5],
        multicast_efficiency=columns[:, 6], trunk_uplink_efficiency=draw.uniform(0.5, 3.0, len(trunks)),
        compatible=compatible, downlink_hz=2e6 * users ** draw.uniform(0.3, 1.0), uplink_hz=1e6,
        edge_capacity=draw.uniform(0.5, 1.0) * max(1.0, users / 4), downlink_efficiency=efficiency[0],
        uplink_efficiency=efficiency[1], weight=draw.uniform(0.5, 2.0, users), objective=objective, reserve=reserve,
    )  # fmt: skip
    if law == "shannon":
        found = replace(
            found, downlink_efficiency=None, uplink_efficiency=None, multicast_efficiency=None,
            trunk_uplink_efficiency=None, downlink_snr_hz=1e6 * efficiency[0], uplink_snr_hz=1e6 * efficiency[1],
            multicast_snr_hz=1e6 * columns[:, 6], trunk_uplink_snr_hz=1e6 * draw.uniform(0.5, 3.0, len(trunks)),
        )  # fmt: skip
    if limits:
        airtime_s = np.where(draw.random(len(trunks)) < 0.3, np.inf, draw.uniform(0.05, 0.5, len(trunks)))
        found = replace(
            found, edge_share_max=draw.uniform(0.15, 0.6, users) * found.edge_capacity,
            trunk_edge_share_max=draw.uniform(0.15, 0.6, len(trunks)) * found.edge_capacity,
            trunk_uplink_airtime_max_s=airtime_s,
        )  # fmt: skip
    return found


def draw_prefix(number: int, seed: int = 0) -> SharedPrefixProblem:
    """Small problem `number` of a list: objectives, reservations, rate laws and limits come and go with the number."""
    draw = np.random.default_rng([seed, number])
    sizes, alone = [((2,), 1), ((3,), 0), ((2, 2), 0), ((2,), 0)][int(draw.integers(4))]
    found = random_prefixes(
        int(draw.integers(1 << 30)), sizes, alone=alone, objective=("sum", "max")[number % 2],
        reserve=("phased", "separate")[number // 2 % 2], cuts=(int(draw.integers(4, 17)),),
        law=("linear", "shannon")[number // 4 % 2], limits=bool(number // 8 % 2), hosts=bool(draw.random() < 0.5),
    )  # fmt: skip
    allowed = draw.random(found.fixed_s.shape) < 0.9
    allowed[:, 0] |= ~allowed.any(axis=1)
    allowed[:, 0] |= draw.random(found.users) < 0.9
    without = draw.random()
    return replace(
        found, allowed=allowed, downlink_hz=found.downlink_hz * (without > 0.03),
        edge_capacity=found.edge_capacity * (without < 0.97),
        trunk_edge_work_s=found.trunk_edge_work_s * (draw.random(found.trunks) < 0.9),
    )  # fmt: skip


def foreign_prefixes(seed: int) -> SharedPrefixProblem:
    """A small problem whose tables follow no pattern: any member may ride any of its group's trunks or none."""
    draw = np.random.default_rng(seed)
    users, options, trunks = 4, 3, 3
    size = (users, options)
    group = np.array([0, 0, 1, 1] if seed % 2 else [0, 0, 0, -1])
    trunk_group = draw.integers(0, group.max() + 1, trunks)
    rides = draw.integers(0, 3, size)
    rides[group < 0] = 0
    rides[:, 0] = 0
    compatible = (draw.random((*size, trunks)) < 0.8) & (group[:, None, None] == trunk_group)

    def some(most: float, part: float, *shape: int) -> np.ndarray:
        return draw.uniform(0.0, most, shape) * (draw.random(shape) < part)

    return SharedPrefixProblem(
        fixed_s=draw.uniform(0.2, 3.0, size), uplink_bit=some(1e6, 0.5, *size), edge_work_s=some(2.0, 0.6, *size),
        downlink_bit=some(2e6, 0.6, *size), group=group, rides=rides, trunk_group=trunk_group,
        trunk_fixed_s=draw.uniform(0.0, 0.5, trunks), trunk_uplink_bit=some(5e5, 0.5, trunks),
        trunk_edge_work_s=some(1.5, 0.8, trunks), multicast_bit=draw.uniform(0.0, 1e6, trunks),
        trunk_uplink_efficiency=draw.uniform(1.0, 4.0, trunks), multicast_efficiency=draw.uniform(1.0, 4.0, trunks),
        downlink_hz=2e6, uplink_hz=1e6, downlink_efficiency=draw.uniform(1.0, 4.0, users),
        uplink_efficiency=draw.uniform(1.0, 4.0, users), weight=draw.uniform(0.5, 2.0, users), compatible=compatible,
        reserve=("phased", "separate")[seed // 2 % 2], objective=("sum", "max")[seed // 4 % 2],
        edge_share_max=np.full(users, (1.0, 0.35)[seed // 8 % 2]),
        trunk_edge_share_max=np.full(trunks, 0.6) if seed // 16 % 2 else None,
    )  # fmt: skip


def random_groupings(
    seed: int, users: int, *, size: int = 3, near: float = 0.6, cuts: tuple[int, ...] = (8, 16), **others: Any
) -> SharedPrefixProblem:
    """Users who may form groups: the devices and trunks of `random_prefixes`, whose groups are left open.

    Parameters
    ----------
    seed, users : int
    size : int
        Most users of a group.
    near : float
        Part of the pairs of users that are similar enough.
    cuts : tuple of int
        Numbers of common steps.
    others
        As for `random_prefixes`.
    """
    draw = np.random.default_rng([seed, users])
    wants = draw.normal(size=(users, 4))
    wants /= np.linalg.norm(wants, axis=1)[:, None]
    alike = np.round(0.5 + 0.5 * np.clip(wants @ wants.T, -1.0, 1.0), 9)
    alike = np.maximum(alike, alike.T)
    least = float(np.quantile(alike[np.triu_indices(users, 1)], 1.0 - near))
    base = random_prefixes(seed, (users,), cuts=cuts, **others)
    return replace(
        base, group=None, trunk_group=None, similarity=alike, similarity_min=least, group_size_max=size,
    )  # fmt: skip


def draw_groupings(number: int, seed: int = 0) -> SharedPrefixProblem:
    """Small problem `number` of a list, as `draw_prefix`, with groups to be formed."""
    draw = np.random.default_rng([seed, 7, number])
    users = int(draw.integers(2, 5))
    found = random_groupings(
        int(draw.integers(1 << 30)), users, size=int(draw.integers(2, 5)), near=draw.uniform(0.5, 1.0),
        objective=("sum", "max")[number % 2], reserve=("phased", "separate")[number // 2 % 2],
        cuts=(int(draw.integers(4, 17)),), law=("linear", "shannon")[number // 4 % 2], limits=bool(number // 8 % 2),
        hosts=bool(draw.random() < 0.3),
    )  # fmt: skip
    allowed = draw.random(found.fixed_s.shape) < 0.85
    allowed[:, 0] |= draw.random(users) < 0.8
    allowed[:, 0] |= ~allowed.any(axis=1)
    limits = np.where(draw.random(found.trunks) < 0.3, draw.uniform(0.3, 1.0, found.trunks), 0.0)
    return replace(
        found, allowed=allowed, compatible=found.compatible & (draw.random(found.compatible.shape) < 0.95),
        trunk_similarity_min=limits if draw.random() < 0.5 else None,
        trunk_lead=draw.integers(-1, users, found.trunks) if draw.random() < 0.5 else None,
        trunk_edge_work_s=found.trunk_edge_work_s * (draw.random(found.trunks) < 0.9),
    )  # fmt: skip
