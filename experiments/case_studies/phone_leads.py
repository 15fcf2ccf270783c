"""Five leads about phones around an edge server, each put to the test with published timings.

The leads: the optimum is all on one side of a cut; decoding is a term of its own; the image codec and the phone's
decoder decide between a latent and a picture; the gain of batches is (a + b)/a and differs from model to model; a
phone
joins in where the edge is crowded. Timings and what is borrowed: see `phones.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.phones import (
    JPEG_FINE,
    LARGEST_BATCH,
    LCM,
    RAW,
    SD15,
    SDXL,
    Pair,
    PhoneCell,
    links,
    published,
    rows_of,
)
from case_studies.study import Study
from megdt_opt import solve_batch
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.report.canvas import FAINT
from megdt_opt.timing.published import PublishedTimings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND_HZ = 100e6
SEEDS = (0, 1, 2)
CROWDS = (3, 7, 20)
"""Phones for whom common cuts are tried."""
RANDOM = 60
"""Random cells in which cuts are free or at their ends alone, each for the mean and for the maximum."""
GAP, LIMIT_S = 1e-3, 1.0
"""Of problems with free cuts, whose near ties take long: relative gap [1], and time for each [s]."""
OTHER_PHONES = ("Samsung Galaxy S24", "Snapdragon 8 Elite Gen 5 QRD", "Snapdragon 7 Gen 4 QRD")
JOINING: tuple[Pair, ...] = (SD15, *(replace(SD15, phone=phone) for phone in OTHER_PHONES), SDXL)
FASTER = {"A100 (compiled) / SD1.5": 0.44, "A100 (eager) / SD1.5": 1.6}


def decode_rows() -> Iterator[dict[str, Any]]:
    """Decoding over one network pass, wherever one source has both."""
    known = {(row.device, row.model) for row in PublishedTimings.load().rows if row.stage == "decode"}
    for device, model in sorted(known):
        passes = rows_of(device, model, "denoise_pass", 1)
        if passes:
            kind = "phone or NPU" if passes[0].device_kind == "npu" else "GPU"
            decode_s = published(device, model, "decode")
            yield {
                "kind": "decode", "what": kind, "device": device, "model": model, "value": decode_s /
                passes[0].time_s,
                "part": decode_s / (decode_s + LCM.steps * passes[0].time_s),
            }  # fmt: skip


def threshold_rows() -> Iterator[dict[str, Any]]:
    """Rate below which a latent beats a picture, when K phones do the same; the closed form beside a bisection."""
    for codec, users in itertools.product((RAW, JPEG_FINE), range(1, 9)):
        here, there = SD15.phone_decode_s(0.0), users * SD15.edge_decode_s(2.5)
        bits = SD15.picture_bit(codec) - SD15.latent_bit
        closed = bits / (here - there) if here > there else np.inf
        low, high = 1e4, 1e11  # bit/s of each phone

        def latent_wins(rate: float, users: int = users, codec: str = codec) -> bool:
            cell = PhoneCell(pair=SD15, efficiency=np.ones(users), band_hz=users * rate, codec=codec, passes=2.5)
            latent, picture = solve_batch([cell.problem(1, "max", name) for name in ("E2U", "centralised")]).objective_s
            return bool(latent <= picture)

        if latent_wins(high):
            low = np.inf
        else:
            for _ in range(40):
                middle = float(np.sqrt(low * high))
                low, high = (middle, high) if latent_wins(middle) else (low, middle)
        yield {"kind": "threshold", "what": codec, "phones": users, "value": low, "closed_form": closed}


def batching_rows() -> Iterator[dict[str, Any]]:
    """Throughput of the largest batch over that of single chains, and (a + b)/a of the straight line."""
    groups: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in PublishedTimings.load().rows:
        if row.stage in ("denoise_step", "generation"):
            groups.setdefault((row.device, row.model, row.precision), {})[row.batch] = row.time_s
    for (device, model, precision), times in groups.items():
        if {1, 4, LARGEST_BATCH} <= set(times):
            used = {size: seconds for size, seconds in times.items() if size <= LARGEST_BATCH}
            slope, base = np.polyfit(list(used), list(used.values()), 1)
            yield {
                "kind": "batching", "what": model, "device": f"{device}, {precision}", "model": model,
                "value": LARGEST_BATCH * times[1] / times[LARGEST_BATCH], "closed_form": 1 + base / slope,
            }  # fmt: skip


def joining_rows() -> Iterator[dict[str, Any]]:
    """How many phones there are when the first takes denoising steps, and where the edge's step is the phone's."""
    for pair, seed in itertools.product(JOINING, SEEDS):
        predicted = pair.phone_step_s / pair.step_s(LARGEST_BATCH)
        for users in range(1, int(3 * predicted) + 8):
            cell = PhoneCell(pair=pair, efficiency=links(users, seed), band_hz=BAND_HZ, codec=JPEG_FINE, passes=2.3)
            found = solve_batch([cell.problem(min(users, LARGEST_BATCH), "max")], gap=GAP, time_limit_s=LIMIT_S)
            names = np.array(cell.names)[found.option[0]]
            if np.isin(names, ("local", "SEU")).any():
                break
        yield {"kind": "joining", "what": pair.model, "device": pair.phone, "seed": seed, "value": users,
               "closed_form": predicted}  # fmt: skip


def cut_rows() -> Iterator[dict[str, Any]]:
    """Largest latency when all phones hand over at the same step, and interior cuts of proven optima."""
    for users in CROWDS:
        cell = PhoneCell(pair=SD15, efficiency=np.full(users, 3.0), band_hz=BAND_HZ, codec=JPEG_FINE, passes=2.3)
        problem = cell.problem(min(users, LARGEST_BATCH), "max")
        for option, cut in enumerate([0, SD15.steps, *range(1, SD15.steps + 1)]):
            if cell.names[option] != "centralised":
                allowed = np.zeros_like(problem.fixed_s, dtype=bool)
                allowed[:, option] = True
                found = solve_batch([replace(problem, allowed=allowed)]).objective_s[0]
                yield {"kind": "cut", "phones": users, "cut": cut, "value": found}
    for objective, seed in itertools.product(("max", "sum"), range(RANDOM)):
        rng = np.random.default_rng([seed, 5])
        users, pair = int(rng.integers(2, 13)), (SD15, SDXL)[seed % 2]
        band = float(np.exp(rng.uniform(np.log(2e6), np.log(2e8))))
        cell = PhoneCell(pair=pair, efficiency=links(users, seed), band_hz=band, codec=JPEG_FINE, passes=2.3)
        free = cell.problem(min(users, LARGEST_BATCH), objective)
        ends = replace(free, allowed=np.tile(np.array(cell.names) != "SEU", (users, 1)))
        found, at_ends = (solve_batch([one], gap=GAP, time_limit_s=LIMIT_S) for one in (free, ends))
        yield {
            "kind": "interior", "what": objective, "phones": users, "seed": seed, "value": at_ends.objective_s[0],
            "closed_form": found.lower_bound_s[0], "free": found.objective_s[0],
        }  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """A block for each lead."""
    yield from cut_rows()
    yield from decode_rows()
    yield from threshold_rows()
    yield from batching_rows()
    yield from joining_rows()


def short_name(device: str) -> str:
    """A device without its maker."""
    for word in ("Samsung Galaxy ", "Snapdragon ", "Dragonwing ", "NVIDIA ", " QRD", ", fp16"):
        device = device.replace(word, "")
    return device


def draw_cuts(frame: pd.DataFrame, axes: Axes) -> None:
    """Lead 1: a common cut."""
    cuts = frame[frame.kind == "cut"]
    for users, style in zip(CROWDS, STYLES, strict=False):
        mine = cuts[cuts.phones == users].sort_values("cut")
        axes.plot(mine.cut, mine.value, **style, lw=1.2, ms=3)
        axes.text(20.9, mine.value.iloc[-1], f"{users} phones", va="center", fontsize=7, color=style["color"])
    axes.set_xlim(-0.5, 26.5)
    axes.set_ylim(0)
    axes.set_xticks(range(0, 21, 5))
    axes.set_xlabel("edge steps of every phone, of 20")
    axes.set_ylabel("largest latency [s]")
    plain(axes)


def _dots(frame: pd.DataFrame, axes: Axes, kinds: dict[str, str], short: Any) -> None:
    """A row a device, from small to large."""
    mine = frame.sort_values("value").reset_index(drop=True)
    for (kind, name), style in zip(kinds.items(), STYLES, strict=False):
        some = mine[mine.what == kind]
        axes.plot(some.value, some.index, ls="none", marker=style["marker"], color=style["color"], ms=4, label=name)
    axes.set_yticks(range(len(mine)), [short(row) for row in mine.itertuples()], fontsize=6.5)
    axes.set_ylim(-0.7, len(mine) - 0.3)
    axes.legend(frameon=False, fontsize=7, loc="lower right", handlelength=1.2)
    plain(axes)


def draw_decode(frame: pd.DataFrame, axes: Axes) -> None:
    """Lead 2: decoding in passes."""
    mine = frame[frame.kind == "decode"]
    axes.axvspan(2.3, 3.0, color="#dddddd", lw=0)
    axes.axvline(4.8, color=FAINT, lw=0.8, ls=":")
    _dots(mine, axes, {"phone or NPU": "phones, NPUs", "GPU": "GPUs, few steps"},
          lambda row: f"{short_name(row.device)}, {row.model}")  # fmt: skip
    axes.set_xlim(0)
    axes.set_xlabel("decoding / one pass [1]")
    axes.text(5.2, len(mine) - 5, "grey: the lead's 2.3 to 3.0\ndotted: its 4.8 in few steps", va="top", fontsize=7)


def draw_thresholds(frame: pd.DataFrame, axes: Axes) -> None:
    """Lead 3: rates."""
    mine = frame[(frame.kind == "threshold") & np.isfinite(frame.value)]
    for codec, style in zip((RAW, JPEG_FINE), STYLES, strict=False):
        some = mine[mine.what == codec]
        axes.plot(some.phones, some.value / 1e6, **style, lw=1.2, ms=4)
        axes.text(2.7, some.value.iloc[2] / 1e6 * 0.5, f"against {'raw pixels' if codec == RAW else 'a JPEG'}",
                  fontsize=7, color=style["color"])  # fmt: skip
    last = int(mine.phones.max())
    axes.axvspan(last + 0.5, 8.5, color="#dddddd", lw=0)
    axes.text((last + 9) / 2, 35, "the latent\nwins at\nany rate", ha="center", va="center", fontsize=7)
    axes.set_yscale("log")
    axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_ylim(1, 2000)
    axes.set_xlim(0.5, 8.5)
    axes.set_xticks(range(1, 9))
    axes.set_xlabel("phones served at once")
    axes.set_ylabel("latent wins below [Mbit/s]")
    plain(axes)


def draw_batching(frame: pd.DataFrame, axes: Axes) -> None:
    """Lead 4: what batches gain."""
    names = {"SD1.5": "SD1.5, a step", "SDXL": "SDXL, a step", "SD1.4": "SD1.4, a picture"}
    _dots(frame[frame.kind == "batching"], axes, names,
          lambda row: short_name(row.device))  # fmt: skip
    axes.axvline(1, color=FAINT, lw=0.6)
    axes.set_xlabel("throughput of batches of 16 / of 1 [1]")


def draw_joining(frame: pd.DataFrame, axes: Axes) -> None:
    """Lead 5: crowding."""
    mine = frame[frame.kind == "joining"]
    for pair, style in zip(JOINING, STYLES, strict=False):
        some = mine[(mine.device == pair.phone) & (mine.what == pair.model)]
        name = f"{short_name(pair.phone)}, {pair.model}"
        axes.plot(some.closed_form, some.value, ls="none", marker=style["marker"], color=style["color"], ms=4.5,
                  label=name, alpha=0.8)  # fmt: skip
    line = np.array([4.0, 60.0])
    axes.plot(line, line, color=FAINT, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([5, 10, 20, 40], ["5", "10", "20", "40"])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("phone's step / edge's step in a batch of 16")
    axes.set_ylabel("phones when the first denoises")
    axes.text(44, 36, "equal steps", fontsize=7, color=FAINT)
    axes.set_xlim(4, 90)
    axes.legend(frameon=False, fontsize=7, loc="lower right", handlelength=1.2, borderaxespad=0.1)
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    parts = dict(tuple(frame.groupby("kind")))
    cut, interior, decode = parts["cut"], parts["interior"], parts["decode"]
    best_cuts = {int(users): int(some.loc[some.value.idxmin(), "cut"]) for users, some in cut.groupby("phones")}
    npu = decode[decode.what == "phone or NPU"]
    sd15 = npu[npu.model == "SD1.5"].value
    out = npu.loc[npu.value.idxmax()]
    rest = npu.drop(index=out.name)
    lcm = decode[decode.model == LCM.model].set_index("device")
    rates = parts["threshold"]
    raw, fine = (rates[rates.what == codec].set_index("phones") for codec in (RAW, JPEG_FINE))
    never = int(raw.index[~np.isfinite(raw.value)][0])
    near = float((rates.value[np.isfinite(rates.value)] / rates.closed_form[np.isfinite(rates.value)] - 1).abs().max())
    batching = parts["batching"]

    def gained(device: str, model: str) -> float:
        return float(batching[(batching.device == f"{device}, fp16") & (batching.model == model)].value.iloc[0])

    joining = parts["joining"].groupby(["what", "device"])[["value", "closed_form"]].median()
    s25, adreno = joining.loc[SD15.model, SD15.phone], joining.loc[SDXL.model, SDXL.phone]
    ratio = joining.value / joining.closed_form
    free = 100 * (interior.value / interior.free - 1)  # what ends alone cost over the best plan known
    least = 100 * (interior.value / interior.closed_form - 1)
    return f"""
