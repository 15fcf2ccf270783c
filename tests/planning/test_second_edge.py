"""The bundled scenario in which a second edge server wins, and the region where it does not."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megdt_opt import Scenario, TimingProfile, solve
from megdt_opt.scenario.options import OptionTable

RESULTS = Path(__file__).parents[2] / "experiments" / "execution" / "results" / "second_edge.csv"


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize(("band", "servers"), [(1.0, 1.0), (0.7, 0.7), (1.3, 1.3)])
def test_a_second_edge_wins_by_more_than_five_per_cent(band: float, servers: float) -> None:
    data = Scenario.bundled("two-halls").model_dump(mode="json", exclude_none=True)
    data["channel"] |= {f"{side}_hz": band * data["channel"][f"{side}_hz"] for side in ("downlink", "uplink")}
    for edge in data["edges"]:
        edge["servers"] *= servers
    table = OptionTable.build(Scenario(**data), {"here": TimingProfile.bundled("twin-cpu")})
    problem = table.problem()
    both = solve(problem, gap=1e-3)
    assert both.certificate is not None
    assert both.certificate.verify(problem).holds
    for site in table.sites:
        without = np.array([option.edge in ("", site.name) for option in table.options])
        alone = solve(replace(problem, allowed=problem.allowed_mask & without), gap=1e-3)
        # a bound of what one edge can do against what two do
        assert alone.certificate is not None
        assert both.objective_s <= 0.95 * alone.lower_bound_s


def test_the_published_region_has_both_sides() -> None:
    rows = list(csv.DictReader(RESULTS.open(encoding="utf-8")))
    nominal = [r for r in rows if (float(r["across"]), float(r["stretch"])) == (0.6, 6.0)]
    assert len(nominal) == 10  # the nine factors, and the scenario once more in the region
    assert min(float(r["gain_over_best_edge"]) for r in nominal) > 0.05
    for gain in ("gain_over_best_edge", "gain_over_one_place"):
        found = [float(r[gain]) for r in rows]
        assert min(found) < 0.05 < max(found), gain
    for r in rows:
        both, best = float(r["both_s"]), float(r["best_edge_s"])
        assert float(r["gain_over_best_edge"]) == pytest.approx(1 - both / best, abs=2e-5)
        assert both <= best * (1 + 1e-3)
