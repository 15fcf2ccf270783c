"""The big-M constants: no solution below the ceilings is cut off, and no smaller constant would do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from megdt_opt.formulations import option_gdp_bigm
from megdt_opt.formulations._checks import workable_options
from megdt_opt.formulations._disjunctive import ceilings, least_latencies
from megdt_opt.formulations._scaling import units
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.shares.best import best_shares


def _points(problem: AllocationProblem, q: Any) -> list[tuple[Any, ...]]:
    """Shares, stage times, roots, latencies of the best allocation of every option set below the ceilings."""
    u, mask, users = q.numbers, q.mask, problem.users
    scaled, rows, found = Resources.of(problem), np.arange(users), []
    sets = np.array(list(itertools.product(*[np.flatnonzero(row) for row in mask])))
    best = best_shares(problem, scaled, sets)
    for option, share, objective in zip(sets, best.x, best.objective, strict=True):
        if not np.isfinite(objective):
            continue
        down, up, edge = share
        x = np.stack([down, up, edge]) * users
        demand = u.demand[:, rows, option]
        t = np.divide(demand, x, out=np.zeros_like(x), where=demand > 0)
        shares = (down * problem.downlink_hz, up * problem.uplink_hz, edge * problem.edge_capacity)
        v = evaluate(problem, option, *shares).latency_s / (u.objective_unit_s / problem.weights.mean())
        if (v <= q.ceiling).all():
            found.append((option, x, t, np.sqrt(demand), v))
    return found


@pytest.mark.parametrize("objective", ["max", "sum"])
@pytest.mark.parametrize("seed", [0, 2])
def test_constants_are_valid_and_tight(make_cuts: Any, objective: str, seed: int) -> None:
    problem = make_cuts(seed, objective, limited=True)
    mask = workable_options(problem)
    u = units(problem, mask)
    # any ceiling has its own constants; a higher one leaves more points to try
    q = option_gdp_bigm.make_model(problem, mask, 3 * ceilings(problem, mask, u))
    option_gdp_bigm.build(q, option_gdp_bigm.CONSTRAINTS)
    known = option_gdp_bigm.constants(q)
    option_gdp_bigm.relax(q)
    points = _points(problem, q)
    assert len(points) > 3
    rows = list(q.component_data_objects(pyo.Constraint, active=True, descend_into=True))
    least = {"stage_root": np.full(known["stage_root"].shape, np.inf), "edge_branch": np.full(mask.shape, np.inf)}
    for option, x, t, r, v in points:
        for k, o in q.pairs:
            q.choice[k, o].binary_indicator_var.set_value(int(o == option[k]))
            q.v[k].set_value(v[k])
            for i in range(3):
                q.x[i, k].set_value(x[i, k])
                q.t[i, k].set_value(t[i, k])
                q.r[i, k].set_value(r[i, k])
            if o != option[k]:
                spent = sum(t[i, k] for i in range(3) if u.demand[i, k, o] > 0)
                slack = v[k] + known["edge_branch"][k, o] - u.fixed[k, o] - spent
                least["edge_branch"][k, o] = min(least["edge_branch"][k, o], slack)
                slacks = r[:, k] + known["stage_root"][:, k, o] - np.sqrt(u.demand[:, k, o])
                least["stage_root"][:, k, o] = np.minimum(least["stage_root"][:, k, o], slacks)
        q.h.set_value(float((u.weight * v).max()))
        for row in rows:
            assert row.slack() >= -1e-7, row.name
        for variable in q.component_data_objects(pyo.Var):
            if variable.value is not None:
                assert (variable.lb or -np.inf) - 1e-7 <= variable.value, variable.name
                assert variable.ub is None or variable.value <= variable.ub + 1e-7, variable.name
    # where the option behind a constant is reached below the ceilings, the relaxed row is met with equality
    for name in ("stage_root", "edge_branch"):
        relaxed = (known[name] > 1e-6) & np.isfinite(least[name])
        assert least[name][relaxed].min() <= 1e-7


def test_least_latencies_are_reached_alone(make_cuts: Any) -> None:
    problem = make_cuts(1, "sum", limited=True)
    mask = workable_options(problem)
    u = units(problem, mask)
    least_s = least_latencies(problem, u) * u.objective_unit_s / problem.weights.mean()
    alone = np.zeros(problem.users)
    for k, o in np.argwhere(mask):
        option = np.where(np.arange(problem.users) == k, o, problem.options - 1)
        alone[:] = 0.0
        alone[k] = 1.0
        edge = np.minimum(alone * problem.edge_capacity, problem.share_caps)
        found = evaluate(problem, option, alone * problem.downlink_hz, alone * problem.uplink_hz, edge)
        assert found.latency_s[k] == pytest.approx(least_s[k, o], rel=1e-12)
