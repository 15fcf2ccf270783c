"""Tables of measured quality: read as they were written, refused by file, row and field; what lies between points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.errors import InvalidInput
from megdt_opt.program.mechanisms import Option
from megdt_opt.quality.curves import Curve, Measured, interpolated
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.report import page
from megdt_opt.quality.statistic import METRICS, Statistic
from megdt_opt.quality.table import QualityTable, Row


def row(mean: float, *, read: float = 0.9, **factors: Any) -> Row:
    made = {"psnr_db": Statistic(mean, mean - 2, 1.0), "read": Statistic(read, read, 0.0)}
    named = {"mechanism": "SEU", "steps": 20, "scheduler": "ddim", "precision": "int8", **factors}
    return Row(factors=Factors(**named), count=50, metrics=made)


def table(*rows: Row, **fields: Any) -> QualityTable:
    return QualityTable(**{"model": "mine", "weights": "", "rows": rows, "provenance": {"torch": "2"}, **fields})


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = table(row(40.0, cut=0.25), row(44.0, cut=0.75, snr_db=10.0, adapter=True), weights="ab")
    made.save(tmp_path / "quality.json")
    assert QualityTable.load(tmp_path / "quality.json") == made


def spoil(change: Any) -> str:
    data = json.loads(table(row(40.0, cut=0.25), row(41.0, cut=0.5)).to_json())
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["rows"][1].update(cut=1.5), "rows.1.cut: found 1.5"),
        (lambda d: d["rows"][1].update(steps=0), "rows.1.steps: found 0"),
        (lambda d: d["rows"][1].update(steps=True), "rows.1.steps"),
        (lambda d: d["rows"][0].update(colour="red"), "rows.0.colour"),
        (lambda d: d["rows"][0].pop("mechanism"), "rows.0.mechanism"),
        (lambda d: d["rows"][1].update(count=0), "rows.1.count: found 0"),
        (lambda d: d["rows"][1]["metrics"].update(psnr_db=[1.0, 2.0]), "rows.1.metrics.psnr_db"),
        (lambda d: d["rows"][1]["metrics"].update(read=[1.5, 1.0, 0.0]), "rows.1.metrics.read"),
        (lambda d: d["rows"][1]["metrics"].update(beauty=[1.0, 1.0, 0.0]), "rows.1.metrics"),
        (lambda d: d["rows"].append(d["rows"][0]), "rows.2"),
        (lambda d: d["rows"].append(3), "rows.2"),
        (lambda d: d.update(rows={}), "file.json: rows"),
        (lambda d: d.pop("weights"), "file.json: weights"),
        (lambda d: d.update(more=1), "file.json: more"),
        (lambda d: d.update(format="megdt-opt plan 1"), "quality file: found file.json"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_by_file_row_and_field(change: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        QualityTable.from_json(spoil(change), "file.json")
    assert "file.json" in str(caught.value)
    assert named.split("file.json: ")[-1].replace("found file.json", "") in str(caught.value).replace("'", "")


def test_a_point_is_found_and_what_lies_between_states_its_error() -> None:
    cuts = (0.1, 0.3, 0.5, 0.7, 0.9)
    known = Measured(table(*(row(40.0 + 10 * cut, cut=cut) for cut in cuts)))
    there = known.quality_of(row(0.0, cut=0.3).factors)
    between = known.quality_of(row(0.0, cut=0.4).factors)
    assert there is not None
    assert there["psnr_db"].measured
    assert there["psnr_db"].statistic.mean == 43.0
    assert between is not None
    assert not between["psnr_db"].measured
    assert between["psnr_db"].statistic.mean == pytest.approx(44.0)
    assert between["psnr_db"].held_out == pytest.approx(0.0, abs=1e-9)  # a straight line is predicted as it is
    assert between["psnr_db"].floor("psnr_db", "p05") == pytest.approx(42.0)


def test_held_out_error_is_that_of_the_point_that_is_farthest_from_the_others() -> None:
    values = {0.0: 40.0, 0.5: 46.0, 1.0: 44.0}
    curve = Curve(tuple(row(y, cut=x) for x, y in values.items()))
    median, most, count = curve.held_out["psnr_db"]
    assert (median, most, count) == (pytest.approx(4.0), pytest.approx(4.0), 1)  # 42 on the line between the others


@pytest.mark.parametrize("asked", [{"cut": 0.95}, {"steps": 10}, {"precision": "int4"}, {"scheduler": "dpmpp"}])
def test_beyond_what_was_measured_nothing_is_known(asked: dict[str, Any]) -> None:
    known = Measured(table(*(row(40.0, cut=cut) for cut in (0.1, 0.5, 0.9))))
    assert known.quality_of(row(0.0, **{"cut": 0.5, **asked}).factors) is None


def test_two_points_alone_say_nothing_of_what_lies_between() -> None:
    known = Measured(table(row(40.0, cut=0.1), row(42.0, cut=0.9)))
    assert known.quality_of(row(0.0, cut=0.5).factors) is None  # no error can be stated


def test_an_exact_picture_has_what_one_place_makes() -> None:
    whole = row(99.0, read=0.97, mechanism="local", precision="")
    known = Measured(table(whole))
    for option in (Option(mechanism="SEU", cut=5, precision="fp32"), Option(mechanism="centralised", codec="png")):
        found = known.quality_of(Factors.of(option, steps=20, scheduler="ddim"))
        assert found is not None
        assert (found["psnr_db"].statistic.mean, found["read"].statistic.mean) == (99.0, 0.97)
    for option in (Option(mechanism="centralised", codec="jpeg"), Option(mechanism="PEU", share=0.5, precision="fp32")):
        assert known.quality_of(Factors.of(option, steps=20, scheduler="ddim")) is None


@given(st.lists(st.floats(0, 60), min_size=2, max_size=8), st.floats(0, 1), st.floats(0, 1), st.sampled_from([1, -1]))
def test_where_a_curve_must_be_monotone_it_is_between_its_points_too(
    values: list[float], one: float, other: float, direction: int
) -> None:
    knots = list(np.linspace(0, 1, len(values)))
    low, high = sorted((one, other))
    a, b = (interpolated(knots, values, at, direction) for at in (low, high))
    assert direction * (b - a) >= -1e-9
    assert min(values) - 1e-9 <= a <= max(values) + 1e-9


def test_a_kind_is_known_by_mechanism_and_what_is_lost_not_by_the_place_on_its_curve() -> None:
    known = table(row(40.0, cut=0.5), row(30.0, mechanism="E2U-sketch", precision=""))
    at = {"steps": 7, "scheduler": "euler"}
    assert known.knows(Factors(mechanism="SEU", precision="int8", cut=0.9, **at))
    assert known.knows(Factors(mechanism="shared-device", precision="int8", **at))  # handed over as SEU's latent is
    assert known.knows(Factors(mechanism="E2U-sketch", **at))
    for unknown in (
        {"mechanism": "SEU", "precision": "int4"}, {"mechanism": "SEU", "precision": "int8", "decoder": "small"},
        {"mechanism": "SEU", "precision": "int8", "adapter": True}, {"mechanism": "E2U-sketch", "decoder": "small"},
        {"mechanism": "U2E", "precision": "int8"},
    ):  # fmt: skip
        assert not known.knows(Factors(**unknown, **at))  # type: ignore[arg-type]


def test_the_page_of_a_table_has_every_row_and_every_error() -> None:
    text = page(table(*(row(40.0 + cut, cut=cut) for cut in (0.1, 0.5, 0.9))))
    assert text.count("| SEU | ddim |") == 4
    assert all(name in text for name in ("psnr_db", "read"))


def test_the_bundled_table_is_of_the_bundled_weights_and_says_what_it_comes_from() -> None:
    from megdt_opt.models.registry import find_spec
    from megdt_opt.quality.digest import weights_digest

    found = QualityTable.bundled("twin")
    assert found is not None
    assert found.weights == weights_digest(find_spec("twin"))
    assert set(found.metrics) == set(METRICS)
    assert {"script", "torch", "cpu", "scenes", "seeds"} <= set(found.provenance)
    assert QualityTable.bundled("sd15") is None
