# SPDX-License-Identifier: Apache-2.0
"""What the edge sends to a caller that asks for ``text/event-stream``: the rounds as they end, then the result."""

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from service.wire.base import Wire
from service.wire.classification import Classification, RoundReport
from service.wire.nodes import Problem

EVENT_STREAM: Final = "text/event-stream"


class Start(Wire):
    """The terms of a classification, known before its first round."""

    session: str = Field(description="the first; the result names another one where the cloud has lost it")
    seed: int
    block: int
    system: str
    profile: str
    threshold: float | None = Field(description="theta; null for systems without one")


Event = Start | RoundReport | Classification | Problem
#: A stream is one start, a round for each HARQ round, and at the end a result or a problem.
EVENTS: Final[Mapping[str, type[Event]]] = {
    "start": Start,
    "round": RoundReport,
    "result": Classification,
    "problem": Problem,
}
