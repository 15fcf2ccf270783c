"""The objective "mixed" by prices and multipliers: against enumeration, closed forms and altered certificates."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.families import draw as family
from random_problems import draw
from scipy.optimize import minimize_scalar

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, solve
from megdt_opt.certificate.allocation import AllocationProof, FloatValuer, choices
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Leaf
from megdt_opt.pricing.scaled import Resources, in_units
from megdt_opt.problem.allocation_problem import evaluate_shares
from megdt_opt.solving import compiled
from megdt_opt.solving.compiled import engine as compiled_engine
from megdt_opt.solving.compiled.bounding import Cuts, new_cuts
from megdt_opt.solving.compiled.engine import CompiledEngine
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.mixed import MixedEngine, _Cuts
from megdt_opt.tolerances import BOUND, EXACT, SOLVER


def mixed(number: int, max_weight: float, seed: int = 31) -> AllocationProblem:
    return replace(draw(number, seed=seed).problem, objective="mixed", max_weight=max_weight)


@pytest.mark.long_list
@pytest.mark.parametrize("number", [0, 2, 3, 6, 9, 14, 22, 45])
def test_certified_against_enumeration(number: int) -> None:
    problem = mixed(number, [0.0, 0.5, 2.0, 20.0][number % 4])
    try:
        best = solve(problem, method="enumerate").objective_s
    except Infeasible:
        with pytest.raises(Infeasible):
            solve(problem)
        return
    found = solve(problem)
    assert found.objective_s == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= best * (1 + BOUND)
    assert found.status == "optimal"
    assert found.bound_source == "certificate"
    assert found.certificate is not None
    for exact in (True, False):
        verdict = found.certificate.verify(problem, exact=exact)
        assert verdict.holds, verdict.reason


def test_beyond_enumeration() -> None:
    problem = replace(family("cuts", 10, 10, "sum", 1), objective="mixed", max_weight=5.0)
    found = solve(problem)
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
    with pytest.raises(InvalidInput, match="prices"):
        solve(problem, method="enumerate")


def test_without_weight_on_the_largest_it_is_the_sum() -> None:
    problem = family("table", 5, 4, "sum", 2)
    plain = solve(problem)
    found = solve(replace(problem, objective="mixed", max_weight=0.0))
    assert found.objective_s == pytest.approx(plain.objective_s, rel=SOLVER)


def test_between_its_parts() -> None:
    problem = family("cuts", 5, 5, "sum", 3)
    least_sum = solve(problem).objective_s
    least_max = solve(replace(problem, objective="max")).objective_s
    for weight in (0.5, 5.0, 500.0):
        found = solve(replace(problem, objective="mixed", max_weight=weight)).objective_s
        assert found >= (least_sum + weight * least_max) * (1 - SOLVER)
        assert found <= (problem.users + weight) * least_max * (1 + SOLVER)


def test_two_users_on_one_server() -> None:
    """min over f of a/f + b/(1 - f) + m max(a/f, b/(1 - f))."""
    for a, b, m in ((1.0, 4.0, 0.3), (1.0, 1.0, 2.0), (0.2, 3.0, 5.0)):
        zero = np.zeros((2, 1))
        problem = AllocationProblem(
            fixed_s=zero, downlink_bit=zero, uplink_bit=zero, edge_work_s=[[a], [b]], downlink_hz=1.0, uplink_hz=1.0,
            objective="mixed", max_weight=m,
        )  # fmt: skip

        def value(f: float, a: float = a, b: float = b, m: float = m) -> float:
            return a / f + b / (1 - f) + m * max(a / f, b / (1 - f))

        best = minimize_scalar(value, bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-12}).fun
        found = solve(problem)
        assert found.objective_s == pytest.approx(best, rel=EXACT)
        assert found.lower_bound_s == pytest.approx(best, rel=SOLVER)


def test_altered_multipliers_are_rejected() -> None:
    problem = family("table", 3, 3, "sum", 4)
    problem = replace(problem, objective="mixed", max_weight=2.0)
    certificate = solve(problem).certificate
    assert certificate is not None
    data = certificate.to_dict()
    leaf = next(i for i, node in enumerate(data["nodes"]) if "prices" in node)
    assert len(data["nodes"][leaf]["multipliers"]) == problem.users

    def altered(multipliers: list[float]) -> str:
        changed = copy.deepcopy(data)
        changed["nodes"][leaf]["multipliers"] = multipliers
        verdict = Certificate.from_dict(changed).verify(problem)
        assert not verdict.holds
        return verdict.reason

    assert "max_weight" in altered([p + 1.0 for p in data["nodes"][leaf]["multipliers"]])
    assert "3 multipliers" in altered([])
    assert "less than the bound" in altered([0.0, 0.0, 0.0])
    assert not certificate.verify(replace(problem, max_weight=0.5)).holds


def test_planes_lie_above_the_bound() -> None:
    """The linear program's ceiling is at least every value that prices and multipliers reach."""
    problem = replace(family("table", 3, 4, "sum", 5), objective="mixed", max_weight=1.5)
    resources = Resources.of(problem)
    engine = MixedEngine(problem, resources, ArraysEngine)
    cuts = _Cuts(engine, engine.heads, 60.0)
    rng = np.random.default_rng(0)
    for _ in range(4):
        cuts.add(np.r_[rng.uniform(0, 30, 3), rng.uniform(0, 0.5, 3)])
    assert cuts.highest() is not None
    for _ in range(20):
        prices = np.r_[rng.uniform(0, 60, 3), rng.uniform(0, 0.5, 3)]
        assert engine.price(engine.heads, prices, None).total - prices[:3].sum() <= cuts.ceiling * (1 + EXACT)


