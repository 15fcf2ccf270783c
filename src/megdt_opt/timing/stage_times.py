"""Times of the stages of one profile: of what was timed, and between and beyond it by fits."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property

from megdt_opt.timing.cells import Cell, StageKey
from megdt_opt.timing.fit import LEVEL, AffineFit, affine_fit, later_interval, median_interval
from megdt_opt.timing.provenance import refuse

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """Times of stages from cells, and their intervals.

    Parameters
    ----------
    owner : str
        Model and device, for messages.
    cells : tuple of Cell
        What was timed.
    latent_rows : int or None
        Rows of the whole latent [1]; None where they are not known.
    """

    owner: str
    cells: tuple[Cell, ...]
    latent_rows: int | None

    def cell(self, key: StageKey) -> Cell | None:
        """The measured cell, or None."""
        return self._by_key.get(key)

    def of(self, kind: str, codec: str | None = None) -> list[Cell]:
        """Cells of a stage, with any codec if none is named."""
        return [c for c in self.cells if c.kind == kind and codec in (None, c.codec)]

    def of_stage(self, kind: str, codec: str) -> list[Cell]:
        """Cells of a stage, at least one; raises ProfileError where it was not timed."""
        cells = self.of(kind, codec)
        if not cells:
            what = f"{kind} ({codec})" if codec else str(kind)
            had = sorted({c.label_stage for c in self.cells})
            refuse(
                f"stage of the profile of {self.owner}",
                what,
                f"one of {had}",
                "Calibrate this stage, borrow it in the scenario, or rule out the options that need it on this device.",
            )
        return cells

    def rows_total(self, stated: int | None) -> int:
        """Rows of the whole latent [1]; raises ProfileError where they are not known, or differ from those stated."""
        if stated is None and self.latent_rows is None:
            refuse("rows_total", None, "the rows of the whole latent", "Pass rows_total.")
        if None not in (self.latent_rows, stated) and stated != self.latent_rows:
            refuse(
                "rows_total",
                stated,
                f"the {self.latent_rows} rows that were timed",
                "Calibrate the model at the latent size that is planned.",
            )
        return int(self.latent_rows or stated or 0)

    def fit(self, kind: str, codec: str) -> AffineFit:
        """Time against batch on the whole latent."""
        key = (kind, codec, "batch")
        if key not in self._fits:
            cells = [c for c in self.of_stage(kind, codec) if c.rows is None]
            if not cells:
                regions = tuple(sorted(c.rows for c in self.of(kind) if c.rows is not None and c.batch == 1))
                expected = "at least one batch on the whole latent"
                refuse(f"stage {kind}", regions, expected, "Calibrate the stage without rows too.")
            self._fits[key] = _fitted([(c.batch, c) for c in cells])
        return self._fits[key]

    def region_fit(self, kind: str, codec: str) -> AffineFit:
        """Time against rows of the latent region at batch 1."""
        key = (kind, codec, "rows")
        if key not in self._fits:
            cells = [c for c in self.of_stage(kind, codec) if c.batch == 1]
            totals = [c.rows_total for c in cells if c.rows_total is not None]
            if not totals:
                refuse(
                    f"regions of stage {kind} of {self.owner}",
                    (),
                    "at least one latent region [rows]",
                    "Calibrate with rows=..., or leave parallel generation out on this device.",
                )
            total = self.rows_total(totals[0])
            self._fits[key] = _fitted([(total if c.rows is None else c.rows, c) for c in cells])
        return self._fits[key]

    def seconds(self, key: StageKey) -> float:
        """Median of the cell, or what the fits give [s]."""
        cell = self.cell(key)
        if cell is not None:
            return cell.median_s
        if key.rows is None:
            return self.fit(key.kind, key.codec).at(key.batch)
        if key.batch == 1:
            return self.region_fit(key.kind, key.codec).at(key.rows)
        sizes = self.fit(key.kind, key.codec).sizes
        if len(sizes) == 1 and sizes[0] > 1:  # the time of one chain is then an upper estimate, and no divisor
            expected = "batch 1, or several batches, on the whole latent"
            refuse(f"batches of stage {key.kind} of {self.owner}", sizes, expected, "Time batch 1 too.")
        return self.seconds(key.whole) * self.seconds(key.alone) / self.seconds(key.whole.alone)

    def interval_s(self, key: StageKey, level: float = LEVEL, idle_share: float = 1.0) -> Interval | None:
        """Interval of `seconds` [s], None where a cell of the stage is a single figure.

        It reaches down to what an idle machine would take, by the part of the cores that others left while timing [1].
        """
        middle = self.seconds(key)  # a stage that was not timed is refused
        cells = self.of(key.kind, key.codec)
        if any(cell.is_single for cell in cells):
            return None
        low, high = self._within_session(key, level)
        counts = {len(cell.sessions) for cell in cells}
        if counts == {0} or len(counts) > 1:
            return low * idle_share, high
        cell = self.cell(key)
        if cell is not None:
            low, high = later_interval(cell.session_medians_s, level)
        else:  # a fit is as much slower or faster in a session as the cells that it rests on
            ratios = [statistics.median(of_cells) for of_cells in zip(*(c.session_ratios for c in cells), strict=True)]
            slower = later_interval(ratios, level)
            low, high = low * slower[0], high * slower[1]
        # a later session is like those before, or finds the machine idle
        return min(low, middle * idle_share), max(high, middle)

    # ---- internals

    @cached_property
    def _by_key(self) -> dict[StageKey, Cell]:
        return {cell.key: cell for cell in self.cells}

    @cached_property
    def _fits(self) -> dict[tuple[str, str, str], AffineFit]:
        return {}

    def _within_session(self, key: StageKey, level: float) -> Interval:
        """As `interval_s`, from samples of one session."""
        cell = self.cell(key)
        if cell is not None:
            return median_interval(cell.samples_s, level)
        middle = self.seconds(key)
        if key.rows is None:
            return _around(middle, self.fit(key.kind, key.codec).interval_at(key.batch, level))
        if key.batch == 1:
            return _around(middle, self.region_fit(key.kind, key.codec).interval_at(key.rows, level))
        low = high = middle
        for factor in (key.whole, key.alone):
            value, (below, above) = self.seconds(factor), self._within_session(factor, level)
            low, high = low * below / value, high * above / value
        value, (below, above) = self.seconds(key.whole.alone), self._within_session(key.whole.alone, level)
        return low * value / above, high * value / below


def _fitted(sized: list[tuple[int, Cell]]) -> AffineFit:
    """Fit of time against size, through the samples of cells."""
    sized.sort(key=lambda pair: pair[0])
    single = any(cell.is_single for _, cell in sized)
    return affine_fit([n for n, _ in sized], [cell.samples_s for _, cell in sized], certain=single)


def _around(middle: float, interval: Interval | None) -> Interval:
    """An interval that holds its point, which a percentile bootstrap does not promise."""
    low, high = interval if interval is not None else (middle, middle)
    return min(low, middle), max(high, middle)
