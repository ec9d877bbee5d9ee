# SPDX-License-Identifier: Apache-2.0
"""What the channel node counts."""

from collections.abc import Sequence

from service.telemetry import Metrics
from service.wire import BlockAnswer


class ChannelMetrics:
    """Bits and flips by link, ACKs and NACKs as they arrived, time in the channel."""

    def __init__(self, metrics: Metrics) -> None:
        self._bits = metrics.counter("channel_bits", "Bits that entered a link", "link")
        self._flips = metrics.counter("channel_flipped_bits", "Bits that a link inverted", "link")
        self._feedback = metrics.counter("channel_feedback", "Feedback as the edge hears it", "feedback")
        self.frame_seconds = metrics.histogram(
            "channel_frame_seconds", "Time of a frame in the channel, without the cloud"
        )

    def forward(self, bits: int, flipped_bits: int) -> None:
        self._bits.labels("forward").inc(bits)
        self._flips.labels("forward").inc(flipped_bits)

    def feedback(self, heard: Sequence[BlockAnswer], flipped: int) -> None:
        self._bits.labels("feedback").inc(len(heard))
        self._flips.labels("feedback").inc(flipped)
        acks = sum(block.feedback == "ACK" for block in heard)
        self._feedback.labels("ACK").inc(acks)
        self._feedback.labels("NACK").inc(len(heard) - acks)
