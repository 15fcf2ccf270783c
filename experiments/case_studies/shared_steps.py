"""HIS: hybrid inference of common steps, solved exactly where its authors learn a policy.

Published (ICC 2025): user n runs x_n common steps of its group at the edge, y_n of its own there and z_n on its device,
x + y + z = T; latency is that of the group's common steps, of its own, of the latent's download and of the device's
steps; energy is kappa x cycles x frequency^2; quality falls with x by a logistic curve that depends on the similarity;
the objective is w1 quality - w2 latency - w3 energy. N = 50 users in M = 2 groups, x <= 13, y <= 16, 15 Mcycle a step
at the edge and 14 on a device, kappa = 1e-27, 2 GHz at the edge and 1.4 to 1.6 GHz on devices, latents of
128 x 128 x 16 values at 16 bit. Bandwidth, power and frequency are held equal there.

Three answers to each setting: the best steps with bands and frequencies held; bands and edge shares decided as well;
and frequencies too, those of devices within their published range and the edge's one of three up to the published one.

Not published, and so swept here: the weights, the band, and how many processors of 2 GHz the edge has. Assumed: T = 28,
channels of 1 to 6 bit/s/Hz, groups of similarity 0.6 and 0.3, a processor for each chain at most, chains of groups and
of users that reserve shares of their own, and that the energy of common steps is divided among the group. The quality
curves are a fit to the published points. What its learned policy reaches is published as curves in figures alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.study import Study, holds
from megdt_opt import Allocation, AllocationProblem, solve
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.report.canvas import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USERS, GROUPS, COMMON_MAX, OWN_MAX = 50, 2, 13, 16
EDGE_CYCLE, DEVICE_CYCLE, EDGE_HZ, KAPPA = 15e6, 14e6, 2e9, 1e-27
LATENT_BIT = 128 * 128 * 16 * 16
QUALITY = {0.6: (0.1515, 0.2164, 16.55, 0.1712), 0.3: (0.2542, 0.2682, 16.38, 0.0706)}
"""Similarity: L, K, B, D of the fitted curve L/(1 + exp(K (x - B))) + D."""
STEPS, BANDS_HZ, PROCESSORS = 28, (20e6, 50e6, 100e6, 200e6, 500e6), (1, 10, 52)
QUALITY_WEIGHTS, ENERGY_WEIGHT = (0.3, 1.0, 3.0), 0.1
"""w1 and w3, with w2 = 1/s."""
DEVICE_HZ, EDGE_TRIED_HZ = (1.4e9, 1.6e9), (1.4e9, 1.7e9, EDGE_HZ)
"""Range of the devices' frequencies, and frequencies that the edge may choose [Hz]."""
SEEDS = (0, 1, 2)
GAP = 1e-6


