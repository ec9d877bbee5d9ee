# SPDX-License-Identifier: Apache-2.0
"""A picture is laid on black and reduced band by band: as it would be as a whole, with little more than its pixels."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import image as preprocessing
from models.image import MAX_PIXELS, SIZE, decode

ROOT = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")

#: Prints by how many MiB the process has grown at its most while it decoded the file on standard input.
_GROWTH = """
import sys
from pathlib import Path
from models.image import decode
def peak_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
body = sys.stdin.buffer.read()
before = peak_kib()
decode(body, "image/png")
print((peak_kib() - before) // 1024)
"""


def encoded(image: Image.Image, **options: object) -> bytes:
    body = io.BytesIO()
    image.save(body, "PNG", **options)
    return body.getvalue()


def palette(pixels: int | np.ndarray[tuple[int, int], np.dtype[np.uint8]], size: tuple[int, int]) -> Image.Image:
    image = Image.new("P", size, pixels) if isinstance(pixels, int) else Image.fromarray(pixels).convert("P")
    image.putpalette([0, 0, 0, 250, 120, 60] * 128)
    return image


def largest(kind: str) -> bytes:
    size = (8000, 4000)
    assert size[0] * size[1] == MAX_PIXELS
    if kind == "palette":
        return encoded(palette(1, size), transparency=b"\x00\xff", bits=1)
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "RGBA, turned" else 1
    return encoded(Image.new(kind.partition(",")[0], size), exif=exif)


@pytest.mark.skipif(not STATUS.exists() or "VmHWM" not in STATUS.read_text(), reason="Linux tells the peak")
@pytest.mark.parametrize(("kind", "bytes_a_pixel"), [("palette", 1), ("I;16", 2), ("RGBA", 4), ("RGBA, turned", 8)])
def test_the_largest_picture_takes_little_more_than_its_pixels(kind: str, bytes_a_pixel: int) -> None:
    """4 KB in a palette's colours once took 430 MiB. Half as much again is for buffers, and far below that."""
    body = largest(kind)
    done = subprocess.run([sys.executable, "-c", _GROWTH], input=body, capture_output=True, cwd=ROOT, check=True)
    pixels_mib = bytes_a_pixel * MAX_PIXELS / 2**20
    assert pixels_mib * 0.9 < int(done.stdout) < pixels_mib * 1.5 + 16


def whole(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The middle as Pillow reduces it, from a picture that was laid on black as a whole."""
    rgba = image.convert("RGBA")
    rgb = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(rgb.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box, 3.0)).transpose(2, 0, 1)


SIZES = [
    (700, 500),
    (501, 1203),
    (1000, 1000),
    (191, 400),
    (192, 193),
    (60, 3000),
    (3000, 100),
    (5, 31),
    (9, 1),
    (1, 9),
]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
@pytest.mark.parametrize("band_pixels", [1, 5000, 2**18])
def test_bands_do_not_show(size: tuple[int, int], mode: str, band_pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(size)
    channels = {"RGB": 3, "RGBA": 4, "LA": 2, "P": 1}[mode]
    pixels = rng.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    image = palette(pixels[..., 0], size) if mode == "P" else Image.fromarray(pixels, mode)
    body = encoded(image, **({"transparency": bytes(rng.integers(0, 256, 256, dtype=np.uint8))} if mode == "P" else {}))
    monkeypatch.setattr(preprocessing, "_BAND_PIXELS", band_pixels)
    with Image.open(io.BytesIO(body)) as picture:
        np.testing.assert_array_equal(decode(body, "image/png"), whole(picture))
