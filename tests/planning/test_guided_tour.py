"""The bundled scenario in which a shared prefix wins: against the proven optimum without it, and where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from megdt_opt import Scenario
from megdt_opt.planning.planner import solved
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.finding import find_profile

pytest.importorskip("diffusers")  # similarity of scenes is that of their conditionings


def tour(band: float = 1.0, speed: float = 1.0, devices: float = 1.0) -> OptionTable:
    """The tour, with its bands, its edge and its devices so many times as wide and as fast."""
    data: dict[str, Any] = Scenario.bundled("guided-tour").model_dump(exclude_none=True)
    for name in ("downlink_hz", "uplink_hz"):
        data["channel"][name] *= band
    data["edge"]["stretch"] /= speed
    for user in data["users"]:
        user["device"]["stretch"] = max(1.0, user["device"]["stretch"] / devices)
    return OptionTable.build(Scenario(**data), {"here": find_profile("twin-cpu")})


@pytest.mark.long_list("speed")
@pytest.mark.parametrize(("band", "speed"), [(b, s) for b in (0.7, 1.0, 1.3) for s in (0.7, 1.0, 1.3)])
def test_sharing_wins_by_a_twentieth_at_least(band: float, speed: float) -> None:
    table = tour(band, speed)
    made, alone = solved(table, gap=1e-4), solved(table.unshared(), gap=1e-4)
    assert made.status == alone.status == "optimal"
    assert made.objective_s < 0.95 * alone.lower_bound_s
    (group,) = made.groups
    assert table.shared is not None
    for name, alike in zip(group.riders, group.similarity or (), strict=True):
        k = [user.name for user in table.scenario.users].index(name)
        assert group.steps <= table.shared.most[k]
        assert 0.99 < alike <= 1.0


def test_sharing_loses_where_devices_are_quick() -> None:
    made = solved(tour(devices=30.0), gap=1e-4)
    assert made.groups == ()
    assert {user.option.mechanism for user in made.users} == {"local"}
