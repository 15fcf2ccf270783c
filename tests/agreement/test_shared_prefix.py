"""Shared prefixes against an enumeration that shares nothing with the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prefix_enumeration import optimum
from random_prefixes import draw_prefix

from megdt_opt import Infeasible, InvalidInput, solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_optimum_and_proves_it(number: int) -> None:
    problem = draw_prefix(number)
    best, option, trunk = optimum(problem)
    precision, gap = (1e-9, 5e-10) if problem.objective == "sum" else (1e-7, 5e-8)
    if not np.isfinite(best):
        with pytest.raises(InvalidInput):
            solve(problem, gap=gap)
        return
    found = solve(problem, gap=gap)
    assert found.objective_s == pytest.approx(best, rel=precision), (option, trunk)
    assert found.lower_bound_s <= best * (1 + BOUND)
    assert found.status == "optimal"
    assert found.is_proven(problem, gap)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem)
    assert verdict.holds, verdict.reason
    assert verdict.exact
    assert found.certificate.verify(problem, exact=False).holds
    raised = replace(found.certificate, bound_s=found.objective_s * (1 + 1e-6))
    assert not raised.verify(problem).holds


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(60))
def test_the_formulation_reaches_the_enumerated_optimum(number: int) -> None:
    problem = draw_prefix(number, seed=1)
    best, *_ = optimum(problem)
    if not np.isfinite(best):
        with pytest.raises(Infeasible):
            solve(problem, "shared_prefix", gap=SOLVER / 2)
        return
    found = solve(problem, "shared_prefix", gap=SOLVER / 2)
    assert problem.evaluate(found).violation <= EXACT
    assert found.objective_s == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= best * (1 + SOLVER)
    assert (found.status, found.bound_source, found.certificate) == ("feasible", "solver", None)