class Cell:
    """One setting: the options of all users, as arrays.

    Parameters
    ----------
    processors : int
        Processors of the edge, of 2 GHz each [1].
    band_hz : float
        Band of all downloads [Hz].
    quality_weight : float
        w1 with w2 = 1/s [1].
    seed : int
        Draws the channels and the devices.
    edge_hz : float, optional
        Frequency of the edge [Hz]; its energy grows with the square. Where it is given, the devices' frequencies are
        the best of their range: xi/f + w3 kappa xi f^2 of a step is least at f = (2 w3 kappa)^(-1/3), whatever else is
        decided.
    """

    def __init__(
        self, processors: int, band_hz: float, quality_weight: float, seed: int, edge_hz: float | None = None
    ) -> None:
        draw = np.random.default_rng([seed, 7])
        self.band_hz, self.processors = band_hz, processors
        self.device_hz, self.edge_hz = draw.uniform(*DEVICE_HZ, USERS), edge_hz or EDGE_HZ
        if edge_hz is not None:
            self.device_hz[:] = np.clip((2 * ENERGY_WEIGHT * KAPPA) ** (-1 / 3), *DEVICE_HZ)
        self.efficiency = draw.uniform(1.0, 6.0, USERS)
        self.group = np.repeat(np.arange(GROUPS), USERS // GROUPS)
        x, y = np.meshgrid(np.arange(COMMON_MAX + 1), np.arange(OWN_MAX + 1), indexing="ij")
        fits = x + y <= STEPS
        self.common, self.own = x[fits], y[fits]
        self.device = STEPS - self.common - self.own
        size, step_j = USERS // GROUPS, KAPPA * EDGE_CYCLE * self.edge_hz**2
        self.device_s = self.device * DEVICE_CYCLE / self.device_hz[:, None]
        self.energy_j = (self.common / size + self.own) * step_j + self.device * (
            KAPPA * DEVICE_CYCLE * self.device_hz[:, None] ** 2
        )
        curves = [QUALITY[s] for s in (0.6, 0.3)]
        self.quality = np.array([
            limit / (1 + np.exp(slope * (self.common - middle))) + floor
            for limit, slope, middle, floor in (curves[g] for g in self.group)
        ])  # fmt: skip
        worth = quality_weight * self.quality
        # seconds that a user would pay instead of its energy and the quality that it gives up
        self.charge_s = ENERGY_WEIGHT * self.energy_j + float(worth.max()) - worth

    def problem(self, longest: tuple[int, ...]) -> AllocationProblem:
        """The allocation problem for given lengths of the groups' common steps.

        A group's common steps are one more user of the edge, of the weight of the whole group, because every member
        waits for them; a member's own x is at most its group's.
        """
        options = len(self.common)
        edge_s = EDGE_CYCLE / self.edge_hz
        work = np.zeros((USERS + GROUPS, options)) + self.own * edge_s
        work[USERS:] = np.array(longest)[:, None] * edge_s
        fixed = np.concatenate([self.device_s + self.charge_s, np.zeros((GROUPS, options))])
        payload = np.full((USERS + GROUPS, options), float(LATENT_BIT))
        payload[USERS:] = 0.0
        allowed = np.concatenate([
            self.common <= np.array(longest)[self.group][:, None], np.arange(options) == np.zeros((GROUPS, 1))
        ])  # fmt: skip
        return AllocationProblem(
            fixed_s=fixed, uplink_bit=np.zeros_like(payload), edge_work_s=work, downlink_bit=payload, allowed=allowed,
            weight=np.r_[np.ones(USERS), np.bincount(self.group)], uplink_hz=0.0, downlink_hz=self.band_hz,
            edge_capacity=float(self.processors), edge_share_max=np.ones(USERS + GROUPS),
            downlink_efficiency=np.r_[self.efficiency, np.ones(GROUPS)], objective="sum",
        )  # fmt: skip

    def optimum(self) -> tuple[float, float, tuple[int, ...], Allocation]:
        """Best objective and bound over all lengths of the common steps [s], the lengths, and the allocation."""
        found = {
            longest: solve(self.problem(longest), gap=GAP)
            for longest in itertools.product(range(COMMON_MAX + 1), repeat=GROUPS)
        }
        best = min(found, key=lambda longest: found[longest].objective_s)
        return found[best].objective_s, min(f.lower_bound_s for f in found.values()), best, found[best]

    def held(self) -> float:
        """The optimum with equal bands and an equal part of the edge for each chain: every length of the common
        steps is tried for each group, and every option of each user under it [s]."""
        download_s = LATENT_BIT / (self.band_hz / USERS * self.efficiency)
        step_s = EDGE_CYCLE / self.edge_hz / min(1.0, self.processors / (USERS + GROUPS))
        total = 0.0
        for g in range(GROUPS):
            best = np.inf
            for longest in range(COMMON_MAX + 1):
                cost = (self.device_s + self.charge_s + (self.own + longest) * step_s)[self.group == g]
                best = min(best, float(cost[:, self.common <= longest].min(axis=1).sum()))
            total += best
        return total + float(download_s.sum())


def rows() -> Iterator[dict[str, Any]]:
    """Every cell: bands and frequencies held, and decided with the steps."""
    for processors, band_hz, weight, seed in itertools.product(PROCESSORS, BANDS_HZ, QUALITY_WEIGHTS, SEEDS):
        cell = Cell(processors, band_hz, weight, seed)
        objective_s, bound_s, longest, found = cell.optimum()
        tuned = {hz: Cell(processors, band_hz, weight, seed, hz).optimum()[:2] for hz in EDGE_TRIED_HZ}
        edge_hz = min(tuned, key=lambda hz: tuned[hz][0])
        chosen = found.option[:USERS]
        yield {
            "processors": processors, "band_mhz": band_hz / 1e6, "quality_weight": weight, "seed": seed,
            "held_s": cell.held(), "optimum_s": objective_s, "bound_s": bound_s,
            "common_similar": longest[0], "common_other": longest[1],
            "common_mean": float(cell.common[chosen].mean()), "own_mean": float(cell.own[chosen].mean()),
            "device_mean": float(cell.device[chosen].mean()), "tuned_s": tuned[edge_hz][0],
            "tuned_bound_s": min(bound for _, bound in tuned.values()), "edge_ghz": edge_hz / 1e9,
        }  # fmt: skip


def gain_percent(frame: pd.DataFrame, answer: str = "optimum_s") -> pd.Series[float]:
    """By how much an answer lowers the cost of the best steps with bands and frequencies held [%]."""
    return 100 * (1 - frame[answer] / frame.held_s)


def draw_gain(frame: pd.DataFrame, axes: Axes) -> None:
    """Gain against the band, median over seeds and weights; grey beside each line: with frequencies decided as well."""
    gains = frame.assign(shares=gain_percent(frame, "optimum_s"), all=gain_percent(frame, "tuned_s"))
    table = gains.groupby(["processors", "band_mhz"])[["shares", "all"]].median().unstack(0)
    for processors, style in zip(PROCESSORS, STYLES, strict=False):
        axes.plot(table.index, table["shares", processors], **style, lw=1.2, markersize=4, label=_edge(processors))
        axes.plot(table.index, table["all", processors], **{**style, "ls": ""}, markerfacecolor="white", markersize=4)
    axes.plot([], [], color=FAINT, marker="o", ls="", markerfacecolor="white", ms=4, label="and frequencies")
    axes.set_xscale("log")
    axes.set_xticks(table.index, [f"{band:g}" for band in table.index], minor=False)
    axes.minorticks_off()
    axes.set_ylim(0)
    axes.set_xlabel("band [MHz]")
    axes.set_ylabel("cost below equal shares [%]")
    axes.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    plain(axes)


def draw_steps(frame: pd.DataFrame, axes: Axes) -> None:
    """Where the steps run, as stacked bars; what nobody does is not drawn."""
    means = frame.groupby(["processors", "quality_weight"])[["common_mean", "own_mean", "device_mean"]].mean()
    below = np.zeros(len(means))
    names = {"common_mean": "common, at the edge", "own_mean": "own, at the edge", "device_mean": "own, on the device"}
    for (column, name), style, hatch in zip(names.items(), STYLES, ("", "///", "..."), strict=False):
        if means[column].max() >= 0.05:
            axes.bar(range(len(means)), means[column], bottom=below, color=style["color"], label=name, hatch=hatch,
                     edgecolor="white", width=0.8)  # fmt: skip
        below += means[column].to_numpy()
    axes.set_xticks(range(len(means)), [f"{weight:g}" for _, weight in means.index])
    for i, processors in enumerate(frame.processors.unique()):
        axes.text(len(QUALITY_WEIGHTS) * i + 1, STEPS + 1.2, _edge(int(processors)), ha="center", fontsize=7)
    for i in range(1, len(PROCESSORS)):
        axes.axvline(len(QUALITY_WEIGHTS) * i - 0.5, color=FAINT, lw=0.8)
    axes.set_ylim(0, 33)
    axes.set_yticks(range(0, STEPS + 1, 7))
    axes.set_xlabel("weight of quality, w1 [1]")
    axes.set_ylabel("denoising steps, mean")
    axes.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2,
                handlelength=1.2)  # fmt: skip
    plain(axes)
    axes.grid(visible=False, axis="x")


