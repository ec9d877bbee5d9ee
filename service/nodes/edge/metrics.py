# SPDX-License-Identifier: Apache-2.0
"""What the edge node counts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Refusal
from service.nodes.edge.harq import HarqSession
from service.telemetry import Metrics


class EdgeMetrics:
    """Images by outcome, rounds, payload bits, bytes on the wire, retries, latency."""

    def __init__(self, metrics: Metrics) -> None:
        self._images = metrics.counter("edge_images", "Images classified", "system", "outcome")
        self._failures = metrics.counter(
            "edge_failures", "Requests refused for want of room, or once planned", "status"
        )
        self.in_flight = metrics.gauge(
            "edge_in_flight", "Requests to classify, from their head to the end of their reply"
        )
        self._abandoned = metrics.counter("edge_abandoned", "Requests given up because their caller had gone")
        self._rounds = metrics.counter("edge_rounds", "HARQ rounds, by the feedback that ended them", "feedback")
        self._bits = metrics.counter("edge_payload_bits", "Payload bits sent on the forward link")
        self._wire = metrics.counter("edge_wire_bytes", "Bytes on the hop to the channel, both ways")
        self._retries = metrics.counter("edge_http_retries", "Requests repeated after transport errors")
        self._restarts = metrics.counter("edge_restarts", "Sessions started over")
        self._seconds = metrics.histogram("edge_request_seconds", "Time of one classify request")

    @contextmanager
    def request(self, session: HarqSession) -> Iterator[None]:
        """Counts a session, however it ends: its rounds and bytes took place in any case."""
        with self._seconds.time():
            try:
                yield
            except Refusal as refusal:
                self.refused(refusal)
                raise
            except asyncio.CancelledError:
                self._abandoned.inc()
                raise
            finally:
                self._exchanged(session)
        for entry in session.blocks:
            self._images.labels(session.plan.system.name, entry.outcome).inc()

    def refused(self, refusal: Refusal) -> None:
        """A request ended in this, before anything of it was read or after it had been planned."""
        self._failures.labels(str(refusal.status)).inc()

    def _exchanged(self, session: HarqSession) -> None:
        for entry in session.blocks:
            self._bits.inc(entry.bandwidth_bits)
            for report in entry.rounds:
                self._rounds.labels(report.feedback).inc()
        self._restarts.inc(session.restarts)
        self._wire.inc(session.tally.wire_bytes)
        self._retries.inc(session.tally.http_retries)
