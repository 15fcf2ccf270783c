"""When offloading to phones pays: one edge server, 1 to 200 phones, raw and JPEG downloads, batches as measured.

Timings and what is borrowed: see `phones.py`. A step of X chains that the edge makes together costs each of them
t(X)/X of the edge, t as measured at 1, 4 and 16 and straight between; batches of every size up to 16 are tried, and
one
counts where at least as many phones use the edge. No chain's step is cheaper than t(16)/16, which gives the bound.
Shares are reserved; what schedules of real batches take, which chains join and leave, stands beside for some cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.phones import (
    BORROWED_PASSES,
    JPEG_FINE,
    JPEG_SMALL,
    LARGEST_BATCH,
    LCM,
    PAIRS,
    RAW,
    SD15,
    SDXL,
    Pair,
    PhoneCell,
    links,
)
from case_studies.study import Study, holds
from megdt_opt import BatchedEdgeProblem, solve, solve_batch
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.plot.shares import shares_figure
from megdt_opt.report.canvas import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200)
"""Phones in the cell."""
CODECS = (RAW, JPEG_FINE, JPEG_SMALL)
BANDS_HZ = (20e6, 100e6)
SIZES = (1, 4, 8, LARGEST_BATCH)
"""Batches tried [1]."""
SEEDS = (0, 1)
LEAD = {"SD1.5": 7, "SDXL": 33}
"""Phones from which on the lead lets phones join in [1]."""
SINGLES = ("centralised", "E2U", "local")
GAP = 1e-3
LIMIT_S = 0.1
"""For each problem; what stays open is said by the bound [s]."""
CHECKED = (5, 10, 20)
"""Numbers of phones whose batches are scheduled one by one."""


def settings_of(pair: Pair) -> Iterator[dict[str, Any]]:
    """What is varied beside the number of phones and the links: every codec and band, then one thing at a time."""
    base = {
        "codec": JPEG_FINE,
        "band_hz": BANDS_HZ[1],
        "passes": BORROWED_PASSES[0],
        "batches": True,
        "objective": "sum",
    }
    for codec in CODECS:
        yield base | {"codec": codec}
    yield base | {"band_hz": BANDS_HZ[0]}
    yield base | {"passes": BORROWED_PASSES[1]}
    yield base | {"objective": "max"}
    if len(pair.batch_s) > 1:
        yield base | {"batches": False}


def rows_for(
    pair: Pair, users: int, setting: dict[str, Any], seeds: tuple[int, ...] = SEEDS
) -> Iterator[dict[str, Any]]:
    """Optimum, bound and single mechanisms of one setting, a row a seed; all seeds are solved together."""
    objective = setting["objective"]
    cells = [PhoneCell(pair=pair, efficiency=links(users, seed), band_hz=setting["band_hz"], codec=setting["codec"],
                       passes=setting["passes"]) for seed in seeds]  # fmt: skip
    most = min(users, max(pair.batch_s)) if setting["batches"] else 1
    sizes = sorted({size for size in SIZES if size < most} | {most})
    names = np.array(cells[0].names)
    best: list[dict[str, Any]] = [{"found_s": np.inf} for _ in seeds]
    for size in sizes:
        found = solve_batch(
            [cell.problem(size, objective, interior=False) for cell in cells], gap=GAP, time_limit_s=LIMIT_S
        )
        for i, option in enumerate(found.option):
            chosen = names[option]
            if ((chosen != "local").sum() >= size and found.objective_s[i] < best[i]["found_s"]) or size == 1:
                best[i] = {"found_s": found.objective_s[i], "together": size}
                best[i] |= {name: int((chosen == name).sum()) for name in SINGLES}
    singles = {
        name: solve_batch(
            [cell.problem(1 if name == "local" else most, objective, name) for cell in cells],
            gap=GAP,
            time_limit_s=LIMIT_S,
        )
        for name in SINGLES
    }
    weight = 1.0 if objective == "max" else 1.0 / users  # the mean
    for i, seed in enumerate(seeds):
        for name in ("centralised", "E2U"):  # everybody at the edge fills the largest batch
            if singles[name].objective_s[i] < best[i]["found_s"]:
                best[i] = {"found_s": singles[name].objective_s[i], "together": most, **dict.fromkeys(SINGLES, 0)}
                best[i][name] = users
        yield {
            "kind": "cell", "model": pair.model, "phones": users, "seed": seed, **setting, **best[i],
            "found_s": weight * best[i]["found_s"],
            "bound_s": weight * float(found.lower_bound_s[i]),  # of the largest batches, the last that were tried
            **{f"all_{name}_s": weight * float(one.objective_s[i]) for name, one in singles.items()},
        }  # fmt: skip


def batch_rows() -> Iterator[dict[str, Any]]:
    """Schedules of batches, one by one, against reserved shares of full batches; sum, pictures decoded on phones."""
    slope, base = SD15.law
    for users, seed in itertools.product(CHECKED, SEEDS):
        efficiency = links(users, seed)
        ones = np.ones(users)
        problem = BatchedEdgeProblem(
            steps=SD15.steps, step_slope_s=slope, step_base_s=base, device_step_s=SD15.phone_step_s * ones,
            after_s=SD15.phone_decode_s(0.0) * ones, downlink_bit=SD15.latent_bit * ones, downlink_hz=BANDS_HZ[1],
            downlink_efficiency=efficiency, objective="sum",
        )  # fmt: skip
        scheduled = solve(problem, gap=1e-3, time_limit_s=10.0)
        setting = {"codec": JPEG_FINE, "band_hz": BANDS_HZ[1], "passes": BORROWED_PASSES[0], "batches": True}
        (reserved,) = rows_for(SD15, users, setting | {"objective": "sum"}, (seed,))
        yield {
            "kind": "schedule", "model": SD15.model, "phones": users, "seed": seed, "objective": "sum",
            "found_s": reserved["found_s"], "scheduled_s": scheduled.objective_s / users,
            "scheduled_bound_s": scheduled.lower_bound_s / users,
        }  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """Every cell, then the schedules."""
    for pair, users in itertools.product(PAIRS, COUNTS):
        for setting in settings_of(pair):
            yield from rows_for(pair, users, setting)
    yield from batch_rows()


def chosen(frame: pd.DataFrame, model: str, codec: str = JPEG_FINE, **other: Any) -> pd.DataFrame:
    """Rows of one setting; what is not named has its first value."""
    wanted = {"band_hz": BANDS_HZ[1], "passes": BORROWED_PASSES[0], "batches": True, "objective": "sum"} | other
    mine = frame[(frame.kind == "cell") & (frame.model == model) & (frame.codec == codec)]
    for name, value in wanted.items():
        mine = mine[mine[name] == value]
    return mine


def gain(frame: pd.DataFrame) -> pd.Series:
    """By how much the optimum is below downloads of pictures, median over seeds at each number of phones [%]."""
    below = 100 * (1 - frame.found_s / frame.all_centralised_s)
    return below.groupby(frame.phones).median()


def beside_best(frame: pd.DataFrame) -> pd.Series:
    """By how much the optimum is below the best single mechanism, median over seeds [%]."""
    best = frame[[f"all_{name}_s" for name in SINGLES]].min(axis=1)
    return (100 * (1 - frame.found_s / best)).groupby(frame.phones).median()


def _phones(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_xlabel("phones")


def _shares(model: str) -> Any:
    def draw(frame: pd.DataFrame, axes: Axes) -> None:
        """Which part of the phones runs what in the optimum."""
        part = chosen(frame, model)
        shares_figure(part, "phones", [name for name in SINGLES if part[name].max() > 0], axes=axes)
        _phones(axes)
        axes.set_ylabel(f"share of phones, {model} [%]")

    return draw


def draw_latency(frame: pd.DataFrame, axes: Axes) -> None:
    """SD1.5: optimum, bound and single mechanisms."""
    mine = chosen(frame, SD15.model).groupby("phones").median(numeric_only=True)
    lines = {"all_centralised_s": "all centralised", "all_E2U_s": "all E2U", "all_local_s": "all local",
             "found_s": "optimum"}  # fmt: skip
    places = {"all_centralised_s": (4, 9.0), "all_E2U_s": (60, 7.5), "all_local_s": (1.05, 2.9), "found_s": (16, 1.35)}
    for (column, name), style in zip(lines.items(), STYLES, strict=False):
        axes.plot(mine.index, mine[column], **style, lw=1.2, ms=3.5)
        axes.text(*places[column], name, color=style["color"], fontsize=7)
    axes.set_yscale("log")
    axes.set_yticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    _phones(axes)
    axes.set_ylabel("mean latency, SD1.5 [s]")
    plain(axes)


def draw_gain(frame: pd.DataFrame, axes: Axes) -> None:
    """How far the optimum is below downloads of all pictures."""
    kinds = [(SD15, RAW), (SD15, JPEG_FINE), (SDXL, RAW), (SDXL, JPEG_FINE), (LCM, JPEG_FINE)]
    for (pair, codec), style in zip(kinds, STYLES, strict=False):
        found = gain(chosen(frame, pair.model, codec))
        axes.plot(found.index, found, **style, lw=1.2, ms=3.5, label=f"{pair.model}, {codec.split()[0]}")
    _phones(axes)
    axes.axhline(0, color=FAINT, lw=0.6)
    axes.set_ylim(-4, 100)
    axes.set_ylabel("below all centralised [%]")
    axes.legend(frameon=False, fontsize=6.5, loc="upper left", handlelength=3.2)
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    cells = frame[frame.kind == "cell"]
    fine = {pair.model: gain(chosen(frame, pair.model)) for pair in PAIRS}
    raw = {pair.model: gain(chosen(frame, pair.model, RAW)) for pair in PAIRS}
    mixed = {pair.model: beside_best(chosen(frame, pair.model)) for pair in PAIRS}

    def first(model: str, column: str, codec: str = JPEG_FINE, **other: Any) -> str:
        shares = chosen(frame, model, codec, **other).groupby("phones")[list(SINGLES)].sum()
        some = shares.index[shares[column.split("+")].sum(axis=1) > 0]
        return f"{some[0]:.0f}" if len(some) else "none"

    open_gap = (1 - cells.bound_s / cells.found_s) * 100
    few = open_gap[cells.phones < LARGEST_BATCH]
    schedule = frame[frame.kind == "schedule"]
    slower = 100 * (schedule.scheduled_s / schedule.found_s - 1)
    at = {m: chosen(frame, m).groupby("phones")[list(SINGLES)].sum() for m in fine}
    local = {m: 100 * table.local / table.sum(axis=1) for m, table in at.items()}
    peak = {m: (one.idxmax(), one.max()) for m, one in mixed.items()}
    plain_batch = chosen(frame, SD15.model, batches=False)
    sooner = chosen(frame, SD15.model, objective="max").groupby("phones")[list(SINGLES)].sum()
    joined = int(sooner.index[sooner.local > 0][0])
    return f"""
