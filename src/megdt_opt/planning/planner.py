"""From a scenario to a plan: its options solved, and what the plan is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.models.requests import camera_of
from megdt_opt.planning.baselines import baselines
from megdt_opt.planning.cost_totals import with_names_of_costs
from megdt_opt.planning.forming import at_least, formed
from megdt_opt.planning.groups import group_plans
from megdt_opt.planning.in_batches import solved_in_batches
from megdt_opt.planning.in_time import in_time
from megdt_opt.planning.in_turns import solved_in_turns
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.robustness import robustness
from megdt_opt.planning.user_plan import decisions, notes_of, user_plan
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.problems import Problem
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.solving import solve
from megdt_opt.solving.door import methods
from megdt_opt.timing.finding import Profiles, check_used
from megdt_opt.tolerances import EXACT


def plan(
    scenario: Scenario | OptionTable | str | Path,
    profiles: Profiles | None = None,
    *,
    method: str = "auto",
    gap: float = 1e-6,
    time_limit_s: float | None = None,
    compare: bool = True,
) -> Plan:
    """Choose mechanism, cut and shares of all users so that the latency is least.

    Parameters
    ----------
    scenario : Scenario, OptionTable, str or Path
        What to plan for: a scenario, the path of its file or a bundled name; a table that was built already is used
        as it is.
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, for example just measured, or their files; they go before bundled ones.
    method : str
        Route, as `solve` takes it.
    gap : float
        Relative gap to prove [1].
    time_limit_s : float, optional
        Limit on the solution [s].
    compare : bool
        Whether to add the baselines and the robustness against the calibration's interval.

    Returns
    -------
    Plan
        With the problem that was solved and the proof of its bound.

    Raises
    ------
    Infeasible
        Where limits conflict; names users and limits.
    InvalidInput
        Where the file of a user's picture cannot be used.

    Examples
    --------
    >>> from megdt_opt import Scenario, plan
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> made = plan(cell)
    >>> made.users[0].option.name, made.objective_s == made.users[0].latency_s
    ('centralised raw', True)
    """
    if isinstance(scenario, OptionTable):
        check_used(profiles, ())
    table = scenario if isinstance(scenario, OptionTable) else OptionTable.build(scenario, profiles)
    for user in table.scenario.users:
        if user.picture is not None:  # readable before anything is planned with it
            camera_of(user.subject, table.spec, user.picture)
    made = solved(table, method=method, gap=gap, time_limit_s=time_limit_s)
    return compared(made) if compare else made


def solved(table: OptionTable, *, method: str = "auto", gap: float = 1e-6, time_limit_s: float | None = None) -> Plan:
    """The plan of a table's users, compared with nothing; parameters and errors as for `plan`.

    Where a scenario leaves its groups open, they are formed first, in half of the time. Where it is better to share
    nothing, as mechanisms that are not planned beside groups may make it, that is the plan.
    """
    said: tuple[str, ...] = ()
    if table.scenario.grouping is not None:
        time_limit_s = None if time_limit_s is None else time_limit_s / 2
        found = formed(table, gap=gap, time_limit_s=time_limit_s)
        table, said = found.table, (found.words,)
    made = _solved(table, method, gap, time_limit_s)
    if table.shared is not None:
        made = _better(made, method, gap, time_limit_s)
    return _remarked(made, said)


def _better(made: Plan, method: str, gap: float, time_limit_s: float | None) -> Plan:
    """The plan of groups, or that of nothing shared where it is better; its bound is of nothing shared then, and that
    of groups is said beside."""
    route = method if method in methods("AllocationProblem") else "auto"
    try:
        alone = _solved(made.table.unshared(), route, gap, time_limit_s)
    except (Infeasible, SolverFailure):
        return made
    if not alone.objective_s < made.objective_s * (1.0 - EXACT):
        return made
    words = (
        f"Nothing is shared: no plan of groups comes to less than {at_least(made.lower_bound_s)}, for beside groups no "
        "parallel generation (PEU) and no uplink of users with an energy limit is planned."
    )
    return _remarked(alone, (words,))


def _remarked(made: Plan, said: tuple[str, ...]) -> Plan:
    return replace(made, remarks=(*said, *made.remarks), notes=(*said, *made.notes))


def _solved(table: OptionTable, method: str, gap: float, time_limit_s: float | None) -> Plan:
    problem = table.problem()
    try:
        found = answered(table, problem, method, gap, time_limit_s)
    except Infeasible as error:
        raise with_names_of_costs(error, table.scenario) from None
    groups, made = group_plans(table, problem, found), decisions(table, problem, found)
    users = tuple(user_plan(table, problem, k, made, groups) for k in range(problem.users))
    return Plan(
        table=table,
        problem=problem,
        users=users,
        objective_s=found.objective_s,
        lower_bound_s=found.lower_bound_s,
        gap=found.gap,
        status=found.status,
        method=found.method,
        bound_source=found.bound_source,
        solve_s=found.solve_s,
        asked_gap=gap,
        time_limit_s=time_limit_s,
        certificate=found.certificate,
        notes=notes_of(table, users, groups),
        groups=groups,
    )


def answered(table: OptionTable, problem: Problem, method: str, gap: float, time_limit_s: float | None) -> Any:
    """The answer of `solve`, with what the discipline of the edge asks for beside."""
    found: Any
    if isinstance(problem, SequencedEdgeProblem):
        found = solved_in_turns(problem, method, gap, time_limit_s)
    elif isinstance(problem, BatchedEdgeProblem):
        found = solved_in_batches(table, problem, method, gap, time_limit_s)
    else:
        return solve(problem, method=method, gap=gap, time_limit_s=time_limit_s)
    return in_time(table, problem, found, gap, time_limit_s)


def compared(made: Plan) -> Plan:
    """The plan with its baselines and its robustness, solved to the gap and within the time that it was asked for,
    each search of batches within `in_batches.RIVAL_S`; one whose latencies hold at a level has neither."""
    return replace(
        made,
        baselines=baselines(made.table, made.options, gap=made.asked_gap, time_limit_s=made.time_limit_s),
        robustness=robustness(made.table, made.options, gap=made.asked_gap, time_limit_s=made.time_limit_s),
    )