**1. All on one side: confirmed for reserved shares.** In {len(interior)} random cells (2 to 12 phones, mean and
maximum)
plans whose phones run all steps on one side are never more than {max(0.0, free.max()):.2f} % above the best plan
found with
cuts at any step, and at most {least.max():.2f} % above what is proven for such cuts. With one cut for all, the best
of 20
edge steps are {best_cuts[3]} for 3 phones, {best_cuts[7]} for 7 and {best_cuts[20]} for 20 (0: nothing is sent).

**2. Decoding is a term of its own: confirmed, with exceptions.** On phones and NPUs SD1.5's decoder takes
{sd15.min():.1f}
to {sd15.max():.1f} passes, as the lead says; with SD2.1 they are up to {rest.value.max():.1f}, and {out.value:.1f}
on the
{out.device}. In four steps of SDXL-LCM decoding is {100 * lcm.part["A100"]:.0f} % (A100) and
{100 * lcm.part["H100"]:.0f} %
(H100) of the server's time and {lcm.value["A100"]:.1f} and {lcm.value["H100"]:.1f} passes, so handing latents over
raises
its throughput {1 / (1 - lcm.part["A100"]):.1f} and {1 / (1 - lcm.part["H100"]):.1f} times: more than the lead's
"nearly
doubles".

