"""Maps of a few bits a pixel as coded bytes and back, and bytes that are none."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import InvalidInput
from megdt_opt.errors import MalformedMessage
from megdt_opt.models.sketches import decode_map, encode_map


@given(
    bits=st.sampled_from([1, 2, 4, 8]),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 10**6),
)
def test_a_map_comes_back_bit_for_bit(bits: int, rows: int, columns: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, (rows, columns)).astype(np.uint8)
    assert np.array_equal(decode_map(encode_map(values, bits), (rows, columns), bits), values)


def test_the_coder_is_an_ordinary_one() -> None:
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert zlib.decompress(encode_map(values, 4)) == bytes(range(0x01, 0x100, 0x22))


@pytest.mark.parametrize(("largest", "bits"), [(2, 1), (16, 4), (1, 3)])
def test_values_that_do_not_fit_are_refused(largest: int, bits: int) -> None:
    with pytest.raises(InvalidInput, match="sketch"):
        encode_map(np.full((2, 2), largest, dtype=np.uint8), bits)


GOOD = encode_map(np.zeros((8, 8), dtype=np.uint8), 4)


@pytest.mark.parametrize(
    "data",
    [b"", b"PNG", GOOD[:-3], GOOD + b"x", encode_map(np.zeros((9, 8), dtype=np.uint8), 4), zlib.compress(bytes(10**6))],
    ids=["empty", "no zlib", "cut short", "with more behind", "another shape", "a bomb"],
)
def test_bytes_that_are_no_such_map_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="sketch"):
        decode_map(data, (8, 8), 4)