**The first phones take over whole chains at {first("SD1.5", "local")} phones with SD1.5 (Galaxy S25 and A100), at
{first("SDXL", "local")} with SDXL (Adreno GPU and A100) and at {first("SDXL-LCM", "local")} with SDXL-LCM (the same
phone
and an H100, no batches)**, of the numbers tried ({", ".join(map(str, COUNTS))}; mean latency, JPEG of 2.4 bit/pixel,
{BANDS_HZ[1] / 1e6:g} MHz, batches as measured). The first phone decodes for itself at {first("SD1.5", "E2U+local")},
{first("SDXL", "E2U+local")} and {first("SDXL-LCM", "E2U+local")}. With 50 phones {local["SD1.5"][50]:.0f},
{local["SDXL"][50]:.0f} and {local["SDXL-LCM"][50]:.0f} % of them work alone, with 200 {local["SD1.5"][200]:.0f},
{local["SDXL"][200]:.0f} and {local["SDXL-LCM"][200]:.0f} %. Where the largest latency is asked, SD1.5's first phone
works
alone at {joined}.

**What it gains over downloading every picture.** SD1.5: {fine["SD1.5"][1]:.0f} % with one phone,
{fine["SD1.5"][10]:.0f} %
with 10 and {fine["SD1.5"][200]:.0f} % with 200; SDXL: {fine["SDXL"][1]:.0f}, {fine["SDXL"][10]:.0f} and
{fine["SDXL"][200]:.0f} %; SDXL-LCM: {fine["SDXL-LCM"][1]:.0f}, {fine["SDXL-LCM"][10]:.0f} and
{fine["SDXL-LCM"][200]:.0f} %. With raw downloads: {raw["SD1.5"][1]:.0f}, {raw["SD1.5"][10]:.0f} and
{raw["SD1.5"][200]:.0f} % for SD1.5, {raw["SDXL"][1]:.0f}, {raw["SDXL"][10]:.0f} and {raw["SDXL"][200]:.0f} % for
SDXL.

