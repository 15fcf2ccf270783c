"""The real-time twin: how often and how fresh each mechanism keeps everybody's picture, and its three costs.

The bundled twin model in 5 steps; the edge is the machine of the bundled profile, devices are 8 times as slow. Pictures
are made one after another, the stages of successive pictures overlapping: the picture is refreshed once in a period T
where no device, the edge and no band is busy for longer than T for each picture of everybody. The least common T is a
linear program with binaries, solved to a proof; with every mechanism alone, and mixed. Age of information: what is
shown was captured L ago when it appears and L + 1/rate when it is replaced, L the latency and the rate that of the
user's busiest stage under its reserved shares. Each mechanism's plan has the least largest latency, which is not the
least age; the mix, which may be any of these plans, is taken as the freshest of all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from case_studies import twin_cells as cells
from case_studies.mechanism_lines import mechanism_lines
from case_studies.study import Study, holds
from case_studies.twin_cells import MECHANISMS
from megdt_opt import Allocation, AllocationProblem, solve
from megdt_opt.planning.costs import user_costs
from megdt_opt.plot.series import plain
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import leaves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS, SLOWDOWN, PACE = 5, 8.0, cells.EDGE_STRETCH
"""Steps [1], slowdown of devices [1], and servers that make the edge as fast as the profile's machine [1]."""
COUNTS = (1, 2, 4, 8, 16)
BANDS_HZ = (50e3, 100e3, 200e3, 400e3, 800e3, 1600e3)
USERS, BAND_HZ = 4, 400e3
SEEDS = (0, 1, 2)
XLABELS = {"users": "users", "band_hz": f"both bands [kHz], {USERS} users"}
GAP = 1e-4
LIMIT_S = 10.0


def problem(users: int, band_hz: float, seed: int, allowed: NDArray[np.bool_] | None = None) -> AllocationProblem:
    """Users of one cell; the least largest latency is asked."""
    paces, down, up = cells.population(seed, users, SLOWDOWN)
    return cells.problem(paces, down, up, steps=STEPS, downlink_hz=band_hz, uplink_hz=band_hz, servers=PACE,
                         objective="max", allowed=allowed)  # fmt: skip


def least_period(p: AllocationProblem) -> tuple[float, float]:
    """The least common period [s] and its bound [s]: devices in series, edge and bands shared over time."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    device = p.fixed_s if p.device_branch_s is None else p.fixed_s + p.device_branch_s
    down = p.downlink_bit / (p.downlink_efficiency[:, None] * p.downlink_hz)
    up = p.uplink_bit / (p.uplink_efficiency[:, None] * p.uplink_hz)
    edge = p.edge_work_s / p.edge_capacity
    parts = np.stack([device, down, up, edge], axis=-1)  # (K, O, 4)
    users = p.users
    owner, use = [], []
    for k in range(users):
        some = parts[k] if p.allowed is None else parts[k][p.allowed[k]]
        for one in np.unique(some, axis=0):
            if not ((some <= one).all(axis=1) & (some < one).any(axis=1)).any():
                owner.append(k)
                use.append(one)
    table, who = np.array(use), np.array(owner)
    count = len(table)
    cost = np.r_[np.zeros(count), 1.0]
    rows: list[NDArray[np.float64]] = [np.r_[(who == k).astype(float), 0.0] for k in range(users)]
    rows += [np.r_[np.where(who == k, table[:, 0], 0.0), -1.0] for k in range(users)]
    rows += [np.r_[table[:, i], -1.0] for i in (1, 2, 3)]
    low = np.r_[np.ones(users), np.full(users + 3, -np.inf)]
    high = np.r_[np.ones(users), np.zeros(users + 3)]
    found = milp(
        cost, integrality=np.r_[np.ones(count), 0.0], bounds=Bounds(0.0, np.r_[np.ones(count), np.inf]),
        constraints=LinearConstraint(np.array(rows), low, high), options={"mip_rel_gap": GAP, "time_limit": LIMIT_S},
    )  # fmt: skip
    return float(found.fun), float(found.mip_dual_bound)


def busiest_s(p: AllocationProblem, found: Allocation) -> NDArray[np.float64]:
    """The longest of each user's device time, transfers and edge time under the plan's shares, (K,) [s]."""
    at = np.arange(p.users), found.option
    device = p.fixed_s[at] + (0.0 if p.device_branch_s is None else p.device_branch_s[at])

    def shared(amount: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(amount, share, out=np.zeros_like(amount), where=amount > 0)

    down = shared(p.downlink_bit[at], p.downlink_efficiency * found.downlink_hz)
    up = shared(p.uplink_bit[at], p.uplink_efficiency * found.uplink_hz)
    busiest: NDArray[np.float64] = np.maximum.reduce([device, down, up, shared(p.edge_work_s[at], found.edge_share)])
    return busiest


def costs_of(option: int) -> dict[str, float]:
    """Hardware and coordination of one user with an option, the device's energy at slowdown 1."""
    table = cells.table(STEPS)
    program = table.program(0, option)
    found = user_costs(table, 0, option, program, schedule(program, [0.0] * len(list(leaves(program)))))
    return {
        "device_j": (found.device_compute_j or 0.0), "edge_s": found.edge_s, "messages": found.messages,
        "signalling_byte": found.signalling_byte, "device_byte": found.device_byte,
    }  # fmt: skip


