"""Shared prefixes of many sizes, and groups that are formed: time to the gap, and HiGHS on the same configurations.

PYTHONPATH=experiments python experiments/benchmarks/parties_prefix.py [beginning of a run's name] [seeds]
"""

from __future__ import annotations

import json
import sys
import time
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from random_prefixes import random_groupings, random_prefixes
from record import RESULTS, commit, keep
from scipy.sparse import csr_array, hstack

from megdt_opt import SharedPrefixProblem, solve
from megdt_opt.solving.highs import Clock, Program, Rows, at_least

Array = NDArray[np.float64]

TABLE: dict[str, tuple[str, int, float, dict[str, Any]]] = {
    # what is asked of each: objective, users, gap, and how the problem is made
    "sum, phased, 50 users": ("sum", 50, 1e-6, {}),
    "sum, phased, 200 users": ("sum", 200, 1e-5, {}),
    "sum, separate, 200 users": ("sum", 200, 1e-5, {"reserve": "separate"}),
    "sum, cooperating, 200 users": ("sum", 200, 1e-5, {"hosts": True}),
    "max, phased, 50 users": ("max", 50, 1e-6, {}),
    "max, phased, 200 users": ("max", 200, 1e-6, {}),
    "max, separate, 200 users": ("max", 200, 1e-6, {"reserve": "separate"}),
    "max, cooperating, 50 users": ("max", 50, 1e-6, {"hosts": True}),
    "max, Shannon and limits, 50 users": ("max", 50, 1e-6, {"law": "shannon", "limits": True}),
    "grouping, sum, 40 users": ("sum", 40, 1e-3, {}),
    "grouping, max, 20 users": ("max", 20, 1e-2, {}),
    "HiGHS, all configurations, 30 users": ("sum", 30, 1e-4, {}),
    "HiGHS, those that none beats, 30 users": ("sum", 30, 1e-4, {}),
}

LIMIT_S = 60.0
"""Time that HiGHS has [s]."""


def problem_of(name: str, seed: int) -> SharedPrefixProblem:
    """Groups of 3, 4 and 5 users in turn, or groups of at most three that are to be formed."""
    objective, users, _, made = TABLE[name]
    if name.startswith("grouping"):
        return random_groupings(seed, users, objective=objective, **made)
    sizes: list[int] = []
    while users - sum(sizes) >= 3:
        sizes.append(min((3, 4, 5)[len(sizes) % 3], users - sum(sizes)))
    return random_prefixes(seed, tuple(sizes), alone=users - sum(sizes), objective=objective, **made)


def row(name: str, seed: int) -> dict[str, Any]:
    """One run: the gap that was reached, and the time that it took."""
    problem = problem_of(name, seed)
    gap = TABLE[name][2]
    clocks = time.perf_counter(), time.process_time()
    found = solve(problem, gap=gap)
    wall_s, processor_s = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    result = {
        "run": name, "seed": seed, "asked": gap, "gap": found.gap, "status": str(found.status),
        "objective_s": found.objective_s, "wall_s": round(wall_s, 4), "processor_s": round(processor_s, 4),
        "message": found.message,
    }  # fmt: skip
    if problem.group is None:
        merged = solve(problem, "greedy", gap=gap)
        result |= {"greedy_objective_s": merged.objective_s, "greedy_worse": merged.objective_s / found.objective_s - 1}
    if name.startswith("HiGHS"):
        other = by_highs(problem, gap, every="all" in name)
        result |= other | {"ratio": round(other["highs_processor_s"] / processor_s, 1)}
        result["objectives_apart"] = other["highs_objective_s"] / found.objective_s - 1
    return result


