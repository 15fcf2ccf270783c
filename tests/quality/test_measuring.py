"""Measuring runs what actors run: equal to the unsplit picture where nothing is lost, and to the rows that are kept."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt.models.registry import find_spec
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.mechanisms import Option
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.pictures import MOST_DB
from megdt_opt.quality.table import QualityTable

pytest.importorskip("diffusers")
measuring = pytest.importorskip("megdt_opt.quality.measure")

LOCAL = Option(mechanism="local")
SCENES = [9_000_000, 9_000_001]
"""The first of those that the bundled table was measured on."""


@pytest.fixture(scope="module")
def model() -> SplitModel:
    from megdt_opt.models.registry import load_model

    return load_model("twin")


def bench(model: SplitModel, **more: object) -> measuring.Bench:
    return measuring.Bench(spec=find_spec("twin"), models={"": model}, subjects=SCENES, whole=model, **more)


def test_what_loses_nothing_has_equal_pictures(model: SplitModel) -> None:
    options = [
        Option(mechanism="centralised", codec="png"), Option(mechanism="SEU", cut=1, precision="fp32"),
        Option(mechanism="SEU-UE-first", cut=2, precision="fp32"), Option(mechanism="E2U", precision="fp32"),
    ]  # fmt: skip
    for row in measuring.measure(bench(model), options, steps=3, scheduler="dpmpp"):
        assert row.metrics["psnr_db"].mean == MOST_DB, row.factors
        assert row.metrics["ssim"].mean == pytest.approx(1.0)
        assert row.factors.exact


def test_steps_made_for_several_pictures_at_once_are_those_of_each_to_within_rounding(model: SplitModel) -> None:
    option = Option(mechanism="SEU-UE-first", cut=1, precision="int8")
    one, both = (
        measuring.measure(bench(made, batch=batch), [option], steps=2, scheduler="ddim")[0]
        for made, batch in ((model, 1), (measuring.Remembering(model), 2))
    )
    for metric, value in one.metrics.items():
        assert both.metrics[metric].mean == pytest.approx(value.mean, rel=1e-2)


def test_kept_rows_are_what_such_pictures_have(model: SplitModel) -> None:
    """Two of the pictures of a row lie within four of its spreads around its mean."""
    table = QualityTable.bundled("twin")
    assert table is not None
    kept = table.at[Factors.of(LOCAL, steps=5, scheduler="ddim")]
    (made,) = measuring.measure(bench(model), [LOCAL], steps=5, scheduler="ddim")
    for metric, value in made.metrics.items():
        statistic = kept.metrics[metric]
        assert abs(value.mean - statistic.mean) <= 4 * statistic.spread + 1e-6, metric


def test_what_is_shown_is_compared_with_the_scene(model: SplitModel) -> None:
    made = bench(model)
    truths = made.truths()
    assert truths is not None
    row = measuring.judged(made, Factors(mechanism="local", steps=1, scheduler="ddim"), truths, truths)
    assert row.metrics["psnr_truth_db"].mean == MOST_DB
    assert row.metrics["read"].mean == 1.0
    other = [truths[1], truths[0]]
    wrong = measuring.judged(made, row.factors, other, truths)
    assert wrong.metrics["read"].mean < 0.5
    assert np.isfinite(wrong.metrics["ssim_truth"].mean)
