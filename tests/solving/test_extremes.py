"""What fuzzing found once: problems at the edge of what can be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, SolverFailure, evaluate, explain, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Leaf
from megdt_opt.pricing.scaled import Resources
from megdt_opt.shares import central_path
from megdt_opt.shares.best import best_shares
from megdt_opt.solving import compiled
from megdt_opt.solving.conflict import not_together
from megdt_opt.tolerances import BOUND, EXACT, LIMIT_SLACK, SOLVER


def usual(**more: Any) -> AllocationProblem:
    fields: dict[str, Any] = {
        "fixed_s": [[1.0, 2.0], [0.5, 1.5]],
        "downlink_bit": [[3.0, 1.0], [2.0, 1.0]],
        "uplink_bit": [[1.0, 1.0], [1.0, 2.0]],
        "edge_work_s": [[1.0, 0.5], [0.5, 0.2]],
        "downlink_hz": 1.0,
        "uplink_hz": 1.0,
        "downlink_efficiency": [1.0, 2.0],
        "uplink_efficiency": [1.0, 1.0],
        "objective": "max",
    }
    fields |= more
    return AllocationProblem(**fields)


@pytest.mark.parametrize("objective", ["max", "sum"])
def test_no_time_at_all_is_optimal_and_proven(objective: str) -> None:
    zeros = np.zeros((2, 2))
    problem = usual(
        fixed_s=[[0.0, 1.0], [2.0, 0.0]], downlink_bit=zeros, uplink_bit=zeros, edge_work_s=zeros, objective=objective
    )
    found = solve(problem, gap=0.0)
    assert (found.objective_s, found.lower_bound_s, found.gap, found.status) == (0.0, 0.0, 0.0, "optimal")
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_a_bound_of_zero_always_holds_but_a_larger_one_does_not() -> None:
    problem = usual()
    assert Certificate("max", 0.0, Leaf((1.0, 1.0, 1.0))).verify(problem).holds
    assert not Certificate("max", 100.0, Leaf((1.0, 1.0, 1.0))).verify(problem).holds


@pytest.mark.parametrize("factor", [1.0, 1 - 1e-6])
def test_an_airtime_limit_that_takes_the_whole_band(factor: float) -> None:
    """1 bit over b log2(1 + 1/b) at b = 1 takes 1 s exactly."""
    problem = AllocationProblem(
        fixed_s=[[0.0]], downlink_bit=[[0.0]], uplink_bit=[[1.0]], edge_work_s=[[1.0]], downlink_hz=1.0, uplink_hz=1.0,
        uplink_snr_hz=[1.0], uplink_airtime_max_s=[[factor]],
    )  # fmt: skip
    if factor == 1.0:
        for method in ("prices", "enumerate"):
            found = solve(problem, method)
            assert found.objective_s == pytest.approx(2.0, rel=EXACT)
            assert found.evaluate(problem).violation <= BOUND
    else:
        with pytest.raises(Infeasible, match="airtime"):
            solve(problem)


def test_a_deadline_that_is_met_exactly() -> None:
    """The device branch takes as long as the deadline allows, with or without a little work at the edge."""
    for work in (0.0, 1e-3):
        problem = usual(
            fixed_s=[[0.0], [0.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[0.0], [0.0]],
            edge_work_s=[[work], [work]], device_branch_s=[[2.0], [3.0]], deadline_s=[2.0, 3.0],
        )  # fmt: skip
        for method in ("prices", "enumerate"):
            found = solve(problem, method)
            assert found.objective_s == pytest.approx(3.0, rel=EXACT)
            assert found.evaluate(problem).violation <= BOUND
        assert explain(problem).feasible


def test_caps_far_below_the_capacity() -> None:
    """A share of 1e-9 of a server beside 1e9 servers is small, not absent."""
    problem = usual(
        edge_capacity=1e9, edge_share_max=[1e-9, 1e-9], edge_work_s=np.full((2, 2), 1e-9), deadline_s=[50, 50]
    )
    for method in ("prices", "enumerate"):
        found = solve(problem, method)
        assert found.edge_share == pytest.approx([1e-9, 1e-9], rel=1e-6)
        assert found.status == "optimal"


def test_airtime_limits_of_very_different_size_are_kept_if_they_can_be() -> None:
    """Option 0 of each user fits together with the other's only; a rule that adds times and shares would miss it."""
    problem = usual(
        fixed_s=[[1e12, 0.0], [1e12, 0.0]], uplink_bit=[[1.0, 1.0], [1.0, 1.0]],
        uplink_airtime_max_s=[[2.5, 1.2], [2.5, 1.2]],
    )  # fmt: skip
    found = solve(problem)
    assert found.option.tolist() == [0, 0]
    assert found.status == "optimal"