**3. Latent or picture: confirmed for one phone, refuted for several.** One Galaxy S25 (SD1.5, the edge's decoder
borrowed at
2.5 passes) is better off with a latent below {raw.value[1] / 1e6:.0f} Mbit/s against raw pixels and below
{fine.value[1] / 1e6:.1f} Mbit/s against a JPEG of 2.4 bit/pixel. Where K phones are served at once the edge decodes
K times:
at K = {never - 1} the rates are {raw.value[never - 1] / 1e6:.0f} and {fine.value[never - 1] / 1e6:.0f} Mbit/s, and
from
K = {never} on the latent wins at any rate. The closed form (picture - latent)/(phone's decoding - K edge's
decoding) differs
from the solved problems by at most {100 * near:.1g} %.

**4. The gain of batches belongs to a model and a machine: confirmed.** Batches of 16 raise the throughput
{gained("A100", "SDXL"):.2f} times for SDXL on an A100, {gained("A100 (compiled)", "SD1.5"):.2f} for SD1.5 compiled,
{gained("A100 (eager)", "SD1.5"):.2f} eager, and {gained("T4", "SD1.5"):.2f} on a T4. The straight line's (a + b)/a
lies
{100 * (batching.closed_form / batching.value - 1).min():.0f} to
{100 * (batching.closed_form / batching.value - 1).max():.0f} %
beside what was measured at 16.

