"""Pictures that are not exactly the declared one are refused."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from megdt_opt.errors import MalformedMessage
from megdt_opt.models.codec import compress, decompress

SHAPE = (64, 48, 3)
PIXELS = np.random.default_rng(3).integers(0, 256, SHAPE, np.uint8)


def file_of(image: Image.Image, **how) -> bytes:
    made = io.BytesIO()
    image.save(made, format="PNG", **how)
    return made.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(rows: int, columns: int, data: bytes) -> bytes:
    head = columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


ROWS = b"".join(b"\x00" + row.tobytes() for row in PIXELS)
BAD = {
    "one row of 64": png(64, 48, ROWS[: 1 + 3 * 48]),
    "a row too few": png(64, 48, ROWS[: -1 - 3 * 48]),
    "more rows than announced": png(64, 48, ROWS + ROWS),
    "transparent": file_of(Image.new("RGBA", (48, 64), (0, 0, 0, 0))),
    "palette": file_of(Image.fromarray(PIXELS).convert("P")),
    "grey": file_of(Image.fromarray(PIXELS).convert("L")),
    "16 bit": file_of(Image.new("I;16", (48, 64))),
    "1 bit": file_of(Image.new("1", (48, 64))),
    "bomb": png(100_000, 100_000, b"\x00" * 1000),
    "bomb of the right size": png(64, 48, bytes(10**8)),
    "another size": png(48, 64, ROWS),
    "no picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("name", BAD)
def test_a_picture_that_is_not_the_declared_one_is_malformed(name: str) -> None:
    with pytest.raises(MalformedMessage, match="picture|PNG"):
        decompress(torch.frombuffer(bytearray(BAD[name]), dtype=torch.uint8), SHAPE)


@pytest.mark.parametrize("data", [png(64, 48, ROWS), file_of(Image.fromarray(PIXELS), optimize=True)])
def test_the_declared_one_is_taken(data: bytes) -> None:
    found = decompress(torch.frombuffer(bytearray(data), dtype=torch.uint8), SHAPE)
    assert np.array_equal(found[0].numpy(), PIXELS)


def test_jpeg_comes_back() -> None:
    assert decompress(compress(torch.from_numpy(PIXELS)[None], "jpeg"), SHAPE).shape == (1, *SHAPE)