def test_airtime_limits_that_clash_are_explained() -> None:
    problem = usual(uplink_airtime_max_s=np.full((2, 2), 1.2), uplink_bit=np.ones((2, 2)))
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    assert caught.value.users == (0, 1)
    assert not explain(problem).feasible


def test_a_path_knows_how_near_it_came() -> None:
    problem = usual(deadline_s=[100.0, 100.0])
    found = best_shares(problem, Resources.of(problem), np.array([[0, 0], [1, 0]]))
    assert (found.bound <= found.objective).all()
    assert found.bound == pytest.approx(found.objective, rel=1e-10)


@pytest.mark.parametrize(
    "fields",
    [
        {"fixed_s": [[10**400, 1.0], [1.0, 1.0]]},
        {"fixed_s": [[1.0], [1.0, 2.0]]},
        {"downlink_hz": 10**400},
        {"allowed": [[True], [True, False]]},
        {"allowed": np.full((2, 2), None)},
        {"allowed": np.full((2, 2), "yes")},
        {"downlink_efficiency": 1 + 2j},
    ],
)
def test_values_that_no_array_holds(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(fields))):
        usual(**fields)


@pytest.mark.parametrize("value", ["small", None, 1j, [1e-6], 10**400, float("nan")])
def test_settings_of_another_type(value: object) -> None:
    problem = usual()
    with pytest.raises(InvalidInput, match="gap"):
        solve(problem, gap=value)  # type: ignore[arg-type]
    if value is not None:
        with pytest.raises(InvalidInput, match="time_limit_s"):
            solve(problem, time_limit_s=value)  # type: ignore[arg-type]


def test_options_that_only_rounding_tells_apart() -> None:
    problem = usual(fixed_s=[[1.0, 1.0 + 1e-15], [0.5, 0.5]])
    twice = replace(problem, objective="sum")
    for one in (problem, twice):
        assert solve(one).status == "optimal"


def test_a_user_without_signal_that_sends_nothing() -> None:
    """Its rate is 0, and 0 bits over it take no time: no warning, no number that is none."""
    problem = usual(
        uplink_efficiency=None, uplink_snr_hz=[0.0, 1.0], uplink_bit=[[0.0, 0.0], [1.0, 2.0]], deadline_s=[99.0, 99.0]
    )
    best = solve(problem, "enumerate")
    found = solve(problem)
    assert found.objective_s == pytest.approx(best.objective_s, rel=1e-6)
    assert found.status == best.status == "optimal"


def test_a_tree_may_leave_out_what_an_airtime_limit_closes() -> None:
    """And nothing else: that the option is closed is proven, not believed."""
    from megdt_opt.certificate.tree import Branch

    problem = AllocationProblem(
        fixed_s=[[1.0, 0.0, 2.0]], downlink_bit=[[0.0] * 3], uplink_bit=[[1.0] * 3], edge_work_s=[[0.0] * 3],
        downlink_hz=1.0, uplink_hz=1.0, uplink_efficiency=[1.0], uplink_airtime_max_s=[[2.0, 0.9, 2.0]],
        objective="sum",
    )  # fmt: skip
    leaf = Leaf((0.0, 1.0, 0.0))
    for exact in (True, False):
        assert Certificate("sum", 1.999, Branch(0, ((0,), (2,)), [leaf, leaf])).verify(problem, exact=exact).holds
        assert not Certificate("sum", 1.999, Branch(0, ((0,), (1,)), [leaf, leaf])).verify(problem, exact=exact).holds
        open_ = replace(problem, uplink_airtime_max_s=None)
        assert not Certificate("sum", 1.999, Branch(0, ((0,), (2,)), [leaf, leaf])).verify(open_, exact=exact).holds


