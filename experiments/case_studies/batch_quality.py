"""STACKING's setting: batches that chains join and leave, quality by steps, deadlines; exact against a heuristic.

Published in outline ("Batch Denoising for AIGC Service Provisioning in Wireless Edge Networks", arXiv 2511.19847):
a batch
of X chains takes a X + b, the mean quality is maximised under a deadline for each user, early steps count most;
batches by
a heuristic for given bands, bands by a particle swarm. Its setting in full is not published: quality curves,
deadlines and
links are drawn here, and tight and loose deadlines are compared. Laws of batches are those of SD1.5 on an A100,
compiled
and eager (published timings). The heuristic here is our reading of that outline: for every common target of steps,
all
chains below it that can still meet their deadlines share each batch, and the best target is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from case_studies.phones import SD15
from case_studies.study import Study, holds
from megdt_opt import BatchedEdgeProblem, solve
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.report.canvas import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTS = (3, 5, 10, 20, 40)
EXACT = 5
"""Users up to whom the problem is solved to a proof [1]."""
STEPS = 20
BAND_HZ = 1e6
MACHINES = {"compiled": SD15, "eager": replace(SD15, edge="A100 (eager)")}
TIGHTNESS = {"tight": (0.1, 0.5), "loose": (0.4, 0.9)}
"""Deadlines, in parts of the end of one common batch of all [1]."""
SEEDS = (0, 1, 2)
PARTICLES, ROUNDS = 30, 60
LIMIT_S, EXACT_LIMIT_S = 4.0, 60.0
CLOSED = 1e-5
"""Gap up to which a problem counts as proven [1]."""

Floats = NDArray[np.float64]


def problem(users: int, machine: str, tightness: str, seed: int) -> BatchedEdgeProblem:
    """Users whose quality grows as 1 - exp(-n/scale), scales of 3 to 9 steps; latents are downloaded."""
    rng = np.random.default_rng([seed, users])
    slope, base = MACHINES[machine].law
    scale = rng.uniform(3.0, 9.0, (users, 1))
    efficiency = rng.uniform(1.0, 6.0, users)
    last = STEPS * (slope * users + base) + SD15.phone_decode_s(0.0)
    last += SD15.latent_bit * users / (BAND_HZ * float(np.median(efficiency)))
    return BatchedEdgeProblem(
        steps=STEPS, step_slope_s=slope, step_base_s=base, after_s=np.full(users, SD15.phone_decode_s(0.0)),
        downlink_bit=np.full(users, SD15.latent_bit), downlink_hz=BAND_HZ, downlink_efficiency=efficiency,
        quality=1.0 - np.exp(-np.arange(STEPS + 1) / scale),
        deadline_s=last * rng.uniform(*TIGHTNESS[tightness], users), objective="quality",
    )  # fmt: skip


def stacked(p: BatchedEdgeProblem, bands: Floats) -> Floats:
    """Mean quality of the heuristic for rows of bands, (P, K) -> (P,): the best common target of each row."""
    assert p.deadline_s is not None
    assert p.quality is not None
    with np.errstate(divide="ignore"):
        budget = (p.deadline_s - p.after_s - p.downlink_bit / (p.downlink_efficiency * bands))[:, None, :]  # (P, 1, K)
    targets = np.arange(1, p.steps + 1)[None, :, None]
    made = np.zeros((len(bands), p.steps, p.users), dtype=int)
    now = np.zeros((len(bands), p.steps, 1))
    alive = np.ones_like(made, dtype=bool)
    for _ in range(p.steps):
        alive &= made < targets
        for _ in range(p.users):
            end = now + p.step_slope_s * alive.sum(axis=2, keepdims=True) + p.step_base_s
            kept = alive & (end <= budget)
            if (kept == alive).all():
                break
            # whoever is latest for this batch leaves first, which shortens it for the others
            slack = np.where(alive & ~kept, budget - end, np.inf)
            gone = slack == slack.min(axis=2, keepdims=True)
            alive &= ~(gone & np.isfinite(slack))
        now = np.where(alive.any(axis=2, keepdims=True), end, now)
        made += alive
    earned = p.quality[np.arange(p.users), made].mean(axis=2)
    best: Floats = earned.max(axis=1)
    return best


def equal_bands(p: BatchedEdgeProblem) -> float:
    """The heuristic with the band in equal parts."""
    return float(stacked(p, np.full((1, p.users), p.downlink_hz / p.users))[0])


def swarm(p: BatchedEdgeProblem, seed: int) -> float:
    """The heuristic with bands by a particle swarm (inertia 0.7, accelerations 1.5), equal bands among the first."""
    rng = np.random.default_rng([seed, 3])
    at = np.vstack([np.ones((1, p.users)), rng.uniform(0.2, 2.0, (PARTICLES - 1, p.users))])
    speed = np.zeros_like(at)

    def worth(points: Floats) -> Floats:
        return stacked(p, p.downlink_hz * points / points.sum(axis=1, keepdims=True))

    own, earned = at.copy(), worth(at)
    for _ in range(ROUNDS):
        leader = own[earned.argmax()]
        pull = 1.5 * rng.random(at.shape) * (own - at) + 1.5 * rng.random(at.shape) * (leader - at)
        speed = 0.7 * speed + pull
        at = np.clip(at + speed, 1e-3, 5.0)
        now = worth(at)
        better = now > earned
        own[better], earned[better] = at[better], now[better]
    return float(earned.max())


def rows(counts: tuple[int, ...] = COUNTS, seeds: tuple[int, ...] = SEEDS) -> Iterator[dict[str, Any]]:
    """Every setting: optimum or plan with its bound, and the heuristic with equal bands and with a swarm's."""
    for users, machine, tightness, seed in itertools.product(counts, MACHINES, TIGHTNESS, seeds):
        p = problem(users, machine, tightness, seed)
        answers = [solve(p, "prices", gap=1e-3, time_limit_s=LIMIT_S)]
        if users <= EXACT:
            answers.append(solve(p, "batched_edge", gap=1e-6, time_limit_s=EXACT_LIMIT_S))
        yield {
            "users": users, "machine": machine, "deadlines": tightness, "seed": seed,
            "plan": max(one.objective for one in answers) / users, "bound": min(one.bound for one in answers) / users,
            "equal_bands": equal_bands(p), "swarm": swarm(p, seed),
        }  # fmt: skip


