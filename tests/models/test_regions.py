"""Regions of a latent: which rows may be asked for, and their fusion."""

from __future__ import annotations

import pytest
import torch

from megdt_opt.errors import InvalidInput
from megdt_opt.models.regions import band, fuse
from megdt_opt.models.registry import find_spec
from megdt_opt.program.mechanisms import split_rows
from megdt_opt.program.model_spec import ModelSpec

TWIN, SD15 = find_spec("twin"), find_spec("sd15")


@pytest.mark.parametrize("spec", [TWIN, SD15], ids=["twin", "sd15"])
def test_no_rows_are_all_rows(spec: ModelSpec) -> None:
    total = spec.latent_shape[1]
    assert band(None, spec) == band((0, total), spec) == (0, total)


@pytest.mark.parametrize("rows", [(0, 4), (8, 8), (16, 8), (0, 72), (-8, 8)])
def test_rows_that_are_no_region_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="rows.*multiples of 8"):
        band(rows, SD15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spec", [TWIN, SD15], ids=["twin", "sd15"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_parts_of_one_latent_are_fused_to_it(spec: ModelSpec, share: float, dtype: torch.dtype) -> None:
    latent = torch.randn(2, *spec.latent_shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    a, b = split_rows(spec, share, 2 * spec.region_multiple)
    fused = fuse(latent[:, :, slice(*a)], a, latent[:, :, slice(*b)], b)
    assert fused.dtype == dtype
    assert torch.allclose(fused, latent, atol=1e-6)


@pytest.mark.parametrize(
    ("rows_a", "rows_b", "heights", "named"),
    [
        ((0, 8), (10, 16), (8, 6), "rows"),
        ((2, 10), (6, 16), (8, 10), "rows"),
        ((0, 16), (6, 16), (16, 10), "rows"),
        ((0, 10), (6, 16), (8, 10), "latent_a"),
        ((0, 10), (6, 16), (10, 8), "latent_b"),
    ],
)
def test_bands_that_do_not_join_are_refused(
    rows_a: tuple[int, int], rows_b: tuple[int, int], heights: tuple[int, int], named: str
) -> None:
    a, b = (torch.zeros(1, 4, height, 16) for height in heights)
    with pytest.raises(InvalidInput, match=named):
        fuse(a, rows_a, b, rows_b)
