"""Requests over time: policies beside what no policy can beat, and requests a second of the simulation.

    python experiments/benchmarks/over_time.py [--traces 1000] [--requests 100000]

First part: random traces, each request with times of its own, arrivals from rare to far too many; every other with
constant links, and the same once more with links that fade by 4 dB from second to second. For each policy the ratio of
its largest flow time to the clairvoyant optimum (with fading: to its lower bound), and of its mean to its bound:
median, 99th percentile and worst. The proof (at most 2) is for the policy "speculative" with constant links. Second
part: one long trace of six kinds of users, with the time of the simulation by itself. Writes results/over_time.json
and two figures of the long trace.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "online"))

from over_time_cases import draw
from record import RESULTS, keep

from megdt_opt import plot
from megdt_opt.online import POLICIES, Service, Simulation, Trace, simulate, with_bounds

FADING_DB = (0.0, 4.0)


PARTS = {"median": 0.5, "p99": 0.99, "worst": 1.0}


def ratios(fading_db: float, traces: int) -> list[dict[str, Any]]:
    """Quantiles of each policy's two ratios over the traces."""
    found = []
    for seed in range(traces):
        links = seed % 2 == 0 or fading_db > 0
        drawn = draw(seed, requests=20 + seed % 80, links=links, fading_db=fading_db)
        found.append(with_bounds([simulate(*drawn, policy, bounds=False) for policy in POLICIES]))
    rows = []
    for policy, ones in zip(POLICIES, zip(*found, strict=True), strict=True):
        row: dict[str, Any] = {"policy": policy, "fading_db": fading_db, "traces": traces}
        for name in ("ratio", "mean_ratio"):
            known = np.array([getattr(one, name) for one in ones])
            row |= {f"{name}_{part}": float(np.quantile(known, level)) for part, level in PARTS.items()}
        print(row, flush=True)
        rows.append(row)
    return rows


def long_trace(requests: int) -> list[Simulation]:
    """Six kinds of users at a load of 0.9 of the edge, with fading links."""
    service = Service(
        local_s=np.linspace(2, 8, 6),
        edge_s=np.ones(6),
        downlink_s=np.full(6, 0.3),
        deadline_s=np.full(6, 6.0),
        names=tuple(f"kind {k}" for k in range(6)),
    )
    trace = Trace.poisson(np.full(6, 0.15), requests=requests, seed=1, slot_s=1.0, fading_db=2.0)
    return list(with_bounds([simulate(service, trace, policy, bounds=False) for policy in POLICIES]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=1000, help="random traces for each policy")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the long trace")
    asked = parser.parse_args()
    rows = [row for fading in FADING_DB for row in ratios(fading, asked.traces)]
    long_trace(200)  # load what is compiled
    found = long_trace(asked.requests)
    long = [
        {**one.summary(), "requests_per_s": len(one.trace) / one.run_s, "plannings": one.plannings} for one in found
    ]
    for row in long:
        print(row, flush=True)
    keep(RESULTS / "over_time.json", rows, long_trace=long)
    plot.save(plot.flow_time_figure(found), RESULTS / "over_time_flow_times.png")
    plot.save(plot.age_figure(found), RESULTS / "over_time_ages.png")


if __name__ == "__main__":
    main()
