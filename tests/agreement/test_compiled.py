"""The price method in compiled code and in NumPy find the same optimum and prove it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from benchmarks.families import FAMILIES, KINDS
from benchmarks.families import draw as family
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving import closing, compiled
from megdt_opt.tolerances import BOUND, SOLVER

COUNT = 40


@cache
def optimum(number: int) -> float | None:
    """Least objective of an instance by enumeration; None where it is infeasible."""
    try:
        return solve(draw(number, seed=31).problem, "enumerate").objective_s
    except Infeasible:
        return None


@pytest.fixture(params=[True, False], ids=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(compiled, "usable", lambda problem: request.param)
    return bool(request.param)


@pytest.mark.slow
def test_agrees_with_enumeration(path: bool) -> None:
    seen = set()
    for number in range(COUNT if path else COUNT // 4):
        instance = draw(number, seed=31)
        best = optimum(number)
        if best is None:
            with pytest.raises(Infeasible):
                solve(instance.problem, "prices")
            continue
        found = solve(instance.problem, "prices")
        where = f"instance {number} ({', '.join(instance.traits)})"
        assert found.status == "optimal", where
        assert abs(found.objective_s / best - 1) <= SOLVER, where
        assert found.lower_bound_s <= best * (1 + BOUND), where
        assert found.certificate is not None
        verdict = found.certificate.verify(instance.problem)
        assert verdict.holds, f"{where}: {verdict.reason}"
        seen |= set(instance.traits)
    if path:
        assert {"max", "sum", "linear", "shannon", "parallel", "forbidden", "caps", "deadlines", "airtime"} <= seen


@pytest.mark.long_list("kind")
@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_agrees_with_enumeration(kind: str, objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "usable", lambda problem: True)
    for number, name in enumerate(FAMILIES):
        problem = family(name, 2 + number % 3, 4, objective, number, scarce=number % 2 == 0, kind=kind)
        best = solve(problem, "enumerate").objective_s
        found = solve(problem, "prices", gap=1e-6)
        assert found.status == "optimal"
        assert found.objective_s <= best * (1 + 1e-6)
        assert found.lower_bound_s <= best * (1 + BOUND)
        assert found.certificate is not None
        verdict = found.certificate.verify(problem)
        assert verdict.holds, verdict.reason


@pytest.mark.slow
def test_deadlines_that_no_simple_rule_keeps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of little lateness is found in compiled code, and the search goes on from there."""
    monkeypatch.setattr(compiled, "usable", lambda problem: True)
    in_time, begun = closing.kept, []

    def remember(*given: Any) -> Any:
        begun.append(in_time(*given))
        return begun[-1]

    monkeypatch.setattr(closing, "kept", remember)
    problem = family("front", 100, 64, "sum", 0, kind="mixture")
    found = solve(problem, "prices")
    assert found.status == "optimal"
    assert found.evaluate(problem).violation <= SOLVER
    assert len(begun) == 1
    assert begun[0].choice is not None


