# SPDX-License-Identifier: Apache-2.0
"""What the cloud node counts."""

from service.nodes.cloud.engine import StateCache
from service.nodes.cloud.sessions import FrameOutcome
from service.telemetry import Metrics


class CloudMetrics:
    """Frames, received payload bits, answers, replays and late frames, time, cache."""

    def __init__(self, metrics: Metrics, cache: StateCache) -> None:
        self._frames = metrics.counter("cloud_frames", "Frames answered", "kind")
        self._bits = metrics.counter("cloud_payload_bits", "Payload bits received, replays not counted again")
        self._answers = metrics.counter("cloud_answers", "ACKs and NACKs given", "feedback")
        self._seconds = metrics.histogram("cloud_frame_seconds", "Time of a frame in the cloud")
        metrics.gauge("cloud_cache_bytes", "Reconstructed state kept in memory").set_function(lambda: cache.size_bytes)

    def frame(self, payload: bytes, outcome: FrameOutcome, seconds: float) -> None:
        self._frames.labels("replayed" if outcome.replayed else "new").inc()
        self._seconds.observe(seconds)
        if outcome.replayed:
            return
        self._bits.inc(8 * len(payload))
        for answer in outcome.answers:
            self._answers.labels("late" if answer.late else answer.feedback).inc()
