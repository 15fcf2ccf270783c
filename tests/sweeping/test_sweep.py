"""Sweeps: paths, grids, seeds, the cache, and rows that say what a plan of the cell says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from megdt_opt import Infeasible, InvalidInput, ProfileError, Scenario, TimingProfile, plan, sweep, sweep_users
from megdt_opt.models.twin.scenes import random_scene
from megdt_opt.planning.baselines import baselines
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.solving import compiled
from megdt_opt.sweeping import grid, planned, run_sweep, runner
from megdt_opt.sweeping.cache import Cache
from megdt_opt.tolerances import BOUND, EXACT

TIMES = ["build_s", "solve_s"]
"""Columns that differ from run to run."""

LAPTOP: dict[str, Any] = {
    "name": "laptop",
    "device": {"stretch": 8, "compute_power": "10 W"},
    "downlink_efficiency": "2 bit/s/Hz",
    "uplink_efficiency": "2 bit/s/Hz",
    "mechanisms": ["local", "E2U", "centralised"],
    "precisions": ["int8"],
    "scene": 3,
}
PHONE: dict[str, Any] = LAPTOP | {"name": "phone", "device": {"stretch": 30, "compute_power": "2 W"}, "scene": 4}


def small(*users: dict[str, Any], **more: Any) -> Scenario:
    band = {"downlink": "60 kHz", "uplink": "60 kHz"}
    return Scenario(**{"steps": 4, "channel": band, "users": list(users or (LAPTOP, PHONE)), **more})


@pytest.fixture(scope="module")
def base() -> Scenario:
    return small()


OVER: dict[str, Any] = {"channel.downlink": ["30 kHz", "0.12 MHz"], "edge.stretch": [1, 40]}


def test_rows_are_the_grid_in_order_and_in_si_units(base: Scenario) -> None:
    frame = sweep(base, OVER, seeds=[7, 2], compare=False)
    assert list(frame.columns[:3]) == ["channel.downlink_hz", "edge.stretch", "seed"]
    found = list(frame.iloc[:, :3].itertuples(index=False, name=None))
    assert found == [(b, f, s) for b in (30e3, 120e3) for f in (1.0, 40.0) for s in (7, 2)]
    assert (frame["users"] == 2).all()


def test_a_row_is_what_plan_says_of_its_cell(base: Scenario) -> None:
    frame = sweep(base, {"edge.stretch": [1, 40]})
    assert frame["seed"].isna().all()
    for _, row in frame.iterrows():
        edge = base.edge.model_copy(update={"stretch": row["edge.stretch"]})
        made = plan(base.model_copy(update={"edge": edge}), compare=False)
        assert row["objective_s"] == pytest.approx(made.objective_s, rel=EXACT)
        assert row["lower_bound_s"] <= row["objective_s"] * (1 + BOUND)
        assert row["status"] == made.status == "optimal"
        chosen = [u.option.mechanism for u in made.users]
        assert [row[f"users_{m}"] for m in MECHANISMS] == [chosen.count(m) for m in MECHANISMS]
        rivals = {b.name: b.objective_s for b in baselines(made.table, made.options)}
        assert row["all_local_s"] == pytest.approx(rivals["all local"], rel=EXACT)
        assert row["all_centralised_s"] == pytest.approx(rivals["all centralised"], rel=EXACT)
        assert row["equal_shares_s"] == pytest.approx(rivals["plan's options, equal shares"], rel=EXACT)
        singles = [s for name, s in rivals.items() if name.startswith("all ")]
        assert row["best_single_s"] == pytest.approx(min(singles), rel=EXACT)
        assert row["best_single_s"] == pytest.approx(rivals[f"all {row['best_single']}"], rel=EXACT)
        assert row["edge_s"] == pytest.approx(sum(u.costs.edge_s for u in made.users), rel=EXACT)
        joules = sum(u.costs.device_compute_j or 0.0 for u in made.users)
        assert row["device_compute_j"] == pytest.approx(joules, rel=EXACT)
    # the edge at a fortieth of its speed is worth less
    assert frame["objective_s"][0] < frame["objective_s"][1]


def test_user_rows_are_the_plan_of_each_cell(base: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    # one engine for both sweeps: of plans that are equally good each engine may return another
    monkeypatch.setattr(compiled, "usable", lambda problem: False)
    found = run_sweep(base, {"users": [1, 3]}, seeds=range(2), compare=False)
    assert found.users.groupby(["users", "seed"]).size().to_dict() == {(1, 0): 1, (1, 1): 1, (3, 0): 3, (3, 1): 3}
    worst = found.users.groupby(["users", "seed"])["latency_s"].max()
    assert worst.to_numpy() == pytest.approx(found.cells["objective_s"].to_numpy(), rel=EXACT)
    assert_frame_equal(found.users, sweep_users(base, {"users": [1, 3]}, seeds=range(2), compare=False))
    assert (found.users.groupby(["users", "seed"])["edge_share"].sum() <= 1 + EXACT).all()


def test_paths_that_change_together(base: Scenario) -> None:
    over: Any = {("channel.downlink", "channel.uplink"): [("1 kHz", "2 kHz"), ("3 kHz", "4 kHz")]}
    frame = sweep(base, over, compare=False)
    assert frame[["channel.downlink_hz", "channel.uplink_hz"]].to_numpy().tolist() == [[1e3, 2e3], [3e3, 4e3]]


def test_values_from_numpy(base: Scenario) -> None:
    over: dict[str, Any] = {
        "steps": np.arange(2, 4),
        "edge.stretch": np.linspace(1, 2, 2),
        "users": np.array([1]),
    }
    cells = grid.cells_of(base, over, np.arange(2))
    assert [tuple(c.parameters.values()) for c in cells[::2]] == [(2, 1.0, 1), (2, 2.0, 1), (3, 1.0, 1), (3, 2.0, 1)]
    assert {c.seed for c in cells} == {0, 1}


def test_fields_of_users(base: Scenario) -> None:
    cells = grid.cells_of(base, {"users.*.deadline": ["2 s", None], "users.phone.device.stretch": [2.5]}, None)
    assert [c.parameters["users.*.deadline_s"] for c in cells] == [2.0, None]
    assert [[u.deadline_s for u in c.scenario.users] for c in cells] == [[2.0, 2.0], [None, None]]
    assert [u.device.stretch for u in cells[0].scenario.users] == [8.0, 2.5]


@pytest.mark.parametrize(
    ("over", "field", "message"),
    [
        ({"channel.downlnk": ["1 MHz"]}, "channel.downlnk", "Did you mean 'downlink_hz'"),
        ({"channel.downlink": [5]}, "channel.downlink", "a frequency with a unit"),
        ({"channel.downlink": ["5 s"]}, "channel.downlink", "frequency in Hz"),
        ({"users.*.deadline": [5]}, "users.*.deadline", "a time with a unit"),
        ({"users.*.uplink_efficiency": [5]}, "users.*.uplink_efficiency", "spectral efficiency"),
        ({"users.nobody.deadline": ["5 s"]}, "users.nobody.deadline", "laptop"),
        ({"users": [1], "users.phone.weight": [2]}, "users.phone.weight", "laptop"),
        ({"users.*": [5]}, "users.*", "a user and a field"),
        ({"channel.law.x": [5]}, "channel.law.x", "no fields"),
        ({"channel.": [5]}, "channel.", "a field of Channel"),
        ({"": [5]}, "over", "a field of Scenario"),
        ({"users": [0]}, "users", "at least 1"),
        ({"users": [True]}, "users", "at least 1"),
        ({"users": ["2"]}, "users", "whole number"),
        ({"steps": []}, "steps", "at least one value"),
        ({"steps": 4}, "steps", "a list of values"),
        ({"steps": "444"}, "steps", "a list of values"),
        ({"steps": [4, 4]}, "over", "every value once"),
        ({"channel.downlink": ["1 MHz"], "channel.downlink_hz": [5]}, "channel.downlink", "different fields"),
        ({"edge": [{}], "edge.stretch": [3]}, "edge", "different fields"),
        ({"users.*.weight": [1], "users.phone.weight": [2]}, "users.*.weight", "different fields"),
        ({("steps", "steps"): [(1, 2)]}, "steps", "each path once"),
        ({("steps", "edge.stretch"): [(1,)]}, "('steps', 'edge.stretch')", "2 values"),
        ({"steps": [2], "users.*.private_steps": [9]}, "users.*.private_steps", "at most 2 steps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_runs(
    base: Scenario, over: Any, field: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "compute", lambda *_: pytest.fail("a cell was planned"))
    with pytest.raises(InvalidInput, match=message) as caught:
        sweep(base, over)
    assert caught.value.field == field


@pytest.mark.parametrize("seeds", [[], [-1], [1, 1], [0.5], 3, "12"])
def test_bad_seeds(base: Scenario, seeds: Any) -> None:
    with pytest.raises(InvalidInput, match="seeds"):
        sweep(base, {}, seeds=seeds)


def test_a_missing_profile_ends_the_sweep_before_it_starts(base: Scenario) -> None:
    with pytest.raises(ProfileError, match="nowhere"):
        sweep(base, {"edge.profile": ["twin-cpu", "nowhere"]}, on_progress=lambda *_: pytest.fail("it started"))


def test_an_error_that_only_planning_finds_names_the_cell(base: Scenario) -> None:
    with pytest.raises(InvalidInput, match=r"cell of the sweep: scheduler = unheard"):
        sweep(base, {"scheduler": ["unheard"]}, compare=False)


def test_an_infeasible_cell_is_a_row(base: Scenario) -> None:
    frame = sweep(base, {"users.*.deadline": ["1 ms", None, "1 h"]})
    assert frame["status"].tolist() == ["infeasible", "optimal", "optimal"]
    assert "deadline 1 ms" in frame["reason"][0]
    numbers = frame.loc[0, ["objective_s", "lower_bound_s", "gap", "users_local", "all_local_s", "solve_s"]]
    assert numbers.isna().all()
    assert frame["users.*.deadline_s"].isna().tolist() == [False, True, False]
    assert len(sweep_users(base, {"users.*.deadline": ["1 ms"]})) == 0


@given(
    count=st.integers(1, 12),
    more=st.integers(0, 5),
    names=st.sets(st.sampled_from(["a", "b", "a-2", "a-2-copy"]), min_size=1),
)
@settings(max_examples=40)
def test_resizing_keeps_names_unique_and_smaller_sets_inside_larger_ones(
    count: int, more: int, names: set[str]
) -> None:
    users = [{"name": name, "mark": i} for i, name in enumerate(sorted(names))]
    found = grid.resized(users, count)
    assert len({u["name"] for u in found}) == len(found) == count
    assert [u["mark"] for u in found] == [i % len(users) for i in range(count)]
    assert found[: len(users)] == users[:count]
    assert grid.resized(users, count + more)[:count] == found


def test_seeds_redraw_only_what_is_random() -> None:
    given_scene = {"objects": []}
    users = (LAPTOP, PHONE | {"scene": given_scene}, LAPTOP | {"name": "third"})
    calm = small(*users)
    one, same, other = grid.redrawn(calm, 1), grid.redrawn(calm, 1), grid.redrawn(calm, 2)
    assert one == same != other
    assert one.users[1].scene == given_scene
    assert one.users[0].scene not in (calm.users[0].scene, other.users[0].scene, one.users[2].scene)
    assert one.channel == calm.channel
    assert one.model_copy(update={"users": calm.users}) == calm
    assert grid.redrawn(small(*users[:1]), 1).users == one.users[:1]
    channel = {"downlink": "1 MHz", "uplink": "1 MHz", "shadowing_std": "8 dB", "shadowing_seed": -5}
    faded = small(*users, {"name": "far", "distance": "80 m"}, channel=channel)
    assert grid.redrawn(faded, 1).channel.shadowing_seed != grid.redrawn(faded, 2).channel.shadowing_seed


def test_seeds_reach_the_plan() -> None:
    near = {k: v for k, v in LAPTOP.items() if not k.endswith("efficiency")} | {
        "distance": "80 m",
        "mechanisms": ["E2U"],
    }
    channel = {"downlink": "60 kHz", "uplink": "60 kHz", "shadowing_std": "8 dB", "edge_transmit": "1 mW"}
    frame = sweep(small(near, channel=channel), {}, seeds=range(3), compare=False)
    assert frame["objective_s"].nunique() == 3


def counted(monkeypatch: pytest.MonkeyPatch, end_after: int = 10**6) -> list[str]:
    """Record the scenarios that are planned; interrupt before number `end_after` + 1."""
    done: list[str] = []
    true = planned.compute

    def spy(scenario: Scenario, *rest: Any) -> dict[str, Any]:
        if len(done) == end_after:
            raise KeyboardInterrupt
        done.append(scenario.model_dump_json())
        return true(scenario, *rest)

    monkeypatch.setattr(planned, "compute", spy)
    return done


def test_an_interrupted_sweep_resumes(base: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(base, OVER, seeds=[0, 1], compare=False)
    with monkeypatch.context() as patch:
        first = counted(patch, end_after=3)
        with pytest.raises(KeyboardInterrupt):
            sweep(base, OVER, seeds=[0, 1], compare=False, cache=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == len(first) == 3
    rest = counted(monkeypatch)
    seen: list[tuple[int, int, str]] = []
    found = run_sweep(base, OVER, [0, 1], compare=False, cache=tmp_path, on_progress=lambda *now: seen.append(now))
    assert not set(first) & set(rest)
    assert (found.computed, found.remembered) == (len(rest), 3) == (5, 3)
    assert [done for done, _, _ in seen] == [3, 4, 5, 6, 7, 8]
    assert_frame_equal(found.cells.drop(columns=TIMES), whole.drop(columns=TIMES))
    again = run_sweep(base, OVER, [0, 1], compare=False, cache=tmp_path)
    assert again.computed == 0
    assert_frame_equal(again.cells, found.cells)
    assert_frame_equal(again.users, found.users)


def test_the_cache_knows_every_input(base: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(scenario: Scenario = base, **how: Any) -> int:
        return run_sweep(scenario, {"steps": [2]}, cache=tmp_path, **{"compare": False, **how}).computed

    assert computed() == 1
    assert computed() == 0
    assert computed(gap=1e-3) == 1
    assert computed(compare=True) == 1
    assert computed(small(PHONE, LAPTOP)) == 1
    own = TimingProfile.bundled("twin-cpu")
    assert computed(profiles={"twin-cpu": own}) == 0
    assert computed(profiles={"twin-cpu": own.stretched(1.5, "slower")}) == 1
    monkeypatch.setattr("megdt_opt.sweeping.cache.__version__", "999")
    assert computed() == 1


def test_the_cache_knows_the_code(
    base: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from megdt_opt import formulations
    from megdt_opt.sweeping import cache

    request.addfinalizer(cache.code_digest.cache_clear)
    for source in Path(formulations.__path__[0]).glob("*.py"):
        (tmp_path / "formulations" / source.name).parent.mkdir(exist_ok=True)
        (tmp_path / "formulations" / source.name).write_bytes(source.read_bytes())
    seen = [cache.code_digest()]
    assert cache.code_digest() == seen[0]
    for place, change in (
        ("a file more", lambda folder: (folder / "extra.py").write_text("")),
        ("a file's name", lambda folder: (folder / "extra.py").rename(folder / "more.py")),
        ("a letter", lambda folder: (folder / "more.py").write_text("#")),
        ("a library", lambda _: monkeypatch.setattr(cache, "LIBRARIES", ("numpy",))),
    ):
        change(tmp_path / "formulations")
        monkeypatch.setattr(formulations, "__path__", [str(tmp_path / "formulations")])
        cache.code_digest.cache_clear()
        assert cache.code_digest() not in seen, place
        seen.append(cache.code_digest())
    found = run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path / "cells")
    assert found.computed == 1
    (tmp_path / "formulations" / "more.py").write_text("# changed")
    cache.code_digest.cache_clear()
    assert run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path / "cells").computed == 1


def forged(data: dict[str, Any]) -> None:
    """A digest for what was altered."""
    from megdt_opt.sweeping.cache import digest

    data["digest"] = digest(data["result"])


@pytest.mark.parametrize("sealed", [False, True], ids=["as altered", "with a digest of its own"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("objective_s", 0.001, id="objective below its own bound"),
        pytest.param("lower_bound_s", 1e6, id="bound above the objective"),
        pytest.param("gap", 0.5, id="gap of other figures"),
        pytest.param("status", "infeasible", id="infeasible with a plan"),
        pytest.param("status", "proven", id="no status"),
        pytest.param("objective", "sum", id="another objective"),
    ],
)
def test_a_kept_result_that_does_not_fit_is_planned_again(
    base: Scenario, tmp_path: Path, field: str, value: Any, sealed: bool
) -> None:
    first = run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path)
    (path,) = tmp_path.rglob("*.json")
    data = json.loads(path.read_text())
    assert data["result"]["cell"][field] != value
    data["result"]["cell"][field] = value
    if sealed:
        forged(data)
    path.write_text(json.dumps(data))
    second = run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path)
    assert (second.computed, second.remembered) == (1, 0)
    assert_frame_equal(second.cells.drop(columns=TIMES), first.cells.drop(columns=TIMES))


@pytest.mark.parametrize("field", ["messages", "all_local_s", "solve_s"])
def test_any_figure_that_was_altered_is_planned_again(base: Scenario, tmp_path: Path, field: str) -> None:
    run_sweep(base, {"steps": [2]}, cache=tmp_path)
    (path,) = tmp_path.rglob("*.json")
    data = json.loads(path.read_text())
    data["result"]["cell"][field] += 1
    path.write_text(json.dumps(data))
    assert run_sweep(base, {"steps": [2]}, cache=tmp_path).computed == 1


@pytest.mark.parametrize("change", ["latency", "user", "users"])
def test_kept_users_that_do_not_fit_are_planned_again(base: Scenario, tmp_path: Path, change: str) -> None:
    first = run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path)
    (path,) = tmp_path.rglob("*.json")
    data = json.loads(path.read_text())
    users = data["result"]["users"]
    if change == "latency":
        for user in users:
            user["latency_s"] /= 2
    elif change == "user":
        users[0]["user"] = "stranger"
    else:
        users.pop()
    forged(data)
    path.write_text(json.dumps(data))
    second = run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path)
    assert second.computed == 1
    assert_frame_equal(second.users, first.users)


@pytest.mark.parametrize("harm", ["cut", "empty", "inputs", "column", "format", "binary"])
def test_a_harmed_file_of_the_cache_is_planned_again(base: Scenario, tmp_path: Path, harm: str) -> None:
    def run() -> runner.SweepResult:
        return run_sweep(base, {"steps": [2]}, compare=False, cache=tmp_path)

    first = run()
    (path,) = tmp_path.rglob("*.json")
    data = json.loads(path.read_text())
    if harm == "inputs":
        data["inputs"]["scenario"]["steps"] = 3
    elif harm == "column":
        del data["result"]["cell"]["objective_s"]
    elif harm == "format":
        data["format"] = "another"
    text = json.dumps(data)
    path.write_bytes({"cut": text[:200].encode(), "empty": b"", "binary": b"\xff\xfe"}.get(harm, text.encode()))
    second = run()
    assert second.computed == 1
    assert_frame_equal(second.cells.drop(columns=TIMES), first.cells.drop(columns=TIMES))
    assert run().computed == 0


def test_a_failed_solver_is_a_row_that_is_tried_again(
    base: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from megdt_opt.errors import SolverFailure
    from megdt_opt.sweeping import cell

    def fail(*_: Any, **__: Any) -> None:
        raise SolverFailure("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(cell, "solved", fail)
        frame = sweep(base, {}, cache=tmp_path)
        assert frame[["status", "reason"]].to_numpy().tolist() == [["failed", "out of luck"]]
    assert sweep(base, {}, compare=False, cache=tmp_path)["status"].tolist() == ["optimal"]


def test_a_plan_stands_without_its_baselines(base: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    from megdt_opt.sweeping import cell

    def fail(*_: Any, **__: Any) -> None:
        raise Infeasible("nobody can")

    monkeypatch.setattr(cell, "baselines", fail)
    row = sweep(base, {}).loc[0]
    assert (row["status"], row["reason"]) == ("optimal", "no baselines: nobody can")
    assert np.isnan(row["all_local_s"])
    assert row["objective_s"] > 0


def test_cells_that_do_not_differ_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    still = small(LAPTOP | {"scene": random_scene(np.random.default_rng(0)).to_dict()})
    done = counted(monkeypatch)
    frame = sweep(still, {}, seeds=range(4), compare=False)
    assert len(done) == 1
    assert len(frame) == 4


def test_processes_change_nothing(base: Scenario, tmp_path: Path) -> None:
    alone = sweep(base, OVER, compare=False)
    both = run_sweep(base, OVER, compare=False, jobs=2, cache=tmp_path)
    assert_frame_equal(both.cells.drop(columns=TIMES), alone.drop(columns=TIMES))
    assert Cache(tmp_path).load(next(tmp_path.rglob("*.json")).stem) is not None
    assert run_sweep(base, OVER, compare=False, cache=tmp_path).computed == 0
    with pytest.raises(InvalidInput, match="jobs"):
        sweep(base, OVER, jobs=0)
    with pytest.raises(InvalidInput, match="cell of the sweep: scheduler"):
        sweep(base, {"scheduler": ["unheard", "unseen"]}, jobs=2, compare=False)


def test_a_table_survives_a_csv_file(base: Scenario, tmp_path: Path) -> None:
    frame = sweep(base, {"users": [1, 2]}, seeds=[0])
    frame.to_csv(tmp_path / "sweep.csv", index=False)
    back = pd.read_csv(tmp_path / "sweep.csv")
    empty = ["reason", "best_edge"]
    assert back[empty].isna().all(axis=None)
    assert frame[empty].isna().all(axis=None)
    assert_frame_equal(back.drop(columns=empty), frame.drop(columns=empty), check_dtype=False)