def _edge(processors: int) -> str:
    return f"{processors} processor{'s' if processors > 1 else ''}"


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    gap = float(max((1 - frame.bound_s / frame.optimum_s).max(), (1 - frame.tuned_bound_s / frame.tuned_s).max()))
    best_ghz = (2 * ENERGY_WEIGHT * KAPPA) ** (-1 / 3) / 1e9
    gain = frame.assign(gain=gain_percent(frame)).groupby(["processors", "band_mhz"]).gain.median()
    all_gain = frame.assign(gain=gain_percent(frame, "tuned_s")).groupby(["processors", "band_mhz"]).gain.median()
    slower = frame.groupby("processors").edge_ghz.agg(lambda hz: 100 * (hz < EDGE_HZ / 1e9).mean())
    one, many = min(PROCESSORS), max(PROCESSORS)
    narrow, wide = min(BANDS_HZ) / 1e6, max(BANDS_HZ) / 1e6
    own = frame.groupby("processors").own_mean.mean()
    common = frame.groupby("quality_weight")[["common_similar", "common_other"]].mean()
    low, high = min(QUALITY_WEIGHTS), max(QUALITY_WEIGHTS)
    pairs, options = (COMMON_MAX + 1) ** GROUPS, (COMMON_MAX + 1) * (OWN_MAX + 1)
    device_hz = 1.5e9
    edge_ms, device_ms = 1e3 * EDGE_CYCLE / EDGE_HZ, 1e3 * DEVICE_CYCLE / device_hz
    edge_mj, device_mj = 1e3 * KAPPA * EDGE_CYCLE * EDGE_HZ**2, 1e3 * KAPPA * DEVICE_CYCLE * device_hz**2
    return f"""
**No policy is needed where bands and frequencies are held.** Given the lengths of both groups' common steps every user
is on its own: {pairs} pairs times a minimum over at most {options} options is the exact optimum of {USERS} users. With
bands and edge shares decided as well, each pair is a problem of {USERS + GROUPS} chains that is solved to a proof: over
{len(frame)} cells the largest gap is {gap:.1e}.

**Deciding bands and edge shares lowers the cost by {gain[one, narrow]:.1f} % at {narrow:g} MHz and
{gain[one, wide]:.1f} % at {wide:g} MHz with {_edge(one)}, and by {gain[many, narrow]:.1f} and {gain[many, wide]:.1f} %
with {many}** (median over seeds and weights). The download has the same size wherever the steps run, so the bands
follow the square-root rule and do not depend on the steps. Cost: seconds + {ENERGY_WEIGHT:g} per J of energy + w1 (best
quality - quality), summed over users.

**Deciding frequencies as well lowers it by {all_gain[one, narrow]:.1f} and {all_gain[one, wide]:.1f} % with
{_edge(one)}, and by {all_gain[many, narrow]:.1f} and {all_gain[many, wide]:.1f} % with {many}.** A device's best
frequency does not depend on what else is decided: {best_ghz:.2f} GHz, so all take the largest of their range,
{DEVICE_HZ[1] / 1e9:g} GHz. Of the edge's {", ".join(f"{hz / 1e9:g}" for hz in EDGE_TRIED_HZ[:-1])} and
{EDGE_HZ / 1e9:g} GHz a lower one than the published is chosen in {slower[one]:.0f} % of the cells with {_edge(one)} and
in {slower[many]:.0f} % with {many}: the energy of a common step is divided among the members of a group, and each of
them waits for it. Transmit power is held in all three.

**Own steps at the edge do not pay with the published numbers.** Of {STEPS} steps, {own[one]:.1f} of a user's own run at
the edge with {_edge(one)}, {own[PROCESSORS[1]]:.1f} with {PROCESSORS[1]} and {own[many]:.1f} with {many}. With a
processor for every chain a step takes {edge_ms:.1f} ms at the edge against {device_ms:.1f} on a device of 1.5 GHz, but
spends {edge_mj:.0f} against {device_mj:.0f} mJ, which at w3 = {ENERGY_WEIGHT:g} outweighs the time; with fewer it is
slower as well.

**Common steps are decided by the weight of quality.** The more similar group shares {common.common_similar[low]:.1f}
steps and the other {common.common_other[low]:.1f} at w1 = {low:g}, against {common.common_similar[high]:.1f} and
{common.common_other[high]:.1f} at w1 = {high:g} (mean over cells; at most {COMMON_MAX}).

Not compared: the learned policy of the source, whose results are published as curves alone, for weights, band and T
that are not.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether a policy has to be learned."""
    gap = float((1 - frame.bound_s / frame.optimum_s).max())
    return holds(gap > 1e-6, f"every one of {len(frame)} cells is solved to a proof of {gap:.0e}.")


STUDY = Study(
    name="shared_steps",
    title="HIS: common steps of similar users, solved exactly",
    lead="common steps of similar users need a learned policy, with bands and frequencies held equal.",
    verdict=verdict,
    rows=rows,
    panels=(draw_gain, draw_steps),
    findings=findings,
    height_in=2.4,
)
