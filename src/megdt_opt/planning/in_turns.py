"""Plans whose edge serves chains one after another: when each user's turn is, and what a plan file states of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.planning.claims import numbers, refused
from megdt_opt.problem.outcome import BoundSource, Status
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import Stage
from megdt_opt.program.turns import first_in_turn, last_in_turn
from megdt_opt.scenario.in_turns import InTurns
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve
from megdt_opt.solving.turns.answer import SequencedEdge

PROOF_GAP, PROOF_S = 1e-4, 10.0
"""To which gap prices of the server's time are sought beside an enumeration, which leaves no certificate [1], and how
long [s]."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A user's time on an edge server that serves whole chains one after another.

    Parameters
    ----------
    place : int
        Which turn it is, from 0 [1].
    start_s, end_s : float
        Planned, after the common start [s].
    ready_s : float
        When the chain is ready for it [s]; it waits from then on.
    """

    place: int
    start_s: float
    end_s: float
    ready_s: float

    @property
    def waiting_s(self) -> float:
        """How long the chain waits for its turn [s]."""
        return self.start_s - self.ready_s


def solved_in_turns(
    problem: SequencedEdgeProblem, method: str, gap: float, time_limit_s: float | None
) -> SequencedEdge:
    """The answer of `solve`; where all orders were looked at, with a certificate beside, whose bound may be looser."""
    found = solve(problem, method=method, gap=gap, time_limit_s=time_limit_s)
    if found.bound_source is not BoundSource.ENUMERATION or method != "auto":
        return found
    limit_s = PROOF_S if time_limit_s is None else min(PROOF_S, time_limit_s)
    try:
        proof = solve(problem, method="prices", gap=max(gap, PROOF_GAP), time_limit_s=limit_s)
    except SolverFailure:
        return found
    return replace(found, certificate=proof.certificate)


def decided(table: OptionTable, answer: Any, *, waived: bool = False) -> SimpleNamespace:
    """An answer with what its users have of the uplink and of the edge besides, each (K,).

    `waived` as for `serving.Serving.problem`.
    """
    serving, option = table.serving, np.asarray(answer.option)
    assert isinstance(serving, InTurns)  # such a problem comes from such a scenario
    sends = np.array([serving.sends(k, o) for k, o in enumerate(option.tolist())])
    served = np.zeros(option.shape)
    served[np.asarray(answer.order, dtype=np.int64)] = 1.0
    return SimpleNamespace(
        option=option, order=answer.order, start_s=answer.start_s, downlink_hz=np.asarray(answer.downlink_hz),
        uplink_hz=np.where(sends, serving.uplink_hz(waived=waived), 0.0), edge_share=served,
    )  # fmt: skip


def turn_of(k: int, answer: Any, stages: Stage, durations_s: Sequence[float]) -> tuple[Turn, dict[int, float]] | None:
    """The turn of user k whose stages take these times [s], and by which leaf it begins when; None without one."""
    order, first, last = [int(i) for i in getattr(answer, "order", ())], first_in_turn(stages), last_in_turn(stages)
    if k not in order or first is None or last is None:
        return None
    start_s, ready_s = float(answer.start_s[k]), schedule(stages, durations_s)[first].start_s
    begins = {first: start_s}
    end = schedule(stages, durations_s, begins)[last]
    turn = Turn(place=order.index(k), start_s=start_s, end_s=end.start_s + end.duration_s, ready_s=ready_s)
    return turn, begins


def first_come(problem: SequencedEdgeProblem, option: NDArray[np.int64]) -> SimpleNamespace:
    """The given options in the order in which they are ready for the edge, the downlink's band split equally."""
    rows = np.arange(problem.users)
    work, ready = problem.edge_work_s[rows, option], problem.release_s[rows, option]
    order = [int(k) for k in np.argsort(ready, kind="stable") if work[k] > 0]
    start_s, free_s = np.full(problem.users, np.nan), 0.0
    for k in order:
        start_s[k] = max(free_s, float(ready[k]))
        free_s = start_s[k] + float(work[k])
    loads = problem.downlink_bit[rows, option] > 0
    band_hz = np.where(loads, problem.downlink_hz / max(int(loads.sum()), 1), 0.0)
    made = SimpleNamespace(option=option, order=np.array(order, dtype=np.int64), start_s=start_s, downlink_hz=band_hz)
    found = problem.evaluate(made)
    made.latency_s, made.objective_s, made.status = found.latency_s, found.objective_s, Status.FEASIBLE
    return made


def late_users(table: OptionTable, latency_s: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Users who are later than their deadlines."""
    deadlines_s = [user.deadline_s for user in table.scenario.users]
    pairs = enumerate(zip(deadlines_s, latency_s, strict=True))
    return [k for k, (most_s, found_s) in pairs if most_s is not None and found_s > most_s * (1 + 1e-9)]


def require_in_time(table: OptionTable, latency_s: Sequence[float] | NDArray[np.float64]) -> None:
    """Refuse a stated plan of turns or batches in which a user is later than its deadline.

    Raises
    ------
    InvalidInput
        Names the user, its deadline and what the plan takes [s].
    """
    for k in late_users(table, latency_s):
        user = table.scenario.users[k]
        expected = f"at least {float(latency_s[k]):.6g} s, which the stated turns or batches take"
        remedy = "Plan again, or raise it."
        raise InvalidInput(f"users.{user.name}.deadline", f"{user.deadline_s:.6g} s", expected, remedy)


def stated_turns(turns: Sequence[Turn | None]) -> dict[str, list[Any]]:
    """The order and the starts [s] of the turns, one after another, as a plan file states them."""
    served = sorted((turn.place, k, turn.start_s) for k, turn in enumerate(turns) if turn is not None)
    return {"order": [k for _, k, _ in served], "start_s": [start_s for _, _, start_s in served]}


def read_turns(data: Mapping[str, Any], users: int) -> dict[str, NDArray[Any]]:
    """Order (N,) and starts (K,) [s] that a plan file states; raises InvalidInput where one is of another kind."""
    order = data.get("order")
    if not isinstance(order, list) or not all(type(k) is int and 0 <= k < users for k in order):
        raise refused("order", order, f"a list of users from 0 to {users - 1}, first to last")
    start_s = np.full(users, np.nan)
    start_s[order] = numbers("start_s", data.get("start_s"), len(order))
    return {"order": np.array(order, dtype=np.int64), "start_s": start_s}