def losses(frame: pd.DataFrame) -> pd.DataFrame:
    """What the heuristics lose against the plan, and what the plan might lose, [% of the plan's quality]."""
    return frame.assign(
        equal_loss=100 * (1 - frame.equal_bands / frame.plan),
        swarm_loss=100 * (1 - frame.swarm / frame.plan),
        open=100 * (frame.bound / frame.plan - 1),
    )


def draw_losses(frame: pd.DataFrame, axes: Axes) -> None:
    """Loss of the heuristic against users, median over machines, deadlines and seeds; bars to the largest."""
    grouped = losses(frame).groupby("users")
    names = {"equal_loss": "heuristic, equal bands", "swarm_loss": "heuristic, bands by swarm",
             "open": "optimum above plan, at most"}  # fmt: skip
    for (column, name), style, shift in zip(names.items(), STYLES, (0.94, 1.0, 1.06), strict=False):
        middle, most = grouped[column].median(), grouped[column].max()
        low = grouped[column].min()
        axes.errorbar(middle.index * shift, middle, yerr=[middle - low, most - middle], **style, lw=1.2, ms=4,
                      elinewidth=0.7, capsize=2, label=name)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.minorticks_off()
    axes.axhline(0, color=FAINT, lw=0.6)
    axes.set_xlabel("users")
    axes.set_ylabel("loss of quality [% of the plan's]")
    axes.legend(frameon=False, fontsize=6.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=3)
    plain(axes)


