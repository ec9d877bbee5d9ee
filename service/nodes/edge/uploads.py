# SPDX-License-Identifier: Apache-2.0
"""From a request's body to 32x32 images, refused with the right status where that is not possible."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from fastapi import Request, UploadFile
from numpy.typing import NDArray

from models.image import FORMATS, ImageRejectedError, ImageTooLargeError, ImageTypeError, decode
from service.errors import Refusal, TooLarge, Unprocessable, UnsupportedMedia
from service.frames import binary_body
from service.hop import Deadline
from service.leaving import unless_left
from service.turns import Turn

IMAGE_OPENAPI: Final = binary_body(*FORMATS)

#: Images that are decoded at a time: one of 32 megapixels takes 36 to 500 MiB while it is.
_AT_A_TIME: Final = 2


class Uploads:
    """Decodes images in a few threads of its own. Nothing is begun after the deadline or for a caller that has left."""

    def __init__(self, max_image_bytes: int) -> None:
        self._max_image_bytes = max_image_bytes
        self._decoders = ThreadPoolExecutor(_AT_A_TIME, "decode")

    async def raw(self, request: Request, deadline: Deadline) -> NDArray[np.uint8]:
        """The image of a raw body, images_BCHW [1, 3, 32, 32].

        Raises UnsupportedMedia, TooLarge, Unprocessable, PeerTimedOut, and ClientDisconnect where the caller leaves.
        """
        media_type = _media_type(request.headers.get("Content-Type"))
        _check_type(media_type)
        decoding = self._decoded(await request.body(), media_type, deadline)
        return np.stack([await unless_left(request.receive, decoding)])

    async def multipart(self, request: Request, files: list[UploadFile], deadline: Deadline) -> NDArray[np.uint8]:
        """The images of a multipart request, in order. Raises as :meth:`raw`, naming the image at fault."""
        return np.stack(await unless_left(request.receive, self._each(files, deadline)))

    def close(self) -> None:
        """Let what was begun end."""
        self._decoders.shutdown(wait=True)

    async def _each(self, files: list[UploadFile], deadline: Deadline) -> list[NDArray[np.uint8]]:
        images = []
        for index, file in enumerate(files):
            try:
                media_type = _media_type(file.content_type)
                _check_type(media_type)
                content = await file.read()
                if len(content) > self._max_image_bytes:
                    raise TooLarge(f"{len(content):,} bytes are more than the {self._max_image_bytes:,} allowed")
                images.append(await self._decoded(content, media_type, deadline))
            except Refusal as refusal:
                raise type(refusal)(f"image {index}: {refusal.detail}") from None
        return images

    async def _decoded(self, content: bytes, media_type: str, deadline: Deadline) -> NDArray[np.uint8]:
        turn = Turn(deadline)

        def in_time() -> NDArray[np.uint8]:
            turn.check()
            return decode(content, media_type)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, in_time)
        except ImageTypeError as error:
            raise UnsupportedMedia(str(error)) from None
        except ImageTooLargeError as error:
            raise TooLarge(str(error)) from None
        except ImageRejectedError as error:
            raise Unprocessable(str(error)) from None


def _media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def _check_type(media_type: str) -> None:
    if media_type not in FORMATS:
        raise UnsupportedMedia(f"content type {media_type or 'unknown'!r} is not one of {', '.join(FORMATS)}")
