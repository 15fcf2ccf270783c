"""The evaluation that is the only truth about answers to a `SharedPrefixProblem`."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.problem.prefix_arrays import PrefixArrays

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_SHARES = (("uplink_hz", "Hz"), ("edge_share", "1"), ("downlink_hz", "Hz"))
_TRUNK_SHARES = (("trunk_uplink_hz", "Hz"), ("trunk_edge_share", "1"), ("multicast_hz", "Hz"))


class Decided(NamedTuple):
    """What an answer decides; shares of uplink, edge and downlink, (3, K) and (3, G)."""

    option: Index
    group: Index
    trunk: Index
    own: Array
    shared: Array


def read_answer(problem: PrefixArrays, answer: Any) -> Decided:
    """The decisions of an answer; raises InvalidInput where one is missing or names what is not there."""
    users = (problem.users,)
    formed = ("group",) if problem.group is None else ()
    names = ("option", *formed, "trunk", *(name for name, _ in (*_SHARES, *_TRUNK_SHARES)))
    given = dict(zip(names, checks.decisions(answer, names), strict=True))
    option = checks.options("option", given["option"], users, problem.options)
    group = problem.group
    if group is None:
        group = _numbered("group", given["group"], users, problem.users)
    count = (int(group.max()) + 1,)
    trunk = _numbered("trunk", given["trunk"], count, problem.trunks)
    own = np.stack([checks.shares(name, given[name], users, unit) for name, unit in _SHARES])
    shared = np.stack([checks.shares(name, given[name], count, unit) for name, unit in _TRUNK_SHARES])
    return Decided(option, group, trunk, own, shared)


def evaluate_prefix(problem: PrefixArrays, answer: Any) -> Evaluation:
    """As `SharedPrefixProblem.evaluate`."""
    found = read_answer(problem, answer)
    rows = np.arange(problem.users)
    rides = problem.rides[rows, found.option]
    member = found.group >= 0
    where = np.maximum(found.group, 0)
    ridden = np.zeros(len(found.trunk), bool)
    ridden[found.group[member & (rides > 0)]] = True
    runs = ridden & (found.trunk >= 0)
    q = found.trunk[runs]
    own = np.maximum(found.own, 0.0)
    shared = np.where(runs, np.maximum(found.shared, 0.0), 0.0)

    latency_s = problem.fixed_s[rows, found.option] + _over(
        (problem.uplink_bit, problem.edge_work_s, problem.downlink_bit),
        (problem.rate("uplink", own[0]), own[1], problem.rate("downlink", own[2])),
        (rows, found.option),
    ).sum(axis=0)
    stages = np.full((3, len(found.trunk)), np.inf)
    stages[:, runs] = _over(
        (problem.trunk_uplink_bit, problem.trunk_edge_work_s, problem.multicast_bit),
        (
            problem.rate("trunk_uplink", shared[0, runs], q),
            np.minimum(shared[1, runs], problem.trunk_caps[q]),
            problem.rate("multicast", shared[2, runs], q),
        ),
        (q,),
    )
    prefix = np.full(len(found.trunk), np.inf)
    prefix[runs] = problem.trunk_fixed_s[q] + stages[0, runs] + stages[1, runs]
    if len(found.trunk):
        latency_s = latency_s + np.where((rides > 0) & member, prefix[where], 0.0)
        latency_s = latency_s + np.where((rides == 2) & member, stages[2, where], 0.0)
    latency_s = np.where((rides > 0) & ~member, np.inf, latency_s)
    weighted = problem.weights * latency_s
    objective_s = float(weighted.max() if problem.objective == "max" else weighted.sum())
    fits = _fits(problem, found, rides, runs)
    violation = _violation(problem, found, rides, runs, shared, stages[0]) if fits else np.inf
    return Evaluation(latency_s=latency_s, objective_s=objective_s, violation=violation)


def _violation(
    problem: PrefixArrays, found: Decided, rides: Index, runs: NDArray[np.bool_], shared: Array, airtime_s: Array
) -> float:
    """The worst relative violation of a budget, a cap, a group's share or a limit on airtime."""
    uplink, edge, downlink = found.own
    drawn = edge
    over = [_excess(edge, problem.share_caps)]
    if problem.reserve == "phased":
        within = (rides > 0) & (found.group >= 0)
        inside = np.bincount(found.group[within], edge[within], len(runs)).astype(np.float64)
        over.append(_excess(inside, shared[1]))
        drawn = np.where(within, 0.0, edge)
    totals = np.array([uplink.sum() + shared[0].sum(), drawn.sum() + shared[1].sum(), downlink.sum() + shared[2].sum()])
    over.append(_excess(totals, np.array([problem.uplink_hz, problem.edge_capacity, problem.downlink_hz])))
    if problem.trunk_uplink_airtime_max_s is not None:
        over.append(_excess(airtime_s[runs], problem.trunk_uplink_airtime_max_s[found.trunk[runs]]))
    return max(over)


