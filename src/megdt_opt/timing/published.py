"""Timings printed by others: facts with sources but without variance, never a measured calibration.

Two tables ship with the package (`data/README.md` says where they come from): times of single stages on
phones, NPUs and GPUs, and times of whole generations against the batch size.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources

from megdt_opt.errors import InvalidInput
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import Cell, TimingProfile
from megdt_opt.timing.provenance import Provenance, refuse

_COLLECTED = "2026-11-23T00:00:00+00:00"
"""When the tables were put into the package."""

_LATENT_CHANNELS = {"SD1.4": 4, "SD1.5": 4, "SD2.1": 4, "SDXL": 4, "SDXL-LCM": 4}
_LATENT_SCALE = 8  # picture pixels for each latent row, of all these autoencoders
_NO_GUIDANCE = ("SDXL-LCM",)
_STAGES = {"encode_prompt": Kind.ENCODE_PROMPT, "decode": Kind.DECODE}
_BATCH_MODEL = "SD1.4"
_BATCH_PRECISION = {"half": "fp16", "single": "fp32"}


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One published figure.

    Parameters
    ----------
    device, device_kind, model, precision : str
        As printed.
    resolution : int
        Rows and columns of the picture [pixel].
    stage : str
        encode_prompt, denoise_pass (one network pass), denoise_step (all passes of a step), decode, or
        generation (a whole generation).
    batch : int
        Pictures together [1].
    time_s : float
        Time of the stage for the whole batch [s].
    passes_per_step : int
        Network passes in a denoising step of that row [1].
    steps : int or None
        Denoising steps of a generation [1]; None where the source does not say.
    source, note : str
        Where it stands.
    """

    device: str
    device_kind: str
    model: str
    precision: str
    resolution: int
    stage: str
    batch: int
    time_s: float
    passes_per_step: int
    steps: int | None
    source: str
    note: str


