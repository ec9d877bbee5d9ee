# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for the nodes' binary bodies: image files of all sorts, payloads of frames, both damaged."""

import io
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from models.image import FORMATS

_MODES: Final = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
}
_ORIENTATION: Final = 0x0112
#: A first frame's and a later frame's bytes of one image.
FRAME_BYTES: Final = (260, 64)


@st.composite
def picture(draw: st.DrawFn, name: str) -> bytes:
    """A file of a format that holds a picture of any mode, size, orientation and number of frames."""
    width, height, seed = draw(st.integers(1, 80)), draw(st.integers(1, 80)), draw(st.integers(0, 9))
    mode, file = draw(st.sampled_from(_MODES[name])), io.BytesIO()
    grain = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(grain)
    image = Image.fromarray(grain[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["exif"] = Image.Exif()
        options["exif"][_ORIENTATION] = draw(st.integers(0, 9))  # 1..8 are orientations
    if name != "JPEG" and mode not in ("I;16", "1") and draw(st.booleans()):
        options |= {"save_all": True, "append_images": [image.rotate(180)], "duration": 40}
    image.save(file, name, **options)
    return file.getvalue()


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are missing, changed, or too many."""
    body = bytearray(draw(whole))
    how = draw(st.sampled_from(["cut", "changed", "longer"]))
    if how == "cut":
        return bytes(body[: draw(st.integers(0, len(body)))])
    place = draw(st.integers(0, len(body) - 1))
    patch = draw(st.binary(min_size=1, max_size=8))
    return bytes(body[:place]) + patch + bytes(body[place + (len(patch) if how == "changed" else 0) :])


def image_body(media_type: str) -> st.SearchStrategy[bytes]:
    """What arrives under an image's media type: mostly such an image, else a damaged one, another one, or anything."""
    whole = picture(FORMATS[media_type])
    others = [picture(name) for kind, name in FORMATS.items() if kind != media_type]
    return st.one_of(whole, whole, damaged(whole), *others, st.binary(max_size=64))


def frame_payload() -> st.SearchStrategy[bytes]:
    """What arrives as a frame: packed bits of a size that exists, or of another."""
    whole = st.sampled_from(FRAME_BYTES).flatmap(lambda size: st.binary(min_size=size, max_size=size))
    return st.one_of(whole, whole, damaged(whole), st.binary(max_size=32))
