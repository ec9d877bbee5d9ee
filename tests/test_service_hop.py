# SPDX-License-Identifier: Apache-2.0
"""A hop to a host that says nothing: the try ends early, as one that may be repeated, not with the deadline."""

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from breaking_peer import BREAKS, breaking_peer, note_heads
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from nodes import serving

from service.errors import PeerFailed, PeerTimedOut
from service.hop import Call, Deadline, Hop

CALL = Call("/v1/frames", b"bits", {}, "request")
DEADLINE_S = 30.0


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel leaves further ones without any answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that takes connections, and never answers on one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.asyncio
async def test_a_host_that_takes_no_connection_has_failed_long_before_the_deadline(deaf_port: int) -> None:
    hop = Hop(f"http://127.0.0.1:{deaf_port}", None)
    await hop.open()
    began_s = time.monotonic()
    with pytest.raises(PeerFailed, match="no connection within 3 s"):
        await hop.post(CALL, Deadline.after(DEADLINE_S))
    assert time.monotonic() - began_s < DEADLINE_S / 2
    await hop.close()


@pytest.mark.asyncio
async def test_a_deadline_shorter_than_connecting_holds(deaf_port: int) -> None:
    hop = Hop(f"http://127.0.0.1:{deaf_port}", None)
    await hop.open()
    with pytest.raises(PeerTimedOut):
        await hop.post(CALL, Deadline.after(0.2))
    await hop.close()


@pytest.mark.asyncio
async def test_a_host_that_computes_has_all_the_time_that_is_left(mute_port: int) -> None:
    """A slow cloud is no dead one: the bound is on connecting alone."""
    hop = Hop(f"http://127.0.0.1:{mute_port}", None)
    await hop.open()
    began_s = time.monotonic()
    with pytest.raises(PeerTimedOut):
        await hop.post(CALL, Deadline.after(4.0))
    assert time.monotonic() - began_s > 3.9
    await hop.close()


@pytest.mark.asyncio
async def test_a_reply_that_points_elsewhere_is_not_followed() -> None:
    """Whom a node speaks to, its settings alone say; what it sends carries its token."""
    elsewhere = FastAPI()
    reached: list[str] = []

    @elsewhere.api_route("/{path:path}", methods=["GET", "POST"])
    async def reach(path: str) -> None:
        reached.append(path)

    with serving(elsewhere) as there:
        upstream = FastAPI()

        @upstream.api_route("/{path:path}", methods=["GET", "POST"])
        async def point(path: str) -> RedirectResponse:
            return RedirectResponse(f"{there.base_url}/{path}", 307)

        with serving(upstream) as here:
            hop = Hop(str(here.base_url), "of-the-nodes")
            await hop.open()
            assert (await hop.post(CALL, Deadline.after(DEADLINE_S))).status == 307
            async with hop.flow(CALL, Deadline.after(DEADLINE_S)) as flow:
                assert flow.status == 307
            assert "answers 307" in await hop.healthy()
            await hop.close()
        assert reached == []
        assert there.get("/itself").status_code == 200
    assert reached == ["itself"]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", BREAKS)
async def test_a_reply_that_breaks_off_has_failed_at_once(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the deadline passes, whether the peer ends the connection or not."""
    with breaking_peer(how, "application/json", b'{"label"', note_heads(monkeypatch)) as url:
        hop = Hop(url, None)
        await hop.open()
        began_s = time.monotonic()
        with pytest.raises(PeerFailed, match="broke off its reply"):
            await hop.post(CALL, Deadline.after(DEADLINE_S))
        assert time.monotonic() - began_s < DEADLINE_S / 2
        await hop.close()


@pytest.mark.asyncio
async def test_a_connection_that_is_reset_is_no_error_of_asyncios(caplog: pytest.LogCaptureFixture) -> None:
    """What watches a connection's end has to take note of how it ended, or that is logged as an error."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for sent in (b"{}", b"{"):
            await reader.readuntil(b"bits")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + sent)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        hop = Hop("http://{}:{}".format(*server.sockets[0].getsockname()), None)
        await hop.open()
        assert (await hop.post(CALL, Deadline.after(DEADLINE_S))).body == b"{}"
        with pytest.raises(PeerFailed):
            await hop.post(CALL, Deadline.after(DEADLINE_S))
        await hop.close()
    gc.collect()
    assert caplog.records == []
