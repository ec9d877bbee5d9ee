# SPDX-License-Identifier: Apache-2.0
"""Clients that ask and never read: what waits to be sent is given up in time, and what makes it ends."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from nodes import serving, until
from prometheus_client import CollectorRegistry, Counter
from raw_http import connection

from service.connections import bounded_protocol

#: Seconds that a client may take: far more than a busy machine takes to read a head.
PATIENCE_S = 3.0
#: Less than a transport holds without asking to be sent no more.
REPLY_BYTES = 20_000
ASKED = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n"


class Noted(bounded_protocol(PATIENCE_S, Counter("refused", "-", ["status"], registry=CollectorRegistry()))):  # type: ignore[misc]
    """The protocol of a node, whose connection a test may look at."""

    made: "Noted | None" = None
    lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        Noted.made = self

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost = True

    @property
    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    Noted.made = None


def test_what_makes_a_reply_without_end_is_ended() -> None:
    """As it is for a client that goes away: the generator is closed, the connection gone."""
    app, left = FastAPI(), threading.Event()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def zeros() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(2**16)
                    await asyncio.sleep(0)  # to one that has left, sending is no pause
            finally:
                left.set()

        return StreamingResponse(zeros())

    with serving(app, Noted) as node, connection(node) as connected:
        connected.sendall(ASKED % (b"endless", b"close"))
        until(left.is_set, "the reply's end")
        until(lambda: last().lost, "the connection's end")


def test_a_client_that_reads_late_and_takes_all_keeps_its_connection() -> None:
    """However much that is together: each wait has the whole time."""
    app = FastAPI()

    @app.get("/long")
    def long() -> Response:
        return Response(bytes(2**24))

    with serving(app, Noted) as node, connection(node) as connected:
        end_s = time.monotonic() + 1.5 * PATIENCE_S
        while time.monotonic() < end_s:
            connected.sendall(ASKED % (b"long", b"keep-alive"))
            until(lambda: Noted.made is not None and Noted.made.unsent_bytes > 2**16, "a reply that waits")
            taken = 0
            while taken < 2**24:
                taken += len(connected.recv(2**16))
        assert not last().lost


def test_what_is_left_when_a_connection_closes_is_given_up_too(caplog: pytest.LogCaptureFixture) -> None:
    """Little enough that the transport has asked for nothing: without a limit it would wait for ever to close."""
    app = FastAPI()

    @app.get("/short")
    def short() -> Response:
        return Response(bytes(REPLY_BYTES))

    with caplog.at_level(logging.INFO), serving(app, Noted) as node, connection(node) as connected:
        answer(connected)
        while not last().unsent_bytes:
            answer(connected)
        assert last().unsent_bytes <= REPLY_BYTES + 1000
        connected.sendall(ASKED % (b"short", b"close"))
        until(lambda: last().lost, "the connection's end")
    (line,) = (line for line in caplog.records if line.name == "spikelink")
    assert (line.getMessage(), getattr(line, "client", None)) == ("a client took no reply", "127.0.0.1")


def answer(connected: socket.socket) -> None:
    """Ask, and wait until the node has answered, whatever has become of the answer."""
    until(lambda: Noted.made is not None, "the connection")
    before = last().server_state.total_requests
    connected.sendall(ASKED % (b"short", b"keep-alive"))
    until(lambda: last().server_state.total_requests > before, "an answer")


def last() -> Noted:
    assert Noted.made is not None
    return Noted.made
