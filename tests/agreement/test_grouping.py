"""Groups that are formed, against an enumeration of all partitions that shares nothing with the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prefix_enumeration import best_shares, fitting, least_value
from random_prefixes import draw_groupings

from megdt_opt import Infeasible, InvalidInput, solve
from megdt_opt.tolerances import BOUND


def partitions(users: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    """All ways to divide users into sets."""
    if not users:
        yield []
        return
    first, rest = users[0], users[1:]
    for size in range(len(users)):
        for others in combinations(rest, size):
            left = tuple(k for k in rest if k not in others)
            for below in partitions(left):
                yield [(first, *others), *below]


def given(problem: Any, sets: list[tuple[int, ...]]) -> Any:
    """The same problem with these groups, each with its own copy of every trunk that its members may run."""
    groups = [one for one in sets if len(one) > 1]
    group = np.full(problem.users, -1)
    rows = []
    for g, members in enumerate(groups):
        group[list(members)] = g
        least = min(problem.similarity[i, j] for i, j in combinations(members, 2))
        limits = np.zeros(problem.trunks) if problem.trunk_similarity_min is None else problem.trunk_similarity_min
        leads = np.full(problem.trunks, -1) if problem.trunk_lead is None else problem.trunk_lead
        rows += [(g, q) for q in range(problem.trunks) if least >= limits[q] and leads[q] in (-1, *members)]
    of, q = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    fields = {name: getattr(problem, name) for name in KEPT}
    own = {name: getattr(problem, name) for name in TRUNKS}
    return SimpleNamespace(
        **fields, **{name: None if value is None else value[q] for name, value in own.items()},
        users=problem.users, options=problem.options, groups=len(groups), group=group, trunk_group=of,
        compatible=problem.compatible[:, :, q],
    )  # fmt: skip


KEPT = (
    "fixed_s", "uplink_bit", "edge_work_s", "downlink_bit", "rides", "downlink_hz", "uplink_hz", "edge_capacity",
    "reserve", "allowed", "weight", "edge_share_max", "downlink_efficiency", "uplink_efficiency", "downlink_snr_hz",
    "uplink_snr_hz", "objective",
)  # fmt: skip
TRUNKS = (
    "trunk_fixed_s", "trunk_uplink_bit", "trunk_edge_work_s", "multicast_bit", "trunk_edge_share_max",
    "trunk_uplink_airtime_max_s", "trunk_uplink_efficiency", "multicast_efficiency", "trunk_uplink_snr_hz",
    "multicast_snr_hz",
)  # fmt: skip


def optimum(problem: Any) -> float:
    """The objective of the best partition, options and shares."""
    best = np.inf
    cases = []
    for sets in partitions(tuple(range(problem.users))):
        near = all(problem.similarity[i, j] >= problem.similarity_min for one in sets for i, j in combinations(one, 2))
        if near and max(map(len, sets)) <= problem.group_size_max:
            cases += list(_cases(given(problem, sets)))
    for floor, inner, option, trunk in sorted(cases, key=lambda case: case[0]):
        if floor < best:
            best = min(best, best_shares(inner, option, trunk, best))
    return best


def _cases(inner: Any) -> Iterator[tuple[float, Any, tuple[int, ...], tuple[int, ...]]]:
    """Options and trunks of given groups, with what they take at least; every group runs a trunk that somebody rides,
    for those that do not are another partition."""

    def trunks(g: int) -> Iterator[tuple[int, ...]]:
        if g == inner.groups:
            yield ()
            return
        for q in np.flatnonzero(inner.trunk_group == g).tolist():
            for rest in trunks(g + 1):
                yield (q, *rest)

    for trunk in trunks(0):
        yield from _of_trunks(inner, trunk)


def _of_trunks(inner: Any, trunk: tuple[int, ...]) -> Iterator[tuple[float, Any, tuple[int, ...], tuple[int, ...]]]:
    choices = [fitting(inner, k, trunk) for k in range(inner.users)]

    def options(k: int) -> Iterator[tuple[int, ...]]:
        if k == inner.users:
            yield ()
            return
        for o in choices[k]:
            for rest in options(k + 1):
                yield (o, *rest)

    for option in options(0):
        ridden = {int(inner.group[k]) for k, o in enumerate(option) if inner.rides[k, o] > 0}
        if ridden == set(range(inner.groups)):
            floor = least_value(inner, option, trunk)
            if np.isfinite(floor):
                yield floor, inner, option, trunk


@pytest.mark.long_list(of=50)
@pytest.mark.parametrize("number", range(200))
def test_the_groups_formed_reach_the_enumerated_optimum_and_prove_it(number: int) -> None:
    problem = draw_groupings(number)
    best = optimum(problem)
    precision, gap = (1e-9, 5e-10) if problem.objective == "sum" else (1e-7, 5e-8)
    if not np.isfinite(best):
        with pytest.raises(InvalidInput):
            solve(problem, gap=gap)
        return
    found = solve(problem, gap=gap)
    assert found.objective_s == pytest.approx(best, rel=precision)
    assert found.lower_bound_s <= best * (1 + BOUND)
    assert found.status == "optimal", found.message
    assert found.is_proven(problem, gap)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert found.certificate.verify(problem, exact=False).holds
    raised = replace(found.certificate, bound_s=found.objective_s * (1 + 1e-6))
    assert not raised.verify(problem, exact=True).holds
    merged = solve(problem, "greedy", gap=gap)
    assert problem.evaluate(merged).violation <= BOUND
    assert found.objective_s <= merged.objective_s * (1 + gap)
    assert merged.lower_bound_s <= best * (1 + BOUND)
    assert merged.certificate is not None
    assert merged.certificate.verify(problem, exact=True).holds


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", [n for n in range(150) if draw_groupings(n).users <= 3][:60])
def test_the_program_on_highs_forms_groups_as_good(number: int) -> None:
    problem = draw_groupings(number)
    try:
        found = solve(problem, gap=5e-8)
    except InvalidInput:
        with pytest.raises((Infeasible, InvalidInput)):
            solve(problem, "shared_prefix", gap=1e-4)
        return
    other = solve(problem, "shared_prefix", gap=1e-4, time_limit_s=60.0)
    assert (other.bound_source, other.certificate) == ("solver", None)
    assert problem.evaluate(other).violation <= BOUND
    assert found.objective_s <= other.objective_s * (1 + 1e-7)
    assert other.lower_bound_s <= found.objective_s * (1 + 1e-7)
    assert other.objective_s <= found.objective_s * (1 + 2e-4)
