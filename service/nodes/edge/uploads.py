# SPDX-License-Identifier: Apache-2.0
"""From a request's body to 32x32 images, refused with the right status where that is not possible."""

import asyncio
from typing import Final

import numpy as np
from fastapi import Request, UploadFile
from numpy.typing import NDArray

from models.image import FORMATS, ImageRejectedError, ImageTooLargeError, ImageTypeError, decode
from service.errors import Refusal, TooLarge, Unprocessable, UnsupportedMedia
from service.frames import binary_body

IMAGE_OPENAPI: Final = binary_body(*FORMATS)


async def raw_image(request: Request) -> NDArray[np.uint8]:
    """The image of a raw body, images_BCHW [1, 3, 32, 32]. Raises UnsupportedMedia, TooLarge or Unprocessable."""
    media_type = _media_type(request.headers.get("Content-Type"))
    _check_type(media_type)
    return np.stack([await _decoded(await request.body(), media_type)])


async def multipart_images(uploads: list[UploadFile], max_image_bytes: int) -> NDArray[np.uint8]:
    """The images of a multipart request, in order. Raises as :func:`raw_image`, naming the image at fault."""
    images = []
    for index, upload in enumerate(uploads):
        try:
            media_type = _media_type(upload.content_type)
            _check_type(media_type)
            content = await upload.read()
            if len(content) > max_image_bytes:
                raise TooLarge(f"{len(content):,} bytes are more than the {max_image_bytes:,} allowed")
            images.append(await _decoded(content, media_type))
        except Refusal as refusal:
            raise type(refusal)(f"image {index}: {refusal.detail}") from None
    return np.stack(images)


def _media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def _check_type(media_type: str) -> None:
    if media_type not in FORMATS:
        raise UnsupportedMedia(f"content type {media_type or 'unknown'!r} is not one of {', '.join(FORMATS)}")


async def _decoded(content: bytes, media_type: str) -> NDArray[np.uint8]:
    try:
        return await asyncio.to_thread(decode, content, media_type)
    except ImageTypeError as error:
        raise UnsupportedMedia(str(error)) from None
    except ImageTooLargeError as error:
        raise TooLarge(str(error)) from None
    except ImageRejectedError as error:
        raise Unprocessable(str(error)) from None
