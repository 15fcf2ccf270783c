"""Best shares of given option sets by interior points: processor time, and what is left of the gap.

python -m experiments.benchmarks.shares [name of another row than "now"]

Run by a checkout of another commit, with that name, it measures the method of that commit on the same sets.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from experiments.benchmarks.families import FAMILIES, KINDS, draw
from experiments.benchmarks.record import RESULTS, Rows
from megdt_opt.pricing.scaled import Resources
from megdt_opt.shares.interior import Goal, Shares, interior

OPTIONS = 16
SIZES = ((2, 1), (5, 12), (12, 40), (40, 1))
"""Users, and option sets that are solved together."""

GOALS = {"sum": (1.0, 0.0, None), "max": (0.0, 1.0, None), "mixed": (1.0, 3.0, None), "cvar": (1.0, 0.0, (0.8, 2.0))}


def solved(family: str, kind: str, goal: str, users: int, sets: int) -> tuple[Shares, float]:
    """Shares of random open options, and the processor time that they took [s]."""
    problem = draw(family, users, OPTIONS, "max" if goal == "max" else "sum", 1, kind=kind)
    resources, rng = Resources.of(problem), np.random.default_rng(3)
    option = np.array([[rng.choice(np.flatnonzero(row)) for row in resources.open] for _ in range(sets)])
    rows, weights = np.arange(users), problem.weights
    fixed, branch = problem.fixed_s[rows, option], problem.branch_s[rows, option]
    wanted = Goal(weights / weights.sum() if goal == "cvar" else weights, *GOALS[goal])
    limit, every = problem.hard_deadline_s - fixed, np.ones(sets, bool)
    begin = time.process_time()
    found = interior(wanted, *resources.pick(option), fixed, branch, limit, every)
    return found, time.process_time() - begin


def main(name: str = "now") -> None:
    """One row for each kind and goal, kept in results/shares.json."""
    rows = Rows(RESULTS / "shares.json", "of", "kind", "goal")
    for kind in KINDS:
        for goal in GOALS:
            spent_s, gaps, number = 0.0, [0.0], 0
            for family in FAMILIES:
                for users, sets in SIZES:
                    found, own_s = solved(family, kind, goal, users, sets)
                    done = np.isfinite(found.objective)
                    gaps += list((found.objective[done] - found.bound[done]) / found.objective[done])
                    spent_s, number = spent_s + own_s, number + sets
            row: dict[str, Any] = {
                "of": name, "kind": kind, "goal": goal, "sets": number, "solved": len(gaps) - 1,
                "processor_s": spent_s, "worst_gap": float(max(gaps)),
            }  # fmt: skip
            rows.add(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
