# SPDX-License-Identifier: Apache-2.0
"""Any image in, 32x32 RGB out: the one preprocessing, used by the link and by the edge.

Shapes   C = 3 channels (red, green, blue), H = W = 32.
Units    pixel values 0..255, uint8.
Math     none
Source   none
Differs  EXIF rotation applied, centre square, antialiased (box-filtered bicubic) resampling; a 32x32 image passes
         unchanged. What is transparent shows black; of an animation the first picture counts.
"""

import io
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SIZE: Final = 32
FORMATS: Final = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
MAX_PIXELS: Final = 32_000_000
#: Of a JPEG file; an ordinary progressive one has ten, thumbnails included two dozen.
MAX_SCANS: Final = 50
#: Blocks of pixels are averaged down to no less than so many times SIZE, and the rest is for the bicubic filter.
_REDUCING_GAP: Final = 3.0
#: Pixels that are kept beyond the square where nothing is averaged.
_LONG: Final = 1024
#: What is laid on black at a time: four copies of it, 4 bytes a pixel, exist at once.
_BAND_PIXELS: Final = 2**18
_SCAN: Final = b"\xff\xda"  # occurs in coded data as a marker alone: there, 0 follows each 255

Box = tuple[float, float, float, float]


class ImageRejectedError(ValueError):
    """Bytes that are no usable image; the message is meant for the person who sent them."""


class ImageTypeError(ImageRejectedError):
    """A content type that is not one of FORMATS."""


class ImageTooLargeError(ImageRejectedError):
    """More pixels than MAX_PIXELS."""


def decode(content: bytes, media_type: str) -> NDArray[np.uint8]:
    """The bytes of a PNG, JPEG or WebP file -> image_CHW uint8 [3, 32, 32].

    Raises ImageRejectedError where the type is not one of FORMATS, the bytes are not of that type, are cut off,
    or hold more than MAX_PIXELS pixels; nothing is decoded before its size is known. A JPEG has at most MAX_SCANS
    scans: one of a few dozen bytes goes over all pixels again, and a file of them would take hours.
    """
    if media_type not in FORMATS:
        raise ImageTypeError(f"content type {media_type!r} is not one of {', '.join(FORMATS)}")
    if media_type == "image/jpeg" and content.count(_SCAN) > MAX_SCANS:
        raise ImageRejectedError(f"the image comes in more than the {MAX_SCANS} scans allowed")
    try:
        with Image.open(io.BytesIO(content), formats=[FORMATS[media_type]]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageTooLargeError(
                    f"an image of {image.width} x {image.height} pixels is more than the {MAX_PIXELS:,} allowed"
                )
            image.load()
            return _square(image)
    except ImageRejectedError:
        raise
    except UnidentifiedImageError:
        raise ImageRejectedError(f"the body is not a {FORMATS[media_type]} image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLargeError(f"the image is larger than the {MAX_PIXELS:,} pixels allowed") from None
    # Pillow's decoders raise what their formats suggest: OSError, SyntaxError, struct.error ...
    except Exception as error:
        raise ImageRejectedError(f"the image is damaged or cut off: {error}") from error


def _square(image: Image.Image) -> NDArray[np.uint8]:
    ImageOps.exif_transpose(image, in_place=True)
    if image.size == (SIZE, SIZE):
        rgb = _opaque(image)
    else:
        reduced, box = _reduced(image)
        rgb = reduced.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))


def _reduced(image: Image.Image) -> tuple[Image.Image, Box]:
    """The middle of the image as RGB, averaged over blocks of pixels while it is much too large; the square in it.

    With the final resampling that is Pillow's ``resize(box=..., reducing_gap=...)`` of the whole image, to the bit;
    but what is not needed is cut off first, and one band at a time is more than a byte or four a pixel.
    """
    side = min(image.size)
    factor = max(1, int(side / SIZE / _REDUCING_GAP))
    # So far beyond the square the filter reads. Where blocks begin there decides what they hold; and without blocks
    # Pillow resamples a long image in another order than a short one, so that what is kept must stay long.
    reach = 1.5 * side / SIZE if factor > 1 else _LONG
    starts = [(length - side) // 2 for length in image.size]
    left, top = (max(0, int(start - reach)) for start in starts)
    right, bottom = (min(length, ceil(start + side + reach)) for start, length in zip(starts, image.size, strict=True))
    reduced = Image.new("RGB", (ceil((right - left) / factor), ceil((bottom - top) / factor)))
    rows = factor * max(1, _BAND_PIXELS // ((right - left) * factor))
    for row in range(top, bottom, rows):
        band = _opaque(image.crop((left, row, right, min(row + rows, bottom))))
        reduced.paste(band.reduce(factor), (0, (row - top) // factor))
    x, y = (start - edge for start, edge in zip(starts, (left, top), strict=True))
    return reduced, (x / factor, y / factor, (x + side) / factor, (y + side) / factor)


def _opaque(image: Image.Image) -> Image.Image:
    """As RGB, on black where it is transparent: what a hidden pixel's colour happens to be must not matter."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips 16-bit grey at 255 on conversion; the high byte is what an 8-bit file would hold.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
