"""Cells that are solved in one batch say what each says when it is planned alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Scenario, TimingProfile
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import solved
from megdt_opt.planning.user_plan import user_plan
from megdt_opt.problem.arrays import TABLES
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.varied import varied
from megdt_opt.sweeping import together
from megdt_opt.sweeping.cell import Settings, compute
from megdt_opt.sweeping.grid import Grid
from megdt_opt.sweeping.runner import run_sweep
from megdt_opt.tolerances import EXACT

ALONE = Settings(compare=False)
PHONE: dict[str, Any] = {
    "name": "phone", "device": {"stretch": 20, "compute_power": "5 W"},
    "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "1 bit/s/Hz",
}  # fmt: skip
TABLET = PHONE | {"name": "tablet", "device": {"stretch": 9}, "downlink_efficiency": "4 bit/s/Hz"}
FAR = {"name": "far", "device": {"stretch": 30}, "distance": "90 m"}
CHAINS = {"mechanisms": ["local", "centralised", "E2U"]}
BANDS: dict[str, Any] = {
    "channel.downlink": [f"{band} kHz" for band in (20, 60, 200, 900)],
    "channel.uplink": [f"{band} kHz" for band in (30, 70, 300, 800)],
}


def scenario(*users: dict[str, Any], **more: Any) -> Scenario:
    band = {"downlink": "60 kHz", "uplink": "60 kHz"}
    return Scenario(**{"steps": 4, "channel": band, "users": list(users), **more})


CASES: dict[str, tuple[Scenario, dict[str, Any]]] = {
    "all mechanisms": (scenario(PHONE, TABLET), BANDS),
    "chains alone": (scenario(PHONE | CHAINS, TABLET | CHAINS), BANDS),
    "a sum with weights": (
        scenario(PHONE | CHAINS, TABLET, objective="sum"),
        {"users.phone.weight": [0.5, 1, 2, 4], "edge.servers": [0.5, 1, 2, 3]},
    ),
    "limits on energy and time": (
        scenario(PHONE | {"energy_max": "12 J"}, TABLET | {"deadline": "3 s"}),
        BANDS,
    ),
    "Shannon rates, shadowing": (
        scenario(FAR, FAR | {"name": "near", "distance": "20 m"}, channel={
            "law": "shannon", "downlink": "1 MHz", "uplink": "1 MHz", "shadowing_std": "6 dB",
        }),
        {"users.far.distance": ["20 m", "60 m", "200 m", "900 m"], "channel.downlink": BANDS["channel.downlink"]},
    ),
    "a trace of links": (
        scenario(PHONE, TABLET),
        {"rows": [{"users.phone.downlink_efficiency": f"{0.2 * i} bit/s/Hz", "channel.downlink": "50 kHz"}
                  for i in range(1, 17)]},
    ),
}  # fmt: skip


def kin_of(base: Scenario, over: dict[str, Any]) -> tuple[OptionTable, list[Scenario]]:
    grid = Grid(base, over, None)
    cells = list(grid)
    assert len({cell.kin for cell in cells}) == 1
    return OptionTable.build(cells[0].scenario), [cell.scenario for cell in cells]


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("name", CASES)
def test_a_batch_says_what_each_cell_alone_says(name: str) -> None:
    table, scenarios = kin_of(*CASES[name])
    assert together.together(table, ALONE)
    found = together.compute_together(table, scenarios, ALONE)
    profiles = {"twin-cpu": TimingProfile.bundled("twin-cpu")}
    for own, one in zip(scenarios, found, strict=True):
        expected = compute(own, profiles, table.spec, ALONE)
        if one is None:
            assert expected["cell"]["status"] == "infeasible"
            continue
        cell, alone = one["cell"], expected["cell"]
        assert list(cell) == list(alone)
        assert (cell["status"], cell["options"]) == (alone["status"], alone["options"]) == ("optimal", cell["options"])
        assert cell["objective_s"] == pytest.approx(alone["objective_s"], rel=ALONE.gap)
        assert cell["lower_bound_s"] <= cell["objective_s"]
        assert cell["lower_bound_s"] <= alone["objective_s"] * (1 + EXACT)
        assert [list(user) for user in one["users"]] == [list(user) for user in expected["users"]]


@pytest.mark.parametrize("name", CASES)
def test_figures_of_a_batch_are_those_of_the_stages(name: str) -> None:
    """Every figure of every user is to the last bit that of `user_plan`, with the options and shares of the batch."""
    table, scenarios = kin_of(*CASES[name])
    found = together.compute_together(table, scenarios, ALONE)
    for own, one in zip(scenarios, found, strict=True):
        if one is None:
            continue
        own_table = varied(table, own)
        users = one["users"]
        shares = {
            field: np.array([user[field] for user in users]) for field in ("downlink_hz", "uplink_hz", "edge_share")
        }
        like = ("mechanism", "protocol", "cut", "precision", "codec")
        options = [
            next(o for o, option in enumerate(own_table.options) if own_table.allowed[k, o]
                 and all(getattr(option, field) == user[field] for field in like)
                 and option.share == user["share_at_edge"])
            for k, user in enumerate(users)
        ]  # fmt: skip
        answer = SimpleNamespace(option=np.array(options), **shares)
        problem = own_table.problem()
        made: Any = Plan(
            table=own_table, problem=problem, objective_s=1.0, lower_bound_s=1.0, gap=0.0, status=Status.OPTIMAL,
            users=tuple(user_plan(own_table, problem, k, answer) for k in range(len(users))),
            method=Method.BATCH, bound_source=BoundSource.LEAVES, solve_s=0.0,
        )  # fmt: skip
        expected = made.to_frame().drop(columns="survives_calibration").to_dict("records")
        for user, row in zip(users, expected, strict=True):
            assert {key: value for key, value in row.items() if value == value and value is not None} == {
                key: value for key, value in user.items() if value is not None
            }
        assert one["cell"]["edge_byte"] == sum(byte for byte, _ in made.edge_resident.values())
        objective_s = own.objective_of([user["latency_s"] for user in users])
        assert one["cell"]["objective_s"] == pytest.approx(objective_s, rel=EXACT)


def test_a_table_is_built_once_for_bands_and_once_for_every_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    true = OptionTable.build

    def spy(scenario: Scenario, *rest: Any, **more: Any) -> OptionTable:
        built.append(scenario.steps)
        return true(scenario, *rest, **more)

    monkeypatch.setattr(OptionTable, "build", spy)
    base = scenario(PHONE | CHAINS, TABLET | CHAINS)
    found = run_sweep(base, {**BANDS, "steps": [2, 4]}, compare=False)
    assert sorted(built) == [2, 4]
    assert (found.cells["status"] == "optimal").all()
    built.clear()
    again = run_sweep(base, {**BANDS, "steps": [4]}, compare=False)
    own = found.cells[found.cells["steps"] == 4]
    assert again.cells["objective_s"].tolist() == own["objective_s"].tolist()


def test_cells_that_share_no_table_are_not_varied() -> None:
    capped = {"downlink": "60 kHz", "uplink": "60 kHz", "efficiency_max": "7 bit/s/Hz"}
    grid = Grid(scenario(PHONE, FAR, channel=capped), BANDS, None)
    assert len({cell.kin for cell in grid}) == len(grid) == 16
    grid = Grid(
        scenario(PHONE), {"users.phone.downlink_efficiency": ["1 bit/s/Hz", "2 bit/s/Hz"], "steps": [1, 2]}, [1, 2]
    )
    assert len(grid) == 8
    assert len({cell.kin for cell in grid}) == 4  # a seed draws scenes, which coded pictures depend on


def test_varied_scenarios_equal_those_that_are_read() -> None:
    for base, over in CASES.values():
        grid = Grid(base, over, None)
        for place, cell in enumerate(grid):
            places = tuple(int(i) for i in np.unravel_index(place, grid.shape))
            assert cell.scenario == grid._whole(places[:-1])


def test_a_plan_alone_and_its_table_varied_agree() -> None:
    table, scenarios = kin_of(*CASES["limits on energy and time"])
    for own in scenarios[:4]:
        one, other = solved(varied(table, own)), solved(OptionTable.build(own))
        assert one.objective_s == other.objective_s
        assert [user.option for user in one.users] == [user.option for user in other.users]


@pytest.mark.parametrize("name", CASES)
def test_an_option_that_is_left_out_is_never_better(name: str) -> None:
    """Another open one takes at most as much of everything; what stays is needed by somebody."""
    table, _ = kin_of(*CASES[name])
    problem = table.problem()
    assert isinstance(problem, AllocationProblem)
    kept, allowed = together._needed(table)
    opened = np.ones((problem.users, problem.options), dtype=bool) if problem.allowed is None else problem.allowed
    used = np.stack([a for t in TABLES if t != "uplink_airtime_max_s" and (a := getattr(problem, t)) is not None])
    for k in range(problem.users):
        mine = set(kept[allowed[k]].tolist())
        assert mine <= set(np.flatnonzero(opened[k]).tolist())
        for o in set(np.flatnonzero(opened[k]).tolist()) - mine:
            assert any((used[:, k, p] <= used[:, k, o]).all() for p in mine)
        for o in mine:
            assert not any((used[:, k, p] <= used[:, k, o]).all() for p in mine - {o})
    assert allowed.any(axis=0).all()
