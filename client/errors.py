# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a caller and the nodes. Each message is one line and says what to do.

::

    SpikeLinkError
    ├── ImageFileError          the image is missing, unreadable, or no PNG, JPEG or WebP; nothing was sent
    ├── NodeUnreachableError    no node listens there, or the connection broke
    │   └── NodeTimeoutError    the node did not answer in time
    ├── RequestRefusedError     the node answered with a problem: ``.problem``, ``.status``, ``.retry_after_s``
    │   └── NotAuthorizedError  401 or 403: it wants a token, or another one
    └── UnexpectedReplyError    something answers there that does not speak this version of SpikeLink
"""

from typing import Final

from service.wire import Problem

_DETAIL_LENGTH: Final = 400


class SpikeLinkError(Exception):
    """Base of all errors that this package raises on purpose."""


class ImageFileError(SpikeLinkError):
    """An image that cannot be sent."""


class NodeUnreachableError(SpikeLinkError):
    """No connection to a node."""


class NodeTimeoutError(NodeUnreachableError):
    """A node that did not answer in time."""


class RequestRefusedError(SpikeLinkError):
    """A node's refusal, with the RFC 9457 problem that it sent."""

    def __init__(self, message: str, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.problem, self.retry_after_s = problem, retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status of the refusal."""
        return self.problem.status


class NotAuthorizedError(RequestRefusedError):
    """A refusal for want of a valid token."""


class UnexpectedReplyError(SpikeLinkError):
    """An answer that is none of the forms in ``service.wire``."""


def one_line(text: str) -> str:
    """A peer's text as one printable line: what a node says must not steer the reader's terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _DETAIL_LENGTH else f"{line[:_DETAIL_LENGTH]}..."
