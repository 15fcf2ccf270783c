"""The rule of causes: whether something is wrong with an execution's inputs, and which one is to blame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from megdt_opt.execution.record import Execution
from megdt_opt.trials.pictures import Picture
from megdt_opt.verdict.deadlines import LatencyIntervals
from megdt_opt.verdict.evidence import Cause, Figure, Unjudged
from megdt_opt.verdict.figures import (
    LinkProbe,
    Timed,
    link_figures,
    model_figures,
    payload_figures,
    plan_figures,
    profile_figures,
    share_figures,
)
from megdt_opt.verdict.stated import Stated

BLAME = {
    Cause.PLAN: "what ran is not what was planned",
    Cause.PAYLOAD: "the sizes of payloads that the plan states",
    Cause.MODEL: "the model that the actors run",
    Cause.LINK: "the link, which does not carry the rate that it was allocated",
    Cause.SHARE: "the share of the processor, which was not honoured",
    Cause.PROFILE: "the calibration: the profile is off",
}
"""Each cause in words."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the executions of a plan say of its inputs.

    Parameters
    ----------
    mode : str
        Mode of the executions.
    runs : int
        Executions that were looked at [1].
    figures : tuple of Figure
        All comparisons.
    unjudged : tuple of Unjudged
        What the executions say nothing about.
    intervals : LatencyIntervals, optional
        Where latencies lie by earlier verified runs.

    Examples
    --------
    >>> from megdt_opt.verdict.evidence import Cause, ratio_figure
    >>> from megdt_opt.verdict.verdict import Verdict
    >>> slow = ratio_figure(Cause.LINK, "link from phone to edge", 77e3, 100e3, "bit/s", limit=1.10)
    >>> found = Verdict(mode="paced", runs=5, figures=(slow,), unjudged=())
    >>> found.cause, found.ok
    ('link', False)
    >>> print(found.headline)
    Wrong input: link (link from phone to edge: 77000 bit/s, where 100000 bit/s are stated (-23 %)). To blame: the link, which does not carry the rate that it was allocated.
    """  # noqa: E501 (a sentence of the terminal)

    mode: str
    runs: int
    figures: tuple[Figure, ...]
    unjudged: tuple[Unjudged, ...]
    intervals: LatencyIntervals | None = None

    @property
    def alarms(self) -> tuple[Figure, ...]:
        """Figures that are off, the one that names the cause first: exact comparisons go before the others, and of
        those the one that is most of its limits away."""
        return tuple(sorted((f for f in self.figures if f.alarm), key=lambda figure: (figure.rank, -figure.distance)))

    @property
    def blamed(self) -> Figure | None:
        """The figure that names the cause; None where nothing is off."""
        return next(iter(self.alarms), None)

    @property
    def cause(self) -> Cause | None:
        """The input that is to blame."""
        return None if self.blamed is None else self.blamed.cause

    @property
    def ok(self) -> bool:
        """Whether nothing is off."""
        return self.blamed is None

    @property
    def judged(self) -> tuple[Cause, ...]:
        """Causes of which there are figures."""
        return tuple(cause for cause in Cause if any(figure.cause is cause for figure in self.figures))

    @property
    def headline(self) -> str:
        """The verdict in a sentence or two."""
        if self.blamed is not None:
            return f"Wrong input: {self.blamed.cause} ({self.blamed.text}). To blame: {BLAME[self.blamed.cause]}."
        looked = ", ".join(self.judged) or "nothing"
        missing = ", ".join(dict.fromkeys(str(one.cause) for one in self.unjudged))
        rest = f" Not judged: {missing}." if missing else ""
        return f"The inputs hold: {looked} as stated, over {self.runs} {self.mode} run{'s' * (self.runs != 1)}.{rest}"

    @property
    def words(self) -> tuple[str, ...]:
        """The verdict in sentences, the headline first."""
        others = [f"Also off: {figure.cause}, {figure.text}." for figure in self.alarms[1:]]
        latencies = () if self.intervals is None else self.intervals.sentences
        return (self.headline, *others, *(one.words for one in self.unjudged), *latencies)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ok": self.ok,
            "cause": None if self.cause is None else str(self.cause),
            "headline": self.headline,
            "words": list(self.words),
            "mode": self.mode,
            "runs": self.runs,
            "blamed": None if self.blamed is None else self.blamed.to_dict(),
            "figures": [figure.to_dict() for figure in self.figures],
            "not_judged": [one.to_dict() for one in self.unjudged],
            "intervals": None if self.intervals is None else self.intervals.to_dict(),
        }


def judge_inputs(
    stated: Stated,
    runs: Sequence[Execution],
    *,
    pictures: Sequence[Picture] = (),
    probes: Sequence[LinkProbe] = (),
    retimed: Sequence[Mapping[Timed, float]] = (),
) -> Verdict:
    """Judge the inputs of a plan by its executions.

    Parameters
    ----------
    stated : Stated
        What the plan states.
    runs : sequence of Execution
        At least one, all of one mode. The last one shows plan, payloads and links; pictures are compared over all, and
        shares and profiles are judged by the median of all.
    pictures : sequence of Picture
        Of the first run, beside the unsplit ones.
    probes : sequence of LinkProbe
        Of links, while nothing computed.
    retimed : sequence of mapping
        Processor seconds of stages timed anew at the actors, at the speed of their calibration [s]
        (`figures.profile_figures`).
    """
    run = runs[-1]
    parts = (
        plan_figures(stated, run),
        payload_figures(stated, run),
        model_figures(stated, runs, pictures),
        link_figures(stated, run, probes),
        share_figures(stated, runs),
        profile_figures(stated, run, retimed),
    )
    return Verdict(
        mode=run.mode,
        runs=len(runs),
        figures=tuple(figure for figures, _ in parts for figure in figures),
        unjudged=tuple(one for _, missing in parts for one in missing),
    )
