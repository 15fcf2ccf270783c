"""Weights: their size, and what is said when they are not whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from megdt_opt.errors import WeightsError
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.weight_files import BUNDLED

FILES = (
    "autoencoder.safetensors",
    "denoiser.safetensors",
    "detector.safetensors",
    "sketch.safetensors",
    "tokens.safetensors",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled weights, to spoil."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "weights"))


def _sign(folder: Path, name: str) -> None:
    """Make spec.json tell the truth about a changed file."""
    data = (folder / name).read_bytes()
    spec = json.loads((folder / "spec.json").read_text())
    spec["files"][name] = {"byte": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "spec.json").write_text(json.dumps(spec))


def test_they_fit_into_the_wheel() -> None:
    assert sum((BUNDLED / name).stat().st_size for name in FILES) <= 12e6


def test_a_copy_loads(folder: Path) -> None:
    assert TwinModel.load(folder).spec == TwinModel.load().spec


@pytest.mark.parametrize("name", FILES[:2])
def test_a_truncated_file(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match=rf"{name} has {len(data) // 2} byte, expected {len(data)} byte"):
        TwinModel.load(folder)


def test_a_missing_file(folder: Path) -> None:
    (folder / "tokens.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"tokens\.safetensors is missing"):
        TwinModel.load(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"spec\.json"):
        TwinModel.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "twin", "files": {}}'])
def test_a_broken_spec(folder: Path, text: str) -> None:
    (folder / "spec.json").write_text(text)
    with pytest.raises(WeightsError, match=r"spec\.json"):
        TwinModel.load(folder)


def test_a_changed_byte(folder: Path) -> None:
    data = bytearray((folder / "denoiser.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "denoiser.safetensors").write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="digest"):
        TwinModel.load(folder)


def test_not_safetensors(folder: Path) -> None:
    (folder / "denoiser.safetensors").write_bytes(b"weights")
    _sign(folder, "denoiser.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        TwinModel.load(folder)


def test_another_network(folder: Path) -> None:
    tensors = load_file(folder / "tokens.safetensors")
    tensors["content.0.weight"] = tensors["content.0.weight"][:, 1:].contiguous()
    save_file(tensors, folder / "tokens.safetensors")
    _sign(folder, "tokens.safetensors")
    with pytest.raises(WeightsError, match=r"content\.0\.weight: found shape \(128, 16\), expected \(128, 17\)"):
        TwinModel.load(folder)


def test_weights_that_are_not_numbers(folder: Path) -> None:
    tensors = load_file(folder / "autoencoder.safetensors")
    tensors["latent_std"] = torch.full_like(tensors["latent_std"], float("nan"))
    save_file(tensors, folder / "autoencoder.safetensors")
    _sign(folder, "autoencoder.safetensors")
    with pytest.raises(WeightsError, match="latent_std: found NaN"):
        TwinModel.load(folder)
