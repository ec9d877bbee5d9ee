# SPDX-License-Identifier: Apache-2.0
"""How channel and cloud take a frame from a request: its body, its deadline, its request id, its OpenAPI."""

from typing import Annotated, Final

from fastapi import Depends, Request

from service.errors import BadFrame, UnsupportedMedia
from service.hop import Deadline
from service.wire import DEADLINE_ADAPTER, DEADLINE_MS, OCTETS, THRESHOLD, FrameFormatError, FrameHead, read_number

_DEFAULT_DEADLINE_S: Final = 60.0

_EXAMPLE: Final = FrameHead(
    session="0123456789abcdef0123456789abcdef",
    round=1,
    t=4,
    position=0,
    blocks=(0,),
    system="snn-sc-harq",
    profile="resnet18",
    weights="0" * 64,
    threshold=0.7,
    digest="0" * 64,
).to_headers()

#: A frame is described by hand: FastAPI has no model for a binary body with its metadata in headers.
FRAME_OPENAPI: Final[dict[str, object]] = {
    "parameters": [
        {"in": "header", "name": name, "required": name != THRESHOLD, "schema": {"type": "string"}, "example": value}
        for name, value in _EXAMPLE.items()
    ],
    "requestBody": {"required": True, "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}},
}


async def body_of(request: Request) -> bytes:
    """The packed bits. Raises UnsupportedMedia where the content type is another."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != OCTETS:
        raise UnsupportedMedia(f"a frame is sent as {OCTETS}")
    return await request.body()


def _deadline(request: Request) -> Deadline:
    try:
        left_ms = read_number(request.headers, DEADLINE_MS, DEADLINE_ADAPTER)
    except FrameFormatError as error:
        raise BadFrame(str(error)) from None
    return Deadline.after(_DEFAULT_DEADLINE_S if left_ms is None else left_ms / 1000)


def _request_id(request: Request) -> str:
    name: str = request.scope["spikelink.request_id"]
    return name


DeadlineDep = Annotated[Deadline, Depends(_deadline)]
RequestIdDep = Annotated[str, Depends(_request_id)]
