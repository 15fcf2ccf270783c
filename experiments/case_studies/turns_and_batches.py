"""An edge in turns against reserved shares, and batches against one common batch, over how crowded the edge is.

Stable Diffusion 1.5 on Samsung Galaxy S25 phones, 20 steps, published timings (data/device_timings.csv); the edge is an
A100 (compiled) whose speed is scaled so that rho = (edge's step) / (phone's step) * users, 1 where the edge is as fast
as all phones together. Its decoder was not published and counts 2.5 passes. Each seed draws the links.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.study import Study, holds
from megdt_opt import BatchedEdgeProblem, Scenario, bounds, solve
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.report.canvas import FAINT
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.finding import find_profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 20
EDGE = "published: A100 (compiled) / SD1.5"
PHONE = "published: Samsung Galaxy S25 / SD1.5"
EDGE_STEP_S, PHONE_STEP_S, DECODE_S = 22.7e-3, 2 * 60.171e-3, 180.005e-3
LATENT_BIT = 4 * 64 * 64 * 16.0
CROWDINGS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
IN_TURNS, IN_BATCHES = 5, 10
"""Phones around the edge."""
RATIOS = (0.2, 1.6)
"""Intercept of a batch's law over its slope, b/a [1]."""
GAP = 1e-3
LIMIT_S = 3.0
"""Of the search of batches, whose bound stays open [s]."""


def seeds(rho: float) -> range:
    """Twenty where the edge is as fast as all phones, five elsewhere."""
    return range(20 if rho == 1.0 else 5)


def cell(rho: float, seed: int) -> OptionTable:
    """Phones with an edge in turns."""
    rng = np.random.default_rng([seed, IN_TURNS])
    scenario = Scenario(
        name="phones", model="sd15", steps=STEPS, objective="max", unmeasured_quality="accept",
        edge={"profile": "edge", "discipline": "in_turns", "borrow": {"decode": "2.5 passes"}},
        channel={"downlink": "20 MHz", "uplink": "20 MHz"},
        users=[
            {
                "name": f"phone {k + 1}", "device": {"profile": PHONE},
                "downlink_efficiency": f"{rng.uniform(1.0, 6.0):.4f} bit/s/Hz",
                "uplink_efficiency": f"{rng.uniform(0.5, 3.0):.4f} bit/s/Hz",
            }
            for k in range(IN_TURNS)
        ],
    )  # fmt: skip
    factor = rho * PHONE_STEP_S / (IN_TURNS * EDGE_STEP_S)
    return OptionTable.build(scenario, {"edge": find_profile(EDGE).stretched(factor, "edge")})


def turns_rows() -> Iterator[dict[str, Any]]:
    """Optima in turns, with and without two hand-overs, over the proven optimum of reserved shares."""
    for rho in CROWDINGS:
        for seed in seeds(rho):
            table = cell(rho, seed)
            problem = table.problem()
            once = np.array([option.back == 0 for option in table.options])
            one = replace(problem, allowed=once & (True if problem.allowed is None else problem.allowed))
            reserved = solve(table.reserved().problem(), gap=1e-4, time_limit_s=20.0)
            for options, asked in (("both sides of the turn", problem), ("one side of the turn", one)):
                found = solve(asked, gap=GAP, time_limit_s=20.0)
                yield row("turns", options, rho, seed, found, reserved.lower_bound_s) | {"phones": IN_TURNS}


def row(kind: str, what: str, rho: float, seed: int, found: Any, rival_s: float) -> dict[str, Any]:
    """What was found beside what it is compared with; the bound says how much more could be gained at most."""
    return {
        "kind": kind, "what": what, "rho": rho, "seed": seed, "found_s": found.objective_s,
        "bound_s": found.lower_bound_s, "rival_s": rival_s, "below": 1.0 - found.objective_s / rival_s,
        "below_at_most": 1.0 - found.lower_bound_s / rival_s,
    }  # fmt: skip