@pytest.mark.parametrize(
    "fields",
    [{"deadline_s": [5e-324, 9.0]}, {"fixed_s": np.full((2, 2), 1e308)}, {"uplink_hz": 1e200}, {"weight": [1e-200, 1]}],
)
def test_numbers_whose_products_no_float_holds(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(fields))}.*between 1e-30 and 1e.30"):
        usual(**fields)


def test_a_deadline_that_the_fixed_part_uses_up() -> None:
    """No share is fast enough for work that must take no time; the other option, which has none, is taken."""
    problem = usual(
        fixed_s=[[2.0, 2.0], [0.5, 0.5]], downlink_bit=[[0.0, 1.0], [2.0, 1.0]], uplink_bit=[[0.0, 1.0], [1.0, 2.0]],
        edge_work_s=[[0.0, 1.0], [0.5, 0.2]], deadline_s=[2.0, 99.0], objective="sum",
    )  # fmt: skip
    found = solve(problem)
    assert found.option[0] == 0
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
    assert found.certificate.verify(problem, exact=False).holds


def far_apart(objective: str, **more: Any) -> AllocationProblem:
    """User 0 must take option 0, with 0.7 of the downlink, and user 1 option 1; no simple rule takes both."""
    fields: dict[str, Any] = {
        "fixed_s": [[0.0, 2.0], [0.0, 9e9]], "downlink_bit": [[0.7, 1e-4], [4e9, 1e3]],
        "uplink_bit": np.zeros((2, 2)), "edge_work_s": np.zeros((2, 2)), "downlink_hz": 1.0, "uplink_hz": 1.0,
        "downlink_efficiency": np.ones(2), "deadline_s": [1.0, 1e10], "weight": [1.0, 1e-10], "objective": objective,
    }  # fmt: skip
    return AllocationProblem(**(fields | more))


