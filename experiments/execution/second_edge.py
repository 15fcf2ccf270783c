"""What a second edge server is worth: the bundled scenario "two-halls" against the best plan with one edge.

    python experiments/execution/second_edge.py [--execute]

Every figure is an optimum, proven to 0.1 %. The plan with both edges stands beside the better of the two edges alone,
and beside the same hardware in one place: an edge in hall 1 with both bands and as many servers as both halls have
together. First with bands and servers times 0.7, 1 and 1.3; then over the reach across the wall (the efficiency of a
user at the other hall's edge) and the slowness of hall 2's machine, where the gain fades and one place is the better.
Writes results/second_edge.csv and results/second_edge.png. With --execute it runs the plan and those of each edge alone
in place of that, paced, and writes results/second_edge_executed.json.
"""

from __future__ import annotations

import argparse
import csv
import json
from itertools import product
from pathlib import Path
from typing import Any

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.planning.baselines import ONLY
from megdt_opt.planning.planner import solved
from megdt_opt.report.canvas import new_figure, png_bytes, settings
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import baseline_parts, user_runs

RESULTS = Path(__file__).parent / "results"

FACTORS = (0.7, 1.0, 1.3)
ACROSS = (0.3, 0.6, 1.2, 2.0, 3.0)
"""Efficiencies at the other hall's edge [bit/s/Hz]; at the own hall's it is 3."""
STRETCHES = (4.0, 6.0, 12.0, 24.0, 48.0)
"""Slowness of hall 2's machine [1]; hall 1's is 4."""
GAP = 1e-3
"""To which optima are proven: a fiftieth of the least gain that counts [1]."""
WINS = 0.05
"""Least gain that counts as one [1]."""

Data = dict[str, Any]


def scenario(*, band: float = 1.0, servers: float = 1.0, across: float = 0.6, stretch: float = 6.0) -> Data:
    """The bundled scenario, changed, as plain data."""
    data = Scenario.bundled("two-halls").model_dump(mode="json", exclude_none=True)
    for side in ("downlink", "uplink"):
        data["channel"][f"{side}_hz"] *= band
        for user in data["users"]:
            reach = user[f"{side}_efficiency_bit_per_s_per_hz"]
            user[f"{side}_efficiency_bit_per_s_per_hz"] = {e: v if v == 3.0 else across for e, v in reach.items()}
    for edge in data["edges"]:
        edge["servers"] *= servers
    data["edges"][1]["stretch"] = stretch
    return data


def alone(data: Data, edge: str) -> Data:
    """The scenario with one of the edges."""
    own = {"edges": [each for each in data["edges"] if each["name"] == edge]}
    users = []
    for user in data["users"]:
        fields = [f"{side}_efficiency_bit_per_s_per_hz" for side in ("downlink", "uplink")]
        users.append({**user, **{field: user[field][edge] for field in fields}})
    return {**data, **own, "users": users}


def together(data: Data) -> Data:
    """The scenario with the hardware of both edges in hall 1, each server counted by its speed."""
    one, two = data["edges"]
    whole = alone(data, one["name"])
    servers = one["servers"] + two["servers"] * one["stretch"] / two["stretch"]
    channel = {**data["channel"], **{f"{s}_hz": 2 * data["channel"][f"{s}_hz"] for s in ("downlink", "uplink")}}
    return {**whole, "edges": [{**one, "servers": servers}], "channel": channel}


def least_s(data: Data) -> float:
    """Proven optimum [s]."""
    table = OptionTable.build(Scenario(**data), {"here": TimingProfile.bundled("twin-cpu")})
    found = solved(table, gap=GAP)
    if not found.status == "optimal":
        raise SystemExit(f"not proven: {found}")
    return found.objective_s


