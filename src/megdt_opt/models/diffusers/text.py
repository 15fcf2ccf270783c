"""Text encoders of a diffusers pipeline: token numbers to conditioning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from megdt_opt.errors import InvalidInput

_BOS, _EOS = 49406, 49407  # of CLIP's vocabulary
_T5_LENGTH = 256
_T5_END = 1
_PROMPTS = (
    "a factory cell seen from above, two robots and a conveyor belt",
    "a street crossing at noon with a red car and a bus",
    "a warehouse with blue shelves and a forklift",
    "an office with four desks, top view",
)


class TextEncoders:
    """One or more CLIP text models, and at most one T5 encoder.

    A request holds token numbers as floats, which is exact (they are integers below 2^24): "state"
    for the CLIP models, which share a vocabulary, and "t5" for the T5 encoder.

    Parameters
    ----------
    networks : sequence of nn.Module
        `CLIPTextModel`, `CLIPTextModelWithProjection` or `T5EncoderModel`, CLIP first.
    tokenizers : sequence or None
        Tokeniser of the CLIP models, then of the T5 encoder; None without text.
    width : int
        Values of a token that the denoiser expects [1].
    padded : bool
        Whether the denoiser expects T5 tokens after CLIP's even where there is no T5 encoder (zeros then).
    """

    def __init__(self, networks: Sequence[Any], tokenizers: Sequence[Any] | None, *, width: int, padded: bool) -> None:
        self._clip = [n for n in networks if n.config.model_type == "clip_text_model"]
        self._t5 = next((n for n in networks if n.config.model_type == "t5"), None)
        self._tokenizers = tokenizers
        self._width = width
        self._padded = padded
        self._length = int(self._clip[0].config.max_position_embeddings)
        self._vocabulary = min(int(n.config.vocab_size) for n in self._clip)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All networks."""
        return (*self._clip, *(() if self._t5 is None else (self._t5,)))

    @property
    def has_tokenizer(self) -> bool:
        """Whether prompts can be given as text."""
        return self._tokenizers is not None

    @property
    def request(self) -> dict[str, tuple[int, ...]]:
        """Tensors of a request, without the batch dimension."""
        clip: dict[str, tuple[int, ...]] = {"state": (self._length,)}
        return clip if self._t5 is None else {**clip, "t5": (_T5_LENGTH,)}

    @property
    def conditioning(self) -> dict[str, tuple[int, ...]]:
        """Tensors of the conditioning, without the batch dimension."""
        length = self._length
        if self._padded:
            length += self._length if self._t5 is None else _T5_LENGTH
        made: dict[str, tuple[int, ...]] = {
            "tokens": (length, self._width),
            "negative": (length, self._width),
        }
        projections = [int(n.config.projection_dim) for n in self._clip if _projects(n)]
        if len(self._clip) > 1 and projections:
            made |= {"pooled": (sum(projections),), "pooled_negative": (sum(projections),)}
        return made

    def from_prompt(self, prompt: str) -> dict[str, Tensor]:
        """Request of a text prompt, batch 1.

        Raises
        ------
        InvalidInput
            If there is no tokeniser.
        """
        if self._tokenizers is None:
            raise InvalidInput(
                "prompt", prompt, "a model with a tokeniser", "Use from_pretrained, or example_requests."
            )
        found = {}
        for (name, shape), tokenizer in zip(self.request.items(), self._tokenizers, strict=True):
            ids = tokenizer(
                prompt, padding="max_length", max_length=shape[0], truncation=True, return_tensors="pt"
            ).input_ids
            found[name] = ids.float()
        return found

    def examples(self, count: int, seed: int) -> list[dict[str, Tensor]]:
        """Requests of batch 1: example prompts, or random tokens without a tokeniser."""
        if self.has_tokenizer:
            return [self.from_prompt(_PROMPTS[(seed + n) % len(_PROMPTS)]) for n in range(count)]
        generator = torch.Generator().manual_seed(seed)
        high = {"state": min(_BOS, self._vocabulary)}
        if self._t5 is not None:
            high["t5"] = int(self._t5.config.vocab_size)
        return [
            {n: torch.randint(2, high[n], (1, *s), generator=generator).float() for n, s in self.request.items()}
            for _ in range(count)
        ]

    def empty(self, batch: int) -> dict[str, Tensor]:
        """Request of the empty prompt."""
        last = self._vocabulary - 1
        ids = torch.full((batch, self._length), min(_EOS, last))
        ids[:, 0] = min(_BOS, last - 1)
        made = {"state": ids}
        if self._t5 is not None:
            made["t5"] = functional.pad(torch.full((batch, 1), _T5_END), (0, _T5_LENGTH - 1))
        return made

    def encode(self, request: Mapping[str, Tensor], device: str) -> tuple[Tensor, Tensor | None]:
        """Tokens (B, length, width) and pooled conditioning (B, width) or None, both fp32."""
        ids = request["state"].to(device).long()
        if len(self._clip) == 1:
            return self._clip[0](ids, return_dict=True).last_hidden_state.float(), None
        hidden, pooled = [], []
        for number, encoder in enumerate(self._clip):
            # the second tokeniser pads with token 0 after the end of the prompt
            given = ids if number == 0 else _padded_with_zeros(ids)
            out = encoder(given, output_hidden_states=True, return_dict=True)
            hidden.append(out.hidden_states[-2].float())
            if _projects(encoder):
                pooled.append(out.text_embeds.float())
        tokens = torch.cat(hidden, dim=-1)
        if self._padded:
            tokens = functional.pad(tokens, (0, self._width - tokens.shape[-1]))
            tokens = torch.cat([tokens, self._encode_t5(request, tokens)], dim=1)
        return tokens, torch.cat(pooled, dim=-1) if pooled else None

    def _encode_t5(self, request: Mapping[str, Tensor], like: Tensor) -> Tensor:
        if self._t5 is None:
            return torch.zeros_like(like)
        return self._t5(request["t5"].to(like.device).long(), return_dict=True).last_hidden_state.float()


def _projects(network: Any) -> bool:
    return hasattr(network, "text_projection")


def _padded_with_zeros(ids: Tensor) -> Tensor:
    """Tokens with zeros after the first end of text."""
    ends = (ids == _EOS).int()
    return ids.masked_fill(ends.cumsum(dim=1) - ends > 0, 0)
