"""A fixed kernel that tells how fast a processor is at this moment: convolutions with a working set like a model's.

It is timed when a profile is made and again when an execution is verified, so that a machine that is slower in this
minute is not taken for a profile that is wrong. An integer loop would be no substitute: it does not feel the memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional

CHANNELS = 64
SIDE = 16
_LAYER_BYTE = CHANNELS * CHANNELS * 9 * 4

LEAST_BYTE, MOST_BYTE = 2**20, 2**26
"""Working sets that the kernel may have [byte]; beyond the caches nothing changes any more."""


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
    layers = max(1, round(min(max(weight_byte, LEAST_BYTE), MOST_BYTE) / _LAYER_BYTE))
    generator = torch.Generator().manual_seed(0)
    scale = (CHANNELS * 9) ** -0.5
    weights = [torch.randn(CHANNELS, CHANNELS, 3, 3, generator=generator) * scale for _ in range(layers)]
    begin = torch.randn(1, CHANNELS, SIDE, SIDE, generator=generator)

    def once() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the processor seconds are this thread's
        try:
            with torch.no_grad():
                used_s = time.thread_time()
                found = begin
                for weight in weights:
                    found = functional.relu(functional.conv2d(found, weight, padding=1)).add_(begin)
                return time.thread_time() - used_s
        finally:
            torch.set_num_threads(threads)

    return once
