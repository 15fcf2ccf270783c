"""What planning asks of the adapters of a model, as types: small changes of its denoiser, each of one user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class ReadAdapter(Protocol):
    """An adapter whose file was checked."""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        ...

    @property
    def rank(self) -> int:
        """Rank of its factors [1]."""
        ...

    @property
    def resident_byte(self) -> int:
        """Memory that a device holds for it beside the model [byte]."""
        ...


class Adapters(Protocol):
    """A model's adapters, without torch."""

    @property
    def measured(self) -> tuple[str, ...]:
        """Those whose pictures were compared with what their users' scenes look like."""
        ...

    @property
    def example(self) -> str:
        """One to time the loading of."""
        ...

    def read(self, source: str, sha256: str | None = None) -> ReadAdapter:
        """An adapter by its name or file; raises InvalidInput where it cannot be used, or has another digest."""
        ...

    def camera(self, subject: int | str | Mapping[str, Any], source: str) -> NDArray[np.uint8] | None:
        """Frame of a camera in the user's own surroundings; None where these are not known."""
        ...