@dataclass(frozen=True)
class PublishedTimings:
    """All published figures that ship with the package."""

    rows: tuple[PublishedRow, ...]

    @classmethod
    def load(cls) -> PublishedTimings:
        """Read the tables of the package; they are read once."""
        return _load()

    def matching(self, texts: Sequence[str]) -> PublishedTimings:
        """The rows of which device, model, precision, stage or source hold each of the texts, in either case.

        Raises
        ------
        InvalidInput
            Where no row does; names the nearest device or model.
        """
        wanted = [text.casefold() for text in texts]

        def said(row: PublishedRow) -> str:
            return " / ".join((row.device, row.model, str(row.precision), row.stage, row.source)).casefold()

        found = tuple(row for row in self.rows if all(text in said(row) for text in wanted))
        if not found:
            names = sorted({name for row in self.rows for name in (row.device, row.model)})
            near = get_close_matches(" ".join(texts), names, n=3, cutoff=0.4)
            remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Leave it out to see all rows."
            raise InvalidInput("match", list(texts), "text in a published row", remedy)
        return replace(self, rows=found)

    def devices(self, model: str | None = None) -> tuple[tuple[str, str], ...]:
        """(device, model) pairs with a denoising time, sorted; of one model if it is named."""
        usable = {(r.device, r.model) for r in self.rows if _denoises(r)}
        return tuple(sorted(pair for pair in usable if model in (None, pair[1])))

    def profile(
        self,
        device: str,
        model: str,
        *,
        resolution: int | None = None,
        precision: str | None = None,
        passes_per_step: int | None = None,
        lends: bool = False,
    ) -> TimingProfile:
        """Profile of a device from published figures; `TimingProfile.published` is true for it.

        A denoising step is the published step, or else the published pass times the passes per step, or
        else a whole generation divided by its steps (which then contains encoding and decoding: an upper
        estimate, said in the provenance). Only stages that were published are there.

        Parameters
        ----------
        device, model : str
            As `devices()` lists them.
        resolution : int, optional
            Rows and columns of the picture [pixel]; needed where several were published.
        precision : str, optional
            Needed where several were published.
        passes_per_step : int, optional
            Passes per step to assume where single passes were published [1]; by default 2 (guidance),
            and 1 for models made to run without guidance.
        lends : bool
            Whether it only lends stages to other profiles; then no denoising time is needed.

        Raises
        ------
        ProfileError
            If nothing was published for the device and model, or it is ambiguous; the message lists what
            there is.
        """
        named = [r for r in self.rows if r.device == device and r.model == model]
        if not any(_denoises(r) or (lends and r.stage in _STAGES) for r in named):
            refuse(
                "published device and model",
                (device, model),
                "a pair with a published denoising time" if not lends else "a pair with a published time of a stage",
                f"Take one of PublishedTimings.load().devices(): {self._near(model)}.",
            )
        rows = _only("resolution", resolution, named)
        rows = _only("precision", precision, rows)
        denoise: list[Cell] = []
        passes, extra = 1, "stages to lend"
        if not lends or any(_denoises(r) for r in rows):
            denoise, passes, extra = _denoise_cells(rows, passes_per_step, model)
        others = [Cell(kind=_STAGES[r.stage], batch=r.batch, samples_s=(r.time_s,)) for r in rows if r.stage in _STAGES]
        first = rows[0]
        side = first.resolution
        channels = _LATENT_CHANNELS.get(model)
        latent = None if channels is None else (channels, side // _LATENT_SCALE, side // _LATENT_SCALE)
        texts = sorted({f"{r.source}. {r.note}".rstrip(". ") for r in rows})
        provenance = Provenance(
            created=_COLLECTED,
            source="published",
            hardware={"kind": first.device_kind, "processor": device},
            software={},
            precision=first.precision,
            method=f"published figures, no samples and no variance; {extra}",
            weights="published",
            latent_shape=latent,
            image_shape=(side, side, 3),
            passes_per_step=passes,
            texts=tuple(texts),
        )
        return TimingProfile(device=device, model=model, provenance=provenance, cells=(*denoise, *others))

    def _near(self, model: str) -> str:
        names = [d for d, _ in self.devices(model)]
        return f"for {model}: {names}" if names else f"models {sorted({m for _, m in self.devices()})}"


def published_profile(
    device: str,
    model: str,
    *,
    resolution: int | None = None,
    precision: str | None = None,
    passes_per_step: int | None = None,
    lends: bool = False,
) -> TimingProfile:
    """Profile of a device from the published tables; see `PublishedTimings.profile`."""
    return PublishedTimings.load().profile(
        device, model, resolution=resolution, precision=precision, passes_per_step=passes_per_step, lends=lends
    )


def _denoises(row: PublishedRow) -> bool:
    return row.stage in ("denoise_step", "denoise_pass") or (row.stage == "generation" and row.steps is not None)


def _only(name: str, wanted: int | str | None, rows: Sequence[PublishedRow]) -> list[PublishedRow]:
    """Rows of one resolution or precision; the one with a denoising time, where there is one, if none is named."""
    there = sorted({getattr(r, name) for r in rows if _denoises(r)} or {getattr(r, name) for r in rows})
    if wanted is None and len(there) == 1:
        wanted = there[0]
    if wanted not in there:
        refuse(
            f"published {name} of {rows[0].model} on {rows[0].device}",
            wanted,
            f"one of {there}",
            f"Name the {name}.",
        )
    return [r for r in rows if getattr(r, name) == wanted]


def _denoise_cells(
    rows: Sequence[PublishedRow], passes_per_step: int | None, model: str
) -> tuple[list[Cell], int, str]:
    """Cells of the denoising step, passes in it, and a sentence on how they came about."""
    steps = [r for r in rows if r.stage == "denoise_step"]
    if steps and passes_per_step in (None, steps[0].passes_per_step):
        cells = [Cell(kind=Kind.DENOISE, batch=r.batch, samples_s=(r.time_s,)) for r in steps]
        return cells, steps[0].passes_per_step, "a denoising step as published"
    single = [r for r in rows if r.stage == "denoise_pass"]
    if single:
        passes = passes_per_step or (1 if model in _NO_GUIDANCE else 2)
        cells = [Cell(kind=Kind.DENOISE, batch=r.batch, samples_s=(r.time_s * passes,)) for r in single]
        return cells, passes, f"a denoising step is {passes} published pass(es)"
    whole = [(r, r.steps) for r in rows if r.stage == "generation" and r.steps is not None]
    if whole and passes_per_step in (None, whole[0][0].passes_per_step):
        cells = [Cell(kind=Kind.DENOISE, batch=r.batch, samples_s=(r.time_s / n,)) for r, n in whole]
        count = whole[0][1]
        return (
            cells,
            whole[0][0].passes_per_step,
            (
                f"a denoising step is a published generation divided by its {count} steps, so it contains "
                "prompt encoding and decoding: an upper estimate"
            ),
        )
    refuse(
        "passes_per_step",
        passes_per_step,
        f"{(steps or [r for r, _ in whole])[0].passes_per_step}, as published",
        "Leave it out: single passes were not published for this device.",
    )


@lru_cache(maxsize=1)
def _load() -> PublishedTimings:
    folder = resources.files("megdt_opt.data")
    rows: list[PublishedRow] = []
    with folder.joinpath("device_timings.csv").open(encoding="utf-8") as table:
        for line in csv.DictReader(table):
            rows.append(
                PublishedRow(
                    device=line["device"],
                    device_kind=line["kind"],
                    model=line["model"],
                    precision=line["precision"],
                    resolution=int(line["resolution"]),
                    stage=line["stage"],
                    batch=int(line["batch"]),
                    time_s=float(line["milliseconds"]) / 1000.0,
                    passes_per_step=int(line["passes_per_step"]),
                    steps=None,
                    source=line["source"],
                    note=line["note"],
                )
            )
    with folder.joinpath("batch_timings.csv").open(encoding="utf-8") as table:
        for line in csv.DictReader(table):
            stated = re.search(r"(\d+) DDIM steps", line["source"])
            rows.append(
                PublishedRow(
                    device=line["device"],
                    device_kind="gpu",
                    model=_BATCH_MODEL,
                    precision=_BATCH_PRECISION[line["precision"]],
                    resolution=512,
                    stage="generation",
                    batch=int(line["batch"]),
                    time_s=float(line["total_seconds"]),
                    passes_per_step=2,
                    steps=int(stated.group(1)) if stated else None,
                    source=line["source"],
                    note="",
                )
            )
    return PublishedTimings(tuple(rows))
