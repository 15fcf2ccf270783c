"""Models by name: specs and requests without torch, and nothing that goes by the spelling of a class or module."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.models.registry import MODELS, find_spec, load_model
from megdt_opt.models.requests import camera_of, makes_requests, reference_byte, request_of


def test_planning_reads_specs_and_makes_requests_without_torch() -> None:
    code = (
        "import sys; from megdt_opt.models.registry import find_spec; "
        "from megdt_opt.models.requests import reference_byte, request_of; "
        "found = [find_spec(n).name for n in ('twin', 'sd15', 'sdxl')]; "
        "reference_byte('twin', request_of(3, 'twin'), 'png'); "
        "print(found, {'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['twin', 'sd15', 'sdxl'] set()"


def test_a_spec_goes_by_its_models_name() -> None:
    known = {name: MODELS.require(name) for name in MODELS.built_in}
    planned = {name: model.spec() for name, model in known.items() if model.spec is not None}
    assert set(planned) == {"twin", "sd15", "sd21", "sdxl", "sd3"}
    assert all(spec.name == name for name, spec in planned.items())


def test_a_spec_file_is_read(tmp_path: Path) -> None:
    import json

    path = tmp_path / "own.json"
    path.write_text(json.dumps(find_spec("sd15").to_dict() | {"name": "own"}))
    assert find_spec(str(path)).name == "own"


@pytest.mark.parametrize("name", ["sd4", "sd99", "no/such/file.json"])
def test_a_model_without_a_spec_is_refused_with_those_that_have_one(name: str) -> None:
    with pytest.raises(InvalidInput, match="'twin', 'sd15', 'sd21', 'sdxl', 'sd3'"):
        find_spec(name)


def test_the_twin_loaded_by_name_is_the_bundled_one() -> None:
    model = load_model("twin")
    assert model.spec == find_spec("twin")
    request = model.example_requests(2)[1]  # type: ignore[attr-defined]
    assert {name: tuple(t.shape[1:]) for name, t in request.items()} == dict(model.spec.request)


def test_any_other_name_is_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not found"):
        load_model(str(tmp_path / "nowhere"))


def test_a_seed_stands_for_one_subject() -> None:
    assert makes_requests("twin")
    one, again, other = (request_of(seed, "twin")["state"] for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert camera_of(5, "twin").shape == (1, *find_spec("twin").image_shape)


@pytest.mark.parametrize("source", ["gone/away", "/no/folder", "here.safetensors"])
def test_a_pipeline_that_is_elsewhere_is_planned_by_its_spec(source: str) -> None:
    spec = replace(find_spec("sd15"), source=source)
    assert makes_requests(spec)
    assert reference_byte(spec, {}, "png") is None


@pytest.mark.parametrize("model", ["sd15", "somebody/else"])
def test_requests_of_other_models_are_not_invented(model: str) -> None:
    assert not makes_requests(model)
    assert reference_byte(model, {}, "png") is None
    for make in (request_of, camera_of):
        with pytest.raises(InvalidInput, match="twin"):
            make(5, model)


@pytest.mark.parametrize(
    ("name", "near"), [("twinn", "'twin'"), ("sdx", "'sdxl'"), ("SD15", "Choose"), ("gone", "Choose"), ("", "Choose")]
)
def test_a_mistyped_name_is_refused_at_once(name: str, near: str) -> None:
    """Nothing is loaded for it, and no hub is asked."""
    with pytest.raises(InvalidInput, match=f"^model: found .*'twin', 'sd15'.*OWNER/MODEL.*{near}"):
        load_model(name)


def test_nothing_but_the_registry_names_the_bundled_model() -> None:
    source = Path(__file__).resolve().parents[2] / "src" / "megdt_opt"
    naming = {p.relative_to(source) for p in source.rglob("*.py") if "TwinModel" in p.read_text(encoding="utf-8")}
    assert {path for path in naming if path.parts[:2] != ("models", "twin")} == {Path("models", "registry.py")}
