"""Many scenarios at once: each is solved as it would be alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmarks.families import FAMILIES
from benchmarks.families import draw as draw_family
from random_problems import draw

from megdt_opt import AllocationProblem, BatchAllocation, BatchProblem, Infeasible, InvalidInput, evaluate, solve_batch
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving.batch import door
from megdt_opt.solving.batch.check import prices_prove
from megdt_opt.solving.enumeration import enumerate_options
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

GAP = 1e-6
LONG = pytest.mark.long_list


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled kernels, however small the batch is."""
    monkeypatch.setattr(door, "WAITS", 0)


def _linear(count: int, users: int, options: int, objective: str, seed: int) -> list[AllocationProblem]:
    """Random problems that the kernels take: zero demands, forbidden options and share caps come up."""
    problems = []
    for number in range(count):
        rng = np.random.default_rng([seed, number, users, options])
        shape = (users, options)
        allowed = rng.random(shape) < 0.8
        allowed[np.arange(users), rng.integers(0, options, users)] = True
        problems.append(
            AllocationProblem(
                fixed_s=rng.uniform(0, 2, shape) * (rng.random(shape) < 0.9),
                downlink_bit=rng.uniform(1e3, 1e5, shape) * (rng.random(shape) < 0.8),
                uplink_bit=rng.uniform(1e3, 5e4, shape) * (rng.random(shape) < 0.8),
                edge_work_s=rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.8),
                downlink_hz=rng.uniform(1e4, 1e5),
                uplink_hz=rng.uniform(1e4, 1e5),
                edge_capacity=rng.uniform(0.5, 3.0),
                allowed=allowed,
                weight=rng.uniform(0.5, 2, users),
                edge_share_max=rng.uniform(0.2, 1.0, users) if number % 2 else np.full(users, 9.0),
                downlink_efficiency=rng.uniform(1, 5, users),
                uplink_efficiency=rng.uniform(0.5, 3, users),
                objective=objective,
            )
        )
    return problems


def _limited(count: int, users: int, options: int, kind: int, seed: int) -> list[AllocationProblem]:
    """The same for "max" with device branches; airtime limits, deadlines and share caps by the bits of a kind."""
    problems = []
    for number, problem in enumerate(_linear(count, users, options, "max", seed)):
        rng = np.random.default_rng([seed, number, users, options, kind])
        shape, more = (users, options), {}
        if kind & 1:
            more["uplink_airtime_max_s"] = np.where(rng.random(shape) < 0.5, rng.uniform(0.3, 4, shape), np.inf)
        if kind & 2:
            more["deadline_s"] = np.where(rng.random(users) < 0.6, rng.uniform(4, 15, users), np.inf)
        if kind & 4:
            more["edge_share_max"] = rng.uniform(0.2, 1.0, users)
        branch_s = rng.uniform(0, 4, shape) * (rng.random(shape) < 0.6)
        problems.append(replace(problem, device_branch_s=branch_s, **more))
    return problems


def _agrees(found: BatchAllocation, problems: list[AllocationProblem]) -> None:
    """Each scenario is optimal, proven, evaluated right, and as good as the best of all option sets."""
    for s, problem in enumerate(problems):
        best = enumerate_options(problem, Resources.of(problem)).objective
        assert found.status[s] == "optimal", s
        assert abs(found.objective_s[s] / best - 1) <= SOLVER if best > 0 else found.objective_s[s] == 0, s
        assert found.lower_bound_s[s] <= best * (1 + BOUND), s
        assert found.gap[s] <= GAP + 1e-12, s
        again = evaluate(problem, found.option[s], found.downlink_hz[s], found.uplink_hz[s], found.edge_share[s])
        assert again.violation <= EXACT, s
        assert again.objective_s == pytest.approx(found.objective_s[s], rel=1e-14), s
        assert again.latency_s == pytest.approx(found.latency_s[s], rel=1e-14), s
        assert found.downlink_hz[s].sum() <= problem.downlink_hz * (1 + 1e-12)
        assert found.uplink_hz[s].sum() <= problem.uplink_hz * (1 + 1e-12)
        assert found.edge_share[s].sum() <= problem.edge_capacity * (1 + 1e-12)


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize(("users", "options", "count"), [(1, 4, 40), (2, 3, 40), (3, 3, 12), (3, 1, 40)])
def test_as_good_as_the_best_of_all_sets(objective: str, users: int, options: int, count: int) -> None:
    problems = _linear(count, users, options, objective, seed=3)
    found = solve_batch(problems)
    _agrees(found, problems)
    # the searches for small problems do the work; a few may be handed on
    assert found.handed_on.mean() <= 0.05


