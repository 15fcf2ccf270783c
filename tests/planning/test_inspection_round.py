"""The bundled inspection round: turns win by at least 15 % over what reserved shares reach; the table shows losses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.planning.baselines import reserved_shares
from megdt_opt.scenario.options import OptionTable

HERE = {"here": TimingProfile.bundled("twin-cpu")}
ROWS = Path(__file__).resolve().parents[2] / "experiments" / "execution" / "results" / "turns_gain.csv"


@pytest.mark.parametrize(("band", "edge", "least"), [(1.0, 1.0, 0.15), (0.7, 0.7, 0.05)])
def test_turns_win_over_the_proven_optimum_of_reserved_shares(band: float, edge: float, least: float) -> None:
    fields = Scenario.bundled("inspection-round").model_dump(mode="json", exclude_none=True)
    fields["edge"]["stretch"] /= edge
    for side in ("downlink_hz", "uplink_hz"):
        fields["channel"][side] *= band
    made = plan(OptionTable.build(Scenario(**fields), HERE), gap=1e-3, compare=False)
    (reserved,) = reserved_shares(made.table, gap=1e-2)
    assert reserved.proven
    assert 1 - made.objective_s / (reserved.objective_s * (1 - 1e-2)) >= least
    assert made.certificate is not None
    assert made.certificate.verify(made.problem).holds


def test_the_committed_table_shows_where_turns_win_and_where_they_lose() -> None:
    with ROWS.open(encoding="utf-8") as file:
        below = {row["case"]: float(row["below_percent"]) for row in csv.DictReader(file)}
    assert below["as bundled"] >= 15
    assert min(value for case, value in below.items() if case.startswith("bands")) >= 5
    assert min(below.values()) < 0
