# SPDX-License-Identifier: Apache-2.0
"""Image files that are small and ask for much, and kinds of files that cameras and scanners make."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.image import MAX_SCANS, ImageRejectedError, ImageTooLargeError, decode

SCAN, END = b"\xff\xda", b"\xff\xd9"


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, name, **options)
    return body.getvalue()


def noise(channels: int = 3, seed: int = 5) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, channels), dtype=np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(depth: int, colour_type: int, rows: bytes, *before: bytes) -> bytes:
    """32x32, written by hand: Pillow writes neither 16-bit colours nor more pixels than there are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, depth, colour_type, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many."""
    body = encoded(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    last = body[body.rindex(SCAN) : -len(END)]
    return body[: -len(END)] + last * (scans - body.count(SCAN)) + END


@pytest.mark.parametrize("scans", [MAX_SCANS + 1, 20_000])
def test_scans_upon_scans_are_refused(scans: int) -> None:
    """53 bytes were 70 ms of computing at 32 megapixels; an upload of 16 MiB would have been hours."""
    body = progressive(scans)
    assert body.count(SCAN) == scans
    with pytest.raises(ImageRejectedError, match=f"more than the {MAX_SCANS} scans"):
        decode(body, "image/jpeg")


def test_as_many_scans_as_are_allowed_are_decoded() -> None:
    assert decode(progressive(MAX_SCANS), "image/jpeg").shape == (3, 32, 32)


def test_an_ordinary_progressive_jpeg_is_decoded() -> None:
    body = encoded(Image.fromarray(noise()), "JPEG", progressive=True, quality=95)
    assert 2 < body.count(SCAN) < MAX_SCANS / 2
    np.testing.assert_array_equal(
        decode(body, "image/jpeg"), np.asarray(Image.open(io.BytesIO(body))).transpose(2, 0, 1)
    )


def test_pixels_beyond_the_picture_are_not_unpacked() -> None:
    """100 megabytes in one chunk, in a tenth of one; the picture is the first 3 kB of it."""
    pixels = noise()
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    body = png(8, 2, rows + bytes(100_000_000))
    assert len(body) < 200_000
    np.testing.assert_array_equal(decode(body, "image/png"), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(("name", "form"), [(b"iCCP", b"a\x00\x00"), (b"iTXt", b"a\x00\x01\x00\x00\x00")])
def test_what_explodes_beside_the_picture_is_refused(name: bytes, form: bytes) -> None:
    """A colour profile and a text, which are packed like pixels."""
    rows = b"".join(b"\x00" + row.tobytes() for row in noise())
    assert decode(png(8, 2, rows, chunk(name, form + zlib.compress(b"text"))), "image/png").shape == (3, 32, 32)
    with pytest.raises(ImageRejectedError, match="too large"):
        decode(png(8, 2, rows, chunk(name, form + zlib.compress(bytes(80_000_000), 9))), "image/png")


@pytest.mark.parametrize(("width", "height"), [(2**24, 2**24), (16_000, 2_001)])
def test_a_huge_webp_canvas_is_refused(width: int, height: int) -> None:
    frames = [Image.fromarray(noise(4, seed)) for seed in (1, 2)]
    body = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = body.index(b"VP8X") + 12  # name, size, flags; then width and height less one, three bytes each
    body[canvas : canvas + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    with pytest.raises(ImageTooLargeError):
        decode(bytes(body), "image/webp")


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colours_keep_their_high_byte(channels: int) -> None:
    high, low = noise(channels), noise(channels, seed=6)
    high[..., 3:] = low[..., 3:] = 255  # opaque
    pixels = np.stack((high, low), axis=-1)
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    body = png(16, 2 if channels == 3 else 6, rows)
    np.testing.assert_array_equal(decode(body, "image/png"), high[..., :3].transpose(2, 0, 1))


def test_of_several_pictures_in_a_jpeg_the_first_counts() -> None:
    """As cameras write them, with previews or depth maps (MPO)."""
    first, second = Image.fromarray(noise(seed=1)), Image.fromarray(noise(seed=2))
    body = encoded(first, "MPO", save_all=True, append_images=[second])
    alone = np.asarray(Image.open(io.BytesIO(encoded(first, "JPEG")))).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(body, "image/jpeg"), alone)
