"""What users ask of a plan: why none keeps the limits, what more of a budget is worth, what errors of the timings cost,
what another scenario changes. Of a scenario or a plan the answers say names; of a problem, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.planner import solved
from megdt_opt.planning.regret import allocation_of, plan_regret
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import Profiles
from megdt_opt.whatif import regret as of_regret
from megdt_opt.whatif import replan as of_replan
from megdt_opt.whatif import shadow, why
from megdt_opt.whatif.names import Names
from megdt_opt.whatif.regret import TIMINGS, Regret
from megdt_opt.whatif.replan import Replan
from megdt_opt.whatif.shadow import ShadowPrices
from megdt_opt.whatif.why import Explanation

Asked = Plan | OptionTable | Scenario | str | Path
"""What a question may be about: a plan, a table of options, a scenario, its file or a bundled name."""

_PROBLEMS = (AllocationProblem, PlacementProblem, SharedPrefixProblem)


def explain(
    what: Asked | AllocationProblem | PlacementProblem, profiles: Profiles | None = None, *, time_limit_s: float = 60.0
) -> Explanation:
    """Say whether a scenario or a problem has an allocation; if not, who conflicts over what, and what would help.

    As `megdt_opt.whatif.why.explain` has it.

    Parameters
    ----------
    what : Scenario, str, Path, Plan, OptionTable, AllocationProblem or PlacementProblem
        Whose limits are meant.
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, for a scenario.
    time_limit_s : float
        For the changes that are tried [s].

    Returns
    -------
    Explanation

    Raises
    ------
    InvalidInput
        For a class of problem that is not explained, or a time limit that is not above 0.

    Examples
    --------
    >>> from megdt_opt import Scenario, explain
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ...     deadline: 100 ms
    ... ''')
    >>> found = explain(cell)
    >>> found.feasible, "phone" in str(found)
    (False, True)
    """
    if isinstance(what, _PROBLEMS):
        return why.explain(what, time_limit_s=time_limit_s)
    table = _table(what, profiles)
    try:
        problem: Any = table.problem()
    except Infeasible as error:  # a user without an option: the table says what closed which
        found = why.explain(_core(table._limited, "explain"), time_limit_s=time_limit_s, names=names_of(table))
        return replace(found, reason=f"{error}.", users=error.users, limits=error.limits)
    return why.explain(_core(problem, "explain"), time_limit_s=time_limit_s, names=names_of(table))


def shadow_prices(
    what: Any, allocation: Any = None, *, profiles: Profiles | None = None,
    step: float = 0.01, gap: float = 1e-6, time_limit_s: float | None = None,
) -> ShadowPrices:  # fmt: skip
    """Worth of a little more and a little less of each budget.

    As `megdt_opt.whatif.shadow.shadow_prices` has it.

    Parameters
    ----------
    what : Plan, Scenario, str, Path, OptionTable, or a problem
        Whose budgets are meant; of a plan at its options and shares.
    allocation : Allocation, Placement or SharedPrefix, optional
        With a problem: at which allocation; default the best one.
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, for a scenario.
    step : float
        Relative step of the re-solves [1].
    gap, time_limit_s
        As for `solve` [1, s].

    Returns
    -------
    ShadowPrices

    Raises
    ------
    InvalidInput
        For a class of problem without such prices, or an allocation beside a plan or scenario.
    Infeasible
        Where there is no allocation.

    Examples
    --------
    >>> from megdt_opt import Scenario, shadow_prices
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> shadow_prices(cell).downlink.kept_s > 0
    True
    """
    how: dict[str, Any] = {"step": step, "gap": gap, "time_limit_s": time_limit_s}
    if isinstance(what, _PROBLEMS):
        return shadow.shadow_prices(what, allocation, **how)
    _require_none("allocation", allocation)
    made = what if isinstance(what, Plan) else None
    table = _table(what, profiles)
    problem = _core(table.problem() if made is None else made.problem, "shadow_prices", _PROBLEMS)
    at = allocation_of(made) if made is not None and isinstance(problem, AllocationProblem) else None
    return shadow.shadow_prices(problem, at, **how).with_names(names_of(table))


def regret(
    what: Any, perturb: Sequence[str] = TIMINGS, percent: float = 10.0, samples: int = 50, seed: int = 0, *,
    profiles: Profiles | None = None, allocation: Any = None, spread: str = "machine", gap: float = 1e-6,
    time_limit_s: float | None = None,
) -> Regret:  # fmt: skip
    """What a plan loses against the best one for the true timings, where the timings planned with are off.

    As `megdt_opt.whatif.regret.regret` has it.

    Parameters
    ----------
    what : Plan, Scenario, str, Path, OptionTable, or a problem
        Whose plan is meant; of a scenario the best one.
    perturb, percent, samples, seed, spread, gap, time_limit_s
        As there [-, %, 1, -, -, 1, s].
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, for a scenario.
    allocation : Allocation or Placement, optional
        With a problem: the one that is kept; default the best one.

    Returns
    -------
    Regret

    Raises
    ------
    InvalidInput
        For a class of problem without it, or an argument that is out of range.

    Examples
    --------
    >>> from megdt_opt import Scenario, regret
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> regret(cell, percent=20.0, samples=5).samples
    5
    """
    how: dict[str, Any] = {"percent": percent, "samples": samples, "seed": seed, "spread": spread, "gap": gap}
    how |= {"perturb": perturb, "time_limit_s": time_limit_s}
    if isinstance(what, _PROBLEMS):
        return of_regret.regret(what, allocation=allocation, **how)  # type: ignore[arg-type]  # groups are refused there
    _require_none("allocation", allocation)
    table = _table(what, profiles)
    return plan_regret(what if isinstance(what, Plan) else solved(table), **how)


def replan(
    what: Any, previous: Any, switch_cost_s: Any = 0.0, *, profiles: Profiles | None = None,
    gap: float = 1e-6, time_limit_s: float | None = None,
) -> Replan:  # fmt: skip
    """Choose again where a switch of a user's option takes `switch_cost_s`.

    As `megdt_opt.whatif.replan.replan` has it; of a scenario, users and options of the previous plan go by their names.

    Parameters
    ----------
    what : Scenario, str, Path, OptionTable or AllocationProblem
        What to plan for now.
    previous : Plan, Allocation or array_like of int, (K,)
        What holds so far: a plan beside a scenario, the others beside a problem.
    switch_cost_s : float or array_like, (K,) or (K, O)
        Time that a switch adds to the user's next picture [s].
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, for a scenario.
    gap, time_limit_s
        As for `solve` [1, s].

    Returns
    -------
    Replan

    Raises
    ------
    InvalidInput
        For a class of problem without it, or a previous plan of other users or options.
    Infeasible
        Where there is no allocation now.

    Examples
    --------
    >>> from megdt_opt import Scenario, plan, replan
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> replan(cell, plan(cell, compare=False), 0.5).switched
    ()
    """
    if isinstance(what, _PROBLEMS):
        return of_replan.replan(what, previous, switch_cost_s, gap=gap, time_limit_s=time_limit_s)  # type: ignore[arg-type]
    if not isinstance(previous, Plan):
        raise InvalidInput("previous", previous, "a Plan beside a scenario", "Give what `plan` returned.")
    table = _table(what, profiles)
    problem = _core(table.problem(), "replan", (AllocationProblem,))
    users, before = [user.name for user in table.scenario.users], [user.name for user in previous.users]
    if users != before:
        remedy = "Plan anew, or replan for the same users."
        raise InvalidInput("previous", before, f"a plan of the users {users}, in their order", remedy)
    known = {option.name: o for o, option in enumerate(table.options)}
    for user in previous.users:
        if user.option.name not in known:
            expected = f"an option that the scenario offers, of user {user.name}"
            raise InvalidInput("previous", user.option.name, expected, "Plan anew.")
    options = np.array([known[user.option.name] for user in previous.users])
    found = of_replan.replan(problem, options, switch_cost_s, gap=gap, time_limit_s=time_limit_s)
    return replace(found, names=names_of(table))


def names_of(table: OptionTable) -> Names:
    """Names of a table's users, options and edge servers."""
    return Names(
        users=tuple(user.name for user in table.scenario.users),
        options=tuple(option.name for option in table.options),
        edges=tuple(str(site.name) for site in table.sites),
    )


def _table(what: Any, profiles: Profiles | None) -> OptionTable:
    if isinstance(what, Plan | OptionTable):
        if profiles is not None:
            raise InvalidInput("profiles", list(profiles), "None beside a plan, which holds its own", "Leave it out.")
        return what.table if isinstance(what, Plan) else what
    return OptionTable.build(what, profiles)


def _require_none(field: str, value: Any) -> None:
    if value is not None:
        raise InvalidInput(field, value, "None beside a plan or a scenario", "Give the plan itself.")


def _core(problem: Any, question: str, kinds: tuple[type, ...] = (AllocationProblem, PlacementProblem)) -> Any:
    if not isinstance(problem, kinds):
        expected = f"a scenario whose problem is one of {', '.join(kind.__name__ for kind in kinds)}"
        remedy = "Let one edge reserve shares, without groups, turns, batches or programs that fork."
        raise InvalidInput(question, type(problem).__name__, expected, remedy)
    return problem
