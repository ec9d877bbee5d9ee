# SPDX-License-Identifier: Apache-2.0
"""A cloud that answers at once, in a process of its own: what is measured before it is the channel alone."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

from service.wire import FrameAnswer, FrameHead

_BLOCKS: Final = b"spikelink-blocks"
_HEALTHY: Final = b'{"status":"ok","role":"cloud"}'


@contextmanager
def quick_cloud(answers: Mapping[FrameHead, FrameAnswer]) -> Iterator[str]:
    """The URL of a cloud with one answer for each set of blocks; it ends with the block, or with this process."""
    replies = {head.to_headers()["SpikeLink-Blocks"].encode(): _reply(answer.model_dump_json().encode())
               for head, answer in answers.items()}  # fmt: skip
    context = get_context("spawn")
    ours, its = context.Pipe()
    child = context.Process(target=_serve, args=(its, replies), daemon=True)
    child.start()
    its.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.close()
        child.join(timeout=1.0)
        child.kill()
        child.join()


def _serve(parent: Connection, replies: Mapping[bytes, bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    asyncio.run(_until_alone(parent, replies))


async def _until_alone(parent: Connection, replies: Mapping[bytes, bytes]) -> None:
    loop, alone = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_server(lambda: _Answering(replies), "127.0.0.1", 0)
    parent.send(server.sockets[0].getsockname()[1])
    # The parent sends nothing: what can be read is the end of the pipe.
    loop.add_reader(parent.fileno(), alone.set)
    await alone.wait()


class _Answering(asyncio.Protocol):
    """One connection. Requests come one after the other, each with its length."""

    def __init__(self, replies: Mapping[bytes, bytes]) -> None:
        self._replies, self._received = replies, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        headers = {name.lower(): value.strip() for name, _, value in lines}
        length = int(headers.get(b"content-length", b"0"))
        if len(body) < length:
            return
        self._received = body[length:]
        self._transport.write(self._replies[headers[_BLOCKS]] if _BLOCKS in headers else _reply(_HEALTHY))


def _reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