def cell(users: int, band_hz: float, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each mechanism and one for the mix."""
    names = cells.names(STEPS)
    paces, *_ = cells.population(seed, users, SLOWDOWN)
    ages: list[tuple[float, float]] = []
    for mechanism in (*MECHANISMS, "mix"):
        p = problem(users, band_hz, seed, None if mechanism == "mix" else names == mechanism)
        period, bound = least_period(p)
        found = solve(p, gap=GAP, time_limit_s=LIMIT_S)
        between = busiest_s(p, found)
        ages.append((float((found.latency_s + between).max()), float((found.latency_s + between / 2).max())))
        peak, mean = min(ages) if mechanism == "mix" else ages[-1]
        each = [costs_of(int(option)) for option in found.option]
        totals = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        totals["device_j"] = float(np.mean([one["device_j"] * pace for one, pace in zip(each, paces, strict=True)]))
        yield {
            "users": users, "band_hz": band_hz, "seed": seed, "mechanism": mechanism, "period_s": period,
            "period_bound_s": bound, "latency_s": found.objective_s, "latency_bound_s": found.lower_bound_s,
            "age_mean_s": mean, "age_peak_s": peak, **totals,
        }  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """Against users, then against both bands."""
    for users, seed in itertools.product(COUNTS, SEEDS):
        yield from cell(users, BAND_HZ, seed)
    for band, seed in itertools.product(BANDS_HZ, SEEDS):
        if band != BAND_HZ:
            yield from cell(USERS, band, seed)


def medians(frame: pd.DataFrame, axis: str, column: str) -> pd.DataFrame:
    """Median over seeds: one thing on the rows, mechanisms on the columns."""
    mine = frame[frame.band_hz == BAND_HZ] if axis == "users" else frame[frame.users == USERS]
    return mine.groupby([axis, "mechanism"])[column].median().unstack()


def _lines(axis: str, column: str) -> Any:
    def draw(frame: pd.DataFrame, axes: Axes) -> None:
        """Refresh rates, or peak ages of information, of all mechanisms over one thing."""
        table = medians(frame, axis, column)
        table.index /= 1e3 if axis == "band_hz" else 1.0
        mechanism_lines(axes, 1 / table if column == "period_s" else table, "mix")
        axes.set_xlabel(XLABELS[axis])
        axes.set_ylabel("refresh rate [Hz]" if column == "period_s" else "peak age [s]")

    return draw


COSTS = {
    "latency_s": "largest latency",
    "device_j": "device energy",
    "edge_s": "edge time",
    "signalling_byte": "signalling",
}


def draw_costs(frame: pd.DataFrame, axes: Axes) -> None:
    """Three costs of each mechanism, in parts of the largest."""
    mine = frame[(frame.users == USERS) & (frame.band_hz == BAND_HZ)]
    table = mine.groupby("mechanism")[list(COSTS)].median()
    order = [*MECHANISMS, "mix"]
    markers = dict(zip(COSTS, "osD^", strict=True))
    for (column, name), colour, shift in zip(COSTS.items(), ("#222222", "#D55E00", "#0072B2", "#009E73"),
                                             (0.24, 0.08, -0.08, -0.24), strict=True):  # fmt: skip
        values = 100 * table[column].loc[order] / table[column].max()
        places = np.arange(len(order))[::-1] + shift
        axes.hlines(places, 0, values, color=colour, lw=1.2)
        most = f"{table[column].max():.3g} {column.rsplit('_', 1)[1].replace('j', 'J')}"
        axes.plot(values, places, ls="none", marker=markers[column], color=colour, ms=3.5, label=f"{name}, of {most}")
    axes.set_yticks(range(len(order)), order[::-1])
    axes.set_xlim(0, 106)
    axes.set_xlabel(f"a picture of one of {USERS} users, of the largest [%]")
    axes.legend(frameon=False, fontsize=6.5, loc="lower center", bbox_to_anchor=(0.45, 0.98), ncols=4, handlelength=1.0,
                columnspacing=0.9)  # fmt: skip
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    singles = list(MECHANISMS)
    by_users, by_band = (1 / medians(frame, axis, "period_s") for axis in ("users", "band_hz"))
    few, many = COUNTS[0], COUNTS[-1]
    narrow, wide = BANDS_HZ[0], BANDS_HZ[-1]
    gain = {k: (by_users.loc[k, "mix"] / by_users.loc[k, singles].max() - 1) * 100 for k in COUNTS}
    ages, by_band_age = (medians(frame, axis, "age_peak_s") for axis in ("users", "band_hz"))
    best_age = {k: (ages.loc[k, singles].idxmin(), ages.loc[k, singles].min()) for k in COUNTS}
    base = frame[(frame.users == USERS) & (frame.band_hz == BAND_HZ)].groupby("mechanism").median(numeric_only=True)
    gap = max(
        float((1 - frame.period_bound_s / frame.period_s).max()),
        float((1 - frame.latency_bound_s / frame.latency_s).max()),
    )
    return f"""
**Refresh rate.** With {few} user the best single mechanism is {by_users.loc[few, singles].idxmax()} at
{by_users.loc[few, singles].max():.2f} Hz and the mix {by_users.loc[few, "mix"]:.2f} Hz; with {many} users
{by_users.loc[many, singles].idxmax()} at {by_users.loc[many, singles].max():.2f} and the mix
{by_users.loc[many, "mix"]:.2f}
Hz. Mixing mechanisms raises the rate of everybody by {gain[COUNTS[2]]:.0f} % with {COUNTS[2]} users and
{gain[many]:.0f} %
with {many}: rate is bought on devices, edge and bands at once, and one mechanism loads one of them most. At
{narrow / 1e3:g} kHz {by_band.loc[narrow, singles].idxmax()} is the best of one kind
({by_band.loc[narrow, singles].max():.2f}
Hz, mix {by_band.loc[narrow, "mix"]:.2f}), at {wide / 1e3:g} kHz {by_band.loc[wide, singles].idxmax()}
({by_band.loc[wide, singles].max():.2f} Hz, mix {by_band.loc[wide, "mix"]:.2f}), both with {USERS} users.

**Age of information.** The peak age of the worst user is least with {best_age[few][0]} for {few} user
({best_age[few][1]:.2f} s; mix {ages.loc[few, "mix"]:.2f} s) and with {best_age[many][0]} for {many}
({best_age[many][1]:.2f} s; mix {ages.loc[many, "mix"]:.2f} s). Every plan has the least largest latency, not the least
age, which is left open; the mix is the freshest of all these plans, so {USERS} users are as fresh as with
{best_age[USERS][0]} alone ({ages.loc[USERS, "mix"]:.2f} s). From {narrow / 1e3:g} to {wide / 1e3:g} kHz their peak age
with the mix falls from {by_band_age.loc[narrow, "mix"]:.2f} to {by_band_age.loc[wide, "mix"]:.2f} s; the best single
mechanism is {by_band_age.loc[narrow, singles].idxmin()} ({by_band_age.loc[narrow, singles].min():.2f} s) at the one end
and {by_band_age.loc[wide, singles].idxmin()} ({by_band_age.loc[wide, singles].min():.2f} s) at the other.

**Three costs** ({USERS} users, {BAND_HZ / 1e3:g} kHz, a picture): local needs {base.device_j["local"]:.1f} J of the
device, no
edge time and no message, and takes {base.latency_s["local"]:.2f} s; centralised {base.device_j["centralised"]:.1f} J,
{base.edge_s["centralised"]:.2f} s of the edge, {base.signalling_byte["centralised"]:.0f} byte of signalling and
{base.latency_s["centralised"]:.2f} s; PEU {base.device_j["PEU"]:.1f} J, {base.edge_s["PEU"]:.2f} s,
{base.signalling_byte["PEU"]:.0f} byte and {base.latency_s["PEU"]:.2f} s. The mix takes {base.latency_s["mix"]:.2f}
s with
{base.device_j["mix"]:.1f} J, {base.edge_s["mix"]:.2f} s and {base.signalling_byte["mix"]:.0f} byte: it buys latency
with the
devices' energy. Every period and latency is proven to {100 * gap:.1g} %.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether several mechanisms are the fastest somewhere."""
    singles = list(MECHANISMS)
    best = sorted({name for axis in ("users", "band_hz")
                   for name in medians(frame, axis, "period_s")[singles].idxmin(axis=1)})  # fmt: skip
    return holds(len(best) > 1, f"{', '.join(best[:-1])} and {best[-1]} each sustain the highest rate of one mechanism "
                 "somewhere, and the mix is at least as fast everywhere.")  # fmt: skip


STUDY = Study(
    name="refresh",
    title="The real-time twin: refresh rate, age of information and three costs",
    lead="mechanisms trade latency, hardware and coordination; no one of them sustains the highest rate everywhere.",
    verdict=verdict,
    rows=rows,
    panels=(*(_lines(axis, column) for column in ("period_s", "age_peak_s") for axis in XLABELS), draw_costs),
    findings=findings,
    height_in=6.9,
    mosaic=("ab", "cd", "ee"),
)
