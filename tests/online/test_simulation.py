"""The simulation against queueing theory, recursions and what must be conserved; its tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from over_time_cases import draw

from megdt_opt import InvalidInput
from megdt_opt.online import POLICIES, Service, Simulation, Trace, simulate

ALWAYS_EDGE = {"local_s": [np.inf]}


def one_kind(edge_s: float, rate: float, requests: int, seed: int) -> Simulation:
    service = Service(edge_s=[edge_s], **ALWAYS_EDGE)  # type: ignore[arg-type]
    return simulate(service, Trace.poisson([rate], requests=requests, seed=seed), "edge", bounds=False)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_waiting_is_that_of_the_queue_with_constant_work(load: float) -> None:
    """M/D/1: mean wait = rho g/(2 (1 - rho)) (Pollaczek and Khinchine), utilisation = rho."""
    found = [one_kind(1.0, load, 8000, seed) for seed in range(4)]
    waits = [one.mean_flow_s - 1.0 for one in found]
    error = float(np.std(waits, ddof=1) / 2)
    assert np.mean(waits) == pytest.approx(load / (2 * (1 - load)), abs=5 * error)
    assert np.mean([one.utilisation for one in found]) == pytest.approx(load, rel=0.03)


def test_waiting_is_that_of_the_queue_with_mixed_works() -> None:
    """M/G/1: mean wait = lambda E[g^2]/(2 (1 - rho)), for works of 0.5 and 2 s in equal parts."""
    service = Service(local_s=[np.inf, np.inf], edge_s=[0.5, 2.0])
    waits = []
    for seed in range(4):
        trace = Trace.poisson([0.25, 0.25], requests=8000, seed=seed)
        found = simulate(service, trace, "edge", bounds=False)
        waits.append(float((found.flow_s - service.edge_s[trace.user]).mean()))
    theory = 0.5 * (0.5**2 + 2.0**2) / 2 / (2 * (1 - 0.625))
    assert np.mean(waits) == pytest.approx(theory, abs=5 * float(np.std(waits, ddof=1)) / 2)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 4.0]))
def test_in_the_order_of_coming_ends_follow_the_recursion(seed: int, fading_db: float) -> None:
    """Lindley: an end at the edge is the later of the request's coming there and the end before, plus its work."""
    service, trace = draw(seed, requests=30, fading_db=fading_db)
    found = simulate(service, trace, "edge", bounds=False)
    ready = found.trace.arrival_s + service.before_s + found.sent_s + service.propagation_s
    now, ends = 0.0, np.zeros(30)
    for k in np.argsort(ready, kind="stable"):
        now = max(now, ready[k]) + service.edge_s[k]
        ends[k] = now
    last = np.array([found.turn_end_s[found.turn_request == k].max() for k in range(30)])
    assert last == pytest.approx(ends, rel=1e-12)
    if not fading_db:
        assert found.sent_s == pytest.approx(service.uplink_s, rel=1e-9, abs=1e-12)
        assert found.flow_s == pytest.approx(ends + service.rest_s - trace.arrival_s, rel=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(list(POLICIES)), st.sampled_from([0.0, 4.0]))
def test_what_must_be_conserved_is(seed: int, policy: str, fading_db: float) -> None:
    service, trace = draw(seed, requests=60, fading_db=fading_db)
    found = simulate(service, trace, policy)
    n = len(trace)
    # one turn at a time, and turns add up to what requests were served
    assert (found.turn_begin_s[1:] >= found.turn_end_s[:-1] - 1e-12).all()
    lengths = np.bincount(found.turn_request, found.turn_end_s - found.turn_begin_s, minlength=n)
    assert lengths == pytest.approx(found.served_s, rel=1e-9, abs=1e-9)
    # whose picture the edge made was served whole, all others no more than that; devices likewise
    own = found.made_at_edge
    assert found.served_s[own] == pytest.approx(service.edge_s[own], rel=1e-9)
    assert (found.served_s <= service.edge_s * (1 + 1e-9)).all()
    assert found.computed_s[~own] == pytest.approx(service.local_s[~own], rel=1e-9)
    # nobody is done sooner than alone, nor after its device where that started at once
    least = service.edge_s + (0.0 if fading_db else service.ready_after_s + service.rest_s)
    assert (found.flow_s >= np.minimum(least, service.local_s) * (1 - 1e-9)).all()
    if policy == "speculative":
        assert (found.flow_s <= service.local_s * (1 + 1e-9)).all()
    # the bounds hold, and nothing is lost
    assert found.ratio is not None
    assert found.mean_ratio is not None
    assert min(found.ratio, found.mean_ratio) >= 1 - 1e-9
    assert found.device_j is not None
    assert found.device_j == pytest.approx(4.0 * found.computed_s + 0.2 * found.sent_s)
    assert found.edge_j == pytest.approx(250.0 * found.turn_end_s.sum() - 250.0 * found.turn_begin_s.sum())


