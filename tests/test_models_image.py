# SPDX-License-Identifier: Apache-2.0
"""Any image in, 32x32 out, and no error but ImageRejectedError for whatever else arrives."""

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from models.image import FORMATS, MAX_PIXELS, ImageRejectedError, ImageTooLargeError, ImageTypeError, decode

Pixels = NDArray[np.uint8]
ORIENTATION = 0x0112


def noise(height: int = 32, width: int = 32, channels: int = 3) -> Pixels:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels)).astype(np.uint8)


def encoded(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, name, **options)
    return body.getvalue()


def planes(pixels: Pixels) -> Pixels:
    return pixels.transpose(2, 0, 1)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of header, chunks and the beginning of its pixels, 8-bit RGB: the size is there, the picture is not."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packed = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (header, *chunks, (b"IDAT", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + packed


@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_image_of_the_right_size_passes_unchanged(name: str, options: dict[str, object]) -> None:
    pixels = noise()
    out = decode(encoded(Image.fromarray(pixels), name, **options), f"image/{name.lower()}")
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, planes(pixels))


def test_jpeg_is_what_its_decoder_says() -> None:
    body = encoded(Image.fromarray(noise()), "JPEG", quality=90)
    np.testing.assert_array_equal(decode(body, "image/jpeg"), planes(np.asarray(Image.open(io.BytesIO(body)))))


@pytest.mark.parametrize("name", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(name: str, orientation: int) -> None:
    stored = noise()  # "the 0th row is the visual top ..." (EXIF 2.3, tag 0x0112), read as array operations:
    turned = stored.transpose(1, 0, 2)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: turned,
        6: turned[:, ::-1],
        7: turned[::-1, ::-1],
        8: turned[::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lossless: dict[str, Any] = {"lossless": True}
    variants: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": lossless, "JPEG": {"quality": 100, "subsampling": 0}}
    out = decode(encoded(Image.fromarray(stored), name, exif=exif, **variants[name]), f"image/{name.lower()}")
    # JPEG at quality 100: rounding of colours alone; any other orientation of noise is off by 85 on average.
    assert np.abs(out.astype(int) - planes(upright)).mean() <= (3.0 if name == "JPEG" else 0.0)


@pytest.mark.parametrize(("height", "width"), [(32, 96), (96, 32), (32, 33), (35, 32)])
def test_centre_square_is_cut_out(height: int, width: int) -> None:
    pixels = noise(height, width)
    top, left = (height - 32) // 2, (width - 32) // 2
    out = decode(encoded(Image.fromarray(pixels)), "image/png")
    np.testing.assert_array_equal(out, planes(pixels[top : top + 32, left : left + 32]))


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), dtype=np.uint8)
    stripes[:, ::2] = 254  # one pixel wide: without a filter the picture would be black or white
    inside = decode(encoded(Image.fromarray(stripes)), "image/png")[:, 1:-1, 1:-1].astype(int)
    assert np.abs(inside - 127).max() <= 1  # the outermost pixels see half a kernel and are off by 3


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 200), (1000, 700)])
def test_any_size_comes_out_as_32_by_32(size: tuple[int, int]) -> None:
    out = decode(encoded(Image.new("RGB", size, (10, 200, 30))), "image/png")
    assert out.shape == (3, 32, 32)
    assert [int(v) for v in out.reshape(3, -1).max(axis=1)] == [10, 200, 30]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "PA"])
def test_other_png_modes_show_the_same_picture(mode: str) -> None:
    grey = np.where(noise(channels=1)[..., 0] > 127, 255, 0).astype(np.uint8)  # what all of these modes can hold
    picture = Image.fromarray(grey)
    image = picture.convert("RGB").convert(mode) if mode == "RGBA" else picture.convert("P" if mode == "PA" else mode)
    out = decode(encoded(image), "image/png")
    np.testing.assert_array_equal(out, np.stack([grey] * 3))


def test_palette_colours_are_looked_up() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    assert decode(encoded(image), "image/png")[:, 5, 5].tolist() == [12, 34, 56]


def test_palette_with_transparent_entries_is_accepted() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    assert decode(encoded(image, transparency=b"\x00\xff"), "image/png")[:, 5, 5].tolist() == [12, 34, 56]


def test_transparency_is_laid_on_black() -> None:
    image = Image.new("RGBA", (32, 32), (200, 100, 50, 0))
    assert decode(encoded(image), "image/png").max() == 0


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    grey = np.arange(1024, dtype=np.uint32).reshape(32, 32) * 64
    body = encoded(Image.fromarray(grey.astype(np.uint16)))
    assert Image.open(io.BytesIO(body)).mode == "I;16"
    np.testing.assert_array_equal(decode(body, "image/png"), np.stack([grey >> 8] * 3))


