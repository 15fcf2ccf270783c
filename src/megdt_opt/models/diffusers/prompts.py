"""Prompts of a diffusers pipeline as token numbers, in numpy: what devices send. No torch.

A request holds token numbers as float32, which is exact (they are integers below 2^24): "state" for the CLIP models,
which share a vocabulary, and "t5" for the T5 encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.files import read_bytes
from megdt_opt.models.diffusers.architecture import Architecture
from megdt_opt.models.diffusers.design import TextLayout, text_layout
from megdt_opt.models.diffusers.folder import TEXT_PARTS, TOKENIZERS, PipelineFolder
from megdt_opt.models.diffusers.location import folder_of

Request = dict[str, NDArray[Any]]

EXAMPLES = (
    "a factory cell seen from above, two robots and a conveyor belt",
    "a street crossing at noon with a red car and a bus",
    "a warehouse with blue shelves and a forklift",
    "an office with four desks, top view",
)
"""Prompts that stand for those of users."""

PROMPT_LENGTH = 10_000
"""Most characters of a prompt."""

SECOND = "second"
"""Name of the tokeniser of a second CLIP model."""

_BOS, _EOS, _T5_END = 49406, 49407, 1  # of CLIP's and T5's vocabularies
_PICTURE_BYTE = 2**28


class Prompts:
    """Makes requests of prompts.

    Parameters
    ----------
    layout : TextLayout
        What a request holds.
    tokenizers : mapping of str to tokeniser, optional
        By the names of the request's tensors, and `SECOND` for that of a second CLIP model; without them there are no
        prompts in words.
    """

    def __init__(self, layout: TextLayout, tokenizers: Mapping[str, Any] | None = None) -> None:
        self.layout = layout
        self._tokenizers = dict(tokenizers or {})
        self._second = self._tokenizers.pop(SECOND, None)

    @property
    def worded(self) -> bool:
        """Whether prompts can be given as text."""
        return set(self._tokenizers) == set(self.layout.request)

    def from_text(self, prompt: str) -> Request:
        """Request of a text prompt, batch 1.

        Raises
        ------
        InvalidInput
            If there is no tokeniser, the prompt is no text, or it has what a second CLIP model reads otherwise.
        """
        if not isinstance(prompt, str) or len(prompt) > PROMPT_LENGTH:
            expected = f"text of at most {PROMPT_LENGTH} characters"
            raise InvalidInput("prompt", type(prompt).__name__, expected, "Write it in words.")
        if not self.worded:
            remedy = "Take a folder with its tokenisers, or leave the prompt out: a seed stands for random tokens."
            raise InvalidInput("prompt", prompt, "none: the model has no tokeniser", remedy)
        words = prompt.lower().strip() if self.layout.lower else prompt
        found = {}
        for name, (length,) in self.layout.request.items():
            made = self._tokenizers[name](words, padding="max_length", max_length=length, truncation=True)
            found[name] = np.array([made["input_ids"]], dtype=np.float32)
        if self._second is not None:
            self._check_second(words, found["state"])
        return found

    def _check_second(self, words: str, ids: NDArray[Any]) -> None:
        """Refuse what the second CLIP model would not read as the first one's tokens, with zeros behind their end."""
        (length,) = self.layout.request["state"]
        made = self._second(words, padding="max_length", max_length=length, truncation=True)
        ends = ids == self.end_of_text()
        if not np.array_equal(np.array([made["input_ids"]]), np.where(ends.cumsum(axis=1) - ends > 0, 0, ids)):
            expected = "text that both tokenisers of the pipeline read alike"
            remedy = f"Leave out {self._second.pad_token!r}, with which the second one fills up."
            raise InvalidInput("prompt", words, expected, remedy)

    def of_seed(self, seed: int) -> Request:
        """Request that a seed stands for: an example prompt, or random tokens without a tokeniser."""
        if self.worded:
            return self.from_text(EXAMPLES[seed % len(EXAMPLES)])
        rng = np.random.default_rng(seed)
        high = {
            "state": min(_BOS, self.layout.vocabulary.get("state", _BOS)),
            "t5": self.layout.vocabulary.get("t5", 2),
        }
        shapes = self.layout.request.items()
        return {name: rng.integers(2, high[name], (1, *shape)).astype(np.float32) for name, shape in shapes}

    def examples(self, count: int, seed: int) -> list[Request]:
        """Requests of batch 1 to time a model on."""
        return [self.of_seed(seed + n) for n in range(count)]

    def empty(self, batch: int) -> Request:
        """Request of the empty prompt."""
        if self.worded:
            made = self.from_text("")
        else:
            made = {name: np.zeros((1, *shape), dtype=np.float32) for name, shape in self.layout.request.items()}
            if "state" in made:
                last = self.layout.vocabulary["state"] - 1
                made["state"][:] = min(_EOS, last)
                made["state"][:, 0] = min(_BOS, last - 1)
            if "t5" in made:
                made["t5"][:, 0] = _T5_END
        return {name: np.repeat(ids, batch, axis=0) for name, ids in made.items()}

    def end_of_text(self) -> int:
        """Token with which CLIP's prompts end."""
        known = getattr(self._tokenizers.get("state"), "eos_token_id", None)
        return int(known) if known is not None else min(_EOS, self.layout.vocabulary.get("state", _EOS + 1) - 1)


