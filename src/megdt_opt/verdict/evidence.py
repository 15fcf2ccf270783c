"""What an execution shows of its inputs: figures with what they should be, each on a scale of its own."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from megdt_opt.si import percent
from megdt_opt.text_enum import TextEnum


class Cause(TextEnum):
    """Which input of a plan is wrong."""

    PLAN = "plan"
    PAYLOAD = "payload"
    MODEL = "model"
    LINK = "link"
    SHARE = "share"
    PROFILE = "profile"


class Rank(IntEnum):
    """What is looked at before what: exact comparisons first, as what comes later may follow from them."""

    PLAN = 0
    PAYLOAD = 1
    MODEL = 2
    SPEED = 3


RANKS = {Cause.PLAN: Rank.PLAN, Cause.PAYLOAD: Rank.PAYLOAD, Cause.MODEL: Rank.MODEL}
"""Of the causes that are judged exactly; the others share the last rank."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One comparison.

    Parameters
    ----------
    cause : Cause
        What is wrong where it fails.
    subject : str
        Stage, link or actor that shows it.
    measured, stated : float
        What was found and what was stated, in `unit`; of plans and of pictures compared bit by bit 0 or 1.
    unit : str
    distance : float
        How far off it is, in limits of its cause [1]; above 1 it is an alarm.
    text : str
        The finding in a sentence.

    Examples
    --------
    >>> from megdt_opt.verdict.evidence import Cause, ratio_figure
    >>> slow = ratio_figure(Cause.LINK, "uplink of phone", 77e3, 100e3, "bit/s", limit=1.10)
    >>> slow.alarm, round(slow.distance, 1), slow.text
    (True, 2.7, 'uplink of phone: 77000 bit/s, where 100000 bit/s are stated (-23 %)')
    """

    cause: Cause
    subject: str
    measured: float
    stated: float
    unit: str
    distance: float
    text: str

    @property
    def alarm(self) -> bool:
        """Whether it is off by more than its limit."""
        return self.distance > 1

    @property
    def rank(self) -> Rank:
        """Whether it goes before others."""
        return RANKS.get(self.cause, Rank.SPEED)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"cause": str(self.cause), "alarm": self.alarm}


@dataclass(frozen=True, kw_only=True)
class Unjudged:
    """An input that an execution says nothing about.

    Parameters
    ----------
    cause : Cause
    reason : str
        Why.
    remedy : str
        What to do to have it judged; "" where nothing can be done.
    """

    cause: Cause
    reason: str
    remedy: str = ""

    @property
    def words(self) -> str:
        """In a sentence."""
        return f"{self.cause}: not judged, {self.reason}." + (f" {self.remedy}" if self.remedy else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"cause": str(self.cause)}


def ratio_figure(
    cause: Cause, subject: str, measured: float, stated: float, unit: str, *, limit: float, centre: float = 1.0
) -> Figure:
    """A figure that is judged by the ratio of measured to stated; `centre` is that ratio where nothing is wrong [1]."""
    ratio = measured / stated if stated > 0 else math.inf
    distance = abs(math.log(ratio / centre)) / math.log(limit) if 0 < ratio < math.inf else math.inf
    off = f" ({percent(100 * (ratio - 1), 0)})" if ratio < math.inf else ""
    text = f"{subject}: {measured:.6g} {unit}, where {stated:.6g} {unit} are stated{off}"
    return Figure(
        cause=cause, subject=subject, measured=measured, stated=stated, unit=unit, distance=distance, text=text
    )


def range_figure(
    cause: Cause, subject: str, measured: float, low: float, high: float, unit: str, *, limit: float
) -> Figure:
    """A figure that is judged by a range in which it should lie, and is as far off as it lies beyond."""
    nearest = min(max(measured, low), high)
    found = ratio_figure(cause, subject, measured, nearest, unit, limit=limit)
    if low == high:
        return found
    text = f"{subject}: {measured:.6g} {unit}, where {low:.6g} to {high:.6g} {unit} are stated"
    return Figure(**{**found.__dict__, "text": text})


def exact_figure(cause: Cause, subject: str, equal: bool, text: str) -> Figure:
    """A figure that is right or wrong."""
    return Figure(
        cause=cause, subject=subject, measured=float(equal), stated=1.0, unit="",
        distance=0.0 if equal else math.inf, text=text,
    )  # fmt: skip
