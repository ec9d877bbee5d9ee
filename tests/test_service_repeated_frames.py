# SPDX-License-Identifier: Apache-2.0
"""A reply is lost, the link's BER changes, the frame is repeated: what is reported is what the cloud combined."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pytest
from essence import of_reply
from nodes import NEVER, png, running_channel, running_cloud, running_edge
from recording_proxy import Fault, RecordingProxy, recording_proxy
from toy import toy_images

from service.nodes.channel.tries import Tries
from service.wire import BatchClassification, FrameHead

FILES = [("images", (f"{i}.png", png(image), "image/png")) for i, image in enumerate(toy_images(3, seed=12))]
BEFORE, AFTER = 0.1, 0.35
MORE_ERRORS: Final = {"ber": AFTER}
OTHER_MODEL: Final = {"model": "bursts"}
ROUNDS = 5


@dataclass(frozen=True)
class Nodes:
    """Edge, channel and cloud in this process, with a proxy on each hop."""

    edge: httpx2.Client
    channel: httpx2.Client
    hops: dict[str, RecordingProxy]

    def classify(
        self, hop: str, faults: tuple[Fault, ...], changed_after: int, change: Mapping[str, object] = MORE_ERRORS
    ) -> BatchClassification:
        """Three images over a link that changes when the cloud's answer number ``changed_after`` passes a hop."""
        replies = 0

        def reply() -> None:
            nonlocal replies
            replies += 1
            if replies == changed_after:
                self.channel.patch("/v1/links/forward", json=change)

        self.channel.patch("/v1/links/forward", json={"ber": BEFORE, "model": "bsc"})
        self.hops[hop].on_reply, self.hops[hop].faults[:] = reply, faults
        try:
            query = {"seed": 5, "threshold": NEVER}
            response = self.edge.post("/v1/classify/batch", params=query, files=FILES)
        finally:
            self.hops[hop].on_reply = None
        assert response.status_code == 200, response.text
        assert self.hops[hop].faults == []
        return BatchClassification.model_validate_json(response.content)


@pytest.fixture(scope="module")
def nodes(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    store = f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    with (
        running_cloud(toy_folder, store) as cloud,
        recording_proxy(str(cloud.http.base_url)) as downlink,
        running_channel(downlink.url) as channel,
        recording_proxy(str(channel.base_url)) as uplink,
        running_edge(toy_folder, uplink.url) as (edge, _),
    ):
        yield Nodes(edge, channel, {"from the cloud": downlink, "from the channel": uplink})


@pytest.mark.parametrize("hop", ["from the cloud", "from the channel"])
@pytest.mark.parametrize("lost", range(1, ROUNDS + 1))
def test_a_lost_reply_does_not_show_though_the_link_has_changed(nodes: Nodes, hop: str, lost: int) -> None:
    """Against the same session whose reply arrived: the cloud has combined the same bits in both."""
    expected = nodes.classify(hop, (), lost)
    found = nodes.classify(hop, (None,) * (lost - 1) + ("lose-reply",), lost)
    assert [result.http_retries for result in (expected.results[0], found.results[0])] == [0, 1]
    assert [of_reply(result) for result in found.results] == [of_reply(result) for result in expected.results]
    mean = (BEFORE * (2080 + 512 * (lost - 1)) + AFTER * 512 * (ROUNDS - lost)) / (2080 + 512 * (ROUNDS - 1))
    for result in (*expected.results, *found.results):
        assert len(result.rounds) == ROUNDS
        assert result.ber == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("hop", ["from the cloud", "from the channel"])
@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_reply_does_not_show_though_the_links_model_has_changed(nodes: Nodes, hop: str, lost: int) -> None:
    """At the same BER: what the cloud says of the try that it combined does not tell the models apart."""
    expected = nodes.classify(hop, (), lost, OTHER_MODEL)
    found = nodes.classify(hop, (None,) * (lost - 1) + ("lose-reply",), lost, OTHER_MODEL)
    assert [result.http_retries for result in (expected.results[0], found.results[0])] == [0, 1]
    assert [of_reply(result) for result in found.results] == [of_reply(result) for result in expected.results]
    unchanged = nodes.classify(hop, (), ROUNDS)
    flips = [[result.rounds[-1].flipped_bits for result in reply.results] for reply in (found, unchanged)]
    assert flips[0] != flips[1], "the link did change"


def test_of_many_frames_the_last_are_remembered() -> None:
    heads = [FrameHead.model_construct(session="0", round=round_) for round_ in (1, 2, 3)]
    tries = Tries(remembered=2)
    for head in heads:
        tries.note(head, BEFORE, "bsc")
        tries.note(head, BEFORE, "bursts")
        tries.note(head, AFTER, "bursts")
    assert [tries.model(head, BEFORE) for head in heads] == [None, "bsc", "bsc"]
    assert tries.model(heads[-1], AFTER) == "bursts"


def test_the_changed_link_would_have_flipped_more(nodes: Nodes) -> None:
    """What the test above tells apart."""
    early, late = (nodes.classify("from the cloud", (), changed) for changed in (1, 2))
    flips = [[result.rounds[1].flipped_bits for result in reply.results] for reply in (early, late)]
    assert all(more > fewer for more, fewer in zip(*flips, strict=True))


def test_the_flips_are_those_between_what_was_sent_and_what_was_combined(nodes: Nodes) -> None:
    """To the bit: the payload that the edge sent, and the one that the cloud saw first."""
    uplink, downlink = nodes.hops["from the channel"], nodes.hops["from the cloud"]
    uplink.exchanges.clear()
    downlink.exchanges.clear()
    reply = nodes.classify("from the channel", ("lose-reply",), 1)
    sent, seen = (proxy.posts()[0].request.body for proxy in (uplink, downlink))
    size = len(sent) // len(FILES)
    for row, result in enumerate(reply.results):
        before, after = (int.from_bytes(body[row * size : (row + 1) * size]) for body in (sent, seen))
        assert (before ^ after).bit_count() == result.rounds[0].flipped_bits > 0
