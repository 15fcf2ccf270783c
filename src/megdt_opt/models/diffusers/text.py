"""Text encoders of a diffusers pipeline: token numbers to conditioning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from megdt_opt.models.diffusers.design import FLUX, PIXART, UNET
from megdt_opt.models.diffusers.prompts import Prompts

Encoded = dict[str, Tensor]


class TextEncoders:
    """The text models of a pipeline.

    Parameters
    ----------
    networks : sequence of nn.Module
        `CLIPTextModel`, `CLIPTextModelWithProjection` or `T5EncoderModel`, CLIP first.
    prompts : Prompts
        What requests hold.
    """

    def __init__(self, networks: Sequence[Any], prompts: Prompts) -> None:
        self._clip = [n for n in networks if n.config.model_type == "clip_text_model"]
        self._t5 = next((n for n in networks if n.config.model_type == "t5"), None)
        self._layout = prompts.layout
        self._end = prompts.end_of_text()

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All networks."""
        return (*self._clip, *(() if self._t5 is None else (self._t5,)))

    def encode(self, request: Mapping[str, Tensor], device: str) -> Encoded:
        """Conditioning of a request: "tokens" (B, length, width), and "pooled" and "mask" where there are, fp32."""
        ids = {name: value.to(device).long() for name, value in request.items()}
        if self._layout.kind == PIXART:
            mask = (ids["t5"] != 0).long()
            return {"tokens": self._encode_t5(ids["t5"], mask), "mask": mask.float()}
        if self._layout.kind == FLUX:
            pooled = self._clip[0](ids["state"], return_dict=True).pooler_output
            return {"tokens": self._encode_t5(ids["t5"]), "pooled": pooled.float()}
        if self._layout.last:
            return {"tokens": self._clip[0](ids["state"], return_dict=True).last_hidden_state.float()}
        tokens, pooled = self._encode_clip(ids["state"])
        if self._layout.kind != UNET:
            length, width = self._layout.conditioning["tokens"]
            tokens = functional.pad(tokens, (0, width - tokens.shape[-1]))
            if self._t5 is None:  # zeros stand for it
                tokens = functional.pad(tokens, (0, 0, 0, length - tokens.shape[1]))
            else:
                tokens = torch.cat([tokens, self._encode_t5(ids["t5"])], dim=1)
        return {"tokens": tokens, "pooled": pooled}

    def _encode_clip(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of all CLIP models side by side, and the projected encodings."""
        hidden, pooled = [], []
        for number, encoder in enumerate(self._clip):
            # the second tokeniser pads with token 0 after the end of the prompt
            given = ids if number == 0 and len(self._clip) > 1 else _padded_with_zeros(ids, self._end)
            out = encoder(given, output_hidden_states=True, return_dict=True)
            hidden.append(out.hidden_states[-2].float())
            if hasattr(encoder, "text_projection"):
                pooled.append(out.text_embeds.float())
        return torch.cat(hidden, dim=-1), torch.cat(pooled, dim=-1)

    def _encode_t5(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        assert self._t5 is not None  # `check_fits` has looked
        return self._t5(ids, attention_mask=mask, return_dict=True).last_hidden_state.float()


def _padded_with_zeros(ids: Tensor, end: int) -> Tensor:
    """Tokens with zeros after the first end of text."""
    ends = (ids == end).int()
    return ids.masked_fill(ends.cumsum(dim=1) - ends > 0, 0)
