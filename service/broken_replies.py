# SPDX-License-Identifier: Apache-2.0
"""What aiohttp takes for a reply though it is none: bodies that neither go on nor end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp


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
