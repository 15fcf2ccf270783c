"""Timing profiles: what they answer, what they refuse, and that a file round-trips."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import Cell, Provenance, TimingProfile


def provenance(**changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "created": "2026-01-31T12:00:00+00:00",
        "source": "measured",
        "hardware": {"kind": "cpu", "processor": "a processor", "cores": 2},
        "software": {"python": "3.11", "torch": "2.13.0", "os": "Linux"},
        "precision": "fp32",
        "method": "synthetic",
        "weights": "random",
        "threads": 1,
        "warmup": 3,
        "latent_shape": (4, 16, 16),
        "image_shape": (128, 128, 3),
    }
    return Provenance(**(values | changes))


def noisy(median: float, count: int = 20, spread: float = 0.02, seed: int = 0) -> tuple[float, ...]:
    rng = np.random.default_rng([seed, round(median * 1e6)])
    return tuple(float(t) for t in median * np.exp(rng.normal(0.0, spread, count)))


def profile(a: float = 0.010, b: float = 0.004, **changes: Any) -> TimingProfile:
    cells = [
        Cell(kind=Kind.DENOISE, batch=n, samples_s=noisy(a * n + b), first_s=1.0 if n == 1 else 2.0)
        for n in (1, 2, 4, 8)
    ]
    cells += [
        Cell(kind=Kind.DENOISE, batch=1, rows=r, rows_total=16, samples_s=noisy(a * r / 16 + b)) for r in (4, 8, 12)
    ]
    cells += [
        Cell(kind=Kind.DECODE, batch=1, samples_s=noisy(0.030)),
        Cell(kind=Kind.COMPRESS, batch=1, codec="png", samples_s=noisy(0.002)),
    ]
    values: dict[str, Any] = {
        "device": "cpu",
        "model": "twin",
        "provenance": provenance(),
        "cells": tuple(cells),
        "image_byte_samples": {"png": (900, 1000, 1300), "jpeg": (500, 700)},
    }
    return TimingProfile(**(values | changes))


# ---- answers


def test_a_measured_batch_is_answered_by_its_median() -> None:
    p = profile()
    cell = p.cell(Kind.DENOISE, batch=4)
    assert cell is not None
    assert p.stage_s("denoise", batch=4) == float(np.median(cell.samples_s))
    low, high = p.stage_interval_s(Kind.DENOISE, batch=4) or (math.nan, math.nan)
    assert low <= p.stage_s(Kind.DENOISE, batch=4) <= high


def test_other_batches_are_answered_by_the_fit() -> None:
    p = profile()
    for n in (3, 6, 16):
        assert p.stage_s(Kind.DENOISE, batch=n) == pytest.approx(p.fit(Kind.DENOISE).at(n))
        assert p.stage_s(Kind.DENOISE, batch=n) == pytest.approx(0.010 * n + 0.004, rel=0.03)
        low, high = p.stage_interval_s(Kind.DENOISE, batch=n) or (math.nan, math.nan)
        assert low < p.stage_s(Kind.DENOISE, batch=n) < high


def test_a_single_batch_assumes_no_gain_from_batching() -> None:
    p = profile()
    assert p.stage_s(Kind.DECODE, batch=3) == pytest.approx(3 * p.stage_s(Kind.DECODE))
    assert p.fit(Kind.DECODE).b_s == 0.0


def test_regions_measured_fitted_and_in_a_batch() -> None:
    p = profile()
    cell = p.cell(Kind.DENOISE, rows=8)
    assert cell is not None
    assert p.stage_s(Kind.DENOISE, rows=8) == cell.median_s
    assert p.stage_s(Kind.DENOISE, rows=6, rows_total=16) == pytest.approx(0.010 * 6 / 16 + 0.004, rel=0.04)
    assert p.stage_s(Kind.DENOISE, rows=16) == p.stage_s(Kind.DENOISE)
    ratio = p.stage_s(Kind.DENOISE, rows=8) / p.stage_s(Kind.DENOISE)
    assert p.stage_s(Kind.DENOISE, batch=2, rows=8) == pytest.approx(ratio * p.stage_s(Kind.DENOISE, batch=2))
    for batch, rows in ((1, 8), (1, 6), (2, 8), (3, 6)):
        low, high = p.stage_interval_s(Kind.DENOISE, batch=batch, rows=rows) or (math.nan, math.nan)
        assert low <= p.stage_s(Kind.DENOISE, batch=batch, rows=rows) <= high


def test_listings() -> None:
    p = profile()
    assert p.kinds == {Kind.DENOISE, Kind.DECODE, Kind.COMPRESS}
    assert p.batches(Kind.DENOISE) == (1, 2, 4, 8)
    assert p.regions(Kind.DENOISE) == (4, 8, 12)
    assert p.first_s(Kind.DENOISE) == 1.0
    assert p.first_s(Kind.DECODE) is None
    assert p.first_s(Kind.SENSE) is None
    assert not p.published


def test_picture_sizes() -> None:
    p = profile()
    assert p.image_byte("png") == 1000
    assert p.image_byte("jpeg") == 600
    assert p.image_byte("raw") == 128 * 128 * 3


def test_a_stretched_device_says_so_and_scales_everything_but_bytes() -> None:
    p = profile()
    slow = p.stretched(3.0, "phone").stretched(2.0, "old phone")
    assert slow.device == "old phone"
    assert slow.stretch == 6.0
    assert len(slow.provenance.stretches) == 2
    assert "stretched by 3" in slow.provenance.stretches[0]
    for batch in (1, 3):
        assert slow.stage_s(Kind.DENOISE, batch=batch) == pytest.approx(6 * p.stage_s(Kind.DENOISE, batch=batch))
    assert slow.first_s(Kind.DENOISE) == pytest.approx(6.0)
    assert slow.image_byte("png") == p.image_byte("png")
    assert p.stretch == 1.0


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_stretch_must_be_a_factor(factor: float) -> None:
    with pytest.raises(ProfileError, match="factor"):
        profile().stretched(factor, "x")


def test_a_profile_survives_pickling_after_use() -> None:
    p = profile()
    p.fit(Kind.DENOISE)
    assert pickle.loads(pickle.dumps(p)) == p


# ---- files


def test_round_trip(tmp_path: Path) -> None:
    p = profile().stretched(2.0, "phone")
    p.save(tmp_path / "p.json")
    assert TimingProfile.load(tmp_path / "p.json") == p
    assert [f.name for f in tmp_path.iterdir()] == ["p.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.json"
    profile().save(path)
    before = path.read_text()

    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(InvalidInput, match=os.strerror(errno.ENOSPC)):
        profile(a=0.5).save(path)
    assert path.read_text() == before
    assert [f.name for f in tmp_path.iterdir()] == ["p.json"]


def _drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def _put(value: object, *keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_drop("provenance"), "provenance"),
        (_put({}, "provenance"), "provenance"),
        (_put(None, "provenance"), "provenance"),
        (_drop("provenance", "created"), "created"),
        (_put("yesterday", "provenance", "created"), "created"),
        (_put("2026-01-31T12:00:00", "provenance", "created"), "UTC"),
        (_drop("provenance", "method"), "method"),
        (_put(" ", "provenance", "method"), "method"),
        (_drop("provenance", "hardware"), "hardware"),
        (_drop("provenance", "hardware", "processor"), "processor"),
        (_put([], "provenance", "software"), "software"),
        (_drop("provenance", "software", "torch"), "torch"),
        (_put(0, "provenance", "threads"), "threads"),
        (_put(None, "provenance", "warmup"), "warmup"),
        (_put("guessed", "provenance", "source"), "source"),
        (_put("guessed", "provenance", "weights"), "weights"),
        (_put([4, 16], "provenance", "latent_shape"), "latent_shape"),
        (_put(True, "provenance", "factor"), "factor"),
        (_put(1, "provenance", "mood"), "mood"),
        (_put("other", "schema"), "schema"),
        (_put(2, "version"), "version"),
        (_put([], "cells"), "cells"),
        (_put({}, "cells"), "cells"),
        (_put([1], "cells"), r"cells\[0\]"),
        (_put("dream", "cells", 0, "kind"), "kind"),
        (_put(0, "cells", 0, "batch"), "batch"),
        (_put([], "cells", 0, "samples_s"), "samples_s"),
        (_put("abc", "cells", 0, "samples_s"), "samples_s"),
        (_put([0.1, -0.1], "cells", 0, "samples_s"), r"samples_s\[1\].*\[s\]"),
        (_put([0.1, 0.0], "cells", 0, "samples_s"), "samples_s"),
        (_put([0.1, "x"], "cells", 0, "samples_s"), "samples_s"),
        (_put([0.1, math.nan], "cells", 0, "samples_s"), "NaN"),
        (_put([0.1, math.inf], "cells", 0, "samples_s"), "Infinity"),
        (_put([1.0], "cells", 0, "at_s"), "at_s"),
        (_put(-1.0, "cells", 0, "first_s"), "first_s"),
        (_put(99, "cells", 4, "rows"), "rows"),
        (_drop("cells", 4, "rows_total"), "rows"),  # type: ignore[arg-type]
        (_put("png", "cells", 0, "codec"), "codec"),
        (_put(1, "cells", 0, "colour"), "colour"),
        (_put([], "image_byte_samples", "png"), "png"),
        (_put([1.5], "image_byte_samples", "png"), "png"),
        (_put(3, "image_byte_samples"), "image_byte_samples"),
        (_put("", "device"), "device"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], names: str
) -> None:
    path = tmp_path / "p.json"
    profile().save(path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ProfileError, match=names) as caught:
        TimingProfile.load(path)
    assert "expected" in str(caught.value)


def test_a_cell_given_twice_is_refused(tmp_path: Path) -> None:
    cell = Cell(kind=Kind.DECODE, batch=1, samples_s=(0.1,))
    with pytest.raises(ProfileError, match="decode, batch 1"):
        profile(cells=(cell, cell))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    profile().save(path)
    text = path.read_text()
    for length in (0, 1, len(text) // 2, len(text) - 3):
        path.write_text(text[:length])
        with pytest.raises(ProfileError, match="truncated"):
            TimingProfile.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="cannot be read"):
        TimingProfile.load(path)
    with pytest.raises(ProfileError, match="cannot be read"):
        TimingProfile.load(tmp_path / "none.json")
    path.write_text("[]")
    with pytest.raises(ProfileError, match="JSON object"):
        TimingProfile.load(path)


def test_an_unknown_bundled_profile_lists_those_that_ship() -> None:
    with pytest.raises(ProfileError, match="bundled profile"):
        TimingProfile.bundled("no such")


# ---- questions that cannot be answered


@pytest.mark.parametrize(
    ("ask", "names"),
    [
        (lambda p: p.stage_s(Kind.SENSE), "sense"),
        (lambda p: p.stage_s("dream"), "dream"),
        (lambda p: p.stage_s(Kind.DENOISE, batch=0), "batch"),
        (lambda p: p.stage_s(Kind.DENOISE, rows=17), "rows"),
        (lambda p: p.stage_s(Kind.DENOISE, rows=8, rows_total=32), "rows_total"),
        (lambda p: p.stage_s(Kind.DECODE, rows=8), "decode"),
        (lambda p: p.stage_s(Kind.COMPRESS, codec="jpeg"), "jpeg"),
        (lambda p: p.stage_s(Kind.COMPRESS), "compress"),
        (lambda p: p.image_byte("webp"), "webp"),
        (lambda p: p.rescaled(1.1, " "), "reason"),
    ],
)
def test_questions_without_an_answer_raise(ask: Callable[[TimingProfile], object], names: str) -> None:
    with pytest.raises(ProfileError, match=names) as caught:
        ask(profile())
    assert "expected" in str(caught.value)


def test_shapes_that_are_not_stated_are_asked_for() -> None:
    bare = profile(provenance=provenance(latent_shape=None, image_shape=None))
    with pytest.raises(ProfileError, match="rows_total"):
        bare.stage_s(Kind.DENOISE, rows=8)
    assert bare.stage_s(Kind.DENOISE, rows=8, rows_total=16) > 0
    with pytest.raises(ProfileError, match="image_shape"):
        bare.image_byte("raw")


def test_no_torch_is_loaded() -> None:
    code = (
        "import sys, megdt_opt.timing.profile, megdt_opt.timing.published as t; t.PublishedTimings.load();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- profiles built in Python


SAMPLES = [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(SAMPLES, id="list"),
        pytest.param(np.array(SAMPLES), id="numpy"),
        pytest.param(np.array(SAMPLES, dtype=np.float32), id="float32"),
        pytest.param(np.array(SAMPLES, dtype=np.float16), id="float16"),
        pytest.param(tuple(np.float32(t) for t in SAMPLES), id="float32-scalars"),
        pytest.param(pd.Series(SAMPLES, index=[7, 8, 9]), id="pandas"),
        pytest.param(pd.DataFrame({"time_s": SAMPLES})["time_s"], id="pandas-column"),
        pytest.param(np.ma.masked_array(SAMPLES), id="masked-array-with-nothing-masked"),
        pytest.param((t for t in SAMPLES), id="generator"),
    ],
)
def test_samples_are_taken_from_whatever_lists_them(samples: Any, tmp_path: Path) -> None:
    cell = Cell(kind=Kind.DECODE, batch=1, samples_s=samples)
    assert cell == Cell(kind=Kind.DECODE, batch=1, samples_s=tuple(SAMPLES))
    assert all(type(t) is float for t in cell.samples_s)
    made = profile(cells=[cell])
    made.save(tmp_path / "p.json")
    assert TimingProfile.load(tmp_path / "p.json") == made


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.array([200, 300], dtype="timedelta64[ms]"), id="numpy-durations"),
        pytest.param([np.timedelta64(1, "s")], id="numpy-duration"),
        pytest.param(pd.Series(pd.to_timedelta([200, 300], unit="ms")), id="pandas-durations"),
        pytest.param([timedelta(seconds=1)], id="python-duration"),
        pytest.param(np.ma.masked_array(SAMPLES, mask=[0, 1, 0]), id="masked-entry"),
        pytest.param(pd.Series([0.1, None]), id="pandas-gap"),
        pytest.param(np.array([1 + 0j]), id="complex"),
        pytest.param(np.array([True]), id="truth-values"),
        pytest.param(["0.1"], id="text"),
        pytest.param("0.1", id="one-text"),
        pytest.param(0.1, id="no-list"),
        pytest.param(np.array(0.1), id="array-without-a-dimension"),
        pytest.param(np.array([SAMPLES]), id="two-dimensions"),
        pytest.param({0.1, 0.2}, id="set"),
        pytest.param(np.array([]), id="nothing"),
        pytest.param([10**400], id="larger-than-a-float"),
    ],
)
def test_samples_that_are_no_seconds_are_refused_by_name(samples: Any) -> None:
    with pytest.raises(ProfileError, match=r"samples_s.* of decode, batch 1: found .*\[s\]"):
        Cell(kind=Kind.DECODE, batch=1, samples_s=samples)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_stage_may_be_given_by_its_name(kind: Kind) -> None:
    codec = "png" if kind in (Kind.COMPRESS, Kind.DECOMPRESS) else ""
    cell = Cell(kind=str(kind), batch=1, samples_s=(0.1,), codec=codec)  # type: ignore[arg-type]
    assert cell.kind is kind
    assert cell == Cell(kind=kind, batch=1, samples_s=(0.1,), codec=codec)


@pytest.mark.parametrize("kind", ["dream", "DENOISE", None, 3, ["denoise"]])
def test_a_stage_that_is_none_is_refused_with_those_that_are(kind: Any) -> None:
    with pytest.raises(ProfileError, match=r"kind: found .*one of \['encode_prompt'"):
        Cell(kind=kind, batch=1, samples_s=(0.1,))


def test_numpys_integers_are_integers(tmp_path: Path) -> None:
    one = np.int64(1)
    made = profile(
        provenance=provenance(
            threads=one,
            warmup=np.int32(3),
            latent_shape=np.array([4, 16, 16]),
            image_shape=[128, 128, 3],
            hardware={"kind": "cpu", "processor": "a processor", "cores": np.int64(2)},
            factor=np.float32(2.0),
            stretches=["twice as slow"],
        ),
        cells=[
            Cell(kind=Kind.DENOISE, batch=np.int64(2), samples_s=(0.1,)),  # type: ignore[arg-type]
            Cell(kind=Kind.DENOISE, batch=one, rows=np.int16(8), rows_total=np.int16(16), samples_s=(0.1,)),  # type: ignore[arg-type]
        ],
        image_byte_samples={"png": np.array([900, 1000])},
        image_reference_byte_samples={"png": pd.Series([90, 100])},
    )
    made.save(tmp_path / "p.json")
    assert TimingProfile.load(tmp_path / "p.json") == made
    assert made.stage_s(Kind.DENOISE, batch=np.int64(2), rows=np.int64(16)) == 0.1


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(2026, 1, 31, 12, tzinfo=UTC), id="datetime"),
        pytest.param(pd.Timestamp("2026-01-31T12:00:00+00:00"), id="pandas-timestamp"),
        pytest.param(np.datetime64("2026-01-31T12:00:00"), id="numpy-datetime"),
        pytest.param(1769860800, id="unix-seconds"),
    ],
)
def test_a_moment_that_a_file_cannot_hold_is_refused_at_once(moment: Any) -> None:
    with pytest.raises(ProfileError, match=r"provenance\.created.*as text"):
        provenance(created=moment)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"hardware": {"kind": "cpu", "processor": "a", "cores": 2.5}}, r"hardware\.cores"),
        ({"software": {"python": (3, 11), "torch": "2", "os": "Linux"}}, r"software\.python"),
        ({"texts": "one text"}, r"provenance\.texts"),
        ({"stretches": [1.5]}, r"provenance\.stretches"),
        ({"latent_shape": (4, 16.0, 16)}, "latent_shape"),
        ({"factor": 1 + 0j}, "factor"),
    ],
)
def test_facts_that_a_file_cannot_hold_are_refused_at_once(change: dict[str, Any], names: str) -> None:
    with pytest.raises(ProfileError, match=names):
        provenance(**change)


@pytest.mark.parametrize("cells", [[1], "decode", None, [{"kind": "decode"}]])
def test_cells_that_are_none_are_refused(cells: Any) -> None:
    with pytest.raises(ProfileError, match="cells.*list of Cell"):
        profile(cells=cells)
