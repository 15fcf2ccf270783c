"""What no policy can beat: against enumerations of their own, with links that stay and links that fade."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from over_time_cases import draw

from megdt_opt.online import Service, Trace, simulate
from megdt_opt.online.clairvoyant import largest_flow_bound_s, mean_flow_bound_s

Factor = np.ndarray


def end_of_sending(factor: Factor, start: float, nominal: float) -> float:
    """By walking from slot to slot of 1 s."""
    while nominal > 1e-15:
        rate = factor[min(int(start + 1e-12), len(factor) - 1)]
        room = (np.floor(start + 1e-12) + 1 - start) * rate if start < len(factor) - 1 else np.inf
        if nominal <= room:
            return float(start + nominal / rate)
        nominal -= room
        start = float(np.floor(start + 1e-12) + 1)
    return start


def all_flows(service: Service, trace: Trace) -> list[np.ndarray]:
    """Flow times of every subset at the edge in every order of preference, with interruptions."""
    n = len(trace)
    factor = np.ones((1, n)) if trace.link_factor is None else trace.link_factor
    r, g = trace.arrival_s, service.edge_s
    ready = [end_of_sending(factor[:, k], r[k], service.uplink_s[k]) for k in range(n)]
    found = []
    for size in range(n + 1):
        for order in itertools.permutations(range(n), size):
            flow = service.local_s.copy()
            left = {k: float(g[k]) for k in order}
            now = 0.0
            while left:
                there = [k for k in order if k in left and ready[k] <= now]
                later = min((ready[k] for k in left if ready[k] > now), default=np.inf)
                if not there:
                    now = later
                elif now + left[there[0]] <= later:
                    k = there[0]
                    now += left.pop(k)
                    flow[k] = end_of_sending(factor[:, k], now, service.downlink_s[k]) - r[k]
                else:
                    left[there[0]] -= later - now
                    now = later
            found.append(flow)
    return found


def small(seed: int, fading: bool) -> tuple[Service, Trace]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    arrival = np.sort(rng.uniform(0, 4, n))
    service = Service(
        local_s=rng.exponential(5, n) + 0.2,
        edge_s=rng.exponential(1, n) + 0.1,
        uplink_s=rng.exponential(0.4, n),
        downlink_s=rng.exponential(0.8, n),
        weight=rng.uniform(0.5, 2, n),
    )
    factor = rng.lognormal(0, 0.7, (6, n)) if fading else None
    slot_s = 1.0 if fading else None
    return service, Trace(arrival_s=arrival, user=np.arange(n), users=n, slot_s=slot_s, link_factor=factor)


@pytest.mark.parametrize("fading", [False, True])
@pytest.mark.parametrize("seed", range(200))
@pytest.mark.long_list("fading")
def test_bounds_against_all_subsets_and_orders(seed: int, fading: bool) -> None:
    """The largest flow time's is attained; the mean's never exceeds the best, and is not far below it."""
    service, trace = small(seed, fading)
    flows = all_flows(service, trace)
    best = min(float(flow.max()) for flow in flows)
    assert largest_flow_bound_s(service, trace) == pytest.approx(best, rel=1e-9)
    mean = min(float(service.weight @ flow) for flow in flows) / float(service.weight.sum())
    bound = mean_flow_bound_s(service, trace, mean)
    assert bound <= mean * (1 + 1e-12)
    assert bound >= 0.6 * mean


@pytest.mark.parametrize("prices", [0, 1, 5, 200])
def test_the_mean_bound_holds_whatever_the_prices(prices: int) -> None:
    service, trace = small(11, True)
    mean = min(float(service.weight @ flow) for flow in all_flows(service, trace)) / float(service.weight.sum())
    bound = mean_flow_bound_s(service, trace, 3 * mean, passes=prices)  # steps that are too long
    assert 0 <= bound <= mean


def test_without_rivals_the_mean_bound_is_the_mean() -> None:
    service = Service(local_s=[5.0], edge_s=[1.0], uplink_s=[0.25], downlink_s=[0.5])
    found = simulate(service, Trace(arrival_s=[0.0, 10.0, 20.0], user=[0, 0, 0], users=1))
    assert found.mean_flow_s == 1.75
    assert found.mean_ratio == pytest.approx(1.0, abs=1e-9)


def test_bounds_are_near_what_policies_reach() -> None:
    service = Service(local_s=np.linspace(2, 8, 6), edge_s=np.ones(6), downlink_s=np.full(6, 0.3))
    for fading_db in (0.0, 3.0):
        trace = Trace.poisson(np.full(6, 0.13), requests=1000, seed=1, slot_s=0.5, fading_db=fading_db)
        found = simulate(service, trace)
        assert found.ratio is not None
        assert found.mean_ratio is not None
        assert found.ratio < 1.3
        assert found.mean_ratio < 1.2


@pytest.mark.parametrize("seed", range(3))
def test_requests_that_only_devices_can_serve_count(seed: int) -> None:
    service, trace = draw(seed, requests=10)
    closed = Service(local_s=np.full(10, 3.0), edge_s=np.full(10, np.inf))
    assert largest_flow_bound_s(closed, trace) == 3.0
    assert mean_flow_bound_s(closed, trace, 3.0) == pytest.approx(3.0)
    assert largest_flow_bound_s(service, trace) > 0
