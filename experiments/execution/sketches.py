"""Execute plans of users who take part by sketches, one user each, from the edge and from the camera in turn.

    python experiments/execution/sketches.py [--count 6] [--out experiments/execution/results]

Paced, one run at a time, every run counted, as in several.py. Writes sketches.json.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from formed_groups import run_list
from scenarios import scenario
from several import GAP

from megdt_opt import Plan, TimingProfile, plan
from megdt_opt.program.sketches import SKETCH_MECHANISMS

KIND = "sketch"


@cache
def planned(number: int) -> Plan:
    """Plan `number`, of one user whom one of the mechanisms is left."""
    found = scenario(number, 1, (SKETCH_MECHANISMS[number % len(SKETCH_MECHANISMS)],), seed=5)
    return plan(found, {"here": TimingProfile.bundled("twin-cpu")}, gap=GAP, compare=False)


if __name__ == "__main__":
    run_list("sketches", KIND, planned, __doc__)
