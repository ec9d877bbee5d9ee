# SPDX-License-Identifier: Apache-2.0
"""What aiohttp takes for a reply though it is none: heads that no node could hand on, bodies that never end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp

from service.errors import PeerFailed

#: What a reply that is handed on keeps of its headers; the rest belongs to the hop.
HANDED_ON: Final = ("Content-Type", "Retry-After", "Cache-Control")
#: What ends an exchange and has been given a meaning: RFC 9110, section 15. Above it, uvicorn has no status line.
_STATUSES: Final = range(200, 600)
_MOST_CHARACTERS: Final = 200


def refuse_odd_heads(response: aiohttp.ClientResponse) -> None:
    """Raises PeerFailed where a head could not be handed on: by its status, or a header that is no short, plain text.

    aiohttp takes any three digits, and any bytes of a header for UTF-8.
    """
    if response.status not in _STATUSES:
        raise PeerFailed(f"{response.url.origin()} answers {response.status}, which is no final status")
    for name in HANDED_ON:
        value = response.headers.get(name, "")
        if not (value.isascii() and value.isprintable() and len(value) <= _MOST_CHARACTERS):
            raise PeerFailed(f"{response.url.origin()} answers with a {name} that no node sends: {value!a:.50}")


@contextmanager
def ending_with_its_connection(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Inside the block a body raises ClientPayloadError where its connection ends before it is whole.

    aiohttp sees to that itself, but not where the connection ends because a later part of the reply cannot be read,
    such as the length of a chunk: it then tells its protocol and not the body, for which a reader waits on. That the
    connection has ended is what can be seen of this without aiohttp's private names.
    """
    connection = response.connection
    protocol = None if connection is None else connection.protocol  # none once the body is whole
    closed = None if protocol is None else protocol.closed  # none once it has ended

    def end(_: object = None) -> None:
        if not response.content.is_eof() and response.content.exception() is None:
            response.content.set_exception(aiohttp.ClientPayloadError("what came cannot be read as HTTP/1.1"))

    if closed is None:
        end()
        yield
        return
    closed.remove_done_callback(_take_note)  # of an earlier reply on the same connection
    closed.add_done_callback(_take_note)
    closed.add_done_callback(end)
    try:
        yield
    finally:
        closed.remove_done_callback(end)


def _take_note(closed: "asyncio.Future[None]") -> None:
    """Or asyncio would log an error that nobody has asked for, as where a peer resets an idle connection."""
    closed.exception()
