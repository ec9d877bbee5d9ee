# SPDX-License-Identifier: Apache-2.0
"""The way of one frame through the channel: noise, delay, the cloud's answer, feedback errors.

The channel never retries, and what it hands on names the p that it used but neither seed nor flips: the cloud must
not be able to undo the noise.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import Response
from pydantic import ValidationError

from channel.bsc import feedback_flipped
from channel.transmission import Reception, transmit
from service.errors import BadFrame, PeerFailed
from service.hop import Call, Deadline, Hop, Reply
from service.nodes.channel.links import LinkTable
from service.nodes.channel.metrics import ChannelMetrics
from service.nodes.channel.tries import Tries
from service.wire import (
    BER,
    BER_ADAPTER,
    CROSSOVER,
    INDEX_ADAPTER,
    OCTETS,
    SEED,
    BlockAnswer,
    FrameAnswer,
    FrameFormatError,
    FrameHead,
    LinkState,
    RelayedAnswer,
    read_number,
)

#: About a millisecond of noise; a single image's frames have 260 and 64 bytes.
_INLINE_BYTES: Final = 8192


@dataclass(frozen=True)
class IncomingFrame:
    """A frame as the edge sent it; ``ber`` replaces the link's own where it is given."""

    head: FrameHead
    payload: bytes
    seed: int
    ber: float | None
    request_id: str
    deadline: Deadline


def read_frame(headers: Mapping[str, str], payload: bytes, request_id: str, deadline: Deadline) -> IncomingFrame:
    """Raises BadFrame where a header is missing or wrong, or the payload does not divide among the blocks."""
    try:
        head = FrameHead.from_headers(headers)
        seed = read_number(headers, SEED, INDEX_ADAPTER)
        ber = read_number(headers, BER, BER_ADAPTER)
    except FrameFormatError as error:
        raise BadFrame(str(error)) from None
    if seed is None:
        raise BadFrame(f"header {SEED} is missing")
    if not payload or len(payload) % len(head.blocks):
        raise BadFrame(f"a body of {len(payload)} bytes does not hold {len(head.blocks)} equal blocks")
    return IncomingFrame(head, payload, int(seed), ber, request_id, deadline)


class Relay:
    """Takes frames over the links to the cloud and answers back."""

    def __init__(self, hop: Hop, links: LinkTable, metrics: ChannelMetrics) -> None:
        self._hop, self._links, self._metrics = hop, links, metrics
        self._tries = Tries()

    async def frame(self, frame: IncomingFrame) -> RelayedAnswer | Response:
        """Relay a frame; a refusal of the cloud's is handed on as it is.

        Raises PeerFailed and PeerTimedOut where the cloud does not answer.
        """
        started = time.perf_counter()
        link, feedback = self._links.state("forward"), self._links.state("feedback")
        crossover = link.ber if frame.ber is None else frame.ber
        head = frame.head
        self._tries.note(head, crossover, link.model)
        received = await _transmitted(frame, crossover, link.model)
        flipped_bits = sum(received.flipped_bits)
        self._links.count("forward", 8 * len(frame.payload), flipped_bits)
        self._metrics.forward(8 * len(frame.payload), flipped_bits)
        if link.latency_ms:
            await asyncio.sleep(link.latency_ms / 1000)
        headers = {**head.to_headers(), CROSSOVER: repr(crossover), "Content-Type": OCTETS}
        call = Call("/v1/frames", received.payload, headers, frame.request_id)
        reply = await self._hop.post(call, frame.deadline)
        if reply.status != 200:
            return _as_it_is(reply)
        answer, inverted = await self._feed_back(_parsed(reply), frame, feedback)
        combined = self._combined(answer, head, link.model)
        if combined != (crossover, link.model):
            # The cloud had combined an earlier try of this frame, before the link changed: its noise is drawn again.
            received = await _transmitted(frame, *combined)
        channel_ms = 1000 * (time.perf_counter() - started) - answer.cloud_ms
        self._metrics.frame_seconds.observe(channel_ms / 1000)
        return RelayedAnswer(
            answer=answer,
            flipped_bits=received.flipped_bits,
            inverted_feedback=inverted,
            revision=link.revision,
            feedback_revision=feedback.revision,
            channel_ms=channel_ms,
        )

    def _combined(self, answer: FrameAnswer, head: FrameHead, model: str) -> tuple[float, str]:
        """p and model of the try that the cloud has combined: this one with ``model``, unless it replays an answer."""
        first = self._tries.model(head, answer.crossover) if answer.replayed else None
        return answer.crossover, first or model

    async def result(self, session: str, body: bytes, request_id: str, deadline: Deadline) -> Response:
        """Relay a request for the result, which is not subject to feedback errors."""
        headers = {"Content-Type": "application/json"}
        return _as_it_is(
            await self._hop.post(Call(f"/v1/sessions/{session}/result", body, headers, request_id), deadline)
        )

    async def _feed_back(
        self, answer: FrameAnswer, frame: IncomingFrame, link: LinkState
    ) -> tuple[FrameAnswer, tuple[bool, ...]]:
        """What reaches the edge, and of which blocks it is not what the cloud had said."""
        if link.latency_ms:
            await asyncio.sleep(link.latency_ms / 1000)
        inverted = tuple(
            feedback_flipped(link.ber, seed=frame.seed, block=block.block, t=frame.head.t) for block in answer.answers
        )
        pairs = zip(answer.answers, inverted, strict=True)
        heard = tuple(_inverted(block) if turned else block for block, turned in pairs)
        self._links.count("feedback", len(heard), sum(inverted))
        self._metrics.feedback(heard, sum(inverted))
        return (answer.model_copy(update={"answers": heard}) if any(inverted) else answer), inverted


async def _transmitted(frame: IncomingFrame, crossover: float, model: str) -> Reception:
    """The frame after the forward link; a large one off the event loop, which has other frames to serve."""
    head = frame.head
    place = partial(transmit, seed=frame.seed, blocks=head.blocks, position=head.position)
    send = partial(place, frame.payload, crossover, model=model)
    return send() if len(frame.payload) <= _INLINE_BYTES else await asyncio.to_thread(send)


def _inverted(block: BlockAnswer) -> BlockAnswer:
    """ACK for NACK and back; with a lost ACK the result is withheld, as it would be on a real link."""
    feedback = "NACK" if block.feedback == "ACK" else "ACK"
    return block.model_copy(update={"feedback": feedback, "outcome": None, "prediction": None})


def _parsed(reply: Reply) -> FrameAnswer:
    try:
        return FrameAnswer.model_validate_json(reply.body)
    except ValidationError as error:
        raise PeerFailed(f"the cloud's answer cannot be read: {error.errors()[0]['msg']}") from None


def _as_it_is(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.lasting_headers, media_type=reply.content_type)
