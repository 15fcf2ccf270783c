"""Planning again: what it finds and says against a solution from nothing of the problem with the switching costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, replan, solve
from megdt_opt.solving import compiled
from megdt_opt.tolerances import SOLVER
from megdt_opt.whatif.shares_at import value_of

GAP = 1e-6


def changed(problem: AllocationProblem, seed: int) -> AllocationProblem:
    """The edge's work changes by up to a third, for each user and option."""
    factor = np.random.default_rng(seed).uniform(0.75, 1.33, problem.fixed_s.shape)
    return replace(problem, edge_work_s=problem.edge_work_s * factor, deadline_s=None)


def without_deadlines(number: int, objective: str) -> AllocationProblem:
    problem = draw(number, seed=7, users=3, options=3).problem
    weight = 0.5 if objective == "mixed" else None
    return replace(problem, objective=objective, deadline_s=None, max_weight=weight)


@pytest.mark.long_list("objective", "engine")
@pytest.mark.parametrize("known", ["plan", "options"])
@pytest.mark.parametrize("cost_s", [0.0, 0.05])
@pytest.mark.parametrize("objective", ["sum", "max", "mixed"])
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.slow
def test_it_is_the_best_with_switching_costs(
    engine: str, objective: str, cost_s: float, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "usable", lambda _: engine == "compiled")
    for number in (3, 6):
        problem = without_deadlines(number, objective)
        new, before = changed(problem, number), solve(problem)
        found = replan(new, before if known == "plan" else before.option, cost_s)
        charged = replace(
            new, fixed_s=new.fixed_s + cost_s * (np.arange(new.options) != np.asarray(before.option)[:, None])
        )
        np.testing.assert_array_equal(found.charged.fixed_s, charged.fixed_s)
        best = solve(charged)
        assert found.objective_s == pytest.approx(best.objective_s, rel=2 * GAP)
        assert found.allocation.lower_bound_s <= best.objective_s
        assert found.allocation.gap <= GAP
        assert found.allocation.certificate is not None
        assert found.allocation.certificate.verify(charged).holds
        assert found.kept_s == pytest.approx(value_of(charged, np.asarray(before.option)).objective_s, rel=SOLVER)
        assert found.settled_s == pytest.approx(found.allocation.evaluate(new).objective_s, rel=1e-12)
        assert found.gain_s >= 0
        assert found.switched == tuple(np.flatnonzero(found.allocation.option != before.option))


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.slow
def test_options_that_break_a_deadline_are_worth_infinity(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users at the edge in time; once its work has doubled, one of them is late there."""
    monkeypatch.setattr(compiled, "usable", lambda _: engine == "compiled")
    problem = AllocationProblem(
        fixed_s=[[0.0, 2.5], [0.0, 2.5]], edge_work_s=[[1.0, 0.0]] * 2, downlink_bit=np.zeros((2, 2)),
        uplink_bit=np.zeros((2, 2)), downlink_hz=1.0, uplink_hz=1.0, deadline_s=[3.0, 3.0], objective="sum",
    )  # fmt: skip
    before = solve(replace(problem, objective="max"))
    assert before.option.tolist() == [0, 0]
    found = replan(replace(problem, edge_work_s=2 * problem.edge_work_s), before, 0.1)
    assert found.kept_s == np.inf
    assert len(found.switched) == 1
    # one at the edge for 2 s, the other on the device for 2.5 s and 0.1 s of switching
    assert (found.objective_s, found.settled_s) == pytest.approx((4.6, 4.5))


def test_the_old_problem_stays_as_it_was() -> None:
    problem = without_deadlines(0, "sum")
    before, fixed = solve(problem), problem.fixed_s.copy()
    charged = replan(problem, before, 1.0).charged
    np.testing.assert_array_equal(problem.fixed_s, fixed)
    assert charged.fixed_s.max() >= 1.0
    assert not charged.fixed_s.flags.writeable
    assert replan(problem, before).charged is problem
