"""Riders' costs in compiled code are those in NumPy, for every law, limit and reservation."""

from __future__ import annotations

import numpy as np
import pytest
from random_prefixes import random_prefixes

from megdt_opt.pricing.rider_costs import NumpyRiders
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.solving.riders.compiled import CompiledRiders


@pytest.mark.parametrize("law", ["linear", "shannon"])
@pytest.mark.parametrize("reserve", ["phased", "separate"])
@pytest.mark.parametrize("objective", ["max", "sum"])
def test_compiled_costs_are_those_of_numpy(objective: str, reserve: str, law: str) -> None:
    problem = random_prefixes(7, (3, 2), objective=objective, reserve=reserve, law=law, limits=True, hosts=True)
    model = PrefixCosts(problem)
    prices = np.array([0.2, 0.1, 0.7])
    level = 20.0 if objective == "max" else None
    costs = model.at(prices, level)
    rows = np.flatnonzero(np.isfinite(costs.riding) & model.patterns.rides.any(axis=1))
    assert len(rows) > 20
    assert model.mu is not None
    assert model.part is not None
    argument = (model.riders.take(rows), prices, level, model.mu[rows], model.part[rows], model.phased)
    assert CompiledRiders().worths(*argument) == pytest.approx(NumpyRiders().worths(*argument), rel=1e-12, abs=1e-12)
    mu, part, value = CompiledRiders().most(*argument)
    expected = NumpyRiders().most(*argument)[2]
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    again = NumpyRiders().worths(*argument[:3], mu, part, model.phased)
    assert again == pytest.approx(value, rel=1e-10, abs=1e-12)
