"""Turns, batches, deviations and samples against the enumerations of the tests, instance by instance.

    python experiments/parties_agreement.py turns|batches|deviations|samples [--count 200] [--log FILE] [--seconds S]

Each problem of `random_turns`, `random_batches`, `random_deviations` and `random_samples` is solved by default, with
the gap that its test asks for, and set beside what an enumeration that shares nothing with the package finds. Rows of
JSON lines, each with its commit, are added to the log as they come, so that a second run goes on where the first was
stopped (`--seconds`: after so many of processor time); rows of other commits are left out with `--anew`.
Exit code 1 where a row does not agree, a bound is above the optimum or a certificate fails its exact check.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "agreement"))

import numpy as np
from benchmarks.record import RESULTS, commit
from random_batches import draw_batches
from random_deviations import draw_deviations
from random_samples import draw_samples
from random_turns import draw_turns

from megdt_opt import Infeasible, solve
from megdt_opt.tolerances import BOUND

SUM, MAX = (1e-9, 5e-10), (1e-7, 5e-8)
"""Relative precision that is asked for, and the gap that is solved to [1]."""


def _drawn(name: str, number: int) -> list[tuple[str, Any]]:
    """Objectives and problems of a number."""
    if name == "turns":
        return [(one, draw_turns(number, objective=one)) for one in ("sum", "max")]
    if name == "batches":
        return [(one, draw_batches(number, one)) for one in ("sum", "max", "quality")]
    draw: Callable[[int], Any] = draw_deviations if name == "deviations" else draw_samples
    problem = draw(number)
    return [(problem.objective, problem)]


def row(name: str, number: int, objective: str, problem: Any) -> dict[str, Any]:
    """One instance: both optima, the bound, and whether they agree."""
    test = import_module(_TESTS[name])
    truth = float(test.enumerated(problem))
    precision, gap = MAX if name == "samples" or objective != "sum" else SUM
    begin = time.process_time()
    fields: dict[str, Any] = {"number": number, "objective": objective}
    try:
        found = solve(problem, gap=gap)
    except Infeasible:
        return fields | {"infeasible": True, "agrees": truth == math.inf}
    value, bound = (found.objective_s, found.lower_bound_s) if name != "batches" else test.value(found)
    known = found.certificate is not None
    holds = bool(found.certificate.verify(problem, exact=True).holds) if known else None
    off = abs(value - truth) / max(abs(truth), 1e-300)
    # the grid of shares for samples is from above: what is worse than it disagrees, and what is far below
    off_most = precision if name != "samples" or value > truth else 1e-5
    above = BOUND if known else MAX[0]
    return fields | {
        "enumerated": truth, "found": value, "off": off, "bound": bound, "gap": found.gap, "status": str(found.status),
        "bound_source": str(found.bound_source), "exact_check": holds, "processor_s": time.process_time() - begin,
        "agrees": bool(off <= off_most and bound <= truth + above * abs(truth)),
    }  # fmt: skip


_TESTS = {"turns": "test_turns", "batches": "test_batched_edge", "deviations": "test_deviations",
          "samples": "test_samples"}  # fmt: skip


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(_TESTS))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--anew", action="store_true")
    asked, ran = parser.parse_args(), commit()
    log = asked.log or RESULTS / f"agreement_{asked.name}.jsonl"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    if asked.anew:
        rows = [one for one in rows if one.get("commit") == ran]
        log.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    known = {(one["number"], one["objective"]) for one in rows}
    for number in range(asked.count):
        for objective, problem in _drawn(asked.name, number):
            if (number, objective) in known or time.process_time() > asked.seconds:
                continue
            rows.append(row(asked.name, number, objective, problem) | {"commit": ran})
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    bad = [one for one in rows if not one["agrees"] or one.get("exact_check") is False]
    off = [one["off"] for one in rows if "off" in one]
    print(f"{asked.name}: {len(rows)} instances, {sum('infeasible' in one for one in rows)} infeasible,",
          f"worst difference {np.max(off, initial=0.0):.1e}, {len(bad)} that do not agree")  # fmt: skip
    for one in bad:
        print("   ", one)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
