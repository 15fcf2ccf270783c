"""Payload bytes: exact sizes, bits and bounds of each precision, and everything that is refused."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from megdt_opt.errors import MalformedMessage
from megdt_opt.execution.serial import most_byte, pack, unpack
from megdt_opt.models.codec import compress, decompress
from megdt_opt.program.latent_codes import LATENT_CODES
from megdt_opt.program.stages import TensorSpec
from megdt_opt.program.token_merging import merge, unmerge
from megdt_opt.program.wire import payload_byte, payload_span_byte

LATENT = (
    TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),
    TensorSpec(name="state.previous_x0", shape=(1, 4, 16, 16)),
    TensorSpec(name="conditioning.tokens", shape=(1, 5, 8)),
)
PIXELS = (TensorSpec(name="image.pixels", shape=(1, 64, 64, 3), floating=False),)
CODED = (TensorSpec(name="image.bytes", shape=(0,), floating=False),)


def items():
    generator = torch.Generator().manual_seed(1)
    return {
        "state": {n: torch.randn(1, 4, 16, 16, generator=generator) for n in ("latent", "previous_x0")},
        "conditioning": {"tokens": torch.randn(1, 5, 8, generator=generator)},
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_size_is_the_declared_one_byte_for_byte(precision):
    assert len(pack(items(), LATENT, precision)) == payload_byte(LATENT, precision)


@pytest.mark.parametrize("code", LATENT_CODES, ids=lambda code: code.name)
def test_merged_and_coded_latents_travel_within_the_declared_size(code):
    data = pack(items(), LATENT, code.name)
    least, most, bound = payload_span_byte(LATENT, code.name)
    assert least <= len(data) <= most
    assert most <= bound == most_byte(LATENT, code.name, (64, 64, 3))
    back = unpack(data, LATENT, code.name)
    for name, value in items()["state"].items():
        merged = unmerge(*merge(value.numpy(), code.ratio), value.shape, code.ratio)
        step = (value.amax() - value.amin()) / (2**code.bits - 1)
        assert (back["state"][name] - torch.from_numpy(merged)).abs().max() <= 0.51 * step
    tokens = items()["conditioning"]["tokens"]
    assert torch.equal(back["conditioning"]["tokens"], tokens.half().float())
    for wrong in (data[:-1], data + b"x", data[: len(data) // 2]):
        with pytest.raises(MalformedMessage):
            unpack(wrong, LATENT, code.name)


def test_a_coded_latent_with_an_array_of_another_type_or_form_is_refused():
    name = "int4+coded"
    parts = safetensors.torch.load(pack(items(), LATENT, name))
    own = parts["state.latent"]
    for wrong in (own.reshape(1, -1), own.float(), own[:3]):
        data = safetensors.torch.save({**parts, "state.latent": wrong.contiguous()})
        with pytest.raises(MalformedMessage):
            unpack(data, LATENT, name)


def test_values_too_wide_for_four_bits_are_refused_by_name():
    store = items()
    store["state"]["latent"][0, 0, 0, :2] = torch.tensor([3e38, -3e38])
    with pytest.raises(MalformedMessage, match=r"state\.latent.*int4\+merge50 cannot carry; send it in fp32"):
        pack(store, LATENT, "int4+merge50")


def test_raw_picture_has_the_declared_size():
    store = {"image": {"pixels": torch.zeros(1, 64, 64, 3, dtype=torch.uint8)}}
    data = pack(store, PIXELS, "raw")
    assert len(data) == payload_byte(PIXELS, "fp32")
    assert torch.equal(unpack(data, PIXELS, "raw")["image"]["pixels"], store["image"]["pixels"])


def test_fp32_keeps_every_bit_also_of_special_values():
    store = items()
    store["state"]["latent"][0, 0, 0, :4] = torch.tensor([3.4e38, -3.4e38, -0.0, 1e-42])
    back = unpack(pack(store, LATENT, "fp32"), LATENT, "fp32")
    for item, values in store.items():
        for name, value in values.items():
            assert torch.equal(back[item][name].view(torch.int32), value.view(torch.int32))


def test_fp16_and_int8_errors_are_bounded():
    store = items()
    for precision in ("fp16", "int8"):
        back = unpack(pack(store, LATENT, precision), LATENT, precision)
        for item, values in store.items():
            for name, value in values.items():
                flat = value.flatten(2) if value.dim() > 2 and item == "state" else value
                span = (flat.amax(-1) - flat.amin(-1)).max()
                bound = value.abs().max() / 1024 if precision == "fp16" else span / 255 * 0.51
                assert (back[item][name] - value).abs().max() <= bound
                assert back[item][name].dtype == torch.float32


def test_int8_keeps_a_constant_channel():
    spec = (TensorSpec(name="state.latent", shape=(1, 2, 3, 3)),)
    store = {"state": {"latent": torch.full((1, 2, 3, 3), 0.7)}}
    assert torch.equal(unpack(pack(store, spec, "int8"), spec, "int8")["state"]["latent"], store["state"]["latent"])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["latent", "previous_x0"])
def test_nan_and_infinity_are_refused_at_the_sender_by_tensor(precision, bad, name):
    store = items()
    store["state"][name][0, 0, 0, 0] = bad
    with pytest.raises(MalformedMessage, match=f"tensor 'state.{name}' holds NaN or infinity"):
        pack(store, LATENT, precision)


@pytest.mark.parametrize(
    ("precision", "values"),
    [
        ("fp16", [7e4, 0.0]),
        ("fp16", [-65520.0, 1.0]),
        ("fp16", [3.4e38, -3.4e38]),
        ("int8", [-3e38, 3e38]),
        ("int8", [3.4e38, -1e37]),
        ("int8", [-3.4e38, 3.4e38]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_values_that_a_precision_cannot_carry_are_refused(precision, values):
    store = items()
    store["state"]["previous_x0"][0, 1, 0, :2] = torch.tensor(values)
    with pytest.raises(MalformedMessage, match=rf"tensor 'state.previous_x0' holds values up to .*{precision} cannot"):
        pack(store, LATENT, precision)


def test_an_item_travels_whole():
    with pytest.raises(MalformedMessage, match="previous_x0"):
        pack(items(), LATENT[:1], "fp32")
    with pytest.raises(MalformedMessage, match="no item 'state'"):
        pack({}, LATENT, "fp32")


def test_wrong_shape_or_type_is_refused():
    spec = (TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),)
    for value in (torch.zeros(1, 4, 16, 8), torch.zeros(1, 4, 16, 16, dtype=torch.float64)):
        with pytest.raises(MalformedMessage, match="declared"):
            pack({"state": {"latent": value}}, spec, "fp32")


def test_garbage_is_refused():
    good = pack(items(), LATENT, "fp32")
    swapped = pack(
        {"state": {"latens": torch.zeros(1, 4, 16, 16)}},
        [TensorSpec(name="state.latens", shape=(1, 4, 16, 16))],
        "fp32",
    )
    cases = [
        (b"", LATENT),
        (good[:-1], LATENT),
        (good + b"\0", LATENT),
        (bytes(len(good)), LATENT),
        (b"\xff" * len(good), LATENT),
        (swapped, (TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),)),
        (good.replace(b"F32", b"F99", 1), LATENT),
    ]
    for data, spec in cases:
        with pytest.raises(MalformedMessage):
            unpack(data, spec, "fp32")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_numbers_of_which_no_picture_can_be_made_are_refused_where_they_arrive(precision, value):
    spec = (TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),)
    good = pack({"state": {"latent": items()["state"]["latent"]}}, spec, precision)
    bits = torch.tensor([value], dtype=torch.float32 if precision == "fp32" else torch.float16).numpy().tobytes()
    with pytest.raises(MalformedMessage, match="state.latent.*NaN or infinity"):
        unpack(good[: -len(bits)] + bits, spec, precision)


@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_coded_pictures(codec):
    ramp = torch.arange(64, dtype=torch.uint8)[None, :, None, None].expand(1, 64, 64, 3).contiguous()
    coded = compress(ramp, codec)
    back = unpack(pack({"image": {"bytes": coded}}, CODED, codec), CODED, codec)["image"]["bytes"]
    assert torch.equal(back, coded)
    picture = decompress(back, (64, 64, 3))
    assert (picture.int() - ramp.int()).abs().max() <= (0 if codec == "png" else 8)
    with pytest.raises(MalformedMessage):
        decompress(back[:100], (64, 64, 3))
    with pytest.raises(MalformedMessage, match="was due"):
        decompress(back, (32, 32, 3))


def test_int8_and_fp16_have_the_bits_of_their_formulas():
    """Against the formulas in torch, on values of many magnitudes."""
    generator = torch.Generator().manual_seed(3)
    for shape in ((1, 4, 16, 16), (1, 5, 8), (1, 6)):
        value = torch.randn(shape, generator=generator) * torch.logspace(-6, 4, shape[-1])
        value[0, 1] = 0.25  # a channel of one value
        spec = (TensorSpec(name="state.latent", shape=shape),)
        flat = value.reshape(*shape[:2], -1)
        low = flat.amin(dim=-1)
        span = flat.amax(dim=-1) - low
        scale = torch.where(span > 0, span / 255, torch.ones_like(span))
        codes = ((flat - low[..., None]) / scale[..., None]).round().clamp(0, 255)
        expected = (codes * scale[..., None] + low[..., None]).reshape(shape)
        for precision, wanted in (("int8", expected), ("fp16", value.half().float())):
            back = unpack(pack({"state": {"latent": value}}, spec, precision), spec, precision)
            assert torch.equal(back["state"]["latent"], wanted)
