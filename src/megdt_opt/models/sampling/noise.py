"""Noise of a seed: the latents that a generator of torch draws one after another, by their number.

A chain begins with the first, and a sampler that adds noise at its steps takes the next ones, as diffusers' pipelines
do with one generator. So its state is the seed and how many were drawn, and any process can draw the next.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from threading import Lock

import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.program.samplers import GENERATOR, GENERATOR_BYTE

_FORMAT = "<qq"
_KEPT = 64


def standard_normal(seed: int, shape: tuple[int, ...]) -> Tensor:
    """First noise of a seed, drawn on the CPU so that every side has the same, float32.

    Raises
    ------
    InvalidInput
        If the seed is not an integer from 0 to 2**63 - 1.
    """
    return torch.randn(shape, generator=_seeded(seed))


def drawn(seed: int, count: int, batch: int = 1) -> Tensor:
    """What a state holds after `count` latents were drawn from a seed, uint8 (batch, 16)."""
    packed = torch.frombuffer(bytearray(struct.pack(_FORMAT, seed, count)), dtype=torch.uint8)
    return packed.expand(batch, GENERATOR_BYTE).contiguous()


class Draws:
    """Generators that go on where a state's have stopped, one for each latent of a batch.

    Parameters
    ----------
    state : Tensor
        As `drawn` gives it.
    shape : tuple of int
        Shape of every latent drawn, with a batch dimension of 1.

    Raises
    ------
    InvalidInput
        If the state's numbers are no seeds and counts.
    """

    def __init__(self, state: Tensor, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._at: list[tuple[int, int]] = []
        for row in state.cpu():
            seed, count = struct.unpack(_FORMAT, bytes(row.tolist()))
            if not 0 <= count <= _MOST:
                raise InvalidInput(GENERATOR, count, f"0 to {_MOST} latents drawn", "Pass the state that start gives.")
            self._at.append((seed, count))
        self.generators = [_forward(seed, count, shape) for seed, count in self._at]

    def state(self, more: int) -> Tensor:
        """The state after `more` latents were drawn from each generator, which are then given back."""
        for (seed, count), generator in zip(self._at, self.generators, strict=True):
            _keep((seed, count + more, self._shape), generator)
        return torch.cat([drawn(seed, count + more) for seed, count in self._at])


_MOST = 100_000
"""Most latents that a chain draws."""

# Where a process goes on with its own chain, drawing all latents before again would take time; the generators that
# stand there are kept. They are looked up by what they have drawn, so that nothing depends on whether one is found.
_kept: OrderedDict[tuple[int, int, tuple[int, ...]], torch.Generator] = OrderedDict()
_lock = Lock()


def _forward(seed: int, count: int, shape: tuple[int, ...]) -> torch.Generator:
    with _lock:
        found = _kept.pop((seed, count, shape), None)
    if found is not None:
        return found
    generator = _seeded(seed)
    for _ in range(count):
        torch.randn(shape, generator=generator)
    return generator


def _keep(key: tuple[int, int, tuple[int, ...]], generator: torch.Generator) -> None:
    with _lock:
        _kept[key] = generator
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)


def _seeded(seed: int) -> torch.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidInput("seed", seed, "an integer from 0 to 2**63 - 1", "Give such a seed.")
    return torch.Generator().manual_seed(seed)
