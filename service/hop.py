# SPDX-License-Identifier: Apache-2.0
"""One HTTP hop to the next node: a long-lived session, a deadline that shrinks, the bytes on the wire counted."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

import aiohttp

from service.broken_replies import ending_with_its_connection, refuse_odd_heads
from service.errors import PeerFailed, PeerTimedOut
from service.wire import DEADLINE_MS, REQUEST_ID

#: The next node gets a little less than what is left, so that it, which knows what failed, is the one to answer.
_KEPT_SHARE: Final = 0.95

#: uvicorn keeps idle connections for 65 s (service/run.py); dropping them earlier here avoids meeting a closed one.
_KEEP_ALIVE_S: Final = 55.0

#: Looking the next node's name up and connecting. A host that is gone says nothing at all: without this bound one such
#: try took the whole deadline, and the node's return went unnoticed.
_CONNECT_S: Final = 3.0

#: How long bytes may stay unacknowledged before a connection counts as broken: its host may be gone too.
_UNACKNOWLEDGED_MS: Final = 5000


@dataclass(frozen=True)
class Deadline:
    """A point in monotonic time by which an answer must be there."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        return self.at_s - time.monotonic()


@dataclass(frozen=True)
class Reply:
    """Status, body and content type of a reply, and what both messages weighed."""

    status: int
    body: bytes
    content_type: str
    retry_after: str | None
    wire_bytes: int

    @property
    def lasting_headers(self) -> dict[str, str]:
        """Those that stay true where a reply is handed on as it is, beside its content type."""
        return {"Retry-After": self.retry_after} if self.retry_after else {}


@dataclass(frozen=True)
class Call:
    """A request to the next node."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    request_id: str


@dataclass(frozen=True)
class Flow:
    """A reply whose body has yet to come."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Hop:
    """The connection of a node to its upstream, whose address comes from the settings alone."""

    def __init__(self, upstream: str, token: str | None) -> None:
        self._upstream = upstream.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; it needs a running event loop."""
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_count_request)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S, socket_factory=_impatient_socket)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            trace_configs=[trace],
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, call: Call, deadline: Deadline) -> Reply:
        """Send and wait. Raises PeerFailed where no connection holds, PeerTimedOut where the deadline passes."""
        return await self.ask("POST", call, deadline)

    async def ask(self, method: str, call: Call, deadline: Deadline) -> Reply:
        """The same with another method."""
        sent = SimpleNamespace(header_bytes=0)
        async with self._answered(method, call, deadline, sent) as response:
            body = await response.read()
        wire_bytes = sent.header_bytes + len(call.body) + _reply_head_bytes(response) + len(body)
        retry_after = response.headers.get("Retry-After")
        return Reply(response.status, body, response.content_type, retry_after, wire_bytes)

    @asynccontextmanager
    async def flow(self, call: Call, deadline: Deadline) -> AsyncIterator[Flow]:
        """Post, and take the body as it comes; leaving the block closes the connection. Raises as ``post``."""
        async with self._answered("POST", call, deadline, SimpleNamespace(header_bytes=0)) as response:
            yield Flow(response.status, response.headers, response.content.iter_any())

    @asynccontextmanager
    async def _answered(
        self, method: str, call: Call, deadline: Deadline, sent: SimpleNamespace
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The head of the reply, and its body inside the block."""
        assert self._session is not None, "the hop is not open"
        left_s = deadline.left_s
        if left_s <= 0:
            raise PeerTimedOut("the deadline had passed before the next node was asked")
        headers = {
            **call.headers,
            REQUEST_ID: call.request_id,
            DEADLINE_MS: str(max(1, int(_KEPT_SHARE * left_s * 1000))),
        }
        url = self._upstream + call.path
        # Not where a reply may point to: whom a node speaks to, and sends its token, its settings alone say.
        request = self._session.request(
            method, url, data=call.body, headers=headers, trace_request_ctx=sent, allow_redirects=False
        )
        try:
            async with asyncio.timeout(left_s), request as response:
                refuse_odd_heads(response)
                with ending_with_its_connection(response):
                    yield response
        except aiohttp.ServerTimeoutError:
            raise PeerFailed(f"{self._upstream} cannot be reached: no connection within {_CONNECT_S:g} s") from None
        except TimeoutError:
            raise PeerTimedOut(f"{self._upstream} did not answer within {left_s:.1f} s") from None
        except aiohttp.ClientPayloadError as error:
            raise PeerFailed(f"{self._upstream} broke off its reply: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PeerFailed(f"{self._upstream} cannot be reached: {error}") from None

    async def healthy(self) -> str:
        """``ok``, or in a few words what is wrong with the next node."""
        assert self._session is not None, "the hop is not open"
        try:
            async with (
                asyncio.timeout(2),
                self._session.get(
                    self._upstream + "/healthz",
                    trace_request_ctx=SimpleNamespace(header_bytes=0),
                    allow_redirects=False,
                ) as response,
            ):
                return "ok" if response.status == 200 else f"{self._upstream} answers {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return f"{self._upstream} cannot be reached: {error or 'no answer within 2 s'}"


def _impatient_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that gives up on a peer which no longer acknowledges, where the system can tell (Linux)."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return made


async def _count_request(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    line = f"{params.method} {params.url.raw_path_qs} HTTP/1.1\r\n"
    headers = sum(len(name) + len(value) + 4 for name, value in params.headers.items())
    context.trace_request_ctx.header_bytes = len(line) + headers + 2


def _reply_head_bytes(response: aiohttp.ClientResponse) -> int:
    line = f"HTTP/1.1 {response.status} {response.reason}\r\n"
    return len(line) + sum(len(name) + len(value) + 4 for name, value in response.raw_headers) + 2
