# SPDX-License-Identifier: Apache-2.0
"""A proxy between two nodes that keeps every byte of every HTTP exchange, and can misbehave on request."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit


def reply_of(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """A response that a node could have given."""
    lines = [f"HTTP/1.1 {status} Fault", f"Content-Length: {len(body)}", "Content-Type: application/problem+json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class HttpMessage:
    """A request or a response, to the byte."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    @property
    def start_line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        lines = self.head.decode().split("\r\n")[1:-2]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


#: What to do with a POST: hand it on (None), answer it oneself (bytes, or what makes them of the request), break the
#: connection before or after the next node has seen it, begin an answer that becomes no HTTP, or never answer.
Fault = bytes | Callable[[HttpMessage], bytes] | Literal["reset", "lose-reply", "garble", "hang"] | None


@dataclass(frozen=True)
class Exchanged:
    """One request and its response."""

    request: HttpMessage
    response: HttpMessage

    @property
    def size_bytes(self) -> int:
        return len(self.request.raw) + len(self.response.raw)


@dataclass
class RecordingProxy:
    """Listens at ``url``, hands on to ``upstream``. ``faults`` are used up by the next POSTs, one each.

    ``on_reply`` is called when a response to a POST has come and has been neither handed back nor lost yet;
    ``head_arrived`` has to be set when the head of a garbled one has been read.
    """

    upstream: str
    exchanges: list[Exchanged] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    on_reply: Callable[[], None] | None = None
    head_arrived: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    #: A task that waits for a reply whose caller has left is known to nobody else, and would be collected as garbage.
    _serving: set[object] = field(default_factory=set)

    def posts(self) -> list[Exchanged]:
        """The exchanges so far, health checks left out; forgotten by the proxy."""
        found = [exchange for exchange in self.exchanges if exchange.request.start_line.startswith("POST")]
        self.exchanges.clear()
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as long as both sides keep it."""
        parts = urlsplit(self.upstream)
        onward: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            while (request := await _message(reader)) is not None:
                fault = self.faults.pop(0) if self.faults and request.head.startswith(b"POST") else None
                if isinstance(fault, bytes) or callable(fault):
                    writer.write(fault if isinstance(fault, bytes) else fault(request))
                    continue
                if fault in ("hang", "garble", "reset"):
                    await self._fail(fault, reader, writer)
                    break
                onward = onward or await asyncio.open_connection(parts.hostname, parts.port)
                onward[1].write(request.raw)
                response = await _message(onward[0])
                if response is None or not self._passes(Exchanged(request, response), fault):
                    break
                writer.write(response.raw)
        except OSError:
            pass  # either side has gone: the other is told below
        finally:
            if onward:
                onward[1].close()
            _reset(writer)
            self._serving.discard(task)

    async def _fail(self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All that the other side gets before the connection breaks."""
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "garble":
            self.head_arrived.clear()
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
            await asyncio.to_thread(self.head_arrived.wait, 60)
            writer.write(b"none\r\n")
            await reader.read()  # until the other side, which cannot go on, has ended it

    def _passes(self, exchange: Exchanged, fault: Fault) -> bool:
        """Tell of a response that has come, and keep it where it is handed back."""
        if self.on_reply and exchange.request.head.startswith(b"POST"):
            self.on_reply()
        if fault == "lose-reply":
            return False
        self.exchanges.append(exchange)
        return True


async def _message(reader: asyncio.StreamReader) -> HttpMessage | None:
    """The next message; None where the other side closes instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(HttpMessage(head, b"").headers.get("content-length", "0"))
        return HttpMessage(head, await reader.readexactly(size))
    except asyncio.IncompleteReadError:
        return None


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a crashed node's kernel does."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@contextmanager
def recording_proxy(upstream: str) -> Iterator[RecordingProxy]:
    """A proxy in a thread of its own, on a free port."""
    proxy, loop = RecordingProxy(upstream), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        proxy.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
