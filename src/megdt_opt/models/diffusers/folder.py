"""A pipeline's folder, read without torch and without loading a weight: its parts, its code, its weight files.

Code in a model folder is never executed: a configuration that asks for some is refused by its file's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.files import read_json
from megdt_opt.models.diffusers.configs import Config, check_config, refused

TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3")
"""Names of the text models' parts."""

TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
"""Names of the tokenisers' parts, in the order of the text models."""

DENOISER_PARTS = ("unet", "transformer")
"""Names that the denoiser's part may have."""

_KNOWN = {*DENOISER_PARTS, "vae", "scheduler", *TEXT_PARTS, *TOKENIZERS}
_LEFT_OUT = {"safety_checker", "feature_extractor"}
_PIPELINES = {
    "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "LatentConsistencyModelPipeline",
    "LatentConsistencyModelImg2ImgPipeline", "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "FluxPipeline", "FluxImg2ImgPipeline",
    "PixArtAlphaPipeline", "PixArtSigmaPipeline",
}  # fmt: skip
_LIBRARIES = {"diffusers", "transformers"}
_CONFIGS = ("config.json", "tokenizer_config.json", "scheduler_config.json", "preprocessor_config.json")
_HEADER_BYTE = 2**27
_CONFIG_BYTE = 2**24
_SAVE = "Save the pipeline again with diffusers' save_pretrained, or download it again."
_BYTE = {
    "F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip


@dataclass(frozen=True)
class PipelineFolder:
    """The folder of a pipeline, with what its files say.

    Parameters
    ----------
    path : Path
    index : mapping
        Content of `model_index.json`; empty where there is none.
    """

    path: Path
    index: Config

    @classmethod
    def open(cls, path: str | Path) -> PipelineFolder:
        """Read the index, and refuse a folder that asks for code of its own or has parts that are not known.

        Raises
        ------
        InvalidInput
            Names the file and the field.
        """
        base = Path(path)
        file = base / "model_index.json"
        index = read_json(file, "index of a pipeline", remedy=_SAVE, limit_byte=_CONFIG_BYTE) if file.is_file() else {}
        found = cls(base, index)
        found._refuse_code()
        for part, entry in index.items():
            if part.startswith("_") or not isinstance(entry, list | tuple) or part in _LEFT_OUT or not present(entry):
                continue
            if part not in _KNOWN:
                remedy = "Pipelines with other parts cannot be split; take one without."
                if part == "controlnet":
                    remedy = "Save the pipeline without it, and give the ControlNet's own folder as controlnet."
                raise refused(str(file), part, entry, f"one of {tuple(sorted(_KNOWN))}", remedy)
            if entry[0] not in _LIBRARIES:
                remedy = "Code in a model folder is never executed; save the part with a class of these libraries."
                raise refused(str(file), part, entry, f"a class of {' or '.join(sorted(_LIBRARIES))}", remedy)
        if index:
            found._check_classes()
        return found

    def _check_classes(self) -> None:
        """Refuse a pipeline of another class, and a part's file that names another class than the index."""
        named = self.index.get("_class_name", "")
        if named not in _PIPELINES:
            remedy = "Take a text-to-image or image-to-image pipeline without further inputs or passes."
            raise refused(
                str(self.path / "model_index.json"), "_class_name", named, f"one of {tuple(sorted(_PIPELINES))}", remedy
            )
        for part in (*DENOISER_PARTS, "vae", "scheduler"):
            file = self.path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
            if not self.has(part) or not file.is_file():
                continue
            own, listed = self.raw_config(part, file.name).get("_class_name"), self.class_of(part)
            if own is not None and own != listed:
                remedy = "Save the pipeline again with diffusers' save_pretrained: its two files differ."
                raise refused(str(file), "_class_name", own, f"{listed}, as in model_index.json", remedy)

    def _refuse_code(self) -> None:
        files = [self.path / "model_index.json"]
        for part in sorted(_KNOWN | _LEFT_OUT):
            files += [self.path / part / name for name in _CONFIGS]
        for file in files:
            if not file.is_file():
                continue
            config = read_json(file, "configuration of a model", remedy=_SAVE, limit_byte=_CONFIG_BYTE, infinite=True)
            if "auto_map" in config or not isinstance(config.get("_class_name", ""), str):
                field = "auto_map" if "auto_map" in config else "_class_name"
                remedy = (
                    f"Code in a model folder is never executed: remove the field from {file.name}, if the part has a "
                    "class of transformers or diffusers, or take another model."
                )
                raise refused(str(file), field, config[field], "no code of the folder's own", remedy)

    def has(self, part: str) -> bool:
        """Whether the pipeline has a part, by its index or, without one, by its files."""
        if self.index:
            return present(self.index.get(part))
        return (self.path / part).is_dir()

    @property
    def denoiser_part(self) -> str:
        """Name of the denoiser's part."""
        return "transformer" if self.has("transformer") else "unet"

    @property
    def text_parts(self) -> tuple[str, ...]:
        """Names of the text models' parts."""
        return tuple(part for part in TEXT_PARTS if self.has(part))

    def class_of(self, part: str) -> str:
        """Class of a part as the index names it; "missing" where it is not there."""
        entry: Any = self.index.get(part)
        return str(entry[1]) if present(entry) else "missing"

    def config(self, part: str, kind: str, name: str = "config.json") -> Config:
        """Configuration of a part, checked as one of a class."""
        found = self.raw_config(part, name)
        check_config(kind, found, str(self.path / part / name))
        return found

    def raw_config(self, part: str, name: str = "config.json") -> Config:
        """Configuration of a part as it stands in its file."""
        file = self.path / part / name
        remedy = "Point to a pipeline's folder."
        return read_json(file, "architecture", remedy=remedy, limit_byte=_CONFIG_BYTE, infinite=True)

    # ---- weights

    def weight_files(self, part: str, variant: str | None = None) -> tuple[Path, ...]:
        """Files of a part's weights; empty where there are none that can be read.

        Parameters
        ----------
        part : str
            Name of the part.
        variant : str, optional
            Such as "fp16", which stands in the files' names.
        """
        middle = "" if variant is None else f".{variant}"
        for stem in ("diffusion_pytorch_model", "model"):
            whole = self.path / part / f"{stem}{middle}.safetensors"
            if whole.is_file():
                return (whole,)
            pieces = sorted((self.path / part).glob(f"{stem}{middle}-*-of-*.safetensors"))
            pieces += sorted((self.path / part).glob(f"{stem}-*-of-*{middle}.safetensors")) if variant else []
            if pieces:
                return tuple(pieces)
        return ()

    def require_weights(self, part: str, variant: str | None = None) -> tuple[Path, ...]:
        """`weight_files`, or what is there in their place.

        Raises
        ------
        WeightsError
            Names the part and what to do.
        """
        found = self.weight_files(part, variant)
        if found:
            return found
        where, there = self.path / part, sorted((self.path / part).glob("*")) if (self.path / part).is_dir() else []
        names = [file.name for file in there]
        variants = sorted({n.split(".")[1] for n in names if n.endswith(".safetensors") and n.count(".") == 2})
        if variants:
            what, remedy = f"only the variant {variants[0]!r}", f"Ask for it: --variant {variants[0]}."
        elif any(n.endswith((".bin", ".pt", ".ckpt")) for n in names):
            what, remedy = "pickled weights, which may hold code", "Save them as safetensors."
        elif not self.weighty:
            what = "configurations alone"
            remedy = "Time it with --weights random, or add the weights as safetensors."
        else:
            what, remedy = "none", _SAVE
        raise WeightsError(
            f"pipeline {str(self.path)!r}: cannot be loaded, as it lacks weights of {part}; {where} has {what}. "
            f"{remedy}"
        )

    @property
    def weighty(self) -> bool:
        """Whether there are weights of any part."""
        return any(True for part in _KNOWN for _ in (self.path / part).glob("*.safetensors"))

    def tensors(self, part: str, variant: str | None = None) -> Iterator[tuple[str, int, int]]:
        """Name, values and byte per value of each tensor of a part, from its files' headers.

        Raises
        ------
        WeightsError
            Where a file is none, or is shorter than its header says.
        """
        for file in self.require_weights(part, variant):
            for name, entry in header(file).items():
                count = 1
                for side in entry["shape"]:
                    count *= int(side)
                yield name, count, _BYTE.get(str(entry["dtype"]), 4)


def present(entry: Any) -> bool:
    """Whether an entry of an index names a class."""
    return isinstance(entry, list | tuple) and len(entry) == 2 and entry[0] is not None


def header(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """What a safetensors file holds: data type, shape and place of each tensor by its name.

    Raises
    ------
    WeightsError
        Where it is none, or is shorter than it says.
    """
    broken = WeightsError(f"weights: {file} cannot be loaded, as it is no whole safetensors file. {_SAVE}")
    try:
        with open(file, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= _HEADER_BYTE:
                raise broken
            found = json.loads(stream.read(length))
        entries = {name: entry for name, entry in found.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        for entry in entries.values():
            tuple(int(side) for side in entry["shape"]), str(entry["dtype"])
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise broken from None
    if file.stat().st_size < 8 + length + end:
        raise broken
    return entries


def is_checkpoint(path: str) -> bool:
    """Whether a path is one file with all parts, as some tools make them."""
    return Path(path).is_file()


def refuse_checkpoint(path: str) -> None:
    """Refuse a single checkpoint file with InvalidInput."""
    if is_checkpoint(path):
        raise InvalidInput(
            "model", path, "the folder of a pipeline",
            "This is a single file: load it with diffusers' from_single_file and save it with save_pretrained.",
        )  # fmt: skip
