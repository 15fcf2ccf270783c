"""How often a plan's latencies hold in samples that it has not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.planning.plan import Plan
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.scenario.level_samples import Draws, ruled_out_by_level
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
        Where the plan's scenario states no level, the seed is that of the plan and its times are the same, or a stage
        of an option has no raw samples, or too few.

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
    return np.array([_within(plan, table, Draws(drawn, table.machines, k), k) for k in range(len(plan.users))])


def _within(plan: Plan, table: OptionTable, draws: Draws, k: int) -> float:
    """Share of new samples in which a user's option, of a table with new times, keeps the plan's latency [1]."""
    user, problem = plan.users[k], plan.problem
    assert isinstance(problem, AllocationProblem)
    o = table.index(user.option.name)
    stages, terms = table.program(k, o), table.terms(k, o)
    lacking = table.closed_by(k, o)
    if terms is not None:  # limits do not count: it is the plan that is replayed
        lacking = tuple(c.text("") for c in ruled_out_by_level(k, draws.level, stages, terms, table.machines))
    if terms is None or lacking:
        expected = f"raw samples of all stages of {user.option.name}, the option of {user.name} ({'; '.join(lacking)})"
        raise InvalidInput("profiles", user.name, expected, "Give profiles in which these stages were timed.")
    fixed, work = draws.option(stages, terms)
    radio = 0.0
    for side, bits in (("downlink", terms.downlink_bit), ("uplink", terms.uplink_bit)):
        bands = np.array([getattr(one, f"{side}_hz") for one in plan.users])
        radio += bits / float(problem.rate(side, bands)[k]) if bits > 0 else 0.0
    edge = work / user.edge_share if work.any() else work
    return float((fixed + edge + radio <= user.latency_s * (1.0 + 1e-9)).mean())
