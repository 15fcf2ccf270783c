"""The outer approximation: its tangents, its bounds in every round, Shannon rates, and its ends."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import solve
from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.formulations import option_gdp_outer
from megdt_opt.formulations._checks import workable_options
from megdt_opt.formulations._tangents import Stage
from megdt_opt.problem.allocation_problem import evaluate
from megdt_opt.radio.rates import time_and_slopes
from megdt_opt.solving.highs import Clock
from megdt_opt.tolerances import BOUND, EXACT, SOLVER


def _stage(seed: int) -> Stage:
    """Two users, four options each, of which one has no such stage; user 1 has a Shannon rate."""
    r = np.random.default_rng(seed)
    user = np.repeat([0, 1], 4)
    return Stage(
        user=user, users=2, a=r.uniform(0.1, 5.0, 8) * (np.arange(8) % 4 != 2), lo=r.uniform(0.0, 0.3, 8),
        hi=np.repeat(r.uniform(0.8, 2.0, 2), 4), gamma=np.where(user == 1, 10 ** r.uniform(-1, 3), np.inf),
    )  # fmt: skip


@pytest.mark.long_list("slope")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slope", [0.0, 1e-6, 0.1, 1.0, 30.0, 1e6])
def test_tangents_are_below_the_law_and_touch_it(seed: int, slope: float) -> None:
    stage = _stage(seed)
    c = stage.support(np.full(2, slope))
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 20001)])[:, None]
    x = stage.lo + grid * (stage.hi - stage.lo)
    t = np.where(stage.a > 0, time_and_slopes(x, stage.a, stage.gamma)[0], 0.0)
    least = (t + slope * np.where(stage.a > 0, x, 0.0)).min(axis=0)
    assert (c <= least * (1 + EXACT)).all()
    # the grid misses the least value by little
    assert c == pytest.approx(least, rel=1e-4)
    touched = stage.nearest(np.full(2, slope))
    at = time_and_slopes(np.where(touched > 0, touched, 1.0), stage.a, stage.gamma)[0] + slope * touched
    assert c == pytest.approx(np.where(stage.a > 0, at, 0.0), rel=EXACT)


def test_highest_tangent_of_linear_options(make_cuts: Any) -> None:
    # t x >= (Σ sqrt(a) n)^2 is the hull of one stage while no option would have more than the whole budget
    problem = make_cuts(3, "sum", limited=False)
    q = option_gdp_outer.make_model(problem, workable_options(problem))
    n = np.random.default_rng(0).dirichlet(np.full(4, 5.0), 3).ravel()
    for share in (0.1, 0.4, 1.0, 2.9):
        x = np.array([1.0, 0.9, 0.8]) * share
        for stage in q.stages:
            slope = stage.steepest(n, x)
            value = stage.total(n * stage.support(slope)) - slope * x
            compact = stage.total(n * np.sqrt(stage.a)) ** 2 / x
            inside = stage.total((stage.nearest(slope) >= stage.hi) & (stage.a > 0)) == 0
            assert value[inside] == pytest.approx(compact[inside], rel=EXACT)
            assert (value >= compact * (1 - EXACT)).all()
            assert inside.all() == (share < 2)


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(8))
def test_both_rate_laws_against_enumeration(number: int) -> None:
    problem = draw(4 * number + (2 if number % 2 else 0) + number % 3 % 2, seed=11).problem
    if number % 3 == 2:
        problem = replace(problem, objective="mixed", max_weight=1.5)
    best = solve(problem, method="enumerate")
    raw = option_gdp_outer.solve(problem, gap=1e-6, time_limit_s=60.0)
    found = evaluate(problem, raw.option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
    assert found.violation <= BOUND
    assert found.objective_s == pytest.approx(best.objective_s, rel=SOLVER)
    assert raw.bound is not None
    assert best.objective_s * (1 - 2e-6) <= raw.bound <= best.objective_s * (1 + BOUND)


def test_the_door_takes_it_with_shannon_rates(make_problem: Any) -> None:
    problem = make_problem(3, 3, 5, "max", shannon=True)
    found = solve(problem, method="option_gdp_outer")
    assert found.objective_s == pytest.approx(solve(problem, method="enumerate").objective_s, rel=SOLVER)
    assert found.gap <= 1e-6
    assert (found.status, found.bound_source) == ("feasible", "solver")


@pytest.mark.parametrize("objective", ["max", "sum", "mixed"])
def test_bounds_rise_and_never_pass_the_optimum(make_cuts: Any, objective: str) -> None:
    problem = make_cuts(2, objective, limited=True)
    optimum_s = solve(problem, method="enumerate").objective_s
    search = option_gdp_outer.Search(problem, workable_options(problem), Clock(None))
    bounds, solver = [], search.program.run

    def watched(**given: Any) -> Any:
        answer = solver(**given)
        bounds.append((answer.bound - option_gdp_outer.DOUBT) * search.unit_s)
        return answer

    search.program.run = watched  # type: ignore[method-assign]
    assert search.run(1e-6) == "closed"
    assert len(bounds) > 1
    # each round is solved to a part of the gap, so a bound can fall back by as much
    assert all(later >= before - 1e-6 * optimum_s for before, later in itertools.pairwise(bounds))
    assert max(bounds) <= optimum_s * (1 + BOUND)


GOLDEN = json.loads(Path(__file__).with_name("golden_relaxations.json").read_text("utf-8"))


@pytest.mark.parametrize("row", [r for r in GOLDEN if not r["limited"]], ids=lambda r: f"{r['seed']}-{r['objective']}")
def test_relaxed_rounds_reach_the_hull(make_cuts: Any, row: dict[str, Any]) -> None:
    # by HiGHS on tangents, against Clarabel on cones; the hulls of stages are that of sequential options
    problem = make_cuts(row["seed"], row["objective"], limited=False)
    search = option_gdp_outer.Search(problem, workable_options(problem), Clock(None))
    assert search._relaxed(1e-6)
    # stopped where it hardly rises any more
    assert row["perspective_s"] * (1 - 1e-4) <= search.bound_s <= row["perspective_s"] * (1 + 10 * BOUND)


def test_options_that_cannot_keep_the_limits_are_cut_off(edge_only: Any) -> None:
    alone = edge_only(3, 0, "max")
    deadline_s = alone.fixed_s[:, 0] + 1.5 * alone.edge_work_s[:, 0] / alone.edge_capacity
    problem = edge_only(3, 0, "max", deadline_s=deadline_s)
    search = option_gdp_outer.Search(problem, workable_options(problem), Clock(None))
    assert search.offer(np.ones(3))
    assert not np.isfinite(search.objective_s)
    assert search.program.run(rel_gap=1e-6).status == "infeasible"
    assert not search.offer(np.ones(3))
    with pytest.raises(Infeasible):
        search.run(1e-6)


def test_out_of_time(make_cuts: Any) -> None:
    problem = make_cuts(0, "max", limited=False)
    search = option_gdp_outer.Search(problem, workable_options(problem), Clock(0.0))
    assert search.run(1e-6) == "out of time"
    with pytest.raises(SolverFailure, match="no solution was found in 0 rounds"):
        option_gdp_outer.solve(problem, gap=1e-6, time_limit_s=1e-9)


def test_a_gap_below_the_tolerance_ends_with_its_bound(make_cuts: Any) -> None:
    problem = make_cuts(1, "max", limited=False)
    raw = option_gdp_outer.solve(problem, gap=0.0, time_limit_s=60.0)
    assert "at HiGHS' tolerance" in raw.message
    best_s = solve(problem, method="enumerate").objective_s
    assert raw.bound == pytest.approx(best_s, rel=1e-7)


def test_nothing_is_printed(make_cuts: Any, capfd: pytest.CaptureFixture[str]) -> None:
    option_gdp_outer.solve(make_cuts(1, "sum", limited=False), gap=1e-6, time_limit_s=60.0)
    assert capfd.readouterr().out == ""