def row(**changes: float) -> dict[str, float]:
    """Both edges, the better one alone, and both in one place; gains are relative to the others [1]."""
    data = scenario(**changes)
    both, one, pooled = (
        least_s(data),
        min(least_s(alone(data, e["name"])) for e in data["edges"]),
        least_s(together(data)),
    )
    found = {"both_s": both, "best_edge_s": one, "one_place_s": pooled}
    found |= {"gain_over_best_edge": 1 - both / one, "gain_over_one_place": 1 - both / pooled}
    print(changes, {name: round(value, 4) for name, value in found.items()}, flush=True)
    return {**dict(band=1.0, servers=1.0, across=0.6, stretch=6.0), **changes, **found}


def figure(rows: list[dict[str, float]]) -> bytes:
    """Both gains over reach and slowness; what wins by less than 5 % is grey."""
    with settings():
        drawn = new_figure(9.0, 3.6)
        titles = {"gain_over_best_edge": "against the better edge alone", "gain_over_one_place": "against one place"}
        for axes, (name, title) in zip(drawn.subplots(1, 2, sharey=True), titles.items(), strict=True):
            for r in rows:
                x, y, gain = ACROSS.index(r["across"]), STRETCHES.index(r["stretch"]), r[name]
                axes.broken_barh([(x - 0.5, 1)], (y - 0.5, 1), facecolor="#56B4E9" if gain >= WINS else "#c4c4c4")
                axes.text(x, y, f"{round(100 * gain)} %", ha="center", va="center", size=8)
            axes.set_xticks(range(len(ACROSS)), [f"{a:g}" for a in ACROSS])
            axes.set_yticks(range(len(STRETCHES)), [f"{s / 4:g}" for s in STRETCHES])
            axes.set_xlabel("efficiency across the wall [bit/s/Hz]")
            axes.set_title(title, size=9)
        drawn.axes[0].set_ylabel("hall 2's step time, hall 1's = 1")
        drawn.suptitle("Gain of two edge servers (grey: below 5 %)", size=10)
        return png_bytes(drawn)


def execute() -> None:
    """Run the plan and those of each edge alone, once each, and write predicted and measured latencies."""
    made = plan(Scenario.bundled("two-halls"), {"here": TimingProfile.bundled("twin-cpu")})
    alone_s = {b.name: baseline_parts(made.table, b)[0] for b in made.baselines if b.name.startswith(ONLY)}
    actors = [*(str(site.name) for site in made.table.sites), *(user.name for user in made.users)]
    rows: dict[str, Any] = {}
    with Cluster(actors, start_timeout_s=600) as cluster:
        for name, users in {"both edges": made.users, **alone_s}.items():
            longest_s = max(user.latency_s for user in users)
            done = cluster.run(user_runs(made.table, users), run_options(made.table, longest_s))
            rows[name] = {
                "predicted_s": longest_s,
                "measured_s": max(done.measured_s.values()),
                "options": {user.name: user.option.name for user in users},
                "error_percent": done.error_percent,
                "overruns": len(done.overruns),
            }
            if users is made.users:
                pictures = judge_pictures(made.table, users, done.images)
                rows[name]["objects_read"] = [sum(p.found for p in pictures), sum(p.objects for p in pictures)]
            print(name, rows[name], flush=True)
    found = {"environment": done.environment, "sets": rows}
    write_text(RESULTS / "second_edge_executed.json", json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Work out all rows and write them, or execute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--execute", action="store_true", help="Run the plans instead.")
    if parser.parse_args().execute:
        execute()
        return
    factors = [row(band=band, servers=servers) for band, servers in product(FACTORS, FACTORS)]
    region = [row(across=across, stretch=stretch) for across, stretch in product(ACROSS, STRETCHES)]
    with (RESULTS / "second_edge.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(factors[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in r.items()} for r in [*factors, *region])
    (RESULTS / "second_edge.png").write_bytes(figure(region))
    least = min(r["gain_over_best_edge"] for r in factors)
    print(f"bands and servers times 0.7 to 1.3: at least {100 * least:.1f} % faster than the better edge alone")


if __name__ == "__main__":
    main()