@given(st.integers(0, 10**6), st.sampled_from(["edge", "plain", "speculative"]))
def test_the_edge_idles_only_where_nobody_is_there(seed: int, policy: str) -> None:
    service, trace = draw(seed, requests=40)
    found = simulate(service, trace, policy, bounds=False)
    ready = trace.arrival_s + service.ready_after_s
    idle = np.flatnonzero(found.turn_begin_s[1:] > found.turn_end_s[:-1] + 1e-9)
    for i in idle:
        begin, end = found.turn_end_s[i], found.turn_begin_s[i + 1]
        waiting = found.made_at_edge & (ready < (begin + end) / 2)
        served = np.array([found.turn_end_s[found.turn_request == k].max(initial=0.0) for k in range(len(trace))])
        assert not (waiting & (served > end)).any()


def test_age_is_that_of_the_newest_picture_shown() -> None:
    """Pictures of 0, 1 and 2 s come at 3, 5 and 4 s: at 5 s an older one comes, which is not shown."""
    service = Service(local_s=[3.0, 4.0, 2.0], edge_s=[9.0, 9.0, 9.0])
    trace = Trace(arrival_s=[0.0, 1.0, 2.0], user=[0, 0, 0], users=3)
    found = Simulation(
        policy="by hand", service=service, trace=trace, done_s=np.array([3.0, 5.0, 4.0]),
        made_at_edge=np.zeros(3, bool), served_s=np.zeros(3), computed_s=np.zeros(3), sent_s=np.zeros(3),
        turn_request=np.zeros(0, np.int64), turn_begin_s=np.zeros(0), turn_end_s=np.zeros(0),
    )  # fmt: skip
    # from 3 to 4 s the picture of 0 s, aged 3 to 4 s; from 4 to 5 s that of 2 s, aged 2 to 3 s
    assert found.age_mean_s[0] == pytest.approx(3.0)
    assert found.age_peak_s[0] == 4.0
    assert np.isnan(found.age_mean_s[1:]).all()


def test_late_is_after_the_deadline() -> None:
    service = Service(local_s=[1.0, 1.0], edge_s=[np.inf, np.inf], deadline_s=[1.0, 0.5])
    found = simulate(service, Trace(arrival_s=[0.0, 0.0], user=[0, 1], users=2))
    assert found.late.tolist() == [False, True]
    assert found.summary()["late"] == 0.5


@pytest.mark.parametrize("policy", list(POLICIES))
def test_the_same_seed_gives_the_same_bytes(policy: str, tmp_path: Path) -> None:
    service = Service(local_s=np.linspace(2, 6, 5), edge_s=np.ones(5), downlink_s=np.full(5, 0.2))
    written = []
    for name in ("a.csv", "b.csv"):
        trace = Trace.poisson(np.full(5, 0.3), requests=500, seed=9, slot_s=0.5, fading_db=3.0)
        path = simulate(service, trace, policy, bounds=False).to_csv(tmp_path / name)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    other = Trace.poisson(np.full(5, 0.3), requests=500, seed=10, slot_s=0.5, fading_db=3.0)
    assert simulate(service, other, policy, bounds=False).to_csv(tmp_path / "c.csv").read_bytes() != written[0]
    frame = pd.read_csv(tmp_path / "a.csv")
    assert len(frame) == 500
    assert list(frame["flow_s"]) == pytest.approx(list(frame["done_s"] - frame["arrival_s"]))


def test_a_table_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    service, trace = draw(1)
    found = simulate(service, trace, bounds=False)
    (tmp_path / "taken").mkdir()
    with pytest.raises(InvalidInput, match="output"):
        found.to_csv(tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_what_a_simulation_says_of_itself() -> None:
    found = simulate(*draw(5))
    told = str(found)
    assert told.startswith("speculative: 60 requests, largest ")
    assert "times the clairvoyant" in told
    summary = found.summary()
    assert summary["requests"] == 60
    assert summary["ratio"] == found.ratio
    without = simulate(*draw(5), bounds=False)
    assert without.ratio is without.mean_ratio is None
    assert "clairvoyant" not in str(without)


def test_nothing_loads_simpy_but_a_simulation_and_where_it_is_missing_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['simpy'] = None\n"
        "import megdt_opt\n"
        "from megdt_opt.online import Service, Trace, simulate\n"
        "try: simulate(Service(local_s=[1.0], edge_s=[1.0]), Trace(arrival_s=[0.0], user=[0], users=1))\n"
        "except megdt_opt.MegdtError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "simulation needs the package simpy: install it with pip install 'megdt-opt[sim]'\n"