def tokenizers_of(folder: PipelineFolder, layout: TextLayout) -> dict[str, Any] | None:
    """Tokenisers of a pipeline by the tensors of its requests; None where the folder has not all.

    Raises
    ------
    WeightsError
        Where one cannot be read; names its part.
    """
    from transformers import AutoTokenizer

    found: dict[str, Any] = {}
    for part in folder.text_parts:
        own = TOKENIZERS[TEXT_PARTS.index(part)]
        name = "t5" if "T5" in folder.class_of(part) else "state"
        if name in found:
            name = SECOND
        if not folder.has(own) or not (folder.path / own).is_dir():
            return None
        try:
            found[name] = AutoTokenizer.from_pretrained(
                str(folder.path / own), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0][:160]
            raise WeightsError(
                f"pipeline {str(folder.path)!r}: {own} cannot be loaded ({type(error).__name__}: {reason}). "
                "Save or download it again, or remove it and plan without prompts."
            ) from error
    return found


class PipelineRequests:
    """Makes requests of a pipeline from what a scenario says of its users.

    Parameters
    ----------
    source : str
        Pipeline folder, or hub id that is cached on this machine.
    image_shape : tuple of int
        (rows, columns, 3) of the pictures.
    """

    def __init__(self, source: str, image_shape: tuple[int, int, int]) -> None:
        self._prompts = _prompts(source)
        self._image_shape = image_shape

    def request(self, subject: int | str | Mapping[str, Any]) -> Request:
        """Token numbers of a prompt, or of the one that a seed stands for."""
        if isinstance(subject, str):
            return self._prompts.from_text(subject)
        if isinstance(subject, Mapping):
            expected = "a seed; the model takes prompts and no scenes"
            raise InvalidInput("scene", "a scene", expected, "Write what is to be shown as the user's prompt.")
        return self._prompts.of_seed(subject)

    def camera(self, subject: int | str | Mapping[str, Any]) -> NDArray[np.uint8]:
        """Smooth colours that stand for a picture where none is given, uint8 (1, rows, columns, 3)."""
        rows, columns, _ = self._image_shape
        seed = subject if isinstance(subject, int) else sum(map(ord, str(subject)))
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
        waves = [127.5 * (1 + np.sin(a * x + b * y + c)) for a, b, c in rng.uniform(1.0, 9.0, (3, 3))]
        return np.stack(waves, axis=-1).round().astype(np.uint8)[None]

    def reference(self, request: Mapping[str, NDArray[Any]]) -> None:
        """None: what a prompt asks for is not known before it is generated."""


@lru_cache(maxsize=8)
def _prompts(source: str) -> Prompts:
    folder = PipelineFolder.open(folder_of(source, local_files_only=True))
    design = Architecture.read(folder)
    layout = text_layout(design)
    return Prompts(layout, tokenizers_of(folder, layout))


def picture_of(path: str, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture in a file, uint8 (1, rows, columns, 3).

    Parameters
    ----------
    path : str
        PNG or JPEG.
    image_shape : tuple of int
        (rows, columns, 3) that the model takes.

    Raises
    ------
    InvalidInput
        Where it is none, or is of another size.
    """
    import io

    from PIL import Image

    data = read_bytes(path, "picture", limit_byte=_PICTURE_BYTE)
    rows, columns, _ = image_shape
    remedy = "Give a PNG or JPEG of the model's own size."
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            size = opened.size
            pixels = np.asarray(opened.convert("RGB"), dtype=np.uint8) if size == (columns, rows) else None
    except Exception as error:  # the decoders raise many unrelated classes
        raise InvalidInput("picture", path, "a PNG or JPEG picture", remedy) from error
    if pixels is None:
        raise InvalidInput(f"picture {path}", f"{size[1]} x {size[0]}", f"{rows} x {columns} [pixel]", remedy)
    return pixels[None].copy()
