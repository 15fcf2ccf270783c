"""The model that the executor splits, as a type: nothing here loads torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from megdt_opt.program.model_spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

Rows = tuple[int, int]
"""Rows [begin, end) of a latent."""


class SplitModel(Protocol):
    """A latent diffusion model that can stop and go on at every denoising step, anywhere.

    Every method is a deterministic function of its arguments, so that a chain which is handed over
    in fp32 ends in the same bits as one that is not.

    A model may also offer what a calibration asks for: `example_requests(count, seed)`, requests to be timed on;
    `real_requests`, whether those are such as users send; `weights`, "trained" or "random"; `precision` and `device`.
    One that an edge runs for several chains in one pass offers `denoise_together` (`TogetherModel`), one that takes a
    user's adapter `adapted` (`AdaptableModel`).
    """

    spec: ModelSpec

    @classmethod
    def load(cls) -> Self:
        """Read the weights."""
        ...

    def encode_prompt(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Conditioning of a request."""
        ...

    def start(self, seed: int, *, scheduler: str, steps: int, rows: Rows | None = None) -> dict[str, Tensor]:
        """State before the first denoising step."""
        ...

    def denoise(
        self,
        state: Mapping[str, Tensor],
        conditioning: Mapping[str, Tensor],
        *,
        scheduler: str,
        steps: int,
        first: int,
        count: int,
        rows: Rows | None = None,
    ) -> dict[str, Tensor]:
        """State after the steps first..first + count - 1; a multistep sampler's history travels in it."""
        ...

    def fuse(self, latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
        """Whole latent from two regions, blended where they overlap."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Picture of a latent, uint8 (batch, rows, columns, 3)."""
        ...

    def sense(self, image: Tensor) -> Tensor:
        """Latent of a picture."""
        ...

    def start_from(self, latent: Tensor, seed: int, *, scheduler: str, steps: int, first: int) -> dict[str, Tensor]:
        """State before step `first`, noised from a sensed latent."""
        ...


@runtime_checkable
class SketchModel(Protocol):
    """A model that has a generator from sketches, as its spec says (`ModelSpec.sketch`)."""

    def sketch(self, image: Tensor) -> Tensor:
        """Coded sketch of one picture, uint8 (1, rows, columns, 3), or of a camera's frame: uint8 (length,)."""
        ...

    def read_sketch(self, data: Tensor) -> dict[str, Tensor]:
        """What the generator takes of a coded sketch: `denoise` gets it in the conditioning, beside the encoded prompt
        or alone.

        Raises
        ------
        MalformedMessage
            Where the bytes are no sketch.
        """
        ...


@runtime_checkable
class AdaptableModel(SplitModel, Protocol):
    """A model whose denoiser takes an adapter of a user: a file at the actor, which nothing sends."""

    adapter: str | None
    adapter_sha256: str | None

    def adapted(self) -> SplitModel:
        """The model with `adapter`, read from its file and merged at this moment."""
        ...


@runtime_checkable
class TogetherModel(Protocol):
    """A model that makes a step of several chains in one pass, wherever each of them stands."""

    def denoise_together(
        self,
        states: Sequence[Mapping[str, Tensor]],
        conditionings: Sequence[Mapping[str, Tensor]],
        *,
        schedulers: Sequence[str],
        steps: int,
        at: Sequence[int],
    ) -> list[dict[str, Tensor]]:
        """State of each chain after its own step `at`: that of `denoise` by its scheduler to within rounding."""
        ...
