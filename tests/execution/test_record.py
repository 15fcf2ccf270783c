"""Records: arithmetic of predicted against measured, and files that are whole or absent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.execution import Execution, StageRow


def row(user, index, predicted, measured, **more):
    fields = {"label": f"stage {index}", "actor": "edge", "kind": "denoise", **more}
    fields.update(predicted_start_s=predicted[0], predicted_duration_s=predicted[1])
    return StageRow(user=user, index=index, start_s=measured[0], end_s=measured[1], **fields)


@pytest.fixture
def execution():
    return Execution(
        rows=(
            row("a", 0, (0.0, 1.0), (0.0, 1.1), busy_s=0.5),
            row("a", 1, (1.0, 1.0), (1.1, 2.1), busy_s=0.1, overrun_s=0.1, waiting_s=0.01),
            row("b", 0, (0.0, 4.0), (0.0, 3.0)),
        ),
        mode="paced",
        stretch={"phone": 2.0},
        environment={"cores": 2},
        cpu_s={"edge": 0.7},
        images={"a": np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)},
        latents={"a": np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 2, 2, 2)},
    )


def test_arithmetic(execution):
    assert execution.predicted_s == {"a": 2.0, "b": 4.0}
    assert execution.measured_s == {"a": 2.1, "b": 3.0}
    assert execution.error_percent == {"a": pytest.approx(5.0), "b": pytest.approx(-25.0)}
    assert execution.wall_s == 3.0
    assert execution.busy_fraction == pytest.approx(0.1)
    assert [r.index for r in execution.overruns] == [1]
    assert execution.summary()["users"]["a"]["waiting_s"] == 0.01


def test_compare_joins_predicted_and_measured(execution):
    frame = execution.compare()
    assert list(frame["duration_error_s"]) == pytest.approx([0.1, 0.0, -1.0])
    assert list(frame["duration_error_percent"]) == pytest.approx([10.0, 0.0, -25.0])
    assert list(frame["end_error_s"]) == pytest.approx([0.1, 0.1, -1.0])


def test_a_record_reads_back(execution, tmp_path):
    path = tmp_path / "run.json"
    execution.save(path)
    back = Execution.load(path)
    assert back.rows == execution.rows
    assert back.summary() == execution.summary()
    assert np.array_equal(back.images["a"], execution.images["a"])
    assert np.array_equal(back.latents["a"], execution.latents["a"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(execution, tmp_path):
    path = tmp_path / "run.json"
    execution.save(path)
    before = path.read_bytes()
    broken = Execution(rows=execution.rows, mode="paced", stretch={}, environment={"cores": 2, "bad": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other"}', '{"format": "megdt_opt execution 1", "rows": [{}]}']
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        Execution.load(path)


def test_a_truncated_record_is_refused(execution, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(execution.to_dict())[:-20])
    with pytest.raises(InvalidInput):
        Execution.load(path)
