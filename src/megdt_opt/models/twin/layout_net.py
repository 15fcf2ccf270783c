"""Network that reads a layout for the frozen denoiser: what the painter and the prompt's tokens would have told it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from megdt_opt.models.twin.catalogue import SIZE_PX
from megdt_opt.models.twin.layout import PALETTE
from megdt_opt.models.twin.networks import CONTENT, LATENT_SHAPE, LAYOUT, waves

GUIDE = {"grid": (LAYOUT, *LATENT_SHAPE[1:]), "content": (16, CONTENT)}
"""What is read from a layout: tensors by name, with their shapes without the batch dimension."""

_CELL_PX = SIZE_PX // LATENT_SHAPE[1]
_WIDTH = 80
_DEEP = 96


class _Residual(nn.Module):
    """Two convolutions beside a straight line."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))
        self.second = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        out: Tensor = x + self.second(self.first(x))
        return out


class LayoutReader(nn.Module):
    """Turns a layout in palette numbers into the denoiser's own inputs: a painted grid and tokens of content.

    Each cell of the latent sees its own block of pixels and where it is in the picture; three cells' convolutions and a
    coarser level bring in its neighbourhood.
    """

    def __init__(self) -> None:
        super().__init__()
        size = LATENT_SHAPE[1]
        at = (torch.arange(size) + 0.5) / size
        y, x = torch.meshgrid(at, at, indexing="ij")
        unit = torch.stack([x, y], dim=-1)
        self.register_buffer("place", torch.cat([unit, *waves(unit)], dim=-1).permute(2, 0, 1)[None], persistent=False)
        blocks = len(PALETTE) * _CELL_PX**2
        self.enter = nn.Conv2d(blocks + 2 + 4 * 4, _WIDTH, 3, 1, 1)
        self.fine = nn.Sequential(_Residual(_WIDTH), _Residual(_WIDTH))
        self.down = nn.Conv2d(_WIDTH, _DEEP, 3, 2, 1)
        self.coarse = nn.Sequential(_Residual(_DEEP), _Residual(_DEEP))
        self.tokens = nn.Sequential(nn.Conv2d(_DEEP, _DEEP, 3, 2, 1), nn.SiLU(), nn.Conv2d(_DEEP, CONTENT, 1))
        self.up = nn.Conv2d(_DEEP, _WIDTH, 1)
        self.last = nn.Sequential(_Residual(_WIDTH), nn.GroupNorm(8, _WIDTH), nn.SiLU())
        self.paint = nn.Conv2d(_WIDTH, LAYOUT, 1)

    def forward(self, layout: Tensor) -> tuple[Tensor, Tensor]:
        """Read layouts.

        Parameters
        ----------
        layout : Tensor
            Entries of the palette, (B, 64, 64) uint8.

        Returns
        -------
        tuple of Tensor
            Painted grid (B, 32, 16, 16) and tokens (B, 16, 64).
        """
        flags = functional.one_hot(layout.long(), len(PALETTE)).permute(0, 3, 1, 2).float()
        blocks = functional.pixel_unshuffle(flags, _CELL_PX)
        place: Tensor = self.get_buffer("place")
        fine = self.fine(self.enter(torch.cat([blocks, place.expand(len(blocks), -1, -1, -1)], dim=1)))
        coarse = self.coarse(self.down(fine))
        tokens = self.tokens(coarse).flatten(2).transpose(1, 2)
        fine = self.last(fine + functional.interpolate(self.up(coarse), scale_factor=2.0))
        return self.paint(fine), tokens.contiguous()
