"""An answer of turns or batches, or the best one found that keeps its users' deadlines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from megdt_opt.planning.deadlines import LONGEST_S, Deadlines, Problem
from megdt_opt.planning.in_batches import decided_in_batches
from megdt_opt.planning.in_turns import late_users
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve
from megdt_opt.solving.answers import relative_gap


def in_time(table: OptionTable, problem: Problem, found: Any, gap: float, time_limit_s: float | None) -> Any:
    """The answer, or the best one found that keeps the deadlines, with the bound of the problem without them.

    Parameters
    ----------
    table : OptionTable
    problem : SequencedEdgeProblem or BatchedEdgeProblem
        The table's.
    found : answer
        Of the problem, whose deadlines it does not know.
    gap : float
        Asked [1].
    time_limit_s : float or None
        Limit on the search [s].

    Raises
    ------
    Infeasible, SolverFailure
        As `Deadlines.best`.
    """
    if not late_users(table, found.latency_s):
        return found
    users = table.scenario.users
    due_s = np.array([np.inf if user.deadline_s is None else user.deadline_s for user in users])
    method = Method.PRICES if isinstance(problem, BatchedEdgeProblem) else "auto"

    def solver(other: Problem, limit_s: float) -> Any:
        return solve(other, method=method, gap=max(gap, 1e-7), time_limit_s=limit_s)

    search = Deadlines(problem, due_s, tuple(user.name for user in users), solver)
    best = search.best(found, gap, LONGEST_S if time_limit_s is None else time_limit_s)
    evaluation: Any = problem.evaluate(best)
    bound_s, source = found.lower_bound_s, found.bound_source
    if found.certificate is not None:
        bound_s, source = found.certificate.bound_s, BoundSource.CERTIFICATE
    reached = relative_gap(evaluation.objective_s, bound_s)
    own = {**vars(found), **vars(best)}
    if isinstance(problem, BatchedEdgeProblem):
        own["option"] = decided_in_batches(table, best).option
    return SimpleNamespace(
        **own
        | {
            "latency_s": evaluation.latency_s, "objective_s": evaluation.objective_s, "lower_bound_s": bound_s,
            "gap": reached, "status": status_of(reached, gap, source), "bound_source": source,
            "certificate": found.certificate, "method": found.method,
        }
    )  # fmt: skip
