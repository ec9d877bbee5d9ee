# SPDX-License-Identifier: Apache-2.0
"""Images as they are sent: the file's own bytes, with the media type that their first bytes show."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client.errors import ImageFileError

ImageSource = str | os.PathLike[str] | bytes

_MAGIC: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_SUPPORTED: Final = "PNG, JPEG or WebP"


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image file and what they are."""

    content: bytes
    media_type: str
    name: str


def media_type_of(content: bytes) -> str | None:
    """The media type that the first bytes show, whatever the file is called; None for anything unsupported."""
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def read_image(source: ImageSource, media_type: str | None = None) -> EncodedImage:
    """The image at a path, or these bytes. A ``media_type`` that is given is sent unchecked; the edge judges it.

    Raises ImageFileError where there is no such file or it is none of the supported types.
    """
    name, content = ("image", source) if isinstance(source, bytes) else _read_file(Path(source))
    found = media_type or media_type_of(content)
    if found is None:
        what = "the file is empty" if not content else f"its first bytes are no {_SUPPORTED}"
        raise ImageFileError(f"{name} cannot be classified: {what}; convert it to {_SUPPORTED}")
    return EncodedImage(content, found, name)


def _read_file(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except FileNotFoundError:
        raise ImageFileError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path} is a folder; name an image file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise ImageFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
