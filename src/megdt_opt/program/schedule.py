"""Predicted start and duration of every stage of a program, from the same terms as the optimiser's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from megdt_opt.program.stages import Compute, Parallel, Send, Series, Stage, is_edge, leaves


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


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a chain of stages gets of the shared resources.

    Parameters
    ----------
    uplink_bit_per_s, downlink_bit_per_s : float
        Rates [bit/s]; may be 0 where nothing is sent.
    edge_share : float
        Reserved share of an edge server [1]; may be 0 where the edge computes nothing.
    """

    uplink_bit_per_s: float = 0.0
    downlink_bit_per_s: float = 0.0
    edge_share: float = 0.0

    def of(self, leaf: Compute | Send) -> float:
        """Rate of a send [bit/s], or share that a compute gets of its actor, 1 on a device [1].

        Device-to-device sends use the uplink's rate.
        """
        if isinstance(leaf, Send):
            return self.downlink_bit_per_s if is_edge(leaf.source) else self.uplink_bit_per_s
        return self.edge_share if is_edge(leaf.at) else 1.0


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
    return schedule(program, [duration_s(leaf) for leaf in leaves(program)])


def schedule(
    program: Stage, durations_s: Sequence[float], not_before_s: Mapping[int, float] | None = None
) -> tuple[StageTime, ...]:
    """As `predict`, from the duration of each leaf in the order of `stages.leaves` [s].

    Leaves in `not_before_s`, by their position, start no earlier than stated there [s], whenever they are ready.

    In a program of several users the same stage may stand twice, with a share of its own each time.
    """
    times: list[StageTime] = []
    least_s = not_before_s or {}

    def walk(stage: Stage, start_s: float) -> float:
        match stage:
            case Series(stages):
                for part in stages:
                    start_s = walk(part, start_s)
                return start_s
            case Parallel(branches):
                return max((walk(branch, start_s) for branch in branches), default=start_s)
            case _:
                seconds, start_s = durations_s[len(times)], max(start_s, least_s.get(len(times), 0.0))
                times.append(StageTime(start_s=start_s, duration_s=seconds))
                return start_s + seconds

    walk(program, 0.0)
    return tuple(times)