**A mix is worth most where edge and phones are equally good**: {peak["SD1.5"][1]:.0f} % below the best single
mechanism
with {peak["SD1.5"][0]:.0f} phones (SD1.5), {peak["SDXL"][1]:.0f} % with {peak["SDXL"][0]:.0f} (SDXL) and
{peak["SDXL-LCM"][1]:.0f} % with {peak["SDXL-LCM"][0]:.0f} (SDXL-LCM).

**Borrowed figures.** With decoding at {BORROWED_PASSES[1]:g} in place of {BORROWED_PASSES[0]:g} passes where nobody
published it, the first phone works alone at {first("SD1.5", "local", passes=BORROWED_PASSES[1])}, {
        first("SDXL", "local", passes=BORROWED_PASSES[1])
    } and {first("SDXL-LCM", "local", passes=BORROWED_PASSES[1])} phones. Without
batches SD1.5's first phone works alone at {first("SD1.5", "local", batches=False)} phones, and the gain at 200 is
{gain(plain_batch)[200]:.0f} %.

**What is proven.** Plans of up to {int(cells.phones[cells.phones < LARGEST_BATCH].max())} phones are at most
{few.max():.1f} % above a bound that no batch can beat, the others
{open_gap[cells.phones >= LARGEST_BATCH].max():.1f} %.
Schedules of real batches (SD1.5, {CHECKED[0]} to {CHECKED[-1]} phones, mean latency, a X + b fitted) are
{-slower.max():.0f} to {-slower.min():.0f} % below these reserved shares: chains that are served together and end
early
beat chains that all last as long.
"""


def first_local(frame: pd.DataFrame, model: str) -> int:
    """The least number of phones of which one works alone."""
    alone = chosen(frame, model).groupby("phones").local.sum()
    return int(alone.index[alone > 0][0])


def verdict(frame: pd.DataFrame) -> str:
    """Whether phones join in where the lead says."""
    found = {model: first_local(frame, model) for model in LEAD}
    said = ", ".join(f"{model}'s first phone works alone at {found[model]} phones (lead: {at})"
                     for model, at in LEAD.items())  # fmt: skip
    return holds(all(abs(found[model] / at - 1) <= 0.2 for model, at in LEAD.items()), f"{said}, in the mean.")


STUDY = Study(
    name="phone_cell",
    title="A cell of phones: when does offloading to them pay?",
    lead="a phone joins in when the edge is crowded: beyond about 7 phones with SD1.5 on an A100, 33 with SDXL.",
    verdict=verdict,
    rows=rows,
    panels=(_shares("SD1.5"), _shares("SDXL"), draw_latency, draw_gain),
    findings=findings,
    height_in=2.2,
)