@pytest.mark.long_list("kind", of=3)
@pytest.mark.parametrize("users", [4, 15])
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel", "deadline", "airtime", "mixture"])
@pytest.mark.parametrize("part", [0.0, 0.5, 20.0])
def test_the_best_cap_yields_what_interior_points_do(users: int, kind: str, part: float) -> None:
    """The same objective, on shares that keep the limits and are worth what is said."""
    problem = replace(family("table", users, 6, "sum", 3, kind=kind), objective="mixed", max_weight=part * users)
    resources = Resources.of(problem)
    capped, path = CompiledEngine(problem, resources), ArraysEngine(problem, resources)
    rows, start = np.arange(users), np.ones(3 + users)
    draws = np.random.default_rng(users).integers(0, 6, (3, users))
    sets = [*capped.first_sets(), *path.head[rows, draws]]
    known = 0
    for choice, best in zip(sets, path.settle_all(sets, np.inf, start), strict=True):
        if not np.isfinite(best.objective):
            assert not np.isfinite(capped.settle(choice, np.inf, start).objective)
            continue
        ((found, is_known),) = capped._settle([choice], np.inf, start)
        if not is_known:  # interior points do it
            continue
        known += 1
        assert found.objective == pytest.approx(best.objective, rel=BOUND)
        yields = evaluate_shares(problem, choice, in_units(problem, found.x)[0])
        assert yields.violation <= BOUND
        assert yields.objective_s == pytest.approx(found.objective, rel=EXACT)
        ((above, is_known),) = capped._settle([choice], best.objective * 0.9, start)
        assert not is_known or above.objective >= best.objective * 0.9
    assert known >= 2


