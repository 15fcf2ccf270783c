"""Latencies and deadlines at a level: what earlier verified runs on this machine say of those that a plan predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.verdict.intervals import LEAST, LEVEL, RECALIBRATE, RollingIntervals, interval_words


@dataclass(frozen=True, kw_only=True)
class LatencyIntervals:
    """The intervals of a plan's users.

    Parameters
    ----------
    users : mapping of str to (float, float)
        Interval of each user's latency [s]; empty where there is none yet.
    words : str
        Level, width and coverage, or how many latencies are still missing.
    drift : bool
        Whether latencies have drifted, and a calibration is due.
    """

    users: Mapping[str, tuple[float, float]]
    words: str
    drift: bool

    @property
    def sentences(self) -> tuple[str, ...]:
        """In words: of each user, and the advice where there is drift."""
        each = "; ".join(f"{user} {low:.3g} to {high:.3g} s" for user, (low, high) in self.users.items())
        return (f"Latencies: {self.words}{': ' if each else ''}{each}.", *((RECALIBRATE,) if self.drift else ()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        users = {user: list(pair) for user, pair in self.users.items()}
        return {"users_s": users, "words": self.words, "recalibrate": self.drift}


def latency_intervals(predicted_s: Mapping[str, float], rolling: RollingIntervals) -> LatencyIntervals:
    """The intervals of predicted latencies [s].

    Examples
    --------
    >>> from megdt_opt.verdict.deadlines import latency_intervals
    >>> from megdt_opt.verdict.intervals import RollingIntervals
    >>> latency_intervals({"phone": 0.7}, RollingIntervals()).sentences
    ('Latencies: no interval yet (0 of 40 earlier latencies).',)
    """
    found = rolling.interval()
    users = {} if found is None else {user: found.of(s) for user, s in predicted_s.items()}
    return LatencyIntervals(users=users, words=interval_words(rolling), drift=rolling.drift)


def deadlines_at_level(scenario: Scenario, rolling: RollingIntervals, level: float = LEVEL) -> Scenario:
    """The scenario with the deadlines that predictions must keep, so that latencies keep the stated ones at a level.

    Each deadline is divided by 1 + the upper end of the interval, where that is above 0.

    Raises
    ------
    InvalidInput
        Where there is no interval yet, it is of another level, or no user has a deadline.
    """
    if all(user.deadline_s is None for user in scenario.users):
        remedy = "Leave the level out, or give users a deadline."
        raise InvalidInput("level of deadlines", level, "nothing where no user has a deadline", remedy)
    found = rolling.interval()
    if found is None:
        expected = f"{LEAST} latencies of earlier verified runs of this machine, mode and model"
        remedy = "Execute plans with --verify first, or state deadlines without a level."
        raise InvalidInput("deadlines at a level", rolling.latencies, expected, remedy)
    if level != found.level:
        expected = f"{found.level:g}, of which there is an interval [1]"
        raise InvalidInput("level of deadlines", level, expected, "Ask for that level.")
    longer = 1 + max(0.0, found.high)
    users = tuple(
        user if user.deadline_s is None else user.model_copy(update={"deadline_s": user.deadline_s / longer})
        for user in scenario.users
    )
    return scenario.model_copy(update={"users": users})
