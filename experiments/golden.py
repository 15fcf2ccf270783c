"""The golden instances of the agreement test: small problems, committed with their optima.

    python experiments/golden.py tests/agreement/golden.json

draws them anew and writes each with its optimum: found by trying every option set, and, for the objectives that the
price method takes, held against a certificate that is verified in rational arithmetic. A change of the file is a change
of what is true, and needs a reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from random_problems import Instance

from megdt_opt import AllocationProblem, InvalidInput, solve
from megdt_opt.tolerances import BOUND, SOLVER

OBJECTIVES = ("max", "sum", "mixed")
LAWS = ("linear", "shannon")
LIMITS = ("none", "parallel", "forbidden", "caps", "deadlines", "airtime", "one option")
PROOF_GAP = 1e-8


def golden_problem(objective: str, law: str, limit: str) -> AllocationProblem:
    """The instance of an objective, a rate law and a kind of limit: 2 or 3 users, 3 options."""
    number = [OBJECTIVES.index(objective), LAWS.index(law), LIMITS.index(limit)]
    rng = np.random.default_rng([2024, *number])
    users = 2 + sum(number) % 2
    shape = (users, 1 if limit == "one option" else 3)
    fields: dict[str, Any] = {
        "fixed_s": rng.uniform(0.0, 2.0, shape),
        "downlink_bit": rng.uniform(1e3, 1e5, shape) * (rng.random(shape) < 0.85),
        "uplink_bit": rng.uniform(1e3, 5e4, shape),
        "edge_work_s": rng.uniform(0.1, 2.0, shape) * (rng.random(shape) < 0.85),
        "downlink_hz": 5e4,
        "uplink_hz": 4e4,
        "weight": rng.uniform(0.5, 2.0, users),
        "objective": objective,
    }
    if objective == "mixed":
        fields["max_weight"] = 1.5
    if law == "linear":
        fields |= {"downlink_efficiency": rng.uniform(1, 5, users), "uplink_efficiency": rng.uniform(0.5, 3, users)}
    else:
        fields |= {"downlink_snr_hz": rng.uniform(1e5, 1e7, users), "uplink_snr_hz": rng.uniform(1e5, 1e6, users)}
    if limit == "parallel":
        fields["device_branch_s"] = rng.uniform(0, 4, shape) * (rng.random(shape) < 0.7)
    if limit == "forbidden":
        fields["allowed"] = np.arange(shape[1]) != rng.integers(0, 3, (users, 1))
    if limit == "caps":
        fields["edge_share_max"] = rng.uniform(0.2, 0.6, users)
    problem = AllocationProblem(**fields)
    if limit == "deadlines":
        # tight: 3 % above what the users reach when the slowest is as fast as can be
        fair = AllocationProblem(**fields | {"objective": "max", "max_weight": None, "weight": np.ones(users)})
        fields["deadline_s"] = 1.03 * solve(fair, "enumerate").latency_s
    if limit == "airtime":
        # all least shares together take at most 87 % of the band
        whole = problem.uplink_bit / problem.rate("uplink", np.full(users, problem.uplink_hz))[:, None]
        fields["uplink_airtime_max_s"] = 1.15 * users * whole
    return AllocationProblem(**fields)


def names() -> list[tuple[str, str, str]]:
    """Objective, rate law and limit of each golden instance."""
    both = [(o, r, limit) for o in OBJECTIVES[:2] for r in LAWS for limit in LIMITS]
    return both + [("mixed", r, limit) for r in LAWS for limit in ("none", "caps", "one option")]


def plain(problem: AllocationProblem) -> dict[str, Any]:
    """Fields of a problem as plain data."""
    fields = {name: getattr(problem, name) for name in AllocationProblem.__dataclass_fields__}
    return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in fields.items() if v is not None}


def load(path: Path) -> list[tuple[Instance, float, float | None]]:
    """Golden instances with their optimum and proven bound [s]; None where no certificate is to be had."""
    loaded = []
    for number, one in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        instance = Instance(number, AllocationProblem(**one["problem"]), tuple(one["traits"]))
        loaded.append((instance, one["optimum"], one["bound"]))
    return loaded


def entry(objective: str, law: str, limit: str) -> dict[str, Any]:
    """One instance with its optimum, and the bound that a certificate proves."""
    problem = golden_problem(objective, law, limit)
    best = solve(problem, "enumerate")
    bound = None
    try:
        proven = solve(problem, "prices", gap=PROOF_GAP)
    except InvalidInput:
        pass  # no certificate for this objective
    else:
        assert proven.certificate is not None
        verdict = proven.certificate.verify(problem, exact=True)
        bound = proven.certificate.bound_s
        if not verdict.holds or not bound <= best.objective_s * (1 + BOUND) or bound < best.objective_s * (1 - SOLVER):
            raise SystemExit(f"{objective}, {law}, {limit}: {verdict}, optimum {best.objective_s!r}")
    traits = [objective, law, limit]
    return {"traits": traits, "optimum": best.objective_s, "bound": bound, "problem": plain(problem)}


def main() -> int:
    """Command line."""
    entries = [entry(*name) for name in names()]
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]\n", encoding="utf-8")
    print(f"{len(entries)} instances, {sum(e['bound'] is not None for e in entries)} of them with a certificate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
