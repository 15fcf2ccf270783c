"""Tensors that a model is handed: what is taken, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.tensors import check_batch, checked, checked_part, checked_state

SHAPE = (2, 3)
GOOD = torch.zeros(1, *SHAPE)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_what_fits_is_handed_on_as_it_is(batch: int, dtype: torch.dtype) -> None:
    value = torch.zeros(batch, *SHAPE, dtype=dtype)
    assert checked("x", value, SHAPE, dtype) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(torch.zeros(*SHAPE), "shape", id="no-batch"),
        pytest.param(torch.zeros(0, *SHAPE), "shape", id="empty-batch"),
        pytest.param(torch.zeros(1, 3, 2), "shape", id="transposed"),
        pytest.param(GOOD.double(), "float32", id="float64"),
        pytest.param(GOOD.half(), "float32", id="float16"),
        pytest.param(GOOD.long(), "float32", id="integers"),
        pytest.param(torch.full_like(GOOD, torch.nan), "finite", id="nan"),
        pytest.param(torch.full_like(GOOD, torch.inf), "finite", id="infinity"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(value: Tensor, expected: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^x: .*{expected}"):
        checked("x", value, SHAPE)


def test_pictures_are_bytes() -> None:
    with pytest.raises(InvalidInput, match="image.*uint8"):
        checked("image", GOOD, SHAPE, torch.uint8)


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda: checked_part("tokens", {"token": GOOD}, SHAPE), "tokens: found .*token"),
        (lambda: checked_part("tokens", {"tokens": GOOD.long()}, SHAPE), "tokens"),
        (lambda: checked_state({"previous_x0": GOOD}, SHAPE), "latent"),
        (lambda: checked_state({"latent": GOOD, "previous_x0": GOOD.long()}, SHAPE), "previous_x0"),
        (lambda: check_batch("tokens", GOOD, 2), "tokens.*batch of 2"),
    ],
)
def test_a_part_that_is_missing_or_wrong_is_named(ask: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        ask()
