"""The bundled scenario of merged seeds: merging half of the cells wins over the proven optimum without it."""

from __future__ import annotations

import pytest

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.planning.plan import Plan
from megdt_opt.scenario.options import OptionTable

HERE = {"here": TimingProfile.bundled("twin-cpu")}
MERGED = ("int8+merge25", "int8+merge50")


def made(band: float, edge: float, *without: str) -> Plan:
    fields = Scenario.bundled("merged-seeds").model_dump(mode="json", exclude_none=True)
    fields["edge"]["stretch"] /= edge
    for side in ("downlink_hz", "uplink_hz"):
        fields["channel"][side] *= band
    for user in fields["users"]:
        user["precisions"] = [name for name in user["precisions"] if name not in without]
    return plan(OptionTable.build(Scenario(**fields), HERE), gap=1e-3, compare=False)


@pytest.mark.parametrize(("band", "edge", "least"), [(1.0, 1.0, 0.14), (1.3, 0.7, 0.09), (0.7, 1.3, 0.15)])
def test_merging_wins_over_the_proven_optimum_without(band: float, edge: float, least: float) -> None:
    merged, plain = made(band, edge), made(band, edge, *MERGED)
    assert {user.option.precision for user in merged.users} == {"int8+merge50"}  # a ratio of 0.5 for all
    assert 1 - merged.objective_s / plain.lower_bound_s >= least
    assert merged.certificate is not None
    assert merged.certificate.verify(merged.problem).holds


def test_merging_is_not_chosen_where_the_band_is_wide() -> None:
    # at 30 times the band it still gains 0.8 %, as the floor closes most else that is sent
    assert not {user.option.precision for user in made(100.0, 1.0).users} & set(MERGED)