@pytest.mark.parametrize("objective", ["max", "sum"])
@pytest.mark.parametrize("route", ["numpy", "compiled"])
def test_deadlines_that_are_very_far_apart(objective: str, route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least lateness counts each user's own deadline, however much longer than another's."""
    monkeypatch.setattr(compiled, "usable", lambda _: route == "compiled")
    problem = far_apart(objective)
    found = solve(problem)
    assert found.option.tolist() == [0, 1]
    assert found.status == "optimal"
    assert found.evaluate(problem).violation <= BOUND


def late(objective: str) -> AllocationProblem:
    """The same in equal magnitudes: deadlines of a second."""
    return far_apart(
        objective, fixed_s=[[0.0, 2.0], [0.0, 0.9]], downlink_bit=[[0.7, 1e-4], [0.4, 1e-4]], deadline_s=[1.0, 1.0],
        weight=[1.0, 1.0],
    )  # fmt: skip


@pytest.mark.parametrize("objective", ["max", "sum"])
def test_the_search_for_a_first_allocation_looks_at_the_time(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time for it there is a clear error, before a step of its search."""
    monkeypatch.setattr(compiled, "usable", lambda _: False)
    steps: list[int] = []
    move = central_path._Newton.move

    def counted(newton: central_path._Newton) -> None:
        steps.append(1)
        move(newton)

    monkeypatch.setattr(central_path._Newton, "move", counted)
    problem = late(objective)
    with pytest.raises(SolverFailure, match="time_limit_s"):
        solve(problem, time_limit_s=1e-9)
    assert not steps
    assert solve(problem).option.tolist() == [0, 1]
    assert steps


@pytest.mark.parametrize("objective", ["max", "sum", "mixed", "missed"])
def test_without_deadlines_no_time_is_enough_for_an_allocation(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the best found, with a bound that the certificate proves and none above it."""
    monkeypatch.setattr(compiled, "usable", lambda _: False)
    more: dict[str, Any] = {"mixed": {"max_weight": 1.0}, "missed": {"deadline_s": [4.0, 3.0]}}.get(objective, {})
    problem = usual(objective=objective, uplink_efficiency=None, uplink_snr_hz=[2.0, 1.0], **more)
    hasty, best = solve(problem, gap=0.0, time_limit_s=1e-9), solve(problem)
    assert hasty.evaluate(problem).violation <= BOUND
    assert hasty.lower_bound_s <= best.objective_s * (1 + BOUND)
    assert best.objective_s <= hasty.objective_s * (1 + 1e-6)
    assert hasty.certificate is not None
    assert hasty.certificate.verify(problem).holds
    if objective == "max":
        higher = Certificate("max", hasty.lower_bound_s * (1 + 1e-6), hasty.certificate.tree)
        assert 0 < hasty.lower_bound_s < best.objective_s
        assert not higher.verify(problem).holds


def test_who_is_in_conflict_is_not_asked_for_longer_than_there_is_time() -> None:
    tight = replace(late("max"), deadline_s=[0.5, 1.0])
    assert not_together(tight).users == (0,)
    hasty = not_together(tight, deadline=0.0)
    assert hasty.users == (0, 1)
    assert "times as long" not in str(hasty)


@pytest.mark.parametrize("users", [1, 3])
@pytest.mark.parametrize("room", [0.0, 1e-12])
def test_bounds_hold_where_a_deadline_is_just_kept(users: int, room: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The multiplier of the time is then so large that its rounding is more than that of the cost."""
    monkeypatch.setattr(compiled, "usable", lambda _: False)
    one = {
        "fixed_s": [[22.125637164330747]],
        "downlink_bit": [[0.0]],
        "uplink_bit": [[0.027564130251093753]],
        "edge_work_s": [[0.00030325759901336487]],
        "downlink_hz": 1.079782831019991,
        "uplink_hz": 59.384610575784244,
        "edge_capacity": 7.9407003611482,
        "downlink_snr_hz": [4.591733885949937],
        "uplink_snr_hz": [0.0598022660524396],
        "weight": [2561.2072030115737],
    }
    three = {
        "fixed_s": [[2.0]] * 3,
        "downlink_bit": [[0.0]] * 3,
        "uplink_bit": [[1.0]] * 3,
        "edge_work_s": [[2.0]] * 3,
        "downlink_hz": 1.0,
        "uplink_hz": 2.0,
        "edge_capacity": 2.0,
        "edge_share_max": [1e-3, 0.3, 2.0],
        "downlink_efficiency": [2.0] * 3,
        "uplink_snr_hz": [2.0] * 3,
    }
    problem = AllocationProblem(**(one if users == 1 else three), objective="sum")
    latency_s = solve(problem).latency_s
    tight = replace(problem, deadline_s=latency_s * (1.0 + room))
    for objective in ("sum", "max"):
        found = solve(replace(tight, objective=objective))
        assert found.certificate is not None
        verdict = found.certificate.verify(tight if objective == "sum" else replace(tight, objective=objective))
        assert verdict.holds, verdict.reason


def test_prices_of_a_limit_that_is_just_kept_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A price of 1e22 hides the objective in its rounding: what the compiled search claims is worked out anew."""
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    problem = AllocationProblem(
        fixed_s=[[5.657471409456772], [9.47875788701555]],
        downlink_bit=[[9.717899807868472], [1.1683994289091142]],
        uplink_bit=[[0.0], [0.0]],
        edge_work_s=[[7.4404988459652275], [0.0]],
        downlink_hz=5.9242077816965235,
        uplink_hz=9.274765123530978,
        edge_capacity=9.441264451611376,
        edge_share_max=[1e-09, 0.001],
        downlink_efficiency=[9.340196459271317, 2.9010864849434523],
        uplink_efficiency=[9.053776123488097, 1.9045763069507355],
        deadline_s=[7440498851.907586, 9.656014861928881],
        uplink_airtime_max_s=[[1.0], [0.0]],
        objective="sum",
    )
    found = solve(problem, "prices", gap=0.5)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem)
    assert verdict.holds, verdict.reason


def test_missed_without_any_edge_server() -> None:
    problem = AllocationProblem(
        fixed_s=[[1.8, 4.3], [8.4, 7.6]],
        downlink_bit=[[2.4, 0.2], [2.4, 8.5]],
        uplink_bit=[[6.9, 0.0], [8.7, 0.0]],
        edge_work_s=[[1.9, 0.0], [0.0, 0.9]],
        downlink_hz=4.7,
        uplink_hz=3.7,
        edge_capacity=0.0,
        downlink_efficiency=[4.5, 7.1],
        uplink_efficiency=[2.0, 0.6],
        deadline_s=[2.7, 1.8],
        objective="missed",
    )
    for method in ("prices", "enumerate"):
        assert solve(problem, method).objective_s == 2.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_proof_where_a_link_takes_its_whole_band_holds_when_it_is_sealed(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whose edge share is capped to next to nothing has all of the uplink, which plain costs know nothing of."""
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    factor = np.random.default_rng(seed).uniform(0.9, 1.1, (3, 4, 3)) if seed else np.ones((3, 4, 3))
    problem = AllocationProblem(
        fixed_s=np.array([[1.3e-7, 1.31e-7, 0], [1.36e-7, 0, 1.65e-7], [2.13e-7, 0, 2.18e-7], [0, 1.12e-7, 9.7e-8]]),
        downlink_bit=factor[0] * [[17.6, 8.38, 9.75], [8.58, 0, 6.27], [7.72, 10.2, 5.25], [5.69, 23.1, 6.74]] * 1e-9,
        uplink_bit=factor[1] * [[4.67, 6.31, 0], [5.78, 6.55, 0], [5.9, 0, 2.94], [0, 2.46, 3.98]] * 1e-9,
        edge_work_s=factor[2] * [[2.31, 0, 4.19], [3.92, 0.846, 4.04], [0.987, 0, 1.08], [0.541, 0.823, 3.43]] * 1e-4,
        downlink_hz=0.008567, uplink_hz=0.03816, edge_capacity=0.04704, edge_share_max=[1e9, 1.0, 1e-9, 0.3],
        downlink_efficiency=[8.73e8, 1.21e9, 3.39e8, 5.33e8], uplink_efficiency=[3.22e-6, 2.37e-6, 1.28e-5, 6.1e-6],
        objective="max",
    )  # fmt: skip
    found = solve(problem, "prices")
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(solve(problem, "enumerate").objective_s, rel=1e-6)
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds
    with pytest.raises(Infeasible):
        solve(replace(problem, deadline_s=np.full(4, found.objective_s * (1 - 1e-5))), "prices")


@pytest.mark.parametrize("snr_hz", [None, [3.0, 5.0]], ids=["linear", "shannon"])
@pytest.mark.parametrize("excess", [-1e-9, 0.0, 1e-12, 5e-11, 4e-10, 9e-10, 2e-9])
def test_all_routes_call_a_limit_kept_alike(
    excess: float, snr_hz: list[float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airtimes that need a little more than the band: what one route takes, none of the others calls infeasible."""
    part = np.array([0.75, 0.25]) * (1.0 + excess)
    rate = part if snr_hz is None else part * np.log2(1.0 + snr_hz / part)
    problem = AllocationProblem(
        fixed_s=[[0.0, 50.0], [0.0, 60.0]], downlink_bit=np.zeros((2, 2)), edge_work_s=np.zeros((2, 2)),
        uplink_bit=np.column_stack([2.0 * rate, np.zeros(2)]), downlink_hz=1.0, uplink_hz=1.0, objective="sum",
        uplink_airtime_max_s=np.full((2, 2), 2.0), uplink_snr_hz=snr_hz,
        uplink_efficiency=[1.0, 1.0] if snr_hz is None else None,
    )  # fmt: skip
    found = [solve(problem, "enumerate")]
    for is_compiled in (True, False):
        monkeypatch.setattr(compiled, "usable", lambda _, asked=is_compiled: asked)
        found.append(solve(problem, "prices"))
    assert (found[0].objective_s < 5.0) == (excess <= LIMIT_SLACK)
    for answer in found:
        assert answer.objective_s == pytest.approx(found[0].objective_s, rel=SOLVER)
        assert evaluate(problem, answer.option, answer.downlink_hz, answer.uplink_hz, answer.edge_share).violation <= (
            LIMIT_SLACK
        )


@pytest.mark.long_list("objective", "is_compiled", of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("spread", [0.0, 1e-8, 0.1, 0.5])
@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "numpy"])
def test_a_certificate_holds_exactly_where_more_band_helps_no_more_and_a_deadline_is_met_exactly(
    objective: str, spread: float, is_compiled: bool, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates that are all the signal allows do not grow with the band, and floats misplace shares and multipliers."""
    monkeypatch.setattr(compiled, "usable", lambda _: is_compiled)
    tables = {
        "fixed_s": [[2.332167417449689e-07, 0.0002962870264517228], [0.0, 255722.9271220451]],
        "downlink_bit": [[28767.20373691796, 1.1824057582051895e-08], [1.2401060833264986e-12, 0.0]],
        "uplink_bit": [[542852600861.0034, 0.00013228108439425823], [6.744655162693222e-07, 0.0]],
        "edge_work_s": [[14.321161600748416, 0.0], [0.0, 1165.165514066634]],
        "downlink_snr_hz": [9.543658118365927e-12, 0.09365898425739354],
        "uplink_snr_hz": [3756948329.8577375, 0.0005921575366390797],
    }
    rng = np.random.default_rng(0)
    for _ in range(1 if not spread else 20 if full else 2):
        problem = AllocationProblem(
            **{name: np.exp(spread * rng.normal(size=np.shape(table))) * table for name, table in tables.items()},
            downlink_hz=1405520465.942299, uplink_hz=409149278956.2024, edge_capacity=3.2823775012630093e-09,
            objective=objective,
        )  # fmt: skip
        free = solve(problem, "enumerate")
        late = replace(problem, deadline_s=free.latency_s)
        answer = solve(late, "prices", gap=1e-9)
        assert answer.objective_s == pytest.approx(free.objective_s, rel=BOUND)
        assert answer.certificate is not None
        for exact in (False, True):
            verdict = answer.certificate.verify(late, exact=exact)
            assert verdict.holds, verdict.reason


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "numpy"])
def test_who_just_keeps_a_deadline_with_everything_is_proven_to(
    is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No prices are known where a deadline is kept within rounding only: those of 0 prove what each needs alone."""
    monkeypatch.setattr(compiled, "usable", lambda _: is_compiled)
    problem = AllocationProblem(
        fixed_s=[[2.0, 1.0]], uplink_bit=[[0.0, 1.0]], downlink_bit=[[0.0, 2.0]], edge_work_s=np.zeros((1, 2)),
        uplink_hz=2.0, downlink_hz=2.0, uplink_efficiency=[2.0], downlink_efficiency=[2.0], weight=[1672.6062591467464],
        deadline_s=[1.75], objective="sum",
    )  # fmt: skip
    found = solve(problem, "prices", gap=1e-9)
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(1.75 * 1672.6062591467464)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9])
def test_more_than_floats_prove_is_proven_as_far_as_they_do(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a level hardly depends on the prices that nearly prove it, they prove much less than the level below it."""
    monkeypatch.setattr(compiled, "usable", lambda _: True)
    tables = {
        "fixed_s": [[0.0914, 0.151, 0.0, 0.0298], [0.124, 0.0941, 0.0689, 0.162]],
        "uplink_bit": [[0.0, 6.417274334840201, 0.0, 7.478417586412896],
                       [6.787186526884156, 14.720776605204783, 1.8861431984444594, 9.137211138366137]],
        "downlink_bit": [[3.3930122993732476e-05, 0.0, 1.6403384515536377e-05, 2.5772469295292412e-05],
                         [1.3329587958382948e-05, 3.464739008000948e-05, 1.0029572857451715e-05, 3.17093683015639e-05]],
        "edge_work_s": [[20097376.151014853, 12966560.350319568, 26552182.47303357, 21014581.79911178],
                        [4963934.492867697, 23732481.118565474, 12131594.603708744, 22008402.059128623]],
        "uplink_airtime_max_s": [[1.0, 13159192.473090436, 1.000000001, 30670322.376919962],
                                 [0.015460749539284334, 0.0335329284402783, 0.0, 20813945.857870936]],
    }  # fmt: skip
    problem = AllocationProblem(
        **tables, downlink_hz=9.395285605490407e-12, uplink_hz=1.873982245723024e-08,
        edge_capacity=1.727668863943819e-08, uplink_snr_hz=[1.2777402686644366, 0.2111655838188853],
        downlink_efficiency=[115.62003058194915, 312.2440309012527], edge_share_max=[1.0, 0.3], objective="max",
    )  # fmt: skip
    assert solve(problem, "prices", gap=gap).gap <= max(gap, EXACT)
