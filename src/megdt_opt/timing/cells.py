"""Cells of a timing profile: what was timed, with every sample."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from functools import cached_property

from megdt_opt.errors import InvalidInput
from megdt_opt.program import kinds
from megdt_opt.program.stages import CODECS, Kind
from megdt_opt.timing.fit import median_interval
from megdt_opt.timing.provenance import refuse
from megdt_opt.values import entries, integer, real

MEASURE_AGAIN = "Measure again with `calibrate`, or restore the file."

RESOLUTION_S = 1e-9
"""No clock resolves less [s]."""

CODED = (Kind.COMPRESS, Kind.DECOMPRESS)
"""Stages that have an image codec."""


def stage_kind(kind: Kind | str) -> str:
    """A stage by its name, also one that a user registered.

    Raises
    ------
    ProfileError
        If there is none of that name.
    """
    try:
        return kinds.stage_kind(kind)
    except InvalidInput as error:
        refuse(error.field, error.value, error.expected, error.remedy)


@dataclass(frozen=True, kw_only=True)
class StageKey:
    """What a time belongs to: one stage at one batch, one latent region and one codec.

    Parameters
    ----------
    kind : Kind
        The stage.
    batch : int
        Chains computed together [1].
    rows : int or None
        Rows of the latent region [1]; None = the whole latent.
    codec : str
        Image codec of a compress or decompress stage.
    """

    kind: str
    batch: int = 1
    rows: int | None = None
    codec: str = ""

    @property
    def whole(self) -> StageKey:
        """The same on the whole latent."""
        return replace(self, rows=None)

    @property
    def alone(self) -> StageKey:
        """The same at batch 1."""
        return replace(self, batch=1)

    @property
    def stage(self) -> str:
        """The stage with its codec, for messages."""
        return f"{self.kind} ({self.codec})" if self.codec else str(self.kind)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Samples of one stage at one batch, one latent region and one codec.

    Lists, arrays and columns are taken for the tuples, NumPy's numbers for Python's, and are kept as those.

    Parameters
    ----------
    kind : Kind
        The stage, or its name.
    batch : int
        Chains computed together [1].
    samples_s : tuple of float
        Every steady-state sample in the order it was taken [s]: one stage of the whole batch.
    rows, rows_total : int or None
        Rows of the latent region and of the whole latent [1]; None = the whole latent.
    codec : str
        Image codec of a compress or decompress stage.
    first_s : float or None
        Time of the first run of this cell in the process [s], before the warm-up.
    at_s : tuple of float
        When each sample began, from the start of the calibration [s]; empty where unknown.
    sessions : tuple of int
        How many of the samples each session took, in their order [1]; empty where all are of one session.
    reference_s : tuple of float
        Time of the reference kernel around each sample [s] (`timing.reference`); empty where it was not run.

    Raises
    ------
    ProfileError
        If a sample is not a finite time above 0, none is there, or a size is not usable.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.timing.profile import Cell
    >>> Cell(kind="decode", batch=1, samples_s=np.array([0.03, 0.05, 0.04])).median_s
    0.04
    """

    kind: str
    batch: int
    samples_s: tuple[float, ...]
    rows: int | None = None
    rows_total: int | None = None
    codec: str = ""
    first_s: float | None = None
    at_s: tuple[float, ...] = ()
    sessions: tuple[int, ...] = ()
    reference_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        kept: dict[str, str | int | None] = {
            "kind": stage_kind(self.kind),
            "batch": _count(f"batch of {self.kind}", self.batch, "chains"),
            **self._region(),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        coded = self.kind in CODED
        if coded != (self.codec in CODECS):
            expected = f"one of {CODECS}" if coded else "no codec"
            refuse(f"codec of {self.kind}", self.codec, expected, "Name the codec of coded pictures, and only theirs.")
        for name in ("samples_s", "at_s", "reference_s"):
            object.__setattr__(self, name, self._times(name, getattr(self, name), moments=name == "at_s"))
        if not self.samples_s:
            refuse(f"samples_s of {self.label}", self.samples_s, "at least one time [s]", MEASURE_AGAIN)
        for name in ("at_s", "reference_s"):
            if len(getattr(self, name)) not in (0, len(self.samples_s)):
                expected = f"{len(self.samples_s)} finite times [s]"
                refuse(f"{name} of {self.label}", getattr(self, name), expected, MEASURE_AGAIN)
        if self.first_s is not None:
            object.__setattr__(self, "first_s", self._times("first_s", (self.first_s,))[0])
        counts = entries(self.sessions)
        if counts is None:
            refuse(f"sessions of {self.label}", self.sessions, "a list of counts of samples [1]", MEASURE_AGAIN)
        taken = tuple(_count(f"sessions of {self.label}", count, "samples") for count in counts)
        if taken and sum(taken) != len(self.samples_s):
            expected = f"counts that add up to the {len(self.samples_s)} samples"
            refuse(f"sessions of {self.label}", taken, expected, MEASURE_AGAIN)
        object.__setattr__(self, "sessions", taken if len(taken) > 1 else ())

    def _region(self) -> dict[str, int | None]:
        """Rows and all rows of the latent, as integers."""
        name, given = f"rows of {self.kind}", (self.rows, self.rows_total)
        if given == (None, None):
            return {"rows": None, "rows_total": None}
        if None in given:
            refuse(name, given, "rows with rows_total, or neither", "State both, or leave both out.")
        rows, total = (_count(name, value, "rows") for value in given)
        if rows >= total:
            refuse(name, given, "1 <= rows < rows_total [rows]", "Leave both out for the whole latent.")
        return {"rows": rows, "rows_total": total}

    def _times(self, name: str, values: object, *, moments: bool = False) -> tuple[float, ...]:
        """Durations above 0, or moments, as floats [s]."""
        found = entries(values)
        if found is None:
            refuse(f"{name} of {self.label}", values, "a list of times [s]", MEASURE_AGAIN)
        times = []
        for number, value in enumerate(found):
            time = real(value)
            if time is None or not math.isfinite(time) or (time < RESOLUTION_S and not moments):
                expected = "a finite time [s]" if moments else "a finite time above 0 [s]"
                if not moments and time is not None and time > 0:
                    expected += f", of at least {RESOLUTION_S:g} s, the resolution of clocks"
                refuse(f"{name}[{number}] of {self.label}", value, expected, MEASURE_AGAIN)
            times.append(time)
        return tuple(times)

    @cached_property
    def key(self) -> StageKey:
        """What the samples belong to."""
        return StageKey(kind=self.kind, batch=self.batch, rows=self.rows, codec=self.codec)

    @cached_property
    def median_s(self) -> float:
        """Median of the samples [s]."""
        return statistics.median(self.samples_s)

    @cached_property
    def interval_s(self) -> tuple[float, float]:
        """95 % distribution-free interval of the median [s] (`median_interval`)."""
        return median_interval(self.samples_s)

    @cached_property
    def of_reference(self) -> float | None:
        """Time of the stage over that of the reference kernel around it, median of the samples [1]; None where that was
        not run."""
        if not self.reference_s:
            return None
        return statistics.median(one / beside for one, beside in zip(self.samples_s, self.reference_s, strict=True))

    @property
    def label_stage(self) -> str:
        """The stage with its codec, for messages."""
        return self.key.stage

    @property
    def label(self) -> str:
        """Stage, batch and region, for messages."""
        region = f", rows {self.rows} of {self.rows_total}" if self.rows is not None else ""
        return f"{self.label_stage}, batch {self.batch}{region}"

    @property
    def is_single(self) -> bool:
        """Whether there is one sample alone, which says nothing of how times vary."""
        return len(self.samples_s) == 1

    def session(self, number: int) -> Cell:
        """The samples of one session alone."""
        begin = sum(self.sessions[:number])
        part = slice(begin, begin + self.sessions[number])
        kept = {name: getattr(self, name)[part] for name in ("samples_s", "at_s", "reference_s")}
        return replace(self, **kept, sessions=())

    @property
    def session_medians_s(self) -> tuple[float, ...]:
        """Median of each session's samples [s]."""
        return tuple(self.session(number).median_s for number in range(len(self.sessions)))

    @property
    def session_ratios(self) -> tuple[float, ...]:
        """How much slower each session was than all of them together [1]."""
        return tuple(median_s / self.median_s for median_s in self.session_medians_s)

    def scaled(self, factor: float) -> Cell:
        """The cell with every time multiplied by a factor [1]."""
        return replace(
            self,
            samples_s=tuple(s * factor for s in self.samples_s),
            first_s=None if self.first_s is None else self.first_s * factor,
        )


@dataclass(frozen=True, kw_only=True)
class HeldOutError:
    """Predicted against measured time of a cell that no fit saw.

    Parameters
    ----------
    kind : Kind
        The stage.
    batch : int
        Chains together [1].
    rows : int or None
        Rows of the latent region [1]; None = the whole latent.
    predicted_s, measured_s : float
        `TimingProfile.stage_s`, and the median of the samples [s].
    """

    kind: str
    batch: int
    rows: int | None
    predicted_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """(predicted - measured)/measured [1]."""
        return self.predicted_s / self.measured_s - 1.0


def cells_of(name: str, listed: object) -> tuple[Cell, ...]:
    """Cells out of any list of them; raises ProfileError for anything else."""
    found = entries(listed)
    known = tuple(cell for cell in found or () if isinstance(cell, Cell))
    if found is None or len(known) != len(found):
        refuse(name, listed, "a list of Cell", "Make each timed stage a `Cell`.")
    return known


def sizes_byte(name: str, sizes: object) -> tuple[int, ...]:
    """Sizes of files, at least one [byte]; raises ProfileError for anything else."""
    found = [integer(n) for n in entries(sizes) or (None,)]
    known = tuple(n for n in found if n is not None and n >= 1)
    if len(known) != len(found):
        refuse(name, sizes, "at least one integer above 0 [byte]", "Measure the codec on generated pictures.")
    return known


def _count(name: str, value: object, unit: str) -> int:
    found = integer(value)
    if found is None or found < 1:
        refuse(name, value, f"an integer of at least 1 [{unit}]", "State how many there were.")
    return found
