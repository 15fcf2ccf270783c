"""Latency of every mechanism against bandwidth, users, device speed and steps, and where which one wins.

The bundled twin model on its bundled profile. Users sense their surroundings, so that every mechanism is open to
each.
"All of one mechanism" lets every user choose its cut, precision and codec, with shares decided as well; the plan
mixes
mechanisms and is proven.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies import twin_cells as cells
from case_studies.mechanism_lines import mechanism_lines
from case_studies.study import Study, holds
from case_studies.twin_cells import MECHANISMS
from megdt_opt import AllocationProblem, solve
from megdt_opt.plot.mechanism_map import mechanism_map_figure
from megdt_opt.plot.series import plain
from megdt_opt.report.canvas import INK
from megdt_opt.solving.closing import prepare_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDS_HZ = (5e3, 10e3, 20e3, 40e3, 80e3, 160e3, 320e3)
COUNTS = (1, 2, 4, 8, 16)
SLOWDOWNS = (4.0, 8.0, 16.0, 32.0, 64.0)
STEPS = (5, 10, 20, 50)
AXES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "band": ("both bands [kHz]", BANDS_HZ),
    "users": ("users", COUNTS),
    "slowdown": ("slowdown of the devices", SLOWDOWNS),
    "steps": ("denoising steps", STEPS),
}
SEEDS = (0, 1, 2, 3, 4)
RANDOM = 1000
GAP = 1e-6
CLAIMED = (33.0, 40.0)
"""Savings that the literature claims without a bound [%]."""
LIMIT_S = 5.0
"""For each problem, compiling apart [s]."""


def compared(make: Any, steps: int) -> dict[str, Any]:
    """Plan and single mechanisms of one cell; `make(allowed)` gives the problem."""
    names = cells.names(steps)
    whole: AllocationProblem = make(None)
    found = solve(whole, gap=GAP, time_limit_s=LIMIT_S)
    weight = 1.0 if whole.objective == "max" else 1.0 / whole.users
    row: dict[str, Any] = {"plan_s": weight * found.objective_s, "bound_s": weight * found.lower_bound_s}
    for mechanism in MECHANISMS:
        only = solve(make(names == mechanism), gap=GAP, time_limit_s=LIMIT_S)
        row[f"all_{mechanism}_s"] = weight * only.objective_s
        row[f"bound_{mechanism}_s"] = weight * only.lower_bound_s
        row[f"users_{mechanism}"] = int((names[found.option] == mechanism).sum())
    return row


def cell(seed: int, objective: str = "sum", **at: Any) -> dict[str, Any]:
    """One cell that differs from the base in what is given."""
    steps = int(at.get("steps", cells.STEPS))
    users, band = int(at.get("users", cells.USERS)), at.get("band", cells.BAND_HZ)
    paces, down, up = cells.population(seed, users, at.get("slowdown", cells.SLOWDOWN))

    def make(allowed: Any) -> AllocationProblem:
        return cells.problem(
            paces, down, up, steps=steps, downlink_hz=band, uplink_hz=band, objective=objective, allowed=allowed
        )

    base = {"band": cells.BAND_HZ, "users": cells.USERS, "slowdown": cells.SLOWDOWN, "steps": cells.STEPS}
    return {"seed": seed, "objective": objective} | base | at | compared(make, steps)


def drawn(seed: int) -> tuple[int, dict[str, Any]]:
    """Steps, and the arguments of `twin_cells.problem`, of a cell drawn over all ranges."""
    at = ranges(seed)
    paces, down, up = cells.population(seed, at["users"], at["slowdown"])
    return at["steps"], {
        "slowdown": paces, "down": down, "up": up, "downlink_hz": at["band"], "uplink_hz": at["band"]
    }  # fmt: skip


def ranges(seed: int) -> dict[str, Any]:
    """What a random cell differs in from the base."""
    rng = np.random.default_rng([seed, 11])
    return {
        "band": float(np.exp(rng.uniform(np.log(5e3), np.log(320e3)))),
        "slowdown": float(np.exp(rng.uniform(np.log(4.0), np.log(64.0)))),
        "users": int(rng.integers(2, 13)),
        "steps": int(rng.choice(STEPS[:3])),
    }


def random_cell(seed: int) -> dict[str, Any]:
    """A cell drawn over all ranges; even seeds ask for the mean, odd ones for the largest latency."""
    return cell(seed, ("sum", "max")[seed % 2], **ranges(seed))


def rows(random: int = RANDOM) -> Iterator[dict[str, Any]]:
    """One thing at a time, the map of bands and devices, and random cells."""
    prepare_for("sum")
    for axis, (_, values) in AXES.items():
        for value, seed in itertools.product(values, SEEDS):
            yield {"kind": axis} | cell(seed, **{axis: value})
    for band, slowdown, seed in itertools.product(BANDS_HZ, SLOWDOWNS, SEEDS):
        yield {"kind": "map"} | cell(seed, band=band, slowdown=slowdown)
    for seed in range(random):
        yield {"kind": "random"} | random_cell(seed)


def _line(axis: str) -> Any:
    def draw(frame: pd.DataFrame, axes: Axes) -> None:
        """Every mechanism over one parameter, median over seeds."""
        mine = frame[frame.kind == axis].groupby(axis).median(numeric_only=True)
        mine.index /= 1e3 if axis == "band" else 1.0
        mine.columns = mine.columns.str.replace(r"^(?:all_)?(.*)_s$", r"\1", regex=True)
        mechanism_lines(axes, mine, "plan")
        axes.set_xlabel(AXES[axis][0])
        axes.set_ylabel("mean latency [s]")

    return draw


def draw_map(frame: pd.DataFrame, axes: Axes) -> None:
    """Which users run what, over bands and devices."""
    mine = frame[frame.kind == "map"].assign(band=frame.band / 1e3)
    columns = ["band", "slowdown", "seed", *(f"users_{m}" for m in MECHANISMS)]
    mechanism_map_figure(mine[columns], "band", "slowdown", axes=axes)
    axes.set_xlabel("both bands [kHz]")
    axes.set_ylabel("slowdown of the devices")


def saving(frame: pd.DataFrame) -> pd.Series:
    """By how much the plan is below the best single mechanism [%]; the single one's own bound where it is open."""
    best = frame[[f"all_{mechanism}_s" for mechanism in MECHANISMS]].min(axis=1)
    return 100 * (1 - frame.plan_s / best)


