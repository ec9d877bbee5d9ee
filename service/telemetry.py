# SPDX-License-Identifier: Apache-2.0
"""Structured logs and Prometheus metrics; one registry an application, so that several can live in one process."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import EventDict

#: From 100 us, because a channel hop is shorter than the usual smallest bucket of 5 ms.
BUCKETS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


#: What the guard's line about a request has beside its id.
REQUEST_FIELDS: Final = ("method", "path", "status", "ms", "client")


def configure_logs(level: str, role: str) -> None:
    """JSON lines on stderr for our own and uvicorn's messages, each with role and request id."""

    def with_role(_: object, __: str, event: EventDict) -> EventDict:
        # Not a context variable: threads that compute have a context of their own.
        return {**event, "role": role}

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        with_role,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(REQUEST_FIELDS)],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def adopt_loggers() -> None:
    """Have the loggers of libraries that are loaded by now, which may write in a form of their own, write as ours."""
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger) and logger.handlers:
            logger.handlers.clear()
            logger.propagate = True


@dataclass(frozen=True)
class Metrics:
    """What a node counts. Names start with ``spikelink_``; all sizes are totals since the start."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"spikelink_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"spikelink_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float] = BUCKETS_S) -> Histogram:
        return Histogram(f"spikelink_{name}", text, labels, registry=self.registry, buckets=buckets)
