"""Which weights a table was measured with: a digest that planning can check without torch."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

from megdt_opt.program.model_spec import ModelSpec

_PART_BYTE = 2**20
_ENDS = (".safetensors", ".bin", ".json", ".msgpack")
_TWIN_PARTS = ("autoencoder.safetensors", "denoiser.safetensors", "tokens.safetensors")


def weights_digest(spec: ModelSpec) -> str | None:
    """Digest of a model's weights.

    Parameters
    ----------
    spec : ModelSpec
        The model.

    Returns
    -------
    str or None
        Of the bundled model, from the digests of its files; of a pipeline's folder, from name, size and both ends of
        each file; "" for a model that has no files; None where the folder is not on this machine.

    Examples
    --------
    >>> from megdt_opt.models.registry import find_spec
    >>> from megdt_opt.quality.digest import weights_digest
    >>> len(weights_digest(find_spec("twin"))), weights_digest(find_spec("sd15"))
    (64, '')
    """
    if spec.source:
        folder = Path(spec.source)
        return _of_folder(folder, spec.weights) if folder.is_dir() else None
    if spec.name != "twin":
        return ""
    text = resources.files("megdt_opt.models.twin").joinpath("weights", "spec.json").read_text(encoding="utf-8")
    files = json.loads(text)["files"]
    return hashlib.sha256("".join(files[name]["sha256"] for name in _TWIN_PARTS).encode()).hexdigest()


def _of_folder(folder: Path, weights: str) -> str:
    found = hashlib.sha256(weights.encode())
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _ENDS and p.is_file()):
        size = path.stat().st_size
        found.update(f"{path.relative_to(folder).as_posix()} {size}".encode())
        with open(path, "rb") as file:
            found.update(file.read(_PART_BYTE))
            if size > _PART_BYTE:
                file.seek(max(_PART_BYTE, size - _PART_BYTE))
                found.update(file.read())
    return found.hexdigest()
