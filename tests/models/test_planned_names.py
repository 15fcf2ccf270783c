"""A plan that names a module or class in place of a model is refused, and nothing that it names is imported."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from megdt_opt.errors import MegdtError
from megdt_opt.models.planned import PlannedModel
from megdt_opt.models.registry import find_spec


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported by the name `trap`; the file that it leaves when it is."""
    left = tmp_path / "imported"
    text = f"from pathlib import Path\nPath({str(left)!r}).write_text('')\nclass Model:\n    pass\n"
    (tmp_path / "trap.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return left


@pytest.mark.parametrize("name", ["trap:Model", "trap", "os:system", "../trap", "<b>trap</b>"])
@pytest.mark.parametrize("field", ["name", "source"])
def test_a_module_in_place_of_a_model_is_refused_and_not_imported(trap: Path, field: str, name: str) -> None:
    data = PlannedModel(spec=replace(find_spec("twin"), name=name)).to_dict()
    if field == "source":
        data["spec"] |= {"source": name, "name": "twin"}
    with pytest.raises(MegdtError):
        PlannedModel.from_dict(data).load()
    assert not trap.exists()
    assert "trap" not in sys.modules
