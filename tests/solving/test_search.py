"""The one search: the same tree by both engines, users of one kind, seals, and what is said of limits in conflict."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Count, Leaf, Node, Part, Prune
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving import closing, compiled
from megdt_opt.solving.conflict import not_together
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.engine import Engine
from megdt_opt.solving.engines.mixed import MixedEngine
from megdt_opt.tolerances import BOUND, SOLVER

SEEDS = 12


def table(users: int, seed: int, objective: str) -> AllocationProblem:
    """Dyadic numbers, which both engines add without rounding."""
    rng = np.random.default_rng([seed, users])

    def numbers(low: int, high: int) -> np.ndarray:
        return rng.integers(low, high, (users, 6)) / 64.0

    return AllocationProblem(
        fixed_s=numbers(0, 128), downlink_bit=numbers(1, 64), uplink_bit=numbers(1, 64), edge_work_s=numbers(1, 64),
        downlink_hz=1.0, uplink_hz=1.0, downlink_efficiency=np.ones(users), uplink_efficiency=np.ones(users),
        objective=objective,
    )  # fmt: skip


def shape(node: Node) -> Any:
    """What a tree divides, without its prices."""
    if isinstance(node, Leaf):
        return "leaf"
    named = {name: value for name, value in vars(node).items() if name not in ("leaf", "children", "removed")}
    return type(node).__name__, named, [shape(child) for child in node.children]


def by_engine(problem: AllocationProblem, name: str) -> closing.Closed:
    resources = Resources.of(problem)
    if name == "compiled":
        from megdt_opt.solving.compiled.engine import CompiledEngine

        return closing._searched(CompiledEngine(problem, resources), problem, resources, 1e-6, np.inf, None)
    return closing._searched(ArraysEngine(problem, resources), problem, resources, 1e-6, np.inf, None)


@pytest.mark.slow
@pytest.mark.parametrize("dyadic", [True, False], ids=["dyadic", "random"])
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_both_engines_find_the_same(objective: str, dyadic: bool) -> None:
    """The same optimum and bound, in as many nodes within 5 % in total; on these dyadic numbers the same trees.

    That trees are the same is no guarantee: with other seeds the engines may divide elsewhere, at as many nodes.
    """
    nodes = [0, 0]
    for seed in range(SEEDS):
        problem = table(5, seed, objective)
        if not dyadic:
            factor = np.random.default_rng(seed).uniform(0.9, 1.1, (2, 5, 6))
            problem = replace(
                problem, edge_work_s=problem.edge_work_s * factor[0], downlink_bit=problem.downlink_bit * factor[1]
            )
        one, other = by_engine(problem, "compiled"), by_engine(problem, "numpy")
        assert one.objective == pytest.approx(other.objective, rel=1e-9)
        for closed in (one, other):
            assert closed.objective - closed.bound <= 1.001e-6 * closed.objective
            assert closed.certificate.verify(problem).holds
        if dyadic:
            assert shape(one.certificate.tree) == shape(other.certificate.tree)
        assert one.bound == pytest.approx(other.bound, rel=1e-9)
        nodes[0] += one.nodes
        nodes[1] += other.nodes
    assert max(nodes) <= 1.05 * min(nodes)


def crowd(users: int, noise: float, objective: str) -> AllocationProblem:
    """Option A takes 1 s of the edge, option B 1 s of the downlink; the numbers times 1 + noise * uniform."""
    rng = np.random.default_rng(users)
    factor = 1.0 + noise * rng.random((2, users))
    nothing = np.zeros(users)
    return AllocationProblem(
        fixed_s=np.zeros((users, 2)), downlink_bit=np.column_stack([nothing, factor[0]]),
        uplink_bit=np.zeros((users, 2)), edge_work_s=np.column_stack([factor[1], nothing]), downlink_hz=1.0,
        uplink_hz=1.0, downlink_efficiency=np.ones(users), objective=objective,
    )  # fmt: skip


@pytest.mark.parametrize("users", [5, 9, 15])
def test_identical_users_are_counted(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symmetric users at a half-integer: the optimum of "max" is (K + 1) / 2, that of "sum" follows from the counts."""
    monkeypatch.setattr(compiled, "usable", lambda _: False)
    few = users // 2
    for objective, best in (("max", (users + 1) / 2), ("sum", float(few**2 + (users - few) ** 2))):
        found = solve(crowd(users, 0.0, objective), "prices", time_limit_s=60.0)
        assert found.objective_s == pytest.approx(best, rel=SOLVER)
        assert found.status == "optimal"
        assert found.certificate is not None
        assert found.certificate.verify(crowd(users, 0.0, objective)).holds


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("users", [21, 41])
def test_users_of_one_kind_close(users: int, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    problem = crowd(users, noise, "sum")
    found = solve(problem, "prices", time_limit_s=60.0)
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_counts_and_removed_options_are_checked() -> None:
    """Three users share an edge: with at most one at it and with two or more, and what prices rule out."""
    problem = AllocationProblem(
        fixed_s=[[3.0, 0.0]] * 3, downlink_bit=np.zeros((3, 2)), uplink_bit=np.zeros((3, 2)),
        edge_work_s=[[0.0, 1.0]] * 3, downlink_hz=1.0, uplink_hz=1.0, objective="sum",
    )  # fmt: skip
    best = solve(problem, "enumerate").objective_s  # one at the edge: 3 + 3 + 1
    assert best == pytest.approx(7.0)
    few, many = Leaf((0.0, 0.0, 1.0), (1.0,)), Leaf((0.0, 0.0, 4.0), (0.0,))
    tree = Count((0, 1, 2), (1,), 1, [few, many])
    data = Certificate("sum", 4.999, tree).to_dict()
    assert Certificate.from_dict(data).to_dict() == data
    for exact in (True, False):
        assert Certificate("sum", 4.999, tree).verify(problem, exact=exact).holds
        assert not Certificate("sum", best * (1 + 1e-6), tree).verify(problem, exact=exact).holds
    for spoiled in (
        Count((0, 1, 1), (1,), 1, [few, many]),
        Count((0, 1, 3), (1,), 1, [few, many]),
        Count((0, 1, 2), (1,), 1, [Leaf((0.0, 0.0, 1.0)), many]),
        Count((0, 1, 2), (1,), 1, [few]),
    ):
        assert not Certificate("sum", 4.999, spoiled).verify(problem).holds
    # at the price 9 an edge option costs 6 and the device 3: no user at the edge is in anything below 3 + 3 + 6 - 9
    one = Leaf((0.0, 0.0, 9.0))
    kept = Prune(one, np.array([[0, 1]]), [Leaf((0.0, 0.0, 1.0))])
    assert Certificate("sum", 2.999, kept).verify(problem).holds
    assert not Certificate("sum", 3.1, kept).verify(problem).holds


def test_an_allocation_of_the_compiled_search_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    problem = table(3, 1, "sum")
    again = pickle.loads(pickle.dumps(solve(problem)))
    assert again.certificate.verify(problem).holds
    assert again.lower_bound_s <= again.objective_s * (1 + BOUND)


@pytest.mark.slow
def test_allocations_come_back_from_other_processes() -> None:
    """From the compiled engine, which the other process makes ready for a large problem first; all certificates hold.

    Users with Shannon rates, with a branch on the device, and with deadlines.
    """
    plain = table(3, 1, "sum")
    problems = [
        replace(
            plain, downlink_efficiency=None, uplink_efficiency=None, downlink_snr_hz=[2.0, 3.0, 5.0],
            uplink_snr_hz=[4.0, 1.0, 2.0],
        ),
        replace(plain, device_branch_s=plain.fixed_s / 2),
        replace(plain, deadline_s=solve(plain).latency_s * 1.5),
    ]  # fmt: skip
    large = table(compiled.WAITS, 1, "sum")
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=closing.prepare, initargs=(large,)) as pool:
        assert pool.submit(compiled.at_hand).result()
        for problem, found in zip(problems, pool.map(solve, problems), strict=True):
            assert found.objective_s == pytest.approx(solve(problem).objective_s, rel=2e-6)
            assert found.certificate is not None
            assert found.certificate.verify(problem).holds