@pytest.mark.parametrize("draw", ["cuts", "table"])
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel", "deadline", "airtime"])
def test_the_multipliers_of_prices_are_the_best_of_all(kind: str, draw: str) -> None:
    """NumPy has the same value there, which no other multipliers and no prices nearby exceed."""
    users = 6
    problem = replace(family(draw, users, 12, "sum", 2, kind=kind), objective="mixed", max_weight=3.0)
    resources = Resources.of(problem)
    engine, plain = (MixedEngine(problem, resources, make) for make in (CompiledEngine, ArraysEngine))
    peak = engine.climb(engine.heads, None, np.inf, 1e3, 96, np.ones(3))
    assert peak.prices[3:].sum() <= 3.0

    def value(prices: np.ndarray) -> float:
        return plain.price(engine.heads, prices, None).total - float(prices[:3].sum())

    assert value(peak.prices) == pytest.approx(peak.value, rel=EXACT)
    rng = np.random.default_rng(1)
    for turn in range(40):
        prices = peak.prices.copy()
        if turn % 2:
            prices[3:] = 3.0 * rng.dirichlet(np.full(users, 0.3))
        else:
            prices *= rng.uniform(0.8, 1.2, len(prices))
        assert value(plain.kept(prices)) <= peak.value * (1 + EXACT)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_choices_that_are_too_late_by_themselves_are_ruled_out_with_proof(seed: int) -> None:
    problem = replace(family("cuts", 8, 12, "sum", seed), objective="mixed", max_weight=8.0)
    found = solve(problem, method="prices", gap=1e-6)
    assert found.status == "optimal"
    engine = MixedEngine(problem, Resources.of(problem), CompiledEngine)
    peak = engine.climb(engine.heads, None, np.inf, 1e3, 96, np.ones(3))
    gone = np.zeros_like(engine.heads)
    for prices, own in engine.ruled_out(engine.heads, peak.prices, found.objective_s * 0.9999):
        assert own.any(axis=1).sum() == 1
        assert prices[3:].sum() <= 8.0
        gone |= own
    assert gone.any()
    assert not gone[np.arange(8), found.option].any()
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds


def test_multipliers_above_their_limit_prove_nothing_when_sealed() -> None:
    problem = mixed(3, 2.0)
    resources = Resources.of(problem)
    mask = choices(problem, resources.open)
    for tilts, proves in (([2.0], True), ([2.0 + 1e-12], False), ([1.5, 0.6], False)):
        leaf = Leaf((0.1, 0.1, 0.1, *tilts, *[0.0] * (problem.users - len(tilts))))
        sealed = Certificate.seal(AllocationProof(problem), leaf, mask, 1.0, FloatValuer(problem, resources))
        assert (sealed.bound_s > 0.0) == proves
        assert sealed.verify(problem).holds == proves


def test_a_link_given_whole_leaves_no_range_of_the_largest_latency_open() -> None:
    problem = replace(draw(8, seed=100).problem, objective="mixed", max_weight=20.0)
    found, best = solve(problem), solve(problem, method="enumerate")
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(best.objective_s, rel=SOLVER)
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds


@pytest.mark.parametrize("number", [0, 2, 3, 8])
def test_planes_that_were_never_made_are_not_read(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room for planes holds whatever was in memory before: here numbers that no option has."""

    def spoiled(users: int) -> Cuts:
        made = new_cuts(users)
        made.slopes[:], made.offsets[:], made.prices[:], made.levels[:], made.chosen[:] = 3.0, -1.0, 1.0, 1.0, 2**30
        return made

    monkeypatch.setattr(compiled, "usable", lambda _: True)
    monkeypatch.setattr(compiled_engine, "new_cuts", spoiled)
    for max_weight in (0.5, 20.0):
        problem = mixed(number, max_weight)
        found, best = solve(problem), solve(problem, method="enumerate")
        assert found.status == "optimal"
        assert found.objective_s == pytest.approx(best.objective_s, rel=SOLVER)


@pytest.mark.parametrize("max_weight", [1.5, 40.0])
def test_options_that_a_local_users_latency_holds_are_settled_in_compiled_code(max_weight: float) -> None:
    """The local user is as late as the largest latency may be; at high prices it holds the others, whose shares then
    hang on the ratios of the prices alone and leave budgets over."""
    problem = AllocationProblem(
        fixed_s=[[9.0], [0.5], [0.2]], edge_work_s=[[0.0], [1.0], [2.0]], downlink_bit=[[0.0], [2.0], [1.0]],
        uplink_bit=np.zeros((3, 1)), downlink_hz=1.0, uplink_hz=1.0, edge_capacity=1.0, downlink_efficiency=np.ones(3),
        objective="mixed", max_weight=max_weight,
    )  # fmt: skip
    resources = Resources.of(problem)
    for price in (1.0, 1e4):
        prices = np.array([price, 0.0, price, 0.0, 0.0, 0.0])
        ((found, known),) = CompiledEngine(problem, resources)._settle([np.zeros(3, np.int64)], np.inf, prices)
        assert known
        assert found.objective == pytest.approx(solve(problem, method="enumerate").objective_s, rel=SOLVER)
