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
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SIZE: Final = 32
FORMATS: Final = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
MAX_PIXELS: Final = 32_000_000
#: Of a JPEG file; an ordinary progressive one has ten, thumbnails included two dozen.
MAX_SCANS: Final = 50
_SCAN: Final = b"\xff\xda"  # occurs in coded data as a marker alone: there, 0 follows each 255


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
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # Pillow clips 16-bit grey at 255 on conversion; the high byte is what an 8-bit file would hold.
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    rgb = _opaque(upright)
    if rgb.size != (SIZE, SIZE):
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        box = (left, top, left + side, top + side)
        rgb = rgb.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))


def _opaque(image: Image.Image) -> Image.Image:
    """As RGB, on black where it is transparent: what a hidden pixel's colour happens to be must not matter."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
