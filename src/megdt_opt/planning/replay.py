"""How often a plan's latencies hold in samples that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.planning.plan import Plan
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.finding import Profiles


def coverage(
    plan: Plan, *, samples: int = 1000, seed: int = 1, profiles: Profiles | None = None
) -> NDArray[np.float64]:
    """Share of new samples in which each user is within the latency that the plan states, (K,) [1].

    Parameters
    ----------
    plan : Plan
        Of a scenario that says at which level latencies shall hold.
    samples : int
        New samples [1].
    seed : int
        Of their draws; another than that of the plan.
    profiles : mapping of str to TimingProfile or path, optional
        Times that the plan has not seen, by the names of the plan's profiles; default the plan's own, of which other
        samples are then drawn.

    Returns
    -------
    array, (K,)

    Raises
    ------
    InvalidInput
        Where the plan's scenario states no level, or the seed is that of the plan and its times are the same.

    Examples
    --------
    >>> from megdt_opt import Scenario, plan
    >>> from megdt_opt.planning.replay import coverage
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... holds: {level: 0.9, samples: 100}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> bool((coverage(plan(cell), samples=400) > 0.8).all())
    True
    """
    level = plan.scenario.holds
    if level is None:
        expected = "a plan of a scenario with holds, the level at which latencies shall hold"
        raise InvalidInput("plan", plan.scenario.name, expected, 'Add for example "holds: {level: 0.95}".')
    seed = checks.count("seed", seed, 0, "Use the default 1.")
    samples = checks.count("samples", samples, 1, "Use the default 1000.")
    if profiles is None and seed == level.seed:
        raise InvalidInput("seed", seed, "another seed than that of the plan", "Use another one, or give new profiles.")
    drawn = level.model_copy(update={"seed": seed, "samples": samples})
    scenario = plan.scenario.model_copy(update={"holds": drawn})
    known = dict(plan.table.profiles) if profiles is None else profiles
    table = OptionTable.build(scenario, known, spec=plan.table.spec)
    problem = table.problem()
    assert isinstance(problem, AllocationProblem)
    answer = SimpleNamespace(
        option=np.array([table.index(user.option.name) for user in plan.users]),
        **{
            name: np.array([getattr(user, name) for user in plan.users])
            for name in ("downlink_hz", "uplink_hz", "edge_share")
        },
    )
    latency_s = np.array([user.latency_s for user in plan.users])
    return np.array(list(_within(problem, answer, latency_s)))


def _within(problem: AllocationProblem, answer: Any, latency_s: NDArray[np.float64]) -> Iterator[float]:
    """For each user the share of a problem's samples in which an answer keeps a latency [1]."""
    assert problem.samples is not None
    fixed, work, _ = problem.samples
    rows = np.arange(problem.users)
    radio = np.zeros(problem.users)
    for side in ("downlink", "uplink"):
        bits, rate = (
            getattr(problem, f"{side}_bit")[rows, answer.option],
            problem.rate(side, getattr(answer, f"{side}_hz")),
        )
        radio += np.where(bits > 0, bits / np.where(rate > 0, rate, 1.0), 0.0)
    for k, o in enumerate(answer.option.tolist()):
        per_share = 1.0 / max(float(answer.edge_share[k]), 1e-300)
        times = fixed[k, o] + np.where(work[k, o] > 0, work[k, o] * per_share, 0.0) + radio[k]
        yield float((times <= latency_s[k] * (1.0 + 1e-9)).mean())