@pytest.mark.parametrize("kind", range(8))
@pytest.mark.parametrize(
    ("users", "options", "count"), [pytest.param(1, 4, 16, marks=LONG), (2, 3, 6), pytest.param(3, 3, 8, marks=LONG)]
)
def test_branches_airtime_and_deadlines_in_the_kernels(
    users: int, options: int, count: int, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, exact = _limited(count, users, options, kind, seed=3), []
    for problem in problems:
        try:
            exact.append(enumerate_options(problem, Resources.of(problem)).objective)
        except Infeasible:
            exact.append(np.nan)
    feasible = [s for s, best in enumerate(exact) if not np.isnan(best)]
    assert len(feasible) >= count / 2
    found = solve_batch(problems)
    assert [s for s in range(count) if found.status[s] != "infeasible"] == feasible
    part = [problems[s] for s in feasible]
    _agrees(solve_batch(part), part)
    # without the check of their prices, too, the kernels claim nothing that is not so
    monkeypatch.setattr(door, "prices_prove", lambda batch, *_: np.ones(batch.scenarios, bool))
    believed = solve_batch(part)
    _agrees(believed, part)
    assert not believed.handed_on.all()


@pytest.mark.parametrize("kind", range(8))
def test_prices_prove_no_level_that_can_be_met(kind: int) -> None:
    """Nor do they miss one where each user alone is too late; drawn prices prove some levels below the optimum."""
    rng = np.random.default_rng(kind)
    proven = 0
    for problem in _limited(6, 2, 3, kind, seed=7):
        try:
            best = enumerate_options(problem, Resources.of(problem)).objective
        except Infeasible:
            continue
        batch = BatchProblem.of([problem])
        for part in (0.5, 0.8, 0.9, 1.0, 1.5):
            prices = rng.dirichlet([1.0, 1.0, 1.0], 1)
            says = prices_prove(batch, prices, np.array([part * best]))[0]
            assert not (says and part >= 1.0)
            proven += bool(says)
        assert prices_prove(batch, prices, np.array([1e-9 * best]))[0] or best == 0.0
    assert proven >= 3


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("scarce", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_with_every_leaf_verified(family: str, scarce: bool, objective: str) -> None:
    problems = [draw_family(family, 6, 12, objective, seed, scarce=scarce) for seed in range(8)]
    found = solve_batch(problems)
    assert (found.status == "optimal").all()
    assert not found.handed_on.any()
    one = found.allocation(5, certificate=True)
    assert one.certificate is not None
    verdict = one.certificate.verify(problems[5])
    assert verdict.holds, verdict.reason
    assert one.status == "optimal"
    # what the batch found cannot be below what the certificate proves, nor its bound above what the other found
    assert verdict.bound_s <= found.objective_s[5] * (1 + BOUND)
    assert found.lower_bound_s[5] <= one.objective_s * (1 + BOUND)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_every_kind_of_problem(objective: str) -> None:
    """Shannon rates, branches, deadlines, airtime: what the kernels do not take goes to the general search."""
    seen = set()
    for number in range(400):
        instance = draw(number, seed=5, users=2, options=3)
        if instance.problem.objective != objective or set(instance.traits) <= seen:
            continue
        seen |= set(instance.traits)
        try:
            best = enumerate_options(instance.problem, Resources.of(instance.problem)).objective
        except Infeasible:
            assert solve_batch([instance.problem]).status.tolist() == ["infeasible"]
            continue
        found = solve_batch([instance.problem])
        assert abs(found.objective_s[0] / best - 1) <= SOLVER, instance.traits
        assert found.status[0] == "optimal"
    assert {"linear", "shannon", "parallel", "caps", "forbidden", "airtime"} <= seen


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_infeasible_scenarios_among_others(objective: str) -> None:
    problems = _linear(6, 3, 4, objective, seed=8)
    problems[1] = replace(problems[1], allowed=np.zeros((3, 4), bool))
    work = problems[4].edge_work_s.copy()
    work[2] = 1.0
    problems[4] = replace(problems[4], edge_capacity=0.0, edge_work_s=work)
    found = solve_batch(problems)
    assert found.status.tolist() == ["optimal", "infeasible", "optimal", "optimal", "infeasible", "optimal"]
    for s in (1, 4):
        assert np.isnan(found.objective_s[s])
        assert np.isnan(found.lower_bound_s[s])
        assert np.isnan(found.gap[s])
        assert np.isnan(found.latency_s[s]).all()
        assert np.isnan(found.edge_share[s]).all()
        assert (found.option[s] == -1).all()
        with pytest.raises(Infeasible, match="user"):
            found.allocation(s)
    _agrees(solve_batch([problems[s] for s in (0, 2, 3, 5)]), [problems[s] for s in (0, 2, 3, 5)])
    assert found.share_closed == 1.0


def test_deadlines_that_cannot_be_kept_are_reported() -> None:
    problems = [
        replace(p, deadline_s=np.full(3, d)) for p, d in zip(_linear(2, 3, 4, "sum", 1), (1e-6, 1e6), strict=True)
    ]
    assert solve_batch(problems).status.tolist() == ["infeasible", "optimal"]


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_ties_and_zero_demands(objective: str) -> None:
    tied = {
        "fixed_s": np.ones((3, 2)),
        "downlink_bit": np.full((3, 2), 1e4),
        "uplink_bit": np.zeros((3, 2)),
        "edge_work_s": np.full((3, 2), 0.5),
        "downlink_hz": 1e5,
        "uplink_hz": 0.0,
        "downlink_efficiency": np.ones(3),
        "objective": objective,
    }
    idle = tied | {"downlink_bit": np.zeros((3, 2)), "edge_work_s": np.zeros((3, 2))}
    nothing = idle | {"fixed_s": np.zeros((3, 2))}
    problems = [AllocationProblem(**fields) for fields in (tied, idle, nothing)]
    found = solve_batch(problems)
    _agrees(found, problems)
    # 1 s, and 3 users at an equal split: 0.3 s down, 1.5 s on the edge
    each = 2.8
    expected = (3 * each, 3.0, 0.0) if objective == "sum" else (each, 1.0, 0.0)
    assert found.objective_s == pytest.approx(expected, rel=EXACT)
    assert (found.edge_share[1:] == 0).all()


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_resources_that_users_do_not_share(objective: str) -> None:
    """One user on each resource: every price stands alone, and only one is above 0 for the largest latency."""
    work, down, up = np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    up[0], work[1], down[2] = 1e4, 1.0, 3e4
    problem = AllocationProblem(
        fixed_s=np.array([[0.1, 0.3]] * 3), downlink_bit=down, uplink_bit=up, edge_work_s=work, downlink_hz=1e4,
        uplink_hz=1e4, downlink_efficiency=np.ones(3), uplink_efficiency=np.ones(3), objective=objective,
    )  # fmt: skip
    found = solve_batch([problem])
    _agrees(found, [problem])
    assert found.latency_s[0] == pytest.approx([1.1, 1.1, 3.1], rel=EXACT)


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("power", [-12, 12])
def test_extreme_magnitudes(objective: str, power: int) -> None:
    factor = 10.0**power
    problems = _linear(12, 3, 4, objective, seed=21)
    scaled = [
        replace(p, fixed_s=p.fixed_s * factor, edge_work_s=p.edge_work_s * factor, downlink_bit=p.downlink_bit * factor,
                uplink_bit=p.uplink_bit * factor)
        for p in problems
    ]  # fmt: skip
    found, other = solve_batch(problems), solve_batch(scaled)
    assert (other.status == "optimal").all()
    assert other.objective_s == pytest.approx(found.objective_s * factor, rel=SOLVER)


def test_threads_and_order_change_nothing() -> None:
    problems = _linear(50, 4, 5, "max", seed=2)
    one, two = solve_batch(problems, threads=1), solve_batch(problems[::-1], threads=3)
    assert np.array_equal(one.objective_s, two.objective_s[::-1])
    assert np.array_equal(one.option, two.option[::-1])


def test_a_gap_of_zero_claims_no_more_than_it_proved() -> None:
    problems = _linear(5, 3, 4, "max", seed=4)
    found = solve_batch(problems, gap=0.0)
    assert (found.lower_bound_s <= found.objective_s).all()
    assert ((found.status == "optimal") == (found.gap <= 1e-12)).all()
    assert (found.gap <= 1e-8).all()


def test_a_small_first_call_does_not_wait_for_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "WAITS", 100_000)
    monkeypatch.setattr(door, "_loaded", set())
    monkeypatch.setattr(door, "compiled_before", lambda *_: False)
    monkeypatch.setattr(door, "_run", lambda *_: pytest.fail("kernels were used"))
    problems = _linear(2, 2, 3, "sum", seed=6)
    found = solve_batch(problems)
    assert found.handed_on.all()
    _agrees(found, problems)


def test_batches_of_arrays_and_of_problems_are_the_same() -> None:
    problems = _linear(4, 3, 5, "sum", seed=9)
    names = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", "allowed", "weight", "edge_share_max",
             "downlink_efficiency", "uplink_efficiency", "downlink_hz", "uplink_hz", "edge_capacity")  # fmt: skip
    fields: dict[str, Any] = {name: np.array([getattr(p, name) for p in problems]) for name in names}
    batch = BatchProblem(**fields, objective="sum")
    assert (batch.scenarios, batch.users, batch.options) == (4, 3, 5)
    one, two = solve_batch(batch), solve_batch(problems)
    assert np.array_equal(one.objective_s, two.objective_s)
    assert np.array_equal(batch.problem(2).edge_work_s, problems[2].edge_work_s)
    assert one.allocation(2).objective_s == one.objective_s[2]
    with pytest.raises(ValueError, match="read-only"):
        batch.fixed_s[0, 0, 0] = 1.0


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_the_evaluation_is_that_of_single_problems(objective: str) -> None:
    for number in range(0, 72):
        instance = draw(number, seed=12, users=3, options=3)
        problem = replace(instance.problem, objective=objective)
        rng = np.random.default_rng(number)
        option = rng.integers(0, 3, 3)
        down, up, edge = (rng.uniform(-0.05, 0.6, 3) * b for b in (problem.downlink_hz, problem.uplink_hz, 1.0))
        one = evaluate(problem, option, down, up, edge)
        latency, value, violation = BatchProblem.of([problem]).evaluate(option[None], down[None], up[None], edge[None])
        assert latency[0] == pytest.approx(one.latency_s, rel=1e-14)
        assert value[0] == pytest.approx(one.objective_s, rel=1e-14)
        assert violation[0] == pytest.approx(one.violation, rel=1e-12)


