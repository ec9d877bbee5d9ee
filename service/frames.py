# SPDX-License-Identifier: Apache-2.0
"""How channel and cloud take a frame from a request: its body, its deadline, its request id, its OpenAPI."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Depends, Request
from pydantic import TypeAdapter

from service.errors import BadFrame, UnsupportedMedia
from service.hop import Deadline
from service.wire import (
    DEADLINE_ADAPTER,
    DEADLINE_MS,
    OCTETS,
    THRESHOLD,
    FrameFormatError,
    FrameHead,
    Theta,
    read_number,
)

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

#: Forms of headers that are none of JSON's.
_BLOCKS: Final = {"type": "string", "pattern": r"^[0-9]{1,16}(-[0-9]{1,16})?(,[0-9]{1,16}(-[0-9]{1,16})?)*$"}
_THETA: Final = TypeAdapter(Theta).json_schema()


def binary_body(*media_types: str) -> dict[str, object]:
    """OpenAPI's words for a body of bytes, for which FastAPI has no model."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {"requestBody": {"required": True, "content": content}}


def header(name: str, schema: Mapping[str, object], example: object, *, required: bool = False) -> dict[str, object]:
    """OpenAPI's words for a header."""
    return {"in": "header", "name": name, "required": required, "schema": schema, "example": example}


def frame_openapi(*headers: dict[str, object]) -> dict[str, object]:
    """OpenAPI's words for a frame: binary, its metadata in headers; ``headers`` travel beside it on this hop alone."""
    forms = FrameHead.model_json_schema()["properties"] | {"blocks": _BLOCKS, "threshold": _THETA}
    own = [
        header(name, form, example, required=name != THRESHOLD)
        for (name, example), form in zip(_EXAMPLE.items(), forms.values(), strict=True)
    ]
    return {"parameters": [*own, *headers], **binary_body(OCTETS)}


async def body_of(request: Request) -> bytes:
    """The packed bits. Raises UnsupportedMedia where the content type is another."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip() != OCTETS:
        raise UnsupportedMedia(f"a frame is sent as {OCTETS}")
    return await request.body()


async def _deadline(request: Request) -> Deadline:
    try:
        left_ms = read_number(request.headers, DEADLINE_MS, DEADLINE_ADAPTER)
    except FrameFormatError as error:
        raise BadFrame(str(error)) from None
    return Deadline(arrived_s(request) + (_DEFAULT_DEADLINE_S if left_ms is None else left_ms / 1000))


def arrived_s(request: Request) -> float:
    """When the request's head was there, in monotonic seconds: its deadline counts from then."""
    moment: float = request.scope["spikelink.arrived_s"]
    return moment


async def _request_id(request: Request) -> str:
    name: str = request.scope["spikelink.request_id"]
    return name


DeadlineDep = Annotated[Deadline, Depends(_deadline)]
RequestIdDep = Annotated[str, Depends(_request_id)]
