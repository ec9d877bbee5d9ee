# SPDX-License-Identifier: Apache-2.0
"""The client of a SpikeLink edge: images in, classifications with the trace of every round out."""

from client.client import Client
from client.errors import (
    ImageFileError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotAuthorizedError,
    RequestRefusedError,
    SpikeLinkError,
    UnexpectedReplyError,
)
from client.node import Node
from service.wire import BatchClassification, Classification, RoundReport

__all__ = [
    "BatchClassification",
    "Classification",
    "Client",
    "ImageFileError",
    "Node",
    "NodeTimeoutError",
    "NodeUnreachableError",
    "NotAuthorizedError",
    "RequestRefusedError",
    "RoundReport",
    "SpikeLinkError",
    "UnexpectedReplyError",
]