def draw_quality(frame: pd.DataFrame, axes: Axes) -> None:
    """Mean quality against users, tight and loose deadlines, compiled."""
    mine = frame[frame.machine == "compiled"].groupby(["deadlines", "users"])[["plan", "equal_bands", "swarm"]].median()
    names = {"plan": "plan", "swarm": "bands by swarm", "equal_bands": "equal bands"}
    for (column, name), style in zip(names.items(), (STYLES[2], STYLES[1], STYLES[0]), strict=True):
        for tightness in TIGHTNESS:
            axes.plot(mine.loc[tightness].index, mine.loc[tightness, column], **style, lw=1.2, ms=3.5,
                      label=name if tightness == "tight" else None)  # fmt: skip
    for tightness in TIGHTNESS:
        last = mine.loc[(tightness, COUNTS[-1]), "plan"]
        axes.annotate(tightness, (COUNTS[-1], last), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_xscale("log")
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.minorticks_off()
    axes.set_xlim(2.6, 62)
    axes.set_ylim(0, 1)
    axes.set_xlabel("users")
    axes.set_ylabel("mean quality [1]")
    axes.legend(frameon=False, fontsize=6.5, loc="lower right", ncols=3, handlelength=2.6, columnspacing=1.0)
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    table = losses(frame)
    small, large = table[table.users <= EXACT], table[table.users > EXACT]
    proven = int((small.open <= 100 * CLOSED).sum())
    by = table.groupby("deadlines").swarm_loss.median()
    machines = table.groupby("machine").swarm_loss.median()
    worst = table.loc[table.swarm_loss.idxmax()]
    return f"""
**Exact for few users.** Of {len(small)} problems with up to {EXACT} users {proven} are proven to {CLOSED:g}. There
the
heuristic with equal bands loses {small.equal_loss.median():.1f} % of the mean quality at the median and
{small.equal_loss.max():.1f} % at most; with bands by a swarm of {PARTICLES} particles and {ROUNDS} rounds
{small.swarm_loss.median():.1f} and {small.swarm_loss.max():.1f} %.

**Bounded for more.** With {large.users.min()} to {large.users.max()} users plans are proven to
{large.open.median():.1f} % at the median and {large.open.max():.1f} % at most within {LIMIT_S:g} s. The heuristic is
{large.equal_loss.median():.1f} % (equal bands) and {large.swarm_loss.median():.1f} % (swarm) below these plans at the
median; {int((table.swarm_loss < -1e-6).sum())} of all {len(table)} answers of the swarm are better than the plan.

**Where it loses.** Tight deadlines cost the swarm's answers {by["tight"]:.1f} %, loose ones {by["loose"]:.1f} %
(medians); the
compiled machine (b/a = {MACHINES["compiled"].law[1] / MACHINES["compiled"].law[0]:.2f}) {machines["compiled"]:.1f}
%, the
eager one (b/a = {MACHINES["eager"].law[1] / MACHINES["eager"].law[0]:.2f}) {machines["eager"]:.1f} %. The largest
loss,
{worst.swarm_loss:.1f} %, is one of {worst.users} users with {worst.deadlines} deadlines.

**No swarm is needed for the bands.** For given steps and batches the bands are feasible exactly where
sum_k bits_k/(efficiency_k (deadline_k - end_k)) is at most the band: a closed form, which the exact solution uses.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether the heuristics come close."""
    loss = losses(frame).swarm_loss
    return holds(
        loss.quantile(0.95) <= 1.0,
        f"with bands by the swarm {loss.median():.1f} % of the best known quality is lost at the median and "
        f"{loss.max():.1f} % at most.",
    )


STUDY = Study(
    name="batch_quality",
    title="STACKING's setting: quality under deadlines with batches, exact against a heuristic",
    lead="a heuristic for batches and a particle swarm for bands come close to the best mean quality.",
    verdict=verdict,
    rows=rows,
    panels=(draw_quality, draw_losses),
    findings=findings,
    height_in=2.3,
)