**5. A phone joins in where the edge is crowded:
{"confirmed" if ratio.between(0.7, 1.4).all() else "only roughly"}.** The first
phone takes denoising steps at {s25.value:.0f} phones (Galaxy S25, SD1.5; equal steps at {s25.closed_form:.1f}) and at
{adreno.value:.0f} (Adreno GPU, SDXL; {adreno.closed_form:.1f}); over all pairs it is {ratio.min():.2f} to
{ratio.max():.2f}
times the crowd at which a phone's step is as long as the edge's.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Which of the leads hold."""
    parts = dict(tuple(frame.groupby("kind")))
    decode, batching, rates = parts["decode"], parts["batching"], parts["threshold"]
    phones = decode[(decode.what == "phone or NPU") & (decode.model == "SD1.5")].value
    gains = batching[batching.what != "SD1.4"].value
    joining = parts["joining"].groupby("device").value.median()
    stand = {
        1: (parts["interior"].value / parts["interior"].free).max() <= 1 + GAP,
        2: phones.between(2.25, 3.05).all(),
        3: np.isfinite(rates.value).all(),
        4: gains.max() / gains.min() > 2,
        5: abs(joining[SD15.phone] / 7 - 1) <= 0.2 and abs(joining[SDXL.phone] / 33 - 1) <= 0.2,
    }
    good, bad = ([str(lead) for lead, stands in stand.items() if bool(stands) is wanted] for wanted in (True, False))
    return f"{', '.join(good)} hold, with exceptions named below; {', '.join(bad)} holds for one phone alone."


STUDY = Study(
    name="phone_leads",
    title="Five leads about phones around an edge server",
    lead="cuts are all on one side; decoding is a term of its own; the codec decides between latent and picture; the "
    "gain of batches is (a + b)/a; a phone joins in where the edge is crowded.",
    verdict=verdict,
    rows=rows,
    panels=(draw_cuts, draw_decode, draw_thresholds, draw_batching, draw_joining),
    findings=findings,
    height_in=6.9,
    mosaic=("ab", "ab", "cb", "cd", "ed", "ed"),
)
