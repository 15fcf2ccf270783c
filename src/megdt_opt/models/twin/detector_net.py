"""Network of the detector: heat maps of centres by kind, colours and offsets on a grid of 2x2 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from megdt_opt.models.twin.catalogue import COLOURS, KINDS

STRIDE_PX = 2
"""Pixels of a cell of the detector's grid [px]."""


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


class DetectorNet(nn.Module):
    """A small convolutional network with two coarser levels for context."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_block(3, 24, 2), _block(24, 24))
        self.middle = nn.Sequential(_block(24, 48, 2), _block(48, 48))
        self.coarse = nn.Sequential(_block(48, 64, 2), _block(64, 64), _block(64, 48))
        self.up_middle = _block(48, 32)
        self.up_fine = _block(32 + 24, 32)
        self.head = nn.Conv2d(32, len(KINDS) + len(COLOURS) + 2, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read pictures, (B, 3, 64, 64) from -1 to 1.

        Returns
        -------
        tuple of Tensor
            Logits of a centre by kind, (B, kinds, 32, 32); logits of the colour, (B, colours, 32, 32); offset of
            the centre from the cell's centre in cells, x then y, (B, 2, 32, 32).
        """
        fine = self.fine(picture)
        middle = self.middle(fine)
        middle = self.up_middle(middle + functional.interpolate(self.coarse(middle), scale_factor=2.0))
        fine = self.up_fine(torch.cat([functional.interpolate(middle, scale_factor=2.0), fine], dim=1))
        out = self.head(fine)
        kinds, colours = len(KINDS), len(COLOURS)
        return out[:, :kinds], out[:, kinds : kinds + colours], out[:, kinds + colours :]
