"""Predicted start and duration of every stage of a program, from the same terms as the optimiser's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from megdt_opt.program.stages import Compute, Parallel, Send, Series, Stage


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """Predicted time of one leaf stage.

    Parameters
    ----------
    start_s : float
        Start after the common start of all users [s].
    duration_s : float
        Duration [s].
    """

    start_s: float
    duration_s: float


def predict(program: Stage, duration_s: Callable[[Compute | Send], float]) -> tuple[StageTime, ...]:
    """Walk a program: series one after another, parallel branches together.

    Parameters
    ----------
    program : Stage
        The stage program of one user.
    duration_s : callable
        Seconds of a leaf at the user's shares [s].

    Returns
    -------
    tuple of StageTime
        One per leaf, in the order of `stages.leaves`, from a start at 0 s.
    """
    times: list[StageTime] = []

    def walk(stage: Stage, start_s: float) -> float:
        match stage:
            case Series(stages):
                for part in stages:
                    start_s = walk(part, start_s)
                return start_s
            case Parallel(branches):
                return max((walk(branch, start_s) for branch in branches), default=start_s)
            case _:
                seconds = duration_s(stage)
                times.append(StageTime(start_s=start_s, duration_s=seconds))
                return start_s + seconds

    walk(program, 0.0)
    return tuple(times)