def _fields(**changes: Any) -> dict[str, Any]:
    shape = (2, 3, 4)
    return {
        "fixed_s": np.ones(shape), "downlink_bit": np.ones(shape), "uplink_bit": np.ones(shape),
        "edge_work_s": np.ones(shape), "downlink_hz": 1.0, "uplink_hz": np.ones(2),
        "downlink_efficiency": np.ones((2, 3)), "uplink_efficiency": np.ones((2, 3)),
    } | changes  # fmt: skip


def _spoilt(shape: tuple[int, ...], index: tuple[int, ...], value: float) -> np.ndarray:
    array = np.ones(shape)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"fixed_s": np.ones((3, 4))}, "fixed_s"),
        ({"fixed_s": np.ones((0, 3, 4))}, "fixed_s"),
        ({"downlink_bit": np.ones((2, 3, 5))}, "downlink_bit"),
        ({"edge_work_s": _spoilt((2, 3, 4), (1, 2, 3), np.nan)}, r"edge_work_s \(scenario 1, user 2, option 3\)"),
        ({"uplink_bit": _spoilt((2, 3, 4), (0, 1, 2), -1.0)}, r"uplink_bit \(scenario 0, user 1, option 2\)"),
        ({"weight": _spoilt((2, 3), (1, 0), 0.0)}, r"weight \(scenario 1, user 0\)"),
        ({"weight": np.ones(3)}, "weight"),
        ({"uplink_hz": _spoilt((2,), (1,), np.inf)}, r"uplink_hz \(scenario 1\)"),
        ({"edge_capacity": None}, "edge_capacity"),
        ({"allowed": np.ones((2, 3), bool)}, "allowed"),
        ({"objective": "mixed"}, "objective"),
        ({"downlink_efficiency": None}, "downlink_efficiency"),
        ({"downlink_snr_hz": np.ones((2, 3))}, "downlink_snr_hz"),
        ({"fixed_s": "fast"}, "fixed_s"),
    ],
)
def test_errors_name_field_scenario_user_and_option(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        BatchProblem(**_fields(**changes))


def test_problems_that_make_no_batch() -> None:
    first = _linear(1, 3, 4, "sum", seed=1)[0]
    for other in (_linear(1, 3, 5, "sum", 1)[0], replace(first, objective="max"), replace(first, weight=None)):
        with pytest.raises(InvalidInput, match="scenario 1"):
            solve_batch([first, other])
    for wrong in ([], [3]):
        with pytest.raises(InvalidInput, match="problems"):
            solve_batch(wrong)  # type: ignore[arg-type]
    for settings in ({"gap": -1.0}, {"gap": np.nan}, {"threads": 0}, {"time_limit_s": 0.0}):
        with pytest.raises(InvalidInput, match=next(iter(settings))):
            solve_batch([first], **settings)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="scenario"):
        solve_batch([first]).allocation(1)
