"""Regret of plans over several servers, against solving each sample anew in another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_placements import draw_limited, draw_placement

from megdt_opt import Infeasible, InvalidInput, PlacementProblem, regret, solve
from megdt_opt.whatif.regret import _perturbed


@pytest.mark.parametrize("number", [0, 1, 5, 6, 8])
def test_nothing_off_loses_nothing(number: int) -> None:
    found = regret(draw_placement(number), percent=0.0, samples=2)
    assert (found.option_regret <= found.gap).all()
    assert (found.share_regret <= found.gap).all()


@pytest.mark.long_list("spread", of=2)
@pytest.mark.parametrize("spread", ["machine", "user", "entry"])
@pytest.mark.parametrize("number", [1, 3, 8, 20])
def test_what_the_kept_options_lose_is_what_solving_anew_says(number: int, spread: str) -> None:
    problem = draw_placement(number)
    plan = solve(problem)
    found = regret(problem, percent=30.0, samples=3, seed=4, spread=spread, allocation=plan, gap=1e-9)
    samples = _perturbed(problem, ("fixed_s", "device_branch_s", "edge_work_s"), 0.3, 3, 4, spread)
    for lost, true in zip(found.option_regret, samples, strict=True):
        chosen = np.arange(true.options) == plan.option[:, None]
        kept = solve(replace(true, allowed=chosen), gap=1e-9).objective_s
        assert lost == pytest.approx(kept / solve(true, gap=1e-9).objective_s - 1.0, abs=1e-7)


def test_each_edge_has_an_error_of_its_own() -> None:
    problem = draw_placement(2, users=6, servers=3)
    (true,) = _perturbed(problem, ("edge_work_s",), 0.2, 1, 0, "machine")
    with np.errstate(invalid="ignore"):
        factor = true.edge_work_s / problem.edge_work_s
    factors = [
        np.unique(np.round(factor[(problem.option_server == e) & (problem.edge_work_s > 0)], 12)) for e in range(3)
    ]
    assert [len(one) for one in factors] == [1, 1, 1]
    assert len(set(np.concatenate(factors))) == 3


def test_limits_that_the_plan_cannot_keep_are_counted() -> None:
    counted = 0
    for number in (1, 2, 4, 5, 7, 8):
        problem = draw_limited(number, 3)
        try:
            plan = solve(problem)
        except Infeasible:
            continue
        found = regret(problem, percent=60.0, samples=6, allocation=plan)
        counted += found.option_breaks + found.share_breaks + found.infeasible
        assert np.isnan(found.option_regret).sum() == found.option_breaks + found.infeasible
    assert counted > 0


def test_a_plan_of_another_problem_is_refused() -> None:
    problem, other = draw_placement(0, users=3), draw_placement(0, users=4)
    assert isinstance(problem, PlacementProblem)
    with pytest.raises(InvalidInput, match="option"):
        regret(problem, allocation=solve(other))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 2.5}, "samples: found 2.5; expected an integer of at least 1"),
        ({"samples": 0}, "samples: found 0"),
        ({"percent": "a"}, r"percent: found 'a'; expected a number in \[0, 100\) \[%\]"),
        ({"percent": 100.0}, "percent: found 100"),
        ({"seed": -1}, "seed: found -1"),
        ({"seed": None}, "seed: found None"),
        ({"perturb": "fixed_s"}, "perturb: found 'fixed_s'"),
        ({"perturb": [["fixed_s"]]}, "perturb"),
        ({"allocation": "mine"}, "allocation: found 'str'; expected Placement"),
    ],
)
def test_wrong_arguments_are_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        regret(draw_placement(0), **given)
