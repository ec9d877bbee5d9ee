# SPDX-License-Identifier: Apache-2.0
"""The channel without edge and cloud: frames posted to it directly, before a cloud that answers at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Final

import numpy as np
from pydantic import TypeAdapter

from channel.bits import PRIOR_BITS, STEP_BITS
from client import Node
from experiments.bench.items import BER, SYSTEM
from experiments.bench.load import closed_loop
from experiments.bench.nodes import NodesUnderTest, cpu_s
from experiments.bench.quick_cloud import quick_cloud
from experiments.bench.report import ChannelRow
from experiments.bench.statistics import items_per_s, latency_of
from models.labels import CLASS_NAMES
from service import wire

#: (blocks of a frame, connections).
ROWS: Final = ((1, 1), (1, 8), (64, 1))
_STEPS: Final = 4
_FRAME_BYTES: Final = (PRIOR_BITS + _STEPS * STEP_BITS) // 8
_RELAYED: Final = TypeAdapter(wire.RelayedAnswer)

#: Starts a channel before the cloud at a URL; it is stopped at the block's end.
StartChannel = Callable[[str], AbstractContextManager[NodesUnderTest]]


class FrameSender:
    """Posts the first frame of a session of so many blocks, again and again: to the channel each is a new one."""

    def __init__(self, channel: Node, head: wire.FrameHead, seed: int) -> None:
        self._channel = channel
        self._payload = _payload(len(head.blocks), seed)
        noise = {wire.SEED: str(seed), wire.BER: repr(BER)}
        self._headers = {**head.to_headers(), **noise, "Content-Type": wire.OCTETS}

    def send(self, number: int) -> wire.RelayedAnswer:
        """Frame ``number``. Raises what ``client`` raises."""
        return self._channel.post_frame("/v1/frames", _RELAYED, self._payload, self._headers)


def channel_rows(
    start: StartChannel, profile: str, seed: int, duration_s: float, tell: Callable[[str], None]
) -> Iterator[ChannelRow]:
    """A row a load. Raises what ``client`` raises where the channel cannot be asked."""
    heads = {blocks: _head(blocks, profile, seed) for blocks, _ in ROWS}
    with (
        quick_cloud({head: _answer(head) for head in heads.values()}) as cloud,
        start(cloud) as nodes,
        Node(nodes.urls["channel"], role="channel", token=nodes.token) as channel,
    ):
        for blocks, connections in ROWS:
            tell(f"channel alone, {blocks} blocks a frame, {connections} at a time")
            sender = FrameSender(channel, heads[blocks], seed)
            sender.send(0)
            yield _row(nodes.pids["channel"], sender, (blocks, connections), duration_s)


def _row(pid: int, sender: FrameSender, load: tuple[int, int], duration_s: float) -> ChannelRow:
    blocks, connections = load
    before_s = cpu_s(pid)
    samples = closed_loop(sender.send, connections, duration_s)
    after_s = cpu_s(pid)
    spent_s = None if before_s is None or after_s is None else after_s - before_s
    return ChannelRow(
        blocks=blocks,
        connections=connections,
        frames=len(samples.all),
        failures=samples.failures(),
        frames_per_s=items_per_s(samples.spans(1), samples.begin_s, samples.end_s),
        cpu_ms=None if spent_s is None else 1000 * spent_s / len(samples.all),
        latency=latency_of(samples.latencies_ms),
        channel=latency_of([reply.channel_ms for reply in samples.replies]),
    )


def _payload(blocks: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(blocks * _FRAME_BYTES)


def _head(blocks: int, profile: str, seed: int) -> wire.FrameHead:
    """As the edge would name it; a cloud that answers at once does not look at the weights."""
    return wire.FrameHead(
        session="0" * 32,
        round=1,
        t=_STEPS,
        position=0,
        blocks=tuple(range(blocks)),
        system=SYSTEM,
        profile=profile,
        weights="0" * 64,
        threshold=0.0,
        digest=sha256(_payload(blocks, seed)).hexdigest(),
    )


def _answer(head: wire.FrameHead) -> wire.FrameAnswer:
    """ACK with a result for every block: the largest answer that there is."""
    top = tuple(wire.Label(label=CLASS_NAMES[index], class_index=index, probability=0.2) for index in range(5))
    prediction = wire.Prediction(label=top[0].label, class_index=0, top=top)
    answers = tuple(
        wire.BlockAnswer(block=block, feedback="ACK", similarity=0.5, outcome="accepted", prediction=prediction)
        for block in head.blocks
    )
    return wire.FrameAnswer(session=head.session, round=1, t=head.t, answers=answers, crossover=BER, cloud_ms=0.0)
