"""Solving problems of programs: methods, limits on time, what is nothing, and the core problem as a special case."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_programs import draw_program

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, ProgramProblem, solve
from megdt_opt.solving.door import methods
from megdt_opt.tolerances import SOLVER


def test_methods_of_the_class() -> None:
    assert methods("ProgramProblem") == ("auto", "prices", "task_program")
    assert "task_program" not in methods("AllocationProblem")
    with pytest.raises(InvalidInput, match="method: found 'enumerate'"):
        solve(draw_program(1), "enumerate")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"allowed": np.zeros((1, 2), bool)}, "user 0: every option is forbidden by `allowed`", id="none"),
        pytest.param({"uplink_hz": 0.0}, "user 0: uplink_hz = 0 Hz, which 1 options need", id="no band"),
        pytest.param({"uplink_snr_hz": [0.0]}, "user 0: uplink_snr_hz = 0 Hz, which 1 options need", id="no reach"),
        pytest.param({"edge_capacity": 0.0}, "user 0: edge_capacity = 0, which 1 options need", id="no edge"),
    ],
)
def test_who_has_no_option_is_told_why(changed: dict[str, Any], said: str) -> None:
    tables = {name: np.zeros((1, 2, 2)) for name in ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")}
    tables["uplink_bit"][0, 0, 0], tables["edge_work_s"][0, 0, 1] = 1e6, 1.0
    base = {"before": np.zeros((1, 2, 2, 2), bool), "downlink_hz": 1e6, "uplink_hz": 1e6, "uplink_snr_hz": [1e6]}
    problem = ProgramProblem(**{**base, **tables, "allowed": [[True, False]], **changed})
    for method in ("auto", "task_program"):
        with pytest.raises(Infeasible) as error:
            solve(problem, method)
        assert said in str(error.value)
        assert error.value.users == (0,)


def folded(core: AllocationProblem) -> ProgramProblem:
    """A core problem as programs: fixed time, then upload, edge work and download beside a device branch."""
    shape = (*core.fixed_s.shape, 5)
    tables = {name: np.zeros(shape) for name in ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")}
    tables["fixed_s"][:, :, 0], tables["fixed_s"][:, :, 4] = core.fixed_s, core.branch_s
    tables["uplink_bit"][:, :, 1], tables["edge_work_s"][:, :, 2] = core.uplink_bit, core.edge_work_s
    tables["downlink_bit"][:, :, 3] = core.downlink_bit
    before = np.zeros((*shape, 5), bool)
    for first, then in ((0, 1), (1, 2), (2, 3), (0, 4)):
        before[:, :, first, then] = True
    laws = ("downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz")
    more: dict[str, Any] = {name: getattr(core, name) for name in laws}
    return ProgramProblem(
        **tables, **more, before=before, downlink_hz=core.downlink_hz, uplink_hz=core.uplink_hz,
        edge_capacity=core.edge_capacity, weight=core.weight, edge_share_max=core.edge_share_max,
        objective=core.objective,
    )  # fmt: skip


CASES = list(itertools.product(("sum", "max"), ("linear", "shannon"), (0, 1)))


@pytest.mark.parametrize(("objective", "law", "caps"), CASES)
def test_one_chain_and_one_branch_is_the_core_problem(objective: str, law: str, caps: int) -> None:
    draw = np.random.default_rng(5)
    users, options = 4, 3
    tables = {
        name: draw.lognormal(0.0, 0.7, (users, options)) * unit * (draw.random((users, options)) < 0.8)
        for name, unit in (("fixed_s", 1.0), ("uplink_bit", 1e6), ("edge_work_s", 1.0), ("downlink_bit", 1e6),
                           ("device_branch_s", 4.0))
    }  # fmt: skip
    kind = {"linear": "efficiency", "shannon": "snr_hz"}[law]
    size = {"linear": 2.0, "shannon": 3e6}[law]
    core = AllocationProblem(
        **tables, downlink_hz=1e6, uplink_hz=1e6, objective=objective,
        edge_share_max=np.full(users, 0.4) if caps else None,
        **{f"{side}_{kind}": size * draw.uniform(0.5, 2.0, users) for side in ("downlink", "uplink")},
    )  # fmt: skip
    core_found, found = solve(core, gap=1e-7), solve(folded(core), gap=1e-7)
    assert found.objective_s == pytest.approx(core_found.objective_s, rel=SOLVER)
    assert found.lower_bound_s <= core_found.objective_s * (1 + 1e-9)
    assert core.evaluate(found).objective_s == pytest.approx(found.objective_s, rel=1e-12)
    assert (found.part == 1.0).all()


def test_what_asks_for_nothing_has_no_share() -> None:
    drawn = draw_program(4)
    nothing = np.zeros_like(drawn.fixed_s)
    problem = replace(drawn, uplink_bit=nothing, downlink_bit=nothing, edge_work_s=nothing)
    for objective in ("sum", "max"):
        found = solve(replace(problem, objective=objective))
        assert found.is_proven(problem if objective == "sum" else replace(problem, objective="max"))
        assert not np.r_[found.downlink_hz, found.uplink_hz, found.edge_share].any()
    idle = solve(replace(problem, fixed_s=nothing))
    assert idle.objective_s == 0.0
    assert idle.is_proven(replace(problem, fixed_s=nothing))


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("seed", [1, 7, 13, 45])
def test_a_limit_on_time_leaves_a_bound_that_holds(seed: int) -> None:
    problem = draw_program(seed)
    whole = solve(problem, gap=5e-8)
    cut = solve(problem, gap=1e-9, time_limit_s=0.05)
    assert cut.lower_bound_s <= whole.objective_s * (1 + 1e-9)
    assert cut.objective_s >= whole.lower_bound_s * (1 - 1e-9)
    assert cut.certificate is not None
    assert cut.certificate.verify(problem, exact=True).holds


def test_closed_options_are_not_taken() -> None:
    problem = draw_program(4)
    best = solve(problem)
    allowed = np.ones((problem.users, problem.options), bool)
    allowed[np.arange(problem.users), best.option] = False
    found = solve(replace(problem, allowed=allowed))
    assert (found.option != best.option).all()
    assert found.objective_s >= best.objective_s
    assert found.is_proven(replace(problem, allowed=allowed))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6])
def test_units_of_time_do_not_matter(scale: float) -> None:
    problem = draw_program(4)
    names = ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")
    scaled = replace(problem, **{name: getattr(problem, name) * scale for name in names})
    one, other = solve(problem, gap=1e-8), solve(scaled, gap=1e-8)
    assert other.objective_s == pytest.approx(one.objective_s * scale, rel=1e-7)
    assert other.is_proven(scaled, 1e-8)


def test_many_users_with_two_joins() -> None:
    """Uploads of two parts beside device work, edge work beside device work, and a download: at 12 users."""
    draw = np.random.default_rng(3)
    users = 12
    tables = {name: np.zeros((users, 2, 7)) for name in ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")}
    tables["fixed_s"][:, 0, 0], tables["fixed_s"][:, 0, 4] = draw.uniform(0.1, 0.5, users), draw.uniform(1, 3, users)
    tables["uplink_bit"][:, 0, 1], tables["uplink_bit"][:, 0, 2] = 1e5, draw.uniform(1e5, 1e6, users)
    tables["edge_work_s"][:, 0, 3], tables["downlink_bit"][:, 0, 5] = 0.2, 5e5
    tables["fixed_s"][:, 1, 0] = draw.uniform(4, 9, users)
    before = np.zeros((users, 2, 7, 7), bool)
    for first, then in ((0, 2), (1, 3), (2, 3), (0, 4), (3, 5), (4, 6), (5, 6)):
        before[:, 0, first, then] = True
    problem = ProgramProblem(
        **tables, before=before, downlink_hz=2e6, uplink_hz=1e6, downlink_efficiency=draw.uniform(1, 5, users),
        uplink_efficiency=draw.uniform(1, 3, users), objective="sum",
    )  # fmt: skip
    found = solve(problem, gap=1e-6)
    assert found.is_proven(problem, 1e-6)
    assert 0 < (found.option == 0).sum() < users