def phones(ratio: float, rho: float, seed: int) -> BatchedEdgeProblem:
    """Phones around an edge whose step of X chains takes a X + b, K a + b = rho times a phone's step."""
    rng = np.random.default_rng([seed, IN_BATCHES])
    slope = rho * PHONE_STEP_S / (IN_BATCHES + ratio)
    return BatchedEdgeProblem(
        steps=STEPS, step_slope_s=slope, step_base_s=ratio * slope, device_step_s=np.full(IN_BATCHES, PHONE_STEP_S),
        after_s=np.full(IN_BATCHES, DECODE_S), downlink_bit=np.full(IN_BATCHES, LATENT_BIT), downlink_hz=20e6,
        downlink_efficiency=rng.uniform(1.0, 6.0, IN_BATCHES), objective="max",
    )  # fmt: skip


def common_batch_s(problem: BatchedEdgeProblem) -> float:
    """The best of all subsets in one batch: with phones alike, all of them or none [s].

    Whoever is left out needs all steps on the phone, which is what nobody's being in a batch comes to as well.
    """
    assert problem.device_step_s is not None
    alone = float(STEPS * problem.device_step_s.max() + DECODE_S)
    took = STEPS * (problem.step_slope_s * problem.users + problem.step_base_s) + DECODE_S
    seconds = problem.downlink_bit / (problem.downlink_efficiency * problem.downlink_hz)
    return min(alone, took + float(seconds.sum()))  # equal ends: shares in proportion to the times at the whole band


def batch_rows() -> Iterator[dict[str, Any]]:
    """Schedules of batches against one common batch."""
    for ratio in RATIOS:
        for rho in CROWDINGS:
            for seed in seeds(rho):
                problem = phones(ratio, rho, seed)
                found = solve(problem, "prices", gap=GAP, time_limit_s=LIMIT_S)
                what = f"b/a = {ratio:g}"
                yield row("batches", what, rho, seed, found, common_batch_s(problem)) | {"phones": IN_BATCHES}


def rows() -> Iterator[dict[str, Any]]:
    """Turns, then batches."""
    yield from turns_rows()
    yield from batch_rows()


def least_s(users: int, rho: float, device: str) -> float:
    """The closed form for phones alike, with decoding behind it and without radio [s]."""
    step = rho * PHONE_STEP_S / users
    return bounds.identical_turns_s(users, STEPS, step, PHONE_STEP_S, device=device) + DECODE_S


def closed(users: int, rho: float, device: str) -> float:
    """By how much the closed form is below that of reserved shares, which is that of one common batch too [1]."""
    return 1.0 - least_s(users, rho, device) / least_s(users, rho, "reserved")


def medians(frame: pd.DataFrame, kind: str, what: str, column: str = "below") -> pd.Series:
    """Median over the seeds at each rho."""
    mine = frame[(frame.kind == kind) & (frame.what == what)]
    return mine.groupby("rho")[column].median()


def _line(axes: Axes, found: pd.Series, style: dict[str, Any], text: str, place: tuple[float, float]) -> None:
    axes.plot(found.index, 100 * found, lw=1.3, ms=3.5, **style)
    axes.text(*place, text, color=style["color"], fontsize=7)


def _finish(axes: Axes, label: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 3], ["0.25", "0.5", "1", "2", "3"])
    axes.minorticks_off()
    axes.axhline(0, color=FAINT, lw=0.6)
    axes.set_xlabel("crowding of the edge, rho [1]")
    axes.set_ylabel(label)
    plain(axes)


def _form(axes: Axes, users: int, device: str, color: str) -> None:
    rho = np.geomspace(0.25, 3.0, 120)
    axes.plot(rho, [100 * closed(users, float(one), device) for one in rho], color=color, lw=0.9, ls=":")


def draw_turns(frame: pd.DataFrame, axes: Axes) -> None:
    """Markers: median over the seeds; dotted: the closed forms."""
    shown = (("both sides of the turn", "both"), ("one side of the turn", "after"))
    for (what, device), style, place in zip(shown, STYLES, TURNS_TEXTS, strict=False):
        found = medians(frame, "turns", what)
        _line(axes, found, style, what, place)
        _form(axes, IN_TURNS, device, style["color"])
    axes.text(0.24, 44, "dotted: closed forms, phones alike", fontsize=7, color=FAINT)
    axes.set_ylim(-2, 50)
    _finish(axes, "below reserved shares [%]")