def draw_saving(frame: pd.DataFrame, axes: Axes) -> None:
    """In which part of the random cells the plan saves at least so much."""
    mine = frame[frame.kind == "random"].assign(saving=saving)
    for objective, style, name in (("sum", "-", "mean latency"), ("max", "--", "largest latency")):
        values = np.sort(mine[mine.objective == objective].saving)
        share = 100 * (1 - np.arange(len(values)) / len(values))
        axes.step(values, share, where="post", color=INK, ls=style, lw=1.3, label=name)
    axes.axvspan(*CLAIMED, color="#dddddd", lw=0)
    axes.text(sum(CLAIMED) / 2, 88, "claimed", ha="center", fontsize=7)
    axes.set_xlim(0, 60)
    axes.set_ylim(0, 100)
    axes.set_xlabel("plan below the best single mechanism, at least [%]")
    axes.set_ylabel("share of cells [%]")
    axes.legend(frameon=False, fontsize=7, loc="upper right", bbox_to_anchor=(1.04, 0.86), handlelength=1.5)
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    mine = frame[frame.kind == "random"].assign(saving=saving)
    mean, largest = (mine[mine.objective == name].saving for name in ("sum", "max"))
    gap = float((1 - frame.bound_s / frame.plan_s).max())
    wins = mine[[f"all_{m}_s" for m in MECHANISMS]].idxmin(axis=1).str.removeprefix("all_").str.removesuffix("_s")
    best = 100 * wins.value_counts(normalize=True)
    used = mine[[f"users_{m}" for m in MECHANISMS]].sum()
    used = 100 * used / used.sum()
    mixed = 100 * float(((mine[[f"users_{m}" for m in MECHANISMS]] > 0).sum(axis=1) > 1).mean())

    def listed(shares: pd.Series, strip: str = "") -> str:
        return ", ".join(f"{name.removeprefix(strip)} {value:.0f} %" for name, value in shares.items() if value >= 0.5)

    at = {axis: saving(frame[frame.kind == axis]).groupby(frame[axis]).median() for axis in AXES}
    ends = {axis: (series.index[0], series.iloc[0], series.index[-1], series.iloc[-1]) for axis, series in at.items()}

    def within(low: float) -> float:
        return 100 * float((mine.saving >= low).mean())

    return f"""
**The proven mix beats the best single mechanism by more than 1 % in {within(1.0):.0f} % of {len(mine)} random cells**
(2 to 12 users, 5 to 320 kHz, devices 4 to 64 times as slow as the profile's machine, 5 to 20 steps), by
{mean.median():.0f} % at the median for the mean latency and by {largest.median():.0f} % for the largest, at most by
{mine.saving.max():.0f} %. The literature claims {CLAIMED[0]:g} to {CLAIMED[1]:g} % for its plans, without a bound
and against
baselines of its own: at least {CLAIMED[0]:g} % over the best single mechanism is had in {within(CLAIMED[0]):.0f} %
of the
cells, {CLAIMED[1]:g} % in {within(CLAIMED[1]):.0f} %. No plan can save more: every one is proven to {gap:.0e}.

**No mechanism wins everywhere.** Were all users to run the same, the best would be {listed(best)} of the cells. In
the plans
users run {listed(used.sort_values(ascending=False), "users_")}; {mixed:.0f} % of the plans mix mechanisms.

**Where mixing pays** (medians over {len(SEEDS)} draws of devices and links, mean latency, one thing varied at a
time):
{ends["band"][1]:.0f} % at {ends["band"][0] / 1e3:g} kHz and {ends["band"][3]:.0f} % at {ends["band"][2] / 1e3:g}
kHz, at most
{at["band"].max():.0f} % at {at["band"].idxmax() / 1e3:g} kHz; {ends["users"][1]:.0f} % with {ends["users"][0]:g}
user and
{ends["users"][3]:.0f} % with {ends["users"][2]:g}; {ends["slowdown"][1]:.0f} % with devices {ends["slowdown"][0]:g}
times as
slow and {ends["slowdown"][3]:.0f} % at {ends["slowdown"][2]:g} times; {ends["steps"][1]:.0f} % with
{ends["steps"][0]:g} steps
and {ends["steps"][3]:.0f} % with {ends["steps"][2]:g}.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether the claimed savings are had."""
    saved = saving(frame[frame.kind == "random"])
    return holds(
        saved.median() >= CLAIMED[0],
        f"over the best single mechanism {saved.median():.0f} % is saved at the median and {CLAIMED[0]:g} % or more in "
        f"{100 * (saved >= CLAIMED[0]).mean():.0f} % of the cells.",
    )


STUDY = Study(
    name="mechanisms",
    title="Every mechanism against band, users, devices and steps, and what a mix is worth",
    lead="deciding mechanism, cut and shares together saves 33 to 40 %.",
    verdict=verdict,
    rows=rows,
    panels=(*(_line(axis) for axis in AXES), draw_map, draw_saving),
    findings=findings,
    height_in=2.2,
)
