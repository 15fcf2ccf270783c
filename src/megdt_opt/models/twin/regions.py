"""Regions of a latent for parallel generation: bands of rows, and their fusion where they overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput

Rows = tuple[int, int]


def check_rows(rows: Rows, total: int, multiple: int) -> None:
    """Refuse a band that does not lie within `total` rows or is not a multiple of `multiple`.

    Raises
    ------
    InvalidInput
    """
    first, after = rows
    if not 0 <= first < after <= total or first % multiple or after % multiple:
        raise InvalidInput(
            "rows",
            rows,
            f"(first, after) within 0 to {total}, multiples of {multiple} [latent row]",
            "Take the regions that mechanisms.split_rows gives.",
        )


def fuse(latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
    """Join a top and a bottom band; the overlap is blended linearly.

    Parameters
    ----------
    latent_a, latent_b : Tensor
        (B, C, rows of the band, columns).
    rows_a, rows_b : tuple of int
        (first, after) rows of the bands; the top band begins at 0, the bottom band within or right below it.

    Returns
    -------
    Tensor
        (B, C, rows_b[1], columns).
    """
    overlap = rows_a[1] - rows_b[0]
    if rows_a[0] != 0 or overlap < 0 or rows_b[1] <= rows_a[1]:
        raise InvalidInput(
            "rows",
            (rows_a, rows_b),
            "a top band from row 0 and a bottom band that continues it",
            "Take the regions that mechanisms.split_rows gives.",
        )
    for name, latent, rows in (("latent_a", latent_a, rows_a), ("latent_b", latent_b, rows_b)):
        if latent.shape[-2] != rows[1] - rows[0]:
            raise InvalidInput(name, tuple(latent.shape), f"{rows[1] - rows[0]} rows", "Pass the band's own latent.")
    if overlap == 0:
        return torch.cat([latent_a, latent_b], dim=-2)
    part = (torch.arange(overlap, dtype=latent_a.dtype) + 0.5) / overlap
    both = torch.lerp(latent_a[..., -overlap:, :], latent_b[..., :overlap, :], part[:, None])
    return torch.cat([latent_a[..., :-overlap, :], both, latent_b[..., overlap:, :]], dim=-2)