def _fits(problem: PrefixArrays, found: Decided, rides: Index, runs: NDArray[np.bool_]) -> bool:
    """Whether options, trunks and groups go together and no share is negative or no number."""
    rows = np.arange(problem.users)
    own, shared = found.own, found.shared
    if not ((own >= 0) & np.isfinite(own)).all() or not ((shared >= 0) & np.isfinite(shared)).all():
        return False
    if not problem.allowed_mask[rows, found.option].all():
        return False
    running = (found.group >= 0) & np.r_[runs, False][found.group]
    if ((rides > 0) & ~running).any():
        return False
    k = np.flatnonzero(running)
    q = found.trunk[found.group[k]]
    if not problem.compatible[k, found.option[k], q].all():
        return False
    if problem.trunk_group is not None:
        return bool((problem.trunk_group[found.trunk[runs]] == np.flatnonzero(runs)).all())
    return _formed(problem, found, runs)


def _formed(problem: PrefixArrays, found: Decided, runs: NDArray[np.bool_]) -> bool:
    """Whether groups that were formed have the size, the similarity and the lead that they must."""
    assert problem.similarity is not None
    assert problem.group_size_max is not None
    assert problem.similarity_min is not None
    for g in range(len(found.trunk)):
        members = np.flatnonzero(found.group == g).tolist()
        least = problem.similarity_min
        if runs[g] and problem.trunk_similarity_min is not None:
            least = max(least, float(problem.trunk_similarity_min[found.trunk[g]]))
        if not 2 <= len(members) <= problem.group_size_max:
            return False
        lead = -1 if problem.trunk_lead is None or not runs[g] else int(problem.trunk_lead[found.trunk[g]])
        if lead >= 0 and lead not in members:
            return False
        if any(problem.similarity[i, j] < least for i, j in combinations(members, 2)):
            return False
    return True


def _numbered(name: str, value: Any, shape: tuple[int, ...], count: int) -> Index:
    """Numbers from 0 to count - 1, or -1."""
    expected = f"integers from -1 to {count - 1}, shape {shape}"
    found = checks.plain(name, value, expected)
    wrong = found.size and (found.dtype.kind not in "iu" or found.min() < -1 or found.max() >= count)
    if found.shape != shape or wrong:
        raise InvalidInput(name, value, expected, "Name what is there; -1 is none.")
    return found.astype(np.int64)


def _over(amounts: tuple[Array, ...], speeds: tuple[Array, ...], places: tuple[Index, ...]) -> Array:
    """Seconds of three stages, (3, N); nothing to do takes no time."""
    a, v = np.stack([table[places] for table in amounts]), np.stack(speeds)
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(a > 0, a / np.where((a > 0) | (v > 0), v, 1.0), 0.0)


def _excess(values: Array, limits: Array) -> float:
    """By how much, relatively, the worst of some values is over its limit."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        over = np.where(values <= limits, 0.0, np.where(limits > 0, (values - limits) / limits, np.inf))
    return float(over.max(initial=0.0))
