"""Reading and writing the model's weights: safetensors files with their sizes and digests in `spec.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save_file
from torch import Tensor, nn

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.files import read_json, write_text
from megdt_opt.program.model_spec import ModelSpec

BUNDLED = Path(__file__).parent / "weights"
"""Folder of the weights that come with the package."""

_REMEDY = "Reinstall megdt-opt, or give the folder that experiments/twin/export_weights.py wrote."


def read_spec(folder: Path) -> tuple[ModelSpec, dict[str, Any]]:
    """Spec of the model in a folder, and the table of its files.

    Raises
    ------
    WeightsError
        If `spec.json` is missing or unreadable.
    """
    path = folder / "spec.json"
    try:
        data = read_json(path, "spec of a twin model", remedy=_REMEDY)
        return ModelSpec.from_dict(data), dict(data["files"])
    except InvalidInput as error:
        raise WeightsError(f"weights: {path}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'weights: {path} lists no "files". {_REMEDY}') from error


def read_tensors(folder: Path, name: str, files: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of one file, after its size and digest have been checked, as float32.

    Raises
    ------
    WeightsError
        If the file is missing, truncated or another than `spec.json` says.
    """
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights: {path} is missing or unreadable. {_REMEDY}") from error
    entry = files.get(name, {})
    expected = entry.get("byte")
    if len(data) != expected:
        raise WeightsError(f"weights: {path} has {len(data)} byte, expected {expected} byte. {_REMEDY}")
    if hashlib.sha256(data).hexdigest() != entry.get("sha256"):
        raise WeightsError(f"weights: {path} has another SHA-256 digest than spec.json says. {_REMEDY}")
    try:
        tensors = parse(data)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"weights: {path} is not a safetensors file ({error}). {_REMEDY}") from error
    return {key: value.float() for key, value in tensors.items()}


def fill(net: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Put tensors into a network, which must have exactly these.

    Raises
    ------
    WeightsError
        If a tensor is missing, unknown or of another shape.
    """
    own = net.state_dict()
    for key in sorted(set(own) | set(tensors)):
        found = tuple(tensors[key].shape) if key in tensors else None
        wanted = tuple(own[key].shape) if key in own else None
        if found != wanted:
            raise WeightsError(f"weights: {name}, tensor {key}: found shape {found}, expected {wanted}. {_REMEDY}")
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            found_text = "found NaN or infinity, expected finite values"
            raise WeightsError(f"weights: {name}, tensor {key}: {found_text}. {_REMEDY}")
    net.load_state_dict({key: tensors[key].to(own[key].dtype) for key in own})


def write(folder: Path, spec: ModelSpec, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write files of weights (float16) and `spec.json`.

    Parameters
    ----------
    folder : Path
        Where to.
    spec : ModelSpec
        What the weights are of.
    parts : mapping
        File name to tensors by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: _save(folder, name, tensors) for name, tensors in parts.items()}
    _write_spec(folder, spec, files)


def add(folder: Path, spec: ModelSpec, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write one file of weights (float16) beside those of a folder, and its `spec.json`; the others stay as they are.

    Parameters
    ----------
    folder : Path
        Where the others are.
    spec : ModelSpec
        What all of them are of.
    name : str
        Name of the file.
    tensors : mapping of str to Tensor
    """
    _, files = read_spec(folder)
    _write_spec(folder, spec, {**files, name: _save(folder, name, tensors)})


def _save(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    save_file({k: v.detach().to(torch.float16).contiguous() for k, v in tensors.items()}, folder / name)
    data = (folder / name).read_bytes()
    return {"byte": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write_spec(folder: Path, spec: ModelSpec, files: Mapping[str, Any]) -> None:
    text = json.dumps({**spec.to_dict(), "files": dict(files)}, indent=1)
    write_text(folder / "spec.json", text + "\n")


def add_part(name: str, tensors: Mapping[str, Tensor], folder: Path = BUNDLED) -> None:
    """Write one more file of weights (float16) beside those of a folder, and its size and digest into `spec.json`."""
    save_file({k: v.detach().to(torch.float16).contiguous() for k, v in tensors.items()}, folder / name)
    data = (folder / name).read_bytes()
    spec = read_json(folder / "spec.json", "spec of a twin model", remedy=_REMEDY)
    spec["files"][name] = {"byte": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_text(folder / "spec.json", json.dumps(spec, indent=1) + "\n")
