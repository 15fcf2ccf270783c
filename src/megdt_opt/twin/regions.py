"""Regions of a latent for parallel generation: two bands of rows that overlap, and their fusion."""

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
            "rows", rows, f"(first, after) within 0 to {total}, multiples of {multiple} [latent row]",
            "Take the regions that split_rows gives.",
        )


def split_rows(share: float, overlap: int, total: int, multiple: int) -> tuple[Rows, Rows]:
    """Cut a latent into a top and a bottom band.

    Parameters
    ----------
    share : float
        Wanted part of the content that the top band makes, 0 < share < 1; the seam lies in the middle of the overlap.
    overlap : int
        Rows that both bands have [latent row], a multiple of `multiple`.
    total : int
        Rows of the latent.
    multiple : int
        Bands begin and end at multiples of this.

    Returns
    -------
    tuple
        (first, after) rows of the top and of the bottom band.
    """
    if not 0.0 < share < 1.0:
        raise InvalidInput("share", share, "a part between 0 and 1, both excluded", "Use one side alone for 0 or 1.")
    if not 0 <= overlap <= total - 2 * multiple or overlap % multiple:
        raise InvalidInput(
            "overlap", overlap, f"a multiple of {multiple} from 0 to {total - 2 * multiple} [latent row]", "Round it."
        )
    seam = multiple * round((share * total + overlap / 2) / multiple)
    end = min(max(seam, overlap + multiple), total - multiple)
    return (0, end), (end - overlap, total)


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
            "rows", (rows_a, rows_b), "a top band from row 0 and a bottom band that continues it",
            "Take the regions that split_rows gives.",
        )
    for name, latent, rows in (("latent_a", latent_a, rows_a), ("latent_b", latent_b, rows_b)):
        if latent.shape[-2] != rows[1] - rows[0]:
            raise InvalidInput(name, tuple(latent.shape), f"{rows[1] - rows[0]} rows", "Pass the band's own latent.")
    if overlap == 0:
        return torch.cat([latent_a, latent_b], dim=-2)
    part = (torch.arange(overlap, dtype=latent_a.dtype) + 0.5) / overlap
    both = torch.lerp(latent_a[..., -overlap:, :], latent_b[..., :overlap, :], part[:, None])
    return torch.cat([latent_a[..., :-overlap, :], both, latent_b[..., overlap:, :]], dim=-2)
