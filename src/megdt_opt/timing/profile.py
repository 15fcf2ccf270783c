"""Timing profiles: how long each stage of a model takes on a device, with its samples and provenance.

A profile keeps every raw sample. What planning asks of it (`stage_s`, `stage_interval_s`, `fit`) is
computed from the samples, so a figure can always be traced back to what was measured.

No torch is needed to load or use a profile; taking one is `megdt_opt.calibration.calibrate`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from megdt_opt.files import write_text
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import Cell, HeldOutError, StageKey, cells_of, sizes_byte, stage_kind
from megdt_opt.timing.fit import LEVEL, AffineFit, expected_byte
from megdt_opt.timing.profile_file import bundled_path, profile_content, profile_text, read_profile
from megdt_opt.timing.provenance import Provenance, refuse
from megdt_opt.timing.reference import Reference
from megdt_opt.timing.stage_times import StageTimes
from megdt_opt.values import integer

__all__ = ["AffineFit", "Cell", "HeldOutError", "Provenance", "TimingProfile"]


@dataclass(frozen=True, kw_only=True)
class TimingProfile:
    """Times of a model's stages on one device.

    A *cell* is one stage at one batch, one latent region and one codec. The unit of every time is ONE
    stage: one denoising step (all its passes), one decode, one prompt encoding, and so on, of the whole
    batch together.

    Parameters
    ----------
    device : str
        Name of the device, as scenarios call it.
    model : str
        Name of the model.
    provenance : Provenance
        When, how and on what the samples were taken; mandatory.
    cells : tuple of Cell
        What was timed, with every raw sample [s].
    image_byte_samples : mapping of str to tuple of int
        Sizes of generated pictures in an image codec ("png", "jpeg") [byte].
    image_reference_byte_samples : mapping of str to tuple of int
        Sizes of the same requests' reference pictures (`models.requests.reference_byte`), where they have one [byte].
    held_out : tuple of Cell
        Cells that were timed beside the others but that no answer and no fit uses: they tell how good
        the fits are (`held_out_errors`).
    reference : Reference, optional
        How fast the machine was meanwhile, by a fixed kernel; without it no execution can tell a profile that is wrong
        from a machine that is slower now.

    Raises
    ------
    ProfileError
        If a sample, a size or the provenance cannot be used; the message names it and the remedy.

    Examples
    --------
    >>> from megdt_opt import TimingProfile
    >>> profile = TimingProfile.bundled("twin-cpu")
    >>> profile.batches("denoise")[:3]
    (1, 2, 4)
    >>> one_s, low_s_high_s = profile.stage_s("denoise"), profile.stage_interval_s("denoise")
    >>> low_s_high_s[0] <= one_s <= low_s_high_s[1]
    True
    >>> phone = profile.stretched(30, "phone")
    >>> round(phone.stage_s("denoise") / one_s)
    30
    """

    device: str
    model: str
    provenance: Provenance
    cells: tuple[Cell, ...]
    image_byte_samples: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    held_out: tuple[Cell, ...] = ()
    image_reference_byte_samples: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reference: Reference | None = None

    def __post_init__(self) -> None:
        for name in ("device", "model"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                refuse(name, value, "a name", "Name it as scenarios call it.")
        if not isinstance(self.provenance, Provenance):
            remedy = "Measure with `calibrate`; a profile without provenance is refused."
            refuse("provenance", self.provenance, "a Provenance", remedy)
        for name in ("cells", "held_out"):
            object.__setattr__(self, name, cells_of(name, getattr(self, name)))
        if not self.cells:
            refuse("cells", self.cells, "at least one timed stage", "Calibrate at least one stage.")
        both = (*self.cells, *self.held_out)
        if len({cell.key for cell in both}) != len(both):
            keys = [cell.label for cell in both]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            refuse("cells", twice, "each stage, batch, region and codec once", "Merge the samples of these cells.")
        for name in ("image_byte_samples", "image_reference_byte_samples"):
            sizes = {codec: sizes_byte(f"{name}[{codec!r}]", listed) for codec, listed in getattr(self, name).items()}
            object.__setattr__(self, name, sizes)
        for codec, references in self.image_reference_byte_samples.items():
            count = len(self.image_byte_samples.get(codec, ()))
            if len(references) != count:
                refuse(
                    f"image_reference_byte_samples[{codec!r}]",
                    references,
                    f"one size [byte] for each of the {count} generated pictures",
                    "Measure the codec on generated pictures.",
                )

    def __repr__(self) -> str:
        return f"<TimingProfile: {self.model} on {self.device}, {len(self.cells)} cells>"

    # ---- files

    @classmethod
    def load(cls, path: str | Path) -> TimingProfile:
        """Read a profile from a JSON file.

        Raises
        ------
        ProfileError
            If the file is missing, truncated, of another schema version, without provenance, or holds
            samples that are not finite positive times.
        """
        return cls(**read_profile(path))

    @classmethod
    def bundled(cls, name: str) -> TimingProfile:
        """A profile that ships with the package, for example "twin-cpu" or "sd15-cpu".

        Raises
        ------
        ProfileError
            If no such profile ships; the message lists those that do.
        """
        return cls.load(bundled_path(name))

    def save(self, path: str | Path) -> None:
        """Write the profile as JSON, whole or not at all."""
        write_text(path, self._text())

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        found: dict[str, Any] = json.loads(self._text())
        return found

    @classmethod
    def from_dict(cls, data: object) -> TimingProfile:
        """Build from plain data; raises ProfileError as `load` does."""
        return cls(**profile_content(data))

    def _text(self) -> str:
        return profile_text(
            device=self.device,
            model=self.model,
            provenance=self.provenance,
            cells=self.cells,
            image_byte_samples=self.image_byte_samples,
            image_reference_byte_samples=self.image_reference_byte_samples,
            held_out=self.held_out,
            reference=self.reference,
        )

    # ---- what was measured

    @property
    def kinds(self) -> frozenset[str]:
        """Stages that were timed."""
        return frozenset(cell.kind for cell in self.cells)

    @property
    def published(self) -> bool:
        """True for figures printed by somebody else: one value each, no variance, hence no interval."""
        return self.provenance.source == "published"

    @property
    def has_intervals(self) -> bool:
        """Whether some stage has more than one sample, and so an interval."""
        return not all(cell.is_single for cell in self.cells)

    @property
    def stretch(self) -> float:
        """Declared slow-down of this profile against the machine it was measured on [1]."""
        return self.provenance.factor

    def batches(self, kind: Kind | str) -> tuple[int, ...]:
        """Batch sizes at which a stage was timed on the whole latent, ascending."""
        return tuple(sorted({c.batch for c in self._times.of(stage_kind(kind)) if c.rows is None}))

    def regions(self, kind: Kind | str) -> tuple[int, ...]:
        """Rows of the latent regions at which a stage was timed at batch 1, ascending; not the whole."""
        return tuple(sorted(c.rows for c in self._times.of(stage_kind(kind)) if c.rows is not None and c.batch == 1))

    def cell(self, kind: Kind | str, *, batch: int = 1, rows: int | None = None, codec: str = "") -> Cell | None:
        """The measured cell, or None where this batch, region or codec was not timed."""
        key = StageKey(kind=stage_kind(kind), batch=batch, rows=self._region(rows, None), codec=codec)
        return self._times.cell(key)

    def reference_s(self, kind: Kind | str, *, rows: int | None = None) -> float | None:
        """Time of the reference kernel while a stage was timed alone [s]: around its own samples, or at any time where
        that region was not timed; None without one."""
        if self.reference is None:
            return None
        cell = self.cell(kind, rows=rows)
        if cell is None or cell.of_reference is None:
            return self.reference.median_s
        return cell.median_s / cell.of_reference

    def first_s(self, kind: Kind | str, *, codec: str = "") -> float | None:
        """Time of the very first run of a stage at its smallest batch [s], kept apart from steady state."""
        whole = [c for c in self._times.of(stage_kind(kind), codec) if c.rows is None]
        return min(whole, key=lambda c: c.batch).first_s if whole else None

    # ---- what planning asks

    def stage_s(
        self,
        kind: Kind | str,
        *,
        batch: int = 1,
        rows: int | None = None,
        rows_total: int | None = None,
        codec: str = "",
    ) -> float:
        """Median time of one stage [s]: one denoising step with all its passes, one decode, ...

        Measured where this batch and region were measured. Otherwise the fit: a*X + b over batches;
        affine over rows at batch 1; and for a region in a batch that was not timed, the time of the
        whole latent at that batch times the region's share of the time at batch 1.

        Parameters
        ----------
        kind : Kind or str
            The stage.
        batch : int
            Chains computed together [1]; the time is that of all of them.
        rows : int, optional
            Rows of the latent region [1]; None or all rows = the whole latent.
        rows_total : int, optional
            Rows of the whole latent [1]; defaults to the profile's latent shape.
        codec : str
            Image codec of a compress or decompress stage.

        Returns
        -------
        float
            Seconds, for the whole batch.

        Raises
        ------
        ProfileError
            If the stage was not timed, or a region is asked for and none was timed.
        """
        return self._times.seconds(self._key(kind, batch, rows, rows_total, codec))

    def stage_interval_s(
        self,
        kind: Kind | str,
        *,
        batch: int = 1,
        rows: int | None = None,
        rows_total: int | None = None,
        codec: str = "",
        level: float = LEVEL,
    ) -> tuple[float, float] | None:
        """Interval (low, high) of `stage_s` [s], of 95 % if no other level is asked for; None for single figures.

        Where the samples are of several sessions: where the time of a later session lies
        (`timing.fit.later_interval`; for a fitted time times the interval of the fit), and down to the time times
        `Provenance.idle_share`, as a later session may find the machine idle. Of one session:
        for a measured cell the distribution-free interval between two order statistics of its samples;
        for a fitted time the bootstrap interval of the fit, widened by its misfit; for a region in a batch
        that was not timed the product of the three relative intervals, which is wider than the level. These
        do not cover what a later session varies by; their low end is times `Provenance.idle_share`. A stage of
        which some cell has one sample alone, as published figures have, varies by nobody knows how much.

        Parameters and errors are those of `stage_s`; `level` is the probability of covering [1].
        """
        if not 0.0 < level < 1.0:
            refuse("level", level, "a probability above 0 and below 1 [1]", "Ask for example for 0.9.")
        key = self._key(kind, batch, rows, rows_total, codec)
        return self._times.interval_s(key, level, self.provenance.idle_share)

    def fit(self, kind: Kind | str, *, codec: str = "") -> AffineFit:
        """Time against batch, a*X + b for X chains on the whole latent, with 95 % bootstrap intervals.

        Raises
        ------
        ProfileError
            If the stage was not timed.
        """
        return self._times.fit(stage_kind(kind), codec)

    def region_fit(self, kind: Kind | str, *, codec: str = "") -> AffineFit:
        """Time against rows of the latent region at batch 1, a*rows + b, the whole latent included.

        Raises
        ------
        ProfileError
            If the stage, or no region of it, was timed, or the rows of the whole latent are not known.
        """
        return self._times.region_fit(stage_kind(kind), codec)

    def image_byte(self, codec: str, reference_byte: int | None = None) -> int:
        """Expected size of a generated picture in a codec [byte]; "raw" follows from the picture's shape.

        Parameters
        ----------
        codec : str
            "raw", "png" or "jpeg".
        reference_byte : int, optional
            Size of the request's reference picture in the codec [byte]; without it the median is given.

        Raises
        ------
        ProfileError
            If the codec was not measured, or the picture's shape is not known.
        """
        if codec == "raw":
            shape = self.provenance.image_shape
            if shape is None:
                refuse("provenance.image_shape", None, "the picture's shape", "State it in the profile.")
            return math.prod(shape)
        sizes = self.image_byte_samples.get(codec)
        if not sizes:
            refuse(
                f"image codec on {self.device}",
                codec,
                f"one of {('raw', *sorted(self.image_byte_samples))}",
                "Measure the codec on generated pictures; its size is an input, never an assumption.",
            )
        return expected_byte(sizes, self.image_reference_byte_samples.get(codec, ()), reference_byte)

    def held_out_errors(self) -> tuple[HeldOutError, ...]:
        """Prediction against measurement of every held-out cell, in the order they were listed."""
        return tuple(
            HeldOutError(
                kind=cell.kind,
                batch=cell.batch,
                rows=cell.rows,
                predicted_s=self._times.seconds(cell.key),
                measured_s=cell.median_s,
            )
            for cell in self.held_out
        )

    # ---- other devices

    def stretched(self, factor: float, name: str) -> TimingProfile:
        """A declared other device: every time multiplied by a factor, which the provenance states.

        Parameters
        ----------
        factor : float
            Above 0 [1]; above 1 for a slower device.
        name : str
            Name of the emulated device.

        Raises
        ------
        ProfileError
            If the factor is not a finite number above 0.
        """
        return self.rescaled(factor, f"{name} is {self.device} with its compute stretched by {factor:g}", name)

    def rescaled(self, factor: float, reason: str, device: str | None = None) -> TimingProfile:
        """Every time multiplied by a factor, with the reason kept in the provenance (drift, stretch).

        Raises
        ------
        ProfileError
            If the factor is not a finite number above 0.
        """
        if not math.isfinite(factor) or factor <= 0:
            refuse("factor", factor, "a finite factor above 0 [1]", "Use 1 for the device as it was measured.")
        if not reason.strip():
            refuse("reason", reason, "why the times are scaled", "State it; it goes into the provenance.")
        provenance = replace(
            self.provenance,
            factor=self.provenance.factor * factor,
            stretches=(*self.provenance.stretches, reason),
        )
        return replace(
            self,
            device=device or self.device,
            provenance=provenance,
            cells=tuple(cell.scaled(factor) for cell in self.cells),
            held_out=tuple(cell.scaled(factor) for cell in self.held_out),
        )

    # ---- internals

    @cached_property
    def _times(self) -> StageTimes:
        shape = self.provenance.latent_shape
        rows = None if shape is None else shape[1]
        return StageTimes(owner=f"{self.model} on {self.device}", cells=self.cells, latent_rows=rows)

    def _key(self, kind: Kind | str, batch: int, rows: int | None, rows_total: int | None, codec: str) -> StageKey:
        """What is asked for, checked."""
        chains = integer(batch)
        if chains is None or chains < 1:
            refuse("batch", batch, "an integer of at least 1 [chains]", "Ask for one chain or more.")
        key = StageKey(kind=stage_kind(kind), batch=chains, rows=self._region(rows, rows_total), codec=codec)
        self._times.of_stage(key.kind, codec)
        return key

    def _region(self, rows: int | None, rows_total: int | None) -> int | None:
        """Rows of a region, or None when it is the whole latent."""
        if rows is None:
            return None
        total = self._times.rows_total(rows_total)
        count = integer(rows)
        if count is None or not 1 <= count <= total:
            refuse("rows", rows, f"an integer from 1 to {total} [rows of the latent]", "Ask for rows that it has.")
        return None if count == total else count
