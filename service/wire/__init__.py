# SPDX-License-Identifier: Apache-2.0
"""What travels between client, edge, channel and cloud: headers of a frame, JSON of an answer.

A frame is a body of packed bits (``application/octet-stream``) with its metadata in headers; everything else is JSON.
Imports pydantic alone, so that the client stays light.
"""

from service.wire.answers import (
    BlockAnswer,
    BlockResult,
    FrameAnswer,
    Label,
    Prediction,
    RelayedAnswer,
    ResultAnswer,
    ResultRequest,
)
from service.wire.base import (
    BER,
    CROSSOVER,
    DEADLINE_MS,
    FEEDBACK,
    MAX_BATCH,
    MAX_INDEX,
    OCTETS,
    OUTCOME,
    REQUEST_ID,
    SEED,
    SESSION_PATTERN,
    THRESHOLD,
    Ber,
    Index,
    Theta,
    Wire,
)
from service.wire.classification import BatchClassification, Classification, RoundReport
from service.wire.dashboard import LinkReport, NodeReport, Point, ReferenceResults
from service.wire.events import EVENT_STREAM, EVENTS, Event, Start
from service.wire.frames import (
    BER_ADAPTER,
    DEADLINE_ADAPTER,
    INDEX_ADAPTER,
    FrameFormatError,
    FrameHead,
    format_blocks,
    parse_blocks,
    read_number,
)
from service.wire.nodes import LinkChange, LinkCounters, LinkState, NodeInfo, Problem, ProfileInfo, Readiness
from service.wire.sweeps import SweepReport, SweepState

__all__ = [
    "BER",
    "BER_ADAPTER",
    "CROSSOVER",
    "DEADLINE_ADAPTER",
    "DEADLINE_MS",
    "EVENTS",
    "EVENT_STREAM",
    "FEEDBACK",
    "INDEX_ADAPTER",
    "MAX_BATCH",
    "MAX_INDEX",
    "OCTETS",
    "OUTCOME",
    "REQUEST_ID",
    "SEED",
    "SESSION_PATTERN",
    "THRESHOLD",
    "BatchClassification",
    "Ber",
    "BlockAnswer",
    "BlockResult",
    "Classification",
    "Event",
    "FrameAnswer",
    "FrameFormatError",
    "FrameHead",
    "Index",
    "Label",
    "LinkChange",
    "LinkCounters",
    "LinkReport",
    "LinkState",
    "NodeInfo",
    "NodeReport",
    "Point",
    "Prediction",
    "Problem",
    "ProfileInfo",
    "Readiness",
    "ReferenceResults",
    "RelayedAnswer",
    "ResultAnswer",
    "ResultRequest",
    "RoundReport",
    "Start",
    "SweepReport",
    "SweepState",
    "Theta",
    "Wire",
    "format_blocks",
    "parse_blocks",
    "read_number",
]
