# SPDX-License-Identifier: Apache-2.0
"""The edge's deadline counts from the request's arrival: what its body and its decoding take is no time beside it."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from edge_line import IMAGE, PNG
from nodes import NOWHERE, problem, running_channel, running_edge
from numpy.typing import NDArray
from recording_proxy import RecordingProxy, recording_proxy

from models import image
from models.transmitter import Transmitter, TransmitterState
from service.nodes.edge import uploads

DEADLINE_S = 0.4
#: Longer than the deadline, however quick or slow the machine: a sleep never ends early.
TOO_LONG_S = 1.5 * DEADLINE_S


@pytest.fixture(scope="module")
def late(toy_folder: Path) -> Iterator[tuple[httpx2.Client, RecordingProxy]]:
    """An edge of little time, and what it sends to a channel without a cloud."""
    with (
        running_channel(NOWHERE) as channel,
        recording_proxy(str(channel.base_url)) as proxy,
        running_edge(toy_folder, proxy.url, deadline_s=DEADLINE_S) as (edge, _),
    ):
        yield edge, proxy


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The images whose features were computed."""
    images: list[object] = []
    begin = Transmitter.begin

    def noted(self: Transmitter, images_BCHW: NDArray[np.uint8]) -> TransmitterState:
        images.append(images_BCHW)
        return begin(self, images_BCHW)

    monkeypatch.setattr(Transmitter, "begin", noted)
    return images


def assert_came_too_late(response: httpx2.Response, proxy: RecordingProxy, begun: list[object]) -> None:
    """Nothing was begun; a channel that had been asked and is at fault would be named instead."""
    assert "the deadline passed before the computation's turn came" in problem(response, 504).detail
    assert (begun, proxy.posts()) == ([], [])


@pytest.mark.parametrize("route", ["single", "batch"])
def test_decoding_takes_of_the_deadline(
    late: tuple[httpx2.Client, RecordingProxy], route: str, begun: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(content: bytes, media_type: str) -> object:
        time.sleep(TOO_LONG_S)
        return image.decode(content, media_type)

    monkeypatch.setattr(uploads, "decode", slow)
    edge, proxy = late
    if route == "single":
        response = edge.post("/v1/classify", content=IMAGE, headers=PNG)
    else:
        response = edge.post("/v1/classify/batch", files=[("images", ("a.png", IMAGE, "image/png"))])
    assert_came_too_late(response, proxy, begun)


@pytest.mark.parametrize("route", ["single", "batch"])
def test_a_body_that_is_long_in_coming_takes_of_the_deadline(
    late: tuple[httpx2.Client, RecordingProxy], route: str, begun: list[object]
) -> None:
    whole = httpx2.Request("POST", NOWHERE, files=[("images", ("a.png", IMAGE, "image/png"))])
    whole.read()
    single = route == "single"
    body = IMAGE if single else whole.content
    headers = PNG if single else {"Content-Type": whole.headers["Content-Type"]}

    def in_two_parts() -> Iterator[bytes]:
        yield body[:10]
        time.sleep(TOO_LONG_S)
        yield body[10:]

    edge, proxy = late
    path = "/v1/classify" if single else "/v1/classify/batch"
    assert_came_too_late(edge.post(path, content=in_two_parts(), headers=headers), proxy, begun)