def thirds(users: int, objective: str) -> AllocationProblem:
    """Each takes as much of the edge, of the downlink or of the uplink: a partition, which does not close in time."""
    size = np.random.default_rng(users).uniform(0.5, 1.5, (users, 1)) * np.ones((1, 3))
    at = np.eye(3)
    return AllocationProblem(
        fixed_s=0.0 * size, edge_work_s=size * at[0], downlink_bit=size * at[1], uplink_bit=size * at[2],
        downlink_hz=1.0, uplink_hz=1.0, downlink_efficiency=np.ones(users), uplink_efficiency=np.ones(users),
        objective=objective, max_weight=1.0 if objective == "mixed" else None,
    )  # fmt: skip


PART_S = 0.01


class SlowlySealed(ArraysEngine):
    """Takes its time to seal each part of a tree, and says how many parts there were."""

    parts = 0

    def valuer(self) -> Valuer:
        engine, own = self, super().valuer()

        class Slow:
            def value(self, part: Part, level_s: float | None) -> Fraction | float:
                time.sleep(PART_S)
                engine.parts += 1
                return own.value(part, level_s)

        return Slow()


@pytest.mark.parametrize("objective", ["sum", "max", "mixed"])
def test_the_time_to_seal_the_tree_is_part_of_the_time_limit(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is grown than can be sealed in time, whatever the machine's speed; what is sealed proves its bound."""
    monkeypatch.setattr("megdt_opt.solving.search.tree._AT_ONCE", 0)  # these few parts take long
    limit_s = 1.0
    problem = thirds(41, objective)
    engine = SlowlySealed(problem, Resources.of(problem))
    searched: Engine = engine
    if objective == "mixed":
        searched = MixedEngine(problem, engine.resources, lambda *_: engine)
        searched.valuer = engine.valuer  # type: ignore[method-assign]
    closed = closing._searched(searched, problem, engine.resources, 1e-9, time.monotonic() + limit_s, None)
    assert 0 < engine.parts <= limit_s / PART_S
    assert closed.certificate.verify(problem).holds
    assert closed.objective - closed.bound > 1e-9 * closed.objective  # else nothing was cut short


@pytest.mark.parametrize("number", [3, 4, 7])
def test_only_a_proven_conflict_is_named(number: int) -> None:
    """Two users cannot be at the edge in time, others can; when there is no time to prove who, all are named."""
    problem = AllocationProblem(
        fixed_s=np.zeros((number, 1)), downlink_bit=np.zeros((number, 1)), uplink_bit=np.zeros((number, 1)),
        edge_work_s=np.ones((number, 1)), downlink_hz=1.0, uplink_hz=1.0, deadline_s=[1.5, 1.5] + [1e3] * (number - 2),
    )  # fmt: skip
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    assert caught.value.users == (0, 1)
    assert not_together(problem, deadline=0.0).users == tuple(range(number))


@pytest.mark.parametrize("kind", ["linear", "with a device branch", "with deadlines"])
def test_a_loop_of_small_problems_reaches_the_compiled_code(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once NumPy has taken as long as loading takes, what is kept is loaded; never before."""
    monkeypatch.setattr(compiled, "_here", [])
    monkeypatch.setattr(compiled, "_in_numpy", [0])
    monkeypatch.setattr(compiled, "_seconds", [0.0])
    monkeypatch.setattr("megdt_opt.solving.compiled.folder.compiled_before", lambda: True)
    problem = table(3, 2, "sum")
    if kind == "with a device branch":
        problem = replace(problem, device_branch_s=problem.fixed_s / 2)
    elif kind == "with deadlines":
        problem = replace(problem, deadline_s=np.full(3, 1e3))
    assert not compiled.usable(problem)
    solve(problem)
    assert compiled._seconds[0] > 0
    monkeypatch.setattr(compiled, "_seconds", [compiled.LOADING_S + 1.0])
    assert compiled.usable(problem)
    monkeypatch.setattr("megdt_opt.solving.compiled.folder.compiled_before", lambda: False)
    assert not compiled.usable(problem)
