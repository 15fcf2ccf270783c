"""Resumable training: a checkpoint holds networks, optimiser, averages and the count of steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def save(path: Path, **parts: Any) -> None:
    """Write a checkpoint; the old one stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    torch.save(parts, draft)
    os.replace(draft, path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint, or None if there is none yet."""
    if not path.exists():
        return None
    parts: dict[str, Any] = torch.load(path, weights_only=True)
    return parts


class Average:
    """Exponential moving average of a network's weights."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards the network; early steps move faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                self.weights[key].lerp_(value, 1 - decay)
            else:  # counters have no average
                self.weights[key].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Averaged weights."""
        return self.weights


def descend(loss: Tensor, net: nn.Module, optimiser: torch.optim.Optimizer, average: Average, step: int) -> None:
    """One step of an optimiser, with clipped gradients, and of the weights' average."""
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    average.update(net, step)
