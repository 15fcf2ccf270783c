"""What a plan loses where its timings are off."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.planning.plan import Plan
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import Allocation
from megdt_opt.whatif.regret import Regret, regret


def plan_regret(plan: Plan, percent: float = 10.0, samples: int = 50, seed: int = 0, **more: Any) -> Regret:
    """What a plan loses against the best one for the true timings, where these are up to `percent` off.

    Parameters
    ----------
    plan : Plan
        Of one edge with reserved shares, whose latencies are at median times.
    percent : float
        Largest error of a timing, either way [%].
    samples : int
        Draws of the true timings [1].
    seed : int
        Of the draws.
    **more
        As for `regret`: `perturb`, `spread`, `gap`, `time_limit_s`.

    Returns
    -------
    Regret
        With medians, quantiles and the worst over the draws.

    Raises
    ------
    InvalidInput
        Where the plan is of another class of problem or at a level of samples, or an argument is out of range.

    Examples
    --------
    >>> from megdt_opt import Scenario, plan
    >>> from megdt_opt.planning.regret import plan_regret
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> found = plan_regret(plan(cell, compare=False), percent=20.0, samples=5)
    >>> found.share_quantile(0.9) >= found.option_quantile(0.9) - found.gap
    True
    """
    problem = plan.problem
    if not isinstance(problem, AllocationProblem):
        expected = "a plan of one edge with reserved shares (an AllocationProblem)"
        raise InvalidInput("plan.problem", type(problem).__name__, expected, "Use such a scenario.")
    return regret(problem, percent=percent, samples=samples, seed=seed, allocation=allocation_of(plan), **more)


def allocation_of(plan: Plan) -> Allocation:
    """A plan of one edge with reserved shares as the answer of `solve`."""
    names = ("downlink_hz", "uplink_hz", "edge_share")
    shares: dict[str, Any] = {name: np.array([getattr(u, name) for u in plan.users]) for name in names}
    return Allocation(
        option=plan.options, **shares, latency_s=np.array([user.latency_s for user in plan.users]),
        objective_s=plan.objective_s, lower_bound_s=plan.lower_bound_s, gap=plan.gap, status=plan.status,
        method=plan.method, bound_source=plan.bound_source, build_s=0.0, solve_s=plan.solve_s,
        certificate=plan.certificate,
    )  # fmt: skip
