"""Largest flow times: the clairvoyant optimum against a search over every second, and what is refused."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from megdt_opt import InvalidInput, bounds

Times = tuple[int, ...]


def best_by_seconds(r: Times, g: Times, c: Times, b: Times, a: Times) -> int:
    """Least largest flow time of whole numbers: any subset at the edge, any request in any second."""
    n = len(r)

    @cache
    def ends(now: int, left: Times) -> int:
        """Least largest flow time of what is left at the edge."""
        if not any(left):
            return 0
        found = [10**6]
        idle = [k for k in range(n) if left[k] and r[k] + b[k] > now]
        if idle:
            found.append(ends(now + 1, left))
        for k in range(n):
            if left[k] and r[k] + b[k] <= now:
                rest = (*left[:k], left[k] - 1, *left[k + 1 :])
                own = now + 1 + a[k] - r[k] if rest[k] == 0 else 0
                found.append(max(own, ends(now + 1, rest)))
        return min(found)

    return min(
        max([ends(0, tuple(g[k] if k in at else 0 for k in range(n))), *(c[k] for k in range(n) if k not in at)])
        for size in range(n + 1)
        for at in itertools.combinations(range(n), size)
    )


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.long_list
def test_the_optimum_is_that_of_a_search_over_every_second(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    r = np.sort(rng.integers(0, 5, n))
    g, c, b, a = (rng.integers(low, high, n) for low, high in ((1, 4), (1, 10), (0, 3), (0, 3)))
    found = bounds.largest_flow(r, g, local_s=c, before_s=b, after_s=a)
    truth = best_by_seconds(*(tuple(x.tolist()) for x in (r, g, c, b, a)))  # type: ignore[arg-type]
    assert found.objective_s == truth
    assert found.flow_s.max() == truth
    assert (found.flow_s[~found.at_edge] == c[~found.at_edge]).all()


def test_what_came_earlier_counts_once() -> None:
    """A request that another day brings changes nothing."""
    alone = bounds.largest_flow([0.0, 0.5], [1.0, 1.0])
    assert alone.objective_s == bounds.largest_flow([0.0, 0.5, 100.0], [1.0, 1.0, 1.0]).objective_s == 1.5


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("arrival_s", {"arrival_s": [-1.0, 0.0]}),
        ("arrival_s", {"arrival_s": [np.nan, 0.0]}),
        ("arrival_s", {"arrival_s": [[0.0, 1.0]]}),
        ("edge_s", {"edge_s": [1.0]}),
        ("edge_s", {"edge_s": [1.0, np.inf]}),
        ("local_s", {"local_s": [1.0, np.nan]}),
        ("local_s", {"local_s": [1.0, -np.inf]}),
        ("before_s", {"before_s": [0.0, -1.0]}),
        ("after_s", {"after_s": ["soon", 1.0]}),
    ],
)
def test_wrong_times_are_refused_by_name(field: str, values: dict[str, list[float]]) -> None:
    given: dict[str, list[float]] = {"arrival_s": [0.0, 1.0], "edge_s": [1.0, 1.0]} | values
    with pytest.raises(InvalidInput, match=rf"^{field}"):
        bounds.largest_flow(given.pop("arrival_s"), given.pop("edge_s"), **given)
