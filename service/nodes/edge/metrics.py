# SPDX-License-Identifier: Apache-2.0
"""What the edge node counts."""

from service.nodes.edge.exchange import Tally
from service.nodes.edge.harq import HarqSession
from service.telemetry import Metrics


class EdgeMetrics:
    """Images by outcome, rounds, payload bits, bytes on the wire, retries, latency."""

    def __init__(self, metrics: Metrics) -> None:
        self._images = metrics.counter("edge_images", "Images classified", "system", "outcome")
        self._failures = metrics.counter("edge_failures", "Requests that were planned and ended in a refusal", "status")
        self._rounds = metrics.counter("edge_rounds", "HARQ rounds, by the feedback that ended them", "feedback")
        self._bits = metrics.counter("edge_payload_bits", "Payload bits sent on the forward link")
        self._wire = metrics.counter("edge_wire_bytes", "Bytes on the hop to the channel, both ways")
        self._retries = metrics.counter("edge_http_retries", "Requests repeated after transport errors")
        self._restarts = metrics.counter("edge_restarts", "Sessions started over")
        self.request_seconds = metrics.histogram("edge_request_seconds", "Time of one classify request")

    def finished(self, session: HarqSession, system: str, tally: Tally) -> None:
        for entry in session.blocks:
            self._images.labels(system, entry.outcome).inc()
            self._bits.inc(entry.bandwidth_bits)
            for report in entry.rounds:
                self._rounds.labels(report.feedback).inc()
        self._restarts.inc(session.restarts)
        self._exchanged(tally)

    def failed(self, status: int, tally: Tally) -> None:
        """A request ended in a refusal of this status; what it had exchanged until then still counts."""
        self._failures.labels(str(status)).inc()
        self._exchanged(tally)

    def _exchanged(self, tally: Tally) -> None:
        self._wire.inc(tally.wire_bytes)
        self._retries.inc(tally.http_retries)
