"""What a calibration times: the stages, batches and regions that are asked for, checked, and the cells that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from megdt_opt.calibration.timing_loop import check_count
from megdt_opt.errors import InvalidInput
from megdt_opt.program.kinds import OWN_STAGES, SKETCHING, own_stage, stage_kind
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import CODED, StageKey

CODECS = ("png", "jpeg")
"""Image codecs that are timed and measured."""

Batches = Sequence[int] | Mapping[Kind | str, Sequence[int]]
"""Batch sizes for every stage, or for each stage; a stage that a mapping leaves out is timed at batch 1."""

_ALONE = (Kind.FUSE, Kind.ADAPT, *SKETCHING, *CODED)  # run on a device for one picture, never in a batch


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a calibration times; `calibrate` says what the fields mean."""

    kinds: Sequence[Kind | str] | None
    batches: Batches
    held_out_batches: Batches
    rows: Sequence[int] | None
    held_out_rows: Sequence[int]

    def stages(self, *, coded: bool, sketched: bool = False, adaptable: bool = False) -> tuple[str, ...]:
        """Stages to time: image codecs where pictures are coded, those of sketches and adapters where the model
        has any."""
        if self.kinds is None:
            left_out = {*(() if coded else CODED), *(() if sketched else SKETCHING)}
            left_out |= set() if adaptable else {Kind.ADAPT}
            return tuple(k for k in map(stage_kind, OWN_STAGES.names) if k not in left_out)
        try:
            chosen = tuple(dict.fromkeys(stage_kind(k) for k in self.kinds))
        except InvalidInput as error:
            known = list(OWN_STAGES.names)
            raise InvalidInput("kinds", list(self.kinds), f"stages out of {known}", error.remedy) from error
        if not chosen:
            raise InvalidInput("kinds", list(self.kinds), "at least one stage", "Leave kinds out to time all.")
        if not sketched and any(k in SKETCHING for k in chosen):
            expected = "no stages of sketches, from which the model makes no pictures"
            raise InvalidInput("kinds", [str(k) for k in chosen], expected, "Leave them out, or load a ControlNet.")
        if not coded and any(k in CODED for k in chosen):
            raise InvalidInput(
                "kinds",
                [str(k) for k in chosen],
                "no image codec for random weights or without real requests",
                "Load trained weights and pass requests: the file size of a random picture means nothing.",
            )
        if not adaptable and Kind.ADAPT in chosen:
            expected = "no loading of adapters, which the model does not take"
            raise InvalidInput("kinds", [str(k) for k in chosen], expected, "Leave it out.")
        return chosen

    def largest_batch(self, stages: Sequence[str]) -> int:
        """Chains that are computed together at most [1]."""
        return max(n for kind in stages for listed in (self.batches, self.held_out_batches) for n in _of(listed, kind))

    def cells(self, stages: Sequence[str], spec: ModelSpec) -> tuple[list[StageKey], list[StageKey]]:
        """Cells that are fitted, and those held out.

        Raises
        ------
        InvalidInput
            If a batch is listed as both, rows are no region of the model's latent, or it makes no regions to fuse.
        """
        if Kind.FUSE in (self.kinds or ()) and not spec.region_multiple:
            raise InvalidInput(
                "kinds", str(Kind.FUSE), f"stages of {spec.name!r}, which makes no regions", "Leave it out."
            )
        fitted: list[StageKey] = []
        held_out: list[StageKey] = []
        for kind in stages:
            if kind is Kind.FUSE and not spec.region_multiple:
                continue
            if kind in CODED:
                fitted += [StageKey(kind=kind, codec=codec) for codec in CODECS]
                continue
            first, second = self._batches(kind)
            fitted += [StageKey(kind=kind, batch=n) for n in first]
            held_out += [StageKey(kind=kind, batch=n) for n in second]
            if kind is Kind.DENOISE:
                first, second = self._regions(spec)
                fitted += [StageKey(kind=kind, rows=n) for n in first]
                held_out += [StageKey(kind=kind, rows=n) for n in second]
        return fitted, held_out

    def _batches(self, kind: str) -> tuple[list[int], list[int]]:
        if kind in _ALONE or own_stage(kind) is not None:
            return [1], []
        fitted = {1, *_of(self.batches, kind)}
        held_out = {*_of(self.held_out_batches, kind)} - {1}
        both = sorted(fitted & held_out)
        if both:
            expected = "batches that are not in `batches` [chains]"
            raise InvalidInput("held_out_batches", both, expected, "Leave them out of one of the two.")
        return sorted(fitted), sorted(held_out)

    def _regions(self, spec: ModelSpec) -> tuple[list[int], list[int]]:
        held_out = list(self.held_out_rows)
        fitted = [n for n in (default_rows(spec) if self.rows is None else self.rows) if n not in held_out]
        for field, values in (("rows", fitted), ("held_out_rows", held_out)):
            _check_rows(field, values, spec.latent_shape[1], spec.region_multiple)
        return fitted, held_out


def default_rows(spec: ModelSpec) -> tuple[int, ...]:
    """Regions worth timing: every one where there are at most eight, else quarters of the latent [rows]."""
    total, unit = spec.latent_shape[1], spec.region_multiple
    if not unit:
        return ()
    every: Iterable[int] = range(unit, total, unit)
    if total // unit > 8:
        every = sorted({max(unit, round(total * part / 4 / unit) * unit) for part in (1, 2, 3)})
    return tuple(every)


def _of(batches: Batches, kind: str) -> tuple[int, ...]:
    """Batches of a stage, at least one."""
    values = tuple(batches.get(kind, (1,)) if isinstance(batches, Mapping) else batches)
    for value in values:
        check_count(f"batches of {kind}", value)
    return values or (1,)


def _check_rows(field: str, values: Sequence[int], total: int, unit: int) -> None:
    for value in values:
        if not isinstance(value, int) or not 0 < value < total or not unit or value % unit:
            raise InvalidInput(
                field,
                value,
                f"a multiple of {unit} above 0 and below {total} [latent rows]",
                "The whole latent is always timed; leave it out.",
            )