def configurations(problem: SharedPrefixProblem, every: bool) -> list[tuple[Array, Array]]:
    """Of each party: constants (N,) and roots (N, 3) of its configurations: of `every` one, or of those that no other
    beats in all four numbers."""
    assert problem.group is not None
    assert problem.trunk_group is not None
    of_group, of = problem.trunk_group, problem.group
    parties = [(np.flatnonzero(of == g), np.flatnonzero(of_group == g)) for g in range(problem.groups)]
    parties += [(np.array([k]), np.zeros(0, np.int64)) for k in np.flatnonzero(problem.group < 0)]
    down, up, capacity = problem.downlink_hz, problem.uplink_hz, problem.edge_capacity
    rates = (problem.downlink_efficiency, problem.uplink_efficiency, np.ones(problem.users) * capacity)
    sent = (problem.downlink_bit / down, problem.uplink_bit / up, problem.edge_work_s)
    own = np.stack([amount / rate[:, None] for amount, rate in zip(sent, rates, strict=True)])
    cast = problem.multicast_bit / (problem.multicast_efficiency * down)
    asked = problem.trunk_uplink_bit / (problem.trunk_uplink_efficiency * up)
    common = problem.trunk_edge_work_s / capacity
    found = []
    for users, trunks in parties:
        rows = []
        for q in (-1, *trunks.tolist()):
            fits = problem.compatible[:, :, q] if q >= 0 else problem.rides == 0
            for option in product(*(np.flatnonzero(fits[k]) for k in users)):
                o = np.array(option)
                rides, w = problem.rides[users, o], problem.weights[users]
                waits, casts = w[rides > 0].sum(), w[rides == 2].sum()
                if q >= 0 and not waits:
                    continue
                roots = np.sqrt(w * own[:, users, o])
                root = roots.sum(axis=1)
                constant = (w * problem.fixed_s[users, o]).sum()
                if q >= 0:
                    constant += waits * problem.trunk_fixed_s[q]
                    root[:2] += np.sqrt([casts * cast[q], waits * asked[q]])
                    inside = roots[2, rides > 0].sum()
                    root[2] += np.hypot(np.sqrt(waits * common[q]), inside) - inside
                rows.append((constant, *root))
        kept: list[Array] = []
        for line in np.array(sorted(rows)):
            if every or not kept or not (np.array(kept) <= line).all(axis=1).any():
                kept.append(line)
        found.append((np.array(kept)[:, 0], np.array(kept)[:, 1:]))
    return found


def by_highs(problem: SharedPrefixProblem, gap: float, every: bool) -> dict[str, Any]:
    """min sum C z + sum_i S_i^2, S = sum P z, one configuration a party, by tangents to the squares in rounds."""
    listed = configurations(problem, every)
    constant = np.concatenate([c for c, _ in listed])
    roots = np.concatenate([p for _, p in listed])
    party = np.repeat(np.arange(len(listed)), [len(c) for c, _ in listed])
    scale = float(constant.sum() / len(constant) * len(listed))
    count = len(constant)
    most = sum(p.max(axis=0) for _, p in listed)
    clock, processor = Clock(LIMIT_S), time.process_time()
    one = csr_array((np.ones(count), (party, np.arange(count))), shape=(len(listed), count))
    milp = Program(
        np.r_[constant / scale, np.ones(3)], np.zeros(count + 3), np.r_[np.ones(count), np.full(3, np.inf)],
        np.arange(count + 3) < count, clock,
    )  # fmt: skip
    each = np.ones(len(listed))
    milp.add(Rows(matrix=hstack([one, csr_array((len(listed), 3))]).tocsr(), lower=each, upper=each))

    def tangents(points: list[tuple[int, float]]) -> Rows:
        lines = [np.r_[-2.0 * p * roots[:, i] / scale, np.eye(3)[i]] for i, p in points]
        return at_least(csr_array(np.array(lines)), np.array([-p * p / scale for _, p in points]))

    milp.add(tangents([(i, part * most[i]) for i in range(3) for part in np.linspace(0.02, 1.0, 40)]))
    best, bound = np.inf, 0.0
    while clock.left_s > 0:
        answer = milp.run(rel_gap=0.3 * gap)
        bound = max(bound, answer.bound * scale)
        if answer.v is None:
            break
        z = answer.v[:count] > 0.5
        total = roots[z].sum(axis=0)
        best = min(best, float(constant[z].sum() + (total**2).sum()))
        if best - bound <= gap * best:
            break
        milp.add(tangents(list(enumerate(total.tolist()))))
    return {
        "highs_objective_s": best, "highs_bound_s": bound, "highs_wall_s": round(clock.spent_s, 3),
        "highs_processor_s": round(time.process_time() - processor, 3), "configurations": count,
    }  # fmt: skip


def main() -> None:
    """The table, or the rows whose names begin with the first argument, in place of those in the file.

    The second argument says for how many seeds.
    """
    wanted, seeds = sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 3
    for objective in ("sum", "max"):  # imports, and compiled code
        solve(random_prefixes(0, (4, 5, 4), objective=objective))
    rows = []
    for name in TABLE:
        if name.startswith(wanted):
            for seed in range(seeds):
                rows.append(row(name, seed) | {"commit": commit()})
                print(json.dumps(rows[-1]), flush=True)
    path = RESULTS / "parties_prefix.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if wanted else {"rows": []}
    new = {(made["run"], made["seed"]): made for made in rows}
    old = [new.pop((made["run"], made["seed"]), made) for made in kept["rows"]]
    more = {name: kept[name] for name in ("note",) if name in kept}
    keep(path, [*old, *new.values()], **more)


if __name__ == "__main__":
    main()
