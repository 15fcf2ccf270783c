"""`megdt-opt quality`: what it measured of one's own pipeline opens and closes options of a scenario that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from megdt_opt import Scenario, calibrate
from megdt_opt.cli.app import app
from megdt_opt.quality.table import QualityTable
from megdt_opt.scenario.options import OptionTable

pytest.importorskip("diffusers")

STEPS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_pipelines

    return tiny_pipelines.save(tmp_path_factory.mktemp("own") / "model", "sd1")


def test_a_pipeline_is_measured_and_its_table_is_what_floors_read(folder: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "mine.json"
    prompts.write_text("a red robot\n\na blue crane\n")
    words = ["--model", folder, "--prompts", prompts, "--pictures", 2, "--steps", STEPS, "--precisions", "fp16,int4"]
    done = CliRunner().invoke(app, ["quality", str(out), *map(str, words)])
    assert done.exit_code == 0, done.output
    rows = {
        (row.factors.mechanism, row.factors.precision, row.factors.codec): row for row in QualityTable.load(out).rows
    }
    assert {row.count for row in rows.values()} == {2}
    # of a latent of 8 rows with an overlap of 4 only equal parts leave both sides rows of their own
    assert [row.factors.share for row in rows.values() if row.factors.mechanism == "PEU"] == [0.5, 0.5]
    fine, coarse = (rows["E2U", precision, ""].metrics["psnr_db"].mean for precision in ("fp16", "int4"))
    assert fine > coarse + 10

    user: dict[str, Any] = {
        "name": "one", "device": {"profile": "here"}, "downlink_efficiency": "4 bit/s/Hz", "prompt": "a red robot",
        "uplink_efficiency": "4 bit/s/Hz", "precisions": ["fp16", "int4", "int8"],
        "quality_min": {"psnr": f"{(fine + coarse) / 2} dB"},
    }  # fmt: skip
    cell = {"channel": {"downlink": "1 MHz", "uplink": "1 MHz"}, "edge": {"profile": "here"}, "users": [user]}
    scenario = Scenario(model=str(folder), steps=STEPS, quality=str(out), **cell)
    how: dict[str, Any] = {"batches": (1,), "held_out_batches": (), "rows": (), "samples": 2, "warmup": 1}
    table = OptionTable.build(scenario, {"here": calibrate(str(folder), **how)})
    names = {option.name: o for o, option in enumerate(table.options)}
    assert not table.closed_by(0, names["E2U fp16"])
    assert ["below it" in words for words in table.closed_by(0, names["E2U int4"])] == [True]
    assert any("never" in words for words in table.closed_by(0, names["E2U int8"]))
