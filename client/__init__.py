# SPDX-License-Identifier: Apache-2.0
"""The client of a SpikeLink edge: images in, classifications with the trace of every round out."""

from client.client import TIMEOUT_S, Client
from client.errors import (
    ImageFileError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotAuthorizedError,
    RequestRefusedError,
    SpikeLinkError,
    UnexpectedReplyError,
)
from client.node import Node, Progress
from service.wire import (
    BatchClassification,
    Classification,
    Point,
    RoundReport,
    Start,
    SweepRefusedError,
    SweepReport,
    SweepState,
    series_name,
)

__all__ = [
    "TIMEOUT_S",
    "BatchClassification",
    "Classification",
    "Client",
    "ImageFileError",
    "Node",
    "NodeTimeoutError",
    "NodeUnreachableError",
    "NotAuthorizedError",
    "Point",
    "Progress",
    "RequestRefusedError",
    "RoundReport",
    "SpikeLinkError",
    "Start",
    "SweepRefusedError",
    "SweepReport",
    "SweepState",
    "UnexpectedReplyError",
    "series_name",
]
