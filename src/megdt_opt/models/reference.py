"""A fixed kernel that tells how fast a processor is at this moment: work like a denoiser's, on memory like a model's.

It is timed when a profile is made and again when an execution is verified, so that a machine that is slower in this
minute is not taken for a profile that is wrong. An integer loop would be no substitute: it does not feel the memory;
and convolutions alone slow down more than a model, a part of whose time goes into calling small operations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

CHANNELS = 64
GROUPS = 8
SIDE = 16
FINE = 0.2
"""Part of the blocks that work on the whole side, the others on half of it, as in the middle of a U-Net [1]."""

_BLOCK_BYTE = 4 * CHANNELS * CHANNELS * (2 * 9 + 1)

LEAST_BYTE, MOST_BYTE = 2**20, 2**26
"""Working sets that the kernel may have [byte]; beyond the caches nothing changes any more."""

BLOCK_S = 0.1
"""Steps of a chain that are timed between two runs of the kernel last about so long [s]."""


def block_of(step_s: float) -> int:
    """Steps of a chain that are timed together [1], where one lasts so long [s]."""
    return max(1, math.ceil(BLOCK_S / step_s))


def reference_kernel(weight_byte: int) -> Callable[[], float]:
    """A kernel whose weights are about so large as the denoiser's [byte]; each call runs it once.

    Returns
    -------
    callable
        Runs the kernel in this thread and returns the processor seconds that it took [s].

    Examples
    --------
    >>> from megdt_opt.models.reference import reference_kernel
    >>> reference_kernel(2**20)() > 0
    True
    """
    count = max(3, round(min(max(weight_byte, LEAST_BYTE), MOST_BYTE) / _BLOCK_BYTE))
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / math.prod(shape[1:]) ** 0.5

    wide = (CHANNELS, CHANNELS, 3, 3)
    blocks = [(drawn(*wide), drawn(*wide), drawn(CHANNELS, CHANNELS)) for _ in range(count)]
    begin, token = drawn(1, CHANNELS, SIDE, SIDE), drawn(1, CHANNELS)
    fine = max(1, round(FINE * count / 2))

    def normed(found: Tensor) -> Tensor:
        return functional.silu(functional.group_norm(found, GROUPS))

    def run() -> Tensor:
        found = begin
        for number, (first, second, mixed) in enumerate(blocks):
            if number == fine:
                found = functional.avg_pool2d(found, 2)
            if number == count - fine:
                found = functional.interpolate(found, scale_factor=2.0)
            inner = functional.conv2d(normed(found), first, padding=1)
            inner = inner + functional.linear(functional.silu(token), mixed)[:, :, None, None]
            found = (found + functional.conv2d(normed(inner), second, padding=1)) / 2
        return found

    def once() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the processor seconds are this thread's
        try:
            with torch.no_grad():
                used_s = time.thread_time()
                run()
                return time.thread_time() - used_s
        finally:
            torch.set_num_threads(threads)

    return once
