"""Regions of a latent for parallel generation: bands of rows, and their fusion where they overlap."""

from __future__ import annotations

import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.split_model import Rows
from megdt_opt.program.model_spec import ModelSpec

_WHOLE = "Leave them out."
_REMEDY = "Take the regions that mechanisms.split_rows gives."


def band(rows: Rows | None, spec: ModelSpec) -> Rows:
    """Rows [begin, end) of a model's latent; all of them for None.

    Raises
    ------
    InvalidInput
        If they do not lie within the latent, are no multiples of `spec.region_multiple`, or the model makes no regions.
    """
    total, multiple = spec.latent_shape[1], spec.region_multiple
    if rows is None:
        return 0, total
    begin, end = rows
    if not multiple:
        raise InvalidInput("rows", rows, f"none: the architecture of {spec.name!r} makes no regions", _WHOLE)
    if not 0 <= begin < end <= total or begin % multiple or end % multiple:
        expected = f"[begin, end) within 0 to {total}, multiples of {multiple} [latent row]"
        raise InvalidInput("rows", rows, expected, _REMEDY)
    return rows


def fuse(latent_a: Tensor, rows_a: Rows, latent_b: Tensor, rows_b: Rows) -> Tensor:
    """Join a top and a bottom band; the overlap is blended linearly.

    Parameters
    ----------
    latent_a, latent_b : Tensor
        (B, C, rows of the band, columns).
    rows_a, rows_b : tuple of int
        Rows [begin, end) of the bands; the top band begins at 0, the bottom band within or right below it.

    Returns
    -------
    Tensor
        (B, C, rows_b[1], columns).

    Raises
    ------
    InvalidInput
        If the bands do not join, or a latent has other rows than its band.
    """
    overlap = rows_a[1] - rows_b[0]
    if rows_a[0] != 0 or overlap < 0 or rows_b[1] <= rows_a[1]:
        expected = "a top band from row 0 and a bottom band that continues it"
        raise InvalidInput("rows", (rows_a, rows_b), expected, _REMEDY)
    for name, latent, rows in (("latent_a", latent_a, rows_a), ("latent_b", latent_b, rows_b)):
        if latent.shape[-2] != rows[1] - rows[0]:
            raise InvalidInput(name, tuple(latent.shape), f"{rows[1] - rows[0]} rows", "Pass the band's own latent.")
    if overlap == 0:
        return torch.cat([latent_a, latent_b], dim=-2)
    part = (torch.arange(overlap, dtype=latent_a.dtype, device=latent_a.device) + 0.5) / overlap
    both = torch.lerp(latent_a[..., -overlap:, :], latent_b[..., :overlap, :], part[:, None])
    return torch.cat([latent_a[..., :-overlap, :], both, latent_b[..., overlap:, :]], dim=-2)
