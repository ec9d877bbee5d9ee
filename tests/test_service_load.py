# SPDX-License-Identifier: Apache-2.0
"""Two hundred sessions at once, all different, give exactly what each gives alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from essence import Essence, of_reply
from nodes import png, three_nodes
from toy import toy_images

from client import Client

SESSIONS = 200
SYSTEMS = ("snn-sc-harq", "snn-sc-harq", "snn-sc-margin-harq", "multi-rate", "snn-sc-harq", "bypass")
BERS = (0.0, 0.05, 0.1, 0.2, 0.3)


@pytest.fixture(scope="module")
def edge_url(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    environment = {"cloud": {"SPIKELINK_STORE": store},
                   "edge": {"SPIKELINK_DEADLINE_S": "600"}}  # fmt: skip
    with three_nodes(toy_folder, environment) as nodes:
        yield nodes.urls["edge"]


def test_two_hundred_sessions_do_not_disturb_each_other(edge_url: str) -> None:
    files = [png(image) for image in toy_images(SESSIONS, seed=8)]

    transport = httpx2.HTTPTransport(limits=httpx2.Limits(max_connections=SESSIONS))
    client = Client(edge_url, timeout_s=600, transport=transport)

    def classify(number: int) -> tuple[str, Essence]:
        system = SYSTEMS[number % len(SYSTEMS)]
        reply = client.classify(
            files[number],
            system=system,
            ber=0.0 if system == "bypass" else BERS[number % len(BERS)],
            t=4 + number % 5 if system == "multi-rate" else None,
            seed=number // 2,
            block=number % 3,
        )
        assert (reply.http_retries, reply.restarts) == (0, 0)
        return reply.session, of_reply(reply)

    with client:
        with ThreadPoolExecutor(SESSIONS) as pool:
            together = list(pool.map(classify, range(SESSIONS)))
        alone = [classify(number) for number in range(SESSIONS)]
    assert len({session for session, _ in together}) == SESSIONS
    assert [essence for _, essence in together] == [essence for _, essence in alone]
    assert len({len(essence.rounds) for _, essence in alone}) >= 3
