# SPDX-License-Identifier: Apache-2.0
"""The edge over a channel whose replies begin well and cannot be used: it asks again, long before its deadline."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_peer import note_heads
from edge_line import Line, running_line
from essence import of_reply
from nodes import NEVER, PATIENCE_S


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


def test_a_reply_that_becomes_no_http_is_asked_for_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    note_heads(monkeypatch, line.proxy.head_arrived)
    undisturbed = of_reply(line.classify(threshold=NEVER))
    reply = line.classify("garble", None, "garble", threshold=NEVER)
    assert (reply.http_retries, reply.restarts) == (2, 0)
    assert of_reply(reply) == undisturbed
    assert reply.total_ms < 1000 * PATIENCE_S / 2