def test_cmyk_jpeg_becomes_rgb() -> None:
    body = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95)
    assert Image.open(io.BytesIO(body)).mode == "CMYK"
    red, green, blue = decode(body, "image/jpeg").reshape(3, -1).mean(axis=1)
    assert red > 245
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_counts(name: str) -> None:
    first, second = noise(), 255 - noise()
    body = encoded(
        Image.fromarray(first), name, save_all=True, append_images=[Image.fromarray(second)], duration=40, lossless=True
    )
    assert getattr(Image.open(io.BytesIO(body)), "n_frames", 1) == 2
    np.testing.assert_array_equal(decode(body, f"image/{name.lower()}"), planes(first))


@pytest.mark.parametrize("media_type", ["image/gif", "text/plain", "", "image/PNG", "image/png; charset=utf-8"])
def test_other_content_types_are_refused(media_type: str) -> None:
    with pytest.raises(ImageTypeError, match="content type"):
        decode(encoded(Image.fromarray(noise())), media_type)


MISNAMED = [(d, n) for d in sorted(FORMATS) for n in ("PNG", "JPEG", "WEBP", "GIF", "BMP") if FORMATS[d] != n]


@pytest.mark.parametrize(("declared", "name"), MISNAMED)
def test_bytes_of_another_type_are_refused(declared: str, name: str) -> None:
    with pytest.raises(ImageRejectedError, match=f"not a {FORMATS[declared]} image"):
        decode(encoded(Image.fromarray(noise()), name), declared)


@pytest.mark.parametrize("media_type", sorted(FORMATS))
@pytest.mark.parametrize("body", [b"", b"\x00", b"not an image at all", bytes(4096)])
def test_garbage_is_refused(body: bytes, media_type: str) -> None:
    with pytest.raises(ImageRejectedError):
        decode(body, media_type)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_cut_off_image_is_refused_unless_all_its_pixels_arrived(name: str) -> None:
    body = encoded(Image.fromarray(noise()), name)
    whole, refused = decode(body, f"image/{name.lower()}"), 0
    for length in range(0, len(body), 7):
        try:
            np.testing.assert_array_equal(decode(body[:length], f"image/{name.lower()}"), whole)
        except ImageRejectedError:
            refused += 1
    assert refused >= 0.95 * len(range(0, len(body), 7))


@pytest.mark.parametrize(("width", "height"), [(8001, 4000), (12_000, 12_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_bomb_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    assert width * height > MAX_PIXELS
    with pytest.raises(ImageTooLargeError, match=r"32,000,000"):  # and not "cut off", though there are no pixels
        decode(png(width, height), "image/png")


def test_image_at_the_limit_is_decoded() -> None:
    with pytest.raises(ImageRejectedError, match="cut off"):
        decode(png(8000, 4000), "image/png")


def test_huge_jpeg_header_is_refused() -> None:
    body = bytearray(encoded(Image.fromarray(noise()), "JPEG"))
    size = body.index(b"\xff\xc0") + 5  # marker, length, precision, then height and width
    body[size : size + 4] = struct.pack(">HH", 65_000, 65_000)
    with pytest.raises(ImageTooLargeError, match=r"32,000,000"):
        decode(bytes(body), "image/jpeg")


def test_text_that_explodes_is_refused() -> None:
    bomb = (b"zTXt", b"comment\x00\x00" + zlib.compress(bytes(80_000_000), 9))
    with pytest.raises(ImageRejectedError):
        decode(png(32, 32, bomb), "image/png")


BODIES = {
    "image/png": encoded(Image.fromarray(noise(40, 36))),
    "image/jpeg": encoded(Image.fromarray(noise(40, 36)), "JPEG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"),
    "image/webp": encoded(Image.fromarray(noise(40, 36)), "WEBP"),
}
CHANGES = st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6)


@pytest.mark.parametrize("media_type", sorted(FORMATS))
@given(changes=CHANGES, cut=st.integers(0, 4200), head=st.booleans())
@settings(max_examples=150)
def test_damaged_bytes_never_raise_anything_else(
    media_type: str, changes: list[tuple[int, bytes]], cut: int, head: bool
) -> None:
    body = bytearray(BODIES[media_type])
    for position, patch in changes:
        start = position % (64 if head else len(body))  # half of the examples aim at the headers
        body[start : start + len(patch)] = patch
    with contextlib.suppress(ImageRejectedError):
        out = decode(bytes(body[: cut or None]), media_type)
        assert out.shape == (3, 32, 32)
        assert out.dtype == np.uint8


@pytest.mark.parametrize("media_type", sorted(FORMATS))
@given(body=st.binary(max_size=300), keep=st.integers(0, 40))
def test_random_bytes_never_raise_anything_else(media_type: str, body: bytes, keep: int) -> None:
    with pytest.raises(ImageRejectedError):
        decode(BODIES[media_type][:keep] + body, media_type)
