# SPDX-License-Identifier: Apache-2.0
"""Decoding at the edge: few images at a time, and none for whom nobody waits."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from edge_line import IMAGE
from fastapi import Request, UploadFile
from nodes import until
from numpy.typing import NDArray
from passing_deadline import Passing
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message

from models.image import decode
from service.errors import PeerTimedOut
from service.hop import Deadline
from service.nodes.edge import uploads
from service.nodes.edge.uploads import Uploads

PATIENCE_S = 60.0


@dataclass
class Decoding:
    """Stands for ``decode``: notes each call, which ends when it may go on."""

    go_on: threading.Event = field(default_factory=threading.Event)
    begun: list[bytes] = field(default_factory=list)

    def __call__(self, content: bytes, media_type: str) -> NDArray[np.uint8]:
        self.begun.append(content)
        assert self.go_on.wait(PATIENCE_S)
        return decode(content, media_type)


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Decoding:
    decoding = Decoding()
    monkeypatch.setattr(uploads, "decode", decoding)
    return decoding


def request(left: asyncio.Event) -> Request:
    """A request whose body is an image, of a caller that stays until ``left``."""
    bodies = [IMAGE]

    async def receive() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": [(b"content-type", b"image/png")]}, receive)


async def form(node: Uploads, images: int, deadline: Deadline, left: asyncio.Event) -> NDArray[np.uint8]:
    """So many images as they come with a form, whose parser has read the body."""
    kind = Headers({"content-type": "image/png"})
    sent = request(left)
    await sent.body()
    return await node.multipart(sent, [UploadFile(io.BytesIO(IMAGE), headers=kind) for _ in range(images)], deadline)


@asynccontextmanager
async def open_uploads() -> AsyncIterator[Uploads]:
    node = Uploads(2**20)
    yield node
    node.close()


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


async def begun(decoding: Decoding, count: int) -> None:
    await asyncio.to_thread(until, lambda: len(decoding.begun) == count, f"{count} images to be decoded")


def test_two_images_at_a_time(decoding: Decoding) -> None:
    """Of six callers: each may have brought the largest image that is allowed."""

    async def six() -> None:
        stay, forever = asyncio.Event(), Deadline.after(PATIENCE_S)
        async with open_uploads() as node:
            waiting = [asyncio.create_task(node.raw(request(stay), forever)) for _ in range(6)]
            await begun(decoding, 2)
            for _ in range(20):  # time enough for others to begin, if they could
                await asyncio.to_thread(lambda: None)
            assert len(decoding.begun) == 2
            decoding.go_on.set()
            images = await asyncio.gather(*waiting)
        assert [image.shape for image in images] == [(1, 3, 32, 32)] * 6

    run(six())


@pytest.mark.parametrize("kind", ["raw", "form"])
def test_a_caller_that_leaves_is_decoded_for_no_more(decoding: Decoding, kind: str) -> None:
    """The request ends at once, with an image still under way; of a form the rest is not begun."""

    async def leaving() -> None:
        left, forever = asyncio.Event(), Deadline.after(PATIENCE_S)
        async with open_uploads() as node:
            work = node.raw(request(left), forever) if kind == "raw" else form(node, 3, forever, left)
            waiting = asyncio.ensure_future(work)
            await begun(decoding, 1)
            left.set()
            with pytest.raises(ClientDisconnect):
                await waiting
            decoding.go_on.set()
        assert len(decoding.begun) == 1

    run(leaving())


def test_what_waits_for_its_turn_goes_with_its_caller(decoding: Decoding) -> None:
    async def leaving() -> None:
        stay, left, forever = asyncio.Event(), asyncio.Event(), Deadline.after(PATIENCE_S)
        async with open_uploads() as node:
            busy = [asyncio.create_task(node.raw(request(stay), forever)) for _ in range(2)]
            await begun(decoding, 2)
            third = asyncio.create_task(node.raw(request(left), forever))
            left.set()
            with pytest.raises(ClientDisconnect):
                await third
            decoding.go_on.set()
            await asyncio.gather(*busy)
        assert len(decoding.begun) == 2

    run(leaving())


def test_a_deadline_that_passes_between_two_images_ends_it(decoding: Decoding) -> None:
    decoding.go_on.set()

    async def late() -> None:
        deadline = Passing(0.0, lambda: len(decoding.begun) == 2)
        async with open_uploads() as node:
            with pytest.raises(PeerTimedOut, match=r"^image 2: the deadline passed before"):
                await form(node, 5, deadline, asyncio.Event())
        assert len(decoding.begun) == 2

    run(late())