def draw_batches(frame: pd.DataFrame, axes: Axes) -> None:
    """Markers: median over the seeds; dotted: what no schedule can exceed."""
    for ratio, style, place in zip(RATIOS, STYLES[2:], BATCH_TEXTS, strict=False):
        found = medians(frame, "batches", f"b/a = {ratio:g}")
        _line(axes, found, style, f"b/a = {ratio:g}", place)
    _form(axes, IN_BATCHES, "after", FAINT)
    axes.text(0.24, 35, "dotted: full batches at once, a bound", fontsize=7, color=FAINT)
    axes.set_ylim(-2, 40)
    _finish(axes, "below one common batch [%]")


TURNS_TEXTS = ((1.2, 39.0), (0.5, 4.0))
BATCH_TEXTS = ((1.9, 17.0), (0.72, 2.5))


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    both, one = (medians(frame, "turns", f"{what} of the turn") for what in ("both sides", "one side"))
    turns = frame[frame.kind == "turns"]
    open_gap = float((1 - turns.bound_s / turns.found_s).max())
    at_one = turns[(turns.rho == 1.0) & (turns.what == "both sides of the turn")].below
    few, many = (medians(frame, "batches", f"b/a = {ratio:g}") for ratio in RATIOS)
    above = frame[(frame.kind == "batches") & (frame.rho == 1.0)]
    worst = [above[above.what == f"b/a = {ratio:g}"].below.min() for ratio in RATIOS]
    most = [medians(frame, "batches", f"b/a = {ratio:g}", "below_at_most").loc[1.0] for ratio in RATIOS]
    peak = both.idxmax()
    return f"""
**In turns the worst latency is {100 * both.loc[1.0]:.1f} % below the proven optimum of reserved shares at rho = 1**
(median of {len(at_one)} draws of the links, {IN_TURNS} phones; {100 * at_one.min():.1f} to {100 * at_one.max():.1f} %),
where each phone works before and after its turn; where it works on one side alone, {100 * one.loc[1.0]:.1f} %. The
closed forms for phones alike, without radio, say {100 * closed(IN_TURNS, 1.0, "both"):.1f} and
{100 * closed(IN_TURNS, 1.0, "after"):.1f} %. Every optimum in turns is proven to {100 * open_gap:.1f} %, so the lines
are what turns can gain, not what a search found.

**The gain is largest at rho = {peak:g}**, {100 * both.max():.1f} %, and falls to {100 * both.loc[0.25]:.1f} % at
rho = 0.25, where the edge has time for everybody, and to {100 * both.loc[3.0]:.1f} % at rho = 3, where phones make
nearly all steps anyway. It is nowhere below {100 * turns.below.min():.2f} %,
within the {100 * GAP:g} % to which both sides are proven.

**Batches.** With {IN_BATCHES} phones at rho = 1 the schedules found are {100 * few.loc[1.0]:.1f} % (b/a = 0.2) and
{100 * many.loc[1.0]:.1f} % (b/a = 1.6) below the best common batch, at worst {100 * worst[0]:.1f} and
{100 * worst[1]:.1f} %; what was proven leaves room for {100 * most[0]:.1f} and {100 * most[1]:.1f} %. A full batch
takes (a + b/K) K, so no schedule can gain more than turns on one side with steps of a + b/K, which is, without radio,
{100 * closed(IN_BATCHES, 1.0, "after"):.1f} %: joining and leaving costs batches that are not full, and the more so the
larger b/a is. At rho = 2 the gain is {100 * few.loc[2.0]:.1f} and {100 * many.loc[2.0]:.1f} %.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether the gain is largest where the edge is as fast as all devices."""
    gain = medians(frame, "turns", "both sides of the turn")
    return holds(gain.idxmax() == 1.0, f"the gain is largest, {100 * gain.max():.1f} %, at rho = {gain.idxmax():g}.")


STUDY = Study(
    name="turns_and_batches",
    title="Turns against reserved shares, batches against one common batch",
    lead="an edge that serves whole chains in turns, devices working meanwhile, gains most where it is as fast as all "
    "devices together.",
    verdict=verdict,
    rows=rows,
    panels=(draw_turns, draw_batches),
    findings=findings,
    height_in=2.3,
)