def _table(users: int, options: int, objective: str, seed: int) -> AllocationProblem:
    rng = np.random.default_rng([seed, users, options])
    shape = (users, options)
    return AllocationProblem(
        fixed_s=rng.uniform(0, 2, shape),
        downlink_bit=rng.uniform(1e3, 1e5, shape),
        uplink_bit=rng.uniform(1e3, 5e4, shape),
        edge_work_s=rng.uniform(0.1, 2, shape),
        downlink_hz=2e4 * users,
        uplink_hz=1.5e4 * users,
        edge_capacity=max(1.0, users / 8),
        edge_share_max=np.ones(users),
        weight=rng.uniform(0.5, 2, users),
        objective=objective,
        downlink_efficiency=rng.uniform(1, 5, users),
        uplink_efficiency=rng.uniform(0.5, 3, users),
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_many_options_are_closed_and_proven(objective: str) -> None:
    problem = _table(40, 32, objective, seed=1)
    found = solve(problem, "prices")
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds


@pytest.mark.slow
def test_a_cut_short_search_proves_what_it_says() -> None:
    problem = _table(30, 24, "max", seed=2)
    loose = closing.close(problem, Resources.of(problem), gap=1e-9, time_limit_s=1e-9)
    assert loose.bound <= loose.objective
    assert loose.certificate.verify(problem).holds
    best = solve(problem, "prices", gap=1e-9)
    assert loose.bound <= best.objective_s * (1 + BOUND)


@pytest.mark.slow
def test_every_problem_runs_the_same_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional fields and the layout of arrays change no type, or each mixture would compile for a minute."""
    from megdt_opt.solving.compiled import passes
    from megdt_opt.solving.compiled.starting import gather

    monkeypatch.setattr(compiled, "usable", lambda problem: True)
    problem = _table(3, 4, "sum", seed=3)
    turned = np.asfortranarray(problem.fixed_s)
    for variant in (
        problem,
        replace(problem, weight=None, edge_share_max=None),
        replace(problem, fixed_s=turned, allowed=np.asfortranarray(turned > 0)),
        replace(problem, device_branch_s=turned, uplink_airtime_max_s=np.full((3, 4), 1e3)),
        replace(problem, deadline_s=np.full(3, 1e3), objective="max"),
    ):
        assert solve(variant, "prices").status == "optimal"
    kernels = (gather, passes.enter, passes.value, passes.narrow, passes.peak, passes.settle)
    assert [len(kernel.signatures) for kernel in kernels] == [1] * 6
    for kernel in (passes.removed, passes.table, passes.switches, passes.split):  # asked for by some problems only
        assert len(kernel.signatures) <= 1


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_options_that_no_band_can_serve_in_time_stay_out(path: bool, objective: str) -> None:
    """Such an option is closed by its airtime limit and not by `allowed`; neither shares nor certificates know it."""
    branched = named = 0
    for seed in (1, 6, 7, 9):
        rng = np.random.default_rng(seed)
        problem = family("table", 6, 6, objective, seed)
        alone_s = problem.uplink_bit / (problem.uplink_efficiency[:, None] * problem.uplink_hz)  # type: ignore[index]
        factor = np.where(rng.random(alone_s.shape) < 0.4, 0.9, rng.uniform(8, 30, alone_s.shape))
        factor[:, 0] = 30.0
        limited = replace(problem, uplink_airtime_max_s=alone_s * factor)
        found = solve(limited, "prices")
        assert found.status == "optimal"
        assert found.evaluate(limited).violation <= SOLVER
        assert (factor[np.arange(6), found.option] > 1).all()
        assert found.certificate is not None
        for exact in (True, False):
            verdict = found.certificate.verify(limited, exact=exact)
            assert verdict.holds, verdict.reason
        branched += verdict.leaves > 1
        # a limit that closes nothing does not excuse a tree from naming an option
        loose = replace(problem, uplink_airtime_max_s=alone_s * 30.0)
        named += "partition" in found.certificate.verify(loose).reason
    assert 0 < named <= branched


@pytest.mark.slow
def test_airtime_limits_close_options_in_both_forms(path: bool) -> None:
    """Option 1 needs more than the whole band; without its limit it would win."""
    problem = AllocationProblem(
        fixed_s=[[5.0, 0.0]], downlink_bit=[[0.0, 0.0]], uplink_bit=[[1.0, 1.0]], edge_work_s=[[1.0, 1.0]],
        downlink_hz=1.0, uplink_hz=1.0, uplink_efficiency=[1.0], uplink_airtime_max_s=[[2.0, 0.9]],
    )  # fmt: skip
    found = solve(problem)
    assert found.option.tolist() == [0]
    assert found.objective_s == pytest.approx(7.0)
    assert found.status == "optimal"


@pytest.mark.slow
def test_nothing_that_takes_time_is_proven_in_both_forms(path: bool) -> None:
    zeros = np.zeros((1, 2))
    problem = AllocationProblem(
        fixed_s=[[1.0, 0.0]], downlink_bit=zeros, uplink_bit=zeros, edge_work_s=zeros, downlink_hz=1.0, uplink_hz=1.0
    )
    found = solve(problem, gap=0.0)
    assert (found.objective_s, found.status) == (0.0, "optimal")
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


@pytest.mark.slow
def test_airtime_limits_that_clash_end_in_both_forms(path: bool) -> None:
    """Magnitudes that no simple rule gets right: the search for the users in conflict does not call itself."""
    problem = AllocationProblem(
        fixed_s=[[1e12, 0.0], [1e12, 0.0]], downlink_bit=np.zeros((2, 2)), uplink_bit=np.ones((2, 2)),
        edge_work_s=np.full((2, 2), 1e-12), downlink_hz=1.0, uplink_hz=1.0, uplink_efficiency=[1.0, 1.0],
        uplink_airtime_max_s=[[2.5, 1.2], [2.5, 1.2]],
    )  # fmt: skip
    assert solve(problem).option.tolist() == [0, 0]
    with pytest.raises(Infeasible):
        solve(replace(problem, uplink_airtime_max_s=np.full((2, 2), 1.2)))
