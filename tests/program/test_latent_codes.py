"""Merged, 4-bit and entropy-coded latents: what comes back, what it weighs, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from megdt_opt.errors import MalformedMessage
from megdt_opt.program.latent_codes import LATENT_CODES, LatentCode, _deflated, _inflated
from megdt_opt.program.precisions import PRECISION_REGISTRY, PRECISIONS
from megdt_opt.program.stages import TensorSpec
from megdt_opt.program.token_merging import index_byte, merge, merged_cells, unmerge
from megdt_opt.program.wire import payload_byte, payload_span_byte

SHAPES = st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
LATENTS = SHAPES.flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False))
)
CODES = st.builds(
    LatentCode, bits=st.sampled_from([4, 8]), ratio=st.sampled_from([0.0, 0.25, 0.5, 0.75]), coded=st.booleans()
)
LATENT = (TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),)


def drawn(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def by_hand(values, ratio):
    """Merging by loops over all pairs of cells, as an oracle."""
    _, _channels, rows, columns = values.shape
    cells = {(i, j): values[0, :, i, j].astype(float) for i in range(rows) for j in range(columns)}
    stays = [c for c in cells if c[0] % 2 == 0 and c[1] % 2 == 0]
    pairs = []
    for cell in cells:
        if cell not in stays:
            apart = [sum((cells[cell] - cells[s]) ** 2) for s in stays]
            best = min(range(len(stays)), key=apart.__getitem__)
            pairs.append((apart[best], cell, stays[best]))
    pairs = sorted(pairs, key=lambda p: (p[0], p[1]))[: math.floor(ratio * rows * columns)]
    back = dict(cells)
    for stay in stays:
        group = [cells[stay], *(cells[cell] for _, cell, onto in pairs if onto == stay)]
        back[stay] = sum(group) / len(group)
    for _, cell, onto in pairs:
        back[cell] = back[onto]
    return np.array([[back[i, j] for j in range(columns)] for i in range(rows)]).transpose(2, 0, 1)[None]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(1, 4, 6, 6), (1, 3, 5, 7), (1, 1, 1, 4), (1, 2, 1, 1)])
def test_merging_is_that_of_loops_over_all_pairs(ratio, shape):
    values = drawn(*shape)
    back = unmerge(*merge(values, ratio), shape, ratio)
    np.testing.assert_allclose(back, by_hand(values, ratio), rtol=1e-5, atol=1e-6)


@given(LATENTS, st.sampled_from([0.0, 0.25, 0.5, 0.75]))
@settings(max_examples=60, deadline=None)
def test_merging_keeps_the_count_the_mean_and_what_is_not_merged(values, ratio):
    _, channels, rows, columns = values.shape
    kept, indices = merge(values, ratio)
    merged = merged_cells(rows, columns, ratio)
    assert kept.shape == (channels, rows * columns - merged)
    assert indices.nbytes == index_byte(rows, columns, ratio)
    assert merged == min(
        math.floor(ratio * rows * columns), rows * columns - math.ceil(rows / 2) * math.ceil(columns / 2)
    )
    back = unmerge(kept, indices, values.shape, ratio)
    np.testing.assert_allclose(back.mean(axis=(2, 3)), values.mean(axis=(2, 3)), rtol=1e-4, atol=1e-2)
    assert (back == values).all(axis=1).sum() >= rows * columns - 2 * merged
    assert len({tuple(cell) for cell in back.reshape(channels, -1).T}) <= rows * columns - merged


@given(LATENTS, CODES)
@settings(max_examples=100, deadline=None)
def test_what_comes_back_is_within_half_a_step_of_the_merged_latent(values, code):
    parts = code.encode(values)
    back = code.decode(parts, values.shape)
    unquantised = unmerge(*merge(values, code.ratio), values.shape, code.ratio)
    step = parts["range"][1][None, :, None, None]
    assert back.shape == values.shape
    assert back.dtype == np.float32
    assert np.isfinite(back).all()
    assert (np.abs(back - unquantised) <= 0.51 * step + 1e-6 * np.abs(values).max()).all()
    length = code.length(values.shape)
    size = parts[""].nbytes
    _, channels, rows, columns = values.shape
    count = channels * (rows * columns - merged_cells(rows, columns, code.ratio))
    indices = index_byte(rows, columns, code.ratio)
    if length is None:
        assert size == indices + (count if code.bits == 8 else math.ceil(count / 2))
    else:
        assert indices < size <= length.bound
        assert length.least <= length.planned <= length.most <= length.bound


def test_indices_of_merged_cells_are_counted():
    """A flag for each of 192 cells that may be merged, and 6 bits to name one of 64 destinations."""
    assert index_byte(16, 16, 0.25) == (192 + 64 * 6) / 8
    assert index_byte(16, 16, 0.5) == (192 + 128 * 6) / 8
    half, whole = (payload_byte(LATENT, name) for name in ("int8+merge50", "int8"))
    assert whole - half > 512 - 120  # 128 cells of 4 values less, the indices more
    assert payload_byte(LATENT, "int4") - payload_byte(LATENT, "int4+merge50") in range(256 - 120 - 8, 256 - 120 + 9)


def test_lengths_of_coded_latents_were_measured_and_others_are_planned_at_their_most():
    for code in (code for code in LATENT_CODES if code.coded):
        length = code.length((1, 4, 16, 16))
        assert length.least < length.planned < length.most <= length.bound
        fixed = LatentCode(bits=code.bits, ratio=code.ratio)
        assert length.planned < fixed.encode(drawn(1, 4, 16, 16))[""].nbytes  # it pays
        other = code.length((1, 16, 64, 64))
        assert other.planned == other.most == other.bound
        assert other.least == 0
    least, most, bound = payload_span_byte(LATENT, "int4+coded")
    assert least < payload_byte(LATENT, "int4+coded") < most <= bound
    assert payload_span_byte(LATENT, "int4") == (payload_byte(LATENT, "int4"),) * 3


def test_latents_are_written_by_the_code_and_all_else_in_half_precision():
    tokens = drawn(1, 5, 69)
    for code in LATENT_CODES:
        precision = PRECISION_REGISTRY.require(code.name)
        assert precision.encode(tokens)[""].dtype == np.float16
        np.testing.assert_allclose(precision.decode(precision.encode(tokens), tokens.shape), tokens, rtol=1e-3)
    assert PRECISIONS == ("fp32", "fp16", "int8")  # nobody is offered the others unasked
    assert {code.name for code in LATENT_CODES} == set(PRECISION_REGISTRY.built_in) - set(PRECISIONS)


def test_values_too_wide_for_a_step_give_an_infinite_one_which_is_refused_where_they_are_sent():
    wide = np.array([-3e38, 3e38], np.float32).reshape(1, 1, 1, 2)
    assert not np.isfinite(LatentCode(bits=4).encode(wide)["range"]).all()


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00" + bytes(9), b"\x00" + bytes(11), b"\x02" + bytes(10), b"\x01nonsense", b"\x01",
     _deflated(np.zeros(11, np.uint8), 8).tobytes(), _deflated(np.zeros(9, np.uint8), 8).tobytes(),
     _deflated(np.zeros(10, np.uint8), 8).tobytes() + b"x", _deflated(np.zeros(10, np.uint8), 8).tobytes()[:-1]],
)  # fmt: skip
def test_what_is_no_coded_latent_is_refused(body):
    with pytest.raises(MalformedMessage, match="coded latent"):
        _inflated(np.frombuffer(body, np.uint8), 8, 10)


def test_a_bomb_is_not_unpacked():
    bomb = _deflated(np.zeros(50_000_000, np.uint8), 8)
    with pytest.raises(MalformedMessage, match="10 integers"):
        _inflated(bomb, 4, 10)


def test_indices_of_another_latent_are_refused():
    values = drawn(1, 2, 6, 6)
    kept, indices = merge(values, 0.25)
    with pytest.raises(MalformedMessage, match="9 merged cells"):
        unmerge(kept, np.zeros_like(indices), values.shape, 0.25)
    wrong = indices.copy()
    wrong[-4:] = 255  # destinations beyond the ninth
    with pytest.raises(MalformedMessage, match="9 merged cells"):
        unmerge(kept, wrong, values.shape, 0.25)


def test_integers_beyond_the_levels_are_refused():
    code = LatentCode(bits=4, coded=True)
    parts = dict(code.encode(drawn(1, 2, 4, 4)))
    parts[""] = _deflated(np.full(32, 16, np.uint8), 8)
    with pytest.raises(MalformedMessage, match="at most 15"):
        code.decode(parts, (1, 2, 4, 4))
