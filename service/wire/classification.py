# SPDX-License-Identifier: Apache-2.0
"""What the edge answers to its callers."""

from pydantic import Field

from service.wire.answers import Label
from service.wire.base import FEEDBACK, OUTCOME, Wire


class RoundReport(Wire):
    """One HARQ round as the edge's caller sees it. Each time is exclusive of the next node's."""

    round: int
    t: int
    payload_bits: int
    flipped_bits: int
    similarity: float | None
    margin: float | None
    outlook: float | None = Field(None, description="score of snn-sc-learned-harq, in [-1, 1]; null for all others")
    crc_ok: bool | None = Field(None, description="whether the CRC held at the cloud; null for systems without one")
    feedback: FEEDBACK = Field(description="as it reached the edge")
    feedback_inverted: bool = Field(description="the feedback link turned it round: the cloud had said the other")
    arithmetic: str | None = Field(
        None,
        description="device, precision and tile of the cloud that answered; replicas may differ, and so may rounds",
    )
    edge_ms: float
    channel_ms: float
    cloud_ms: float


class Classification(Wire):
    """The reply to ``POST /v1/classify``."""

    label: str
    class_index: int
    top: tuple[Label, ...]
    outcome: OUTCOME
    system: str
    profile: str
    bandwidth_bits: int = Field(description="payload bits sent on the forward link, and nothing else")
    wire_bytes: int | None = Field(
        description="bodies, headers, request and status lines between edge and channel, both ways; null in a batch, "
        "whose images share their exchanges"
    )
    feedback_bits: int = Field(description="one ACK or NACK a round")
    ber: float = Field(description="bit-weighted mean crossover probability of the frames sent")
    threshold: float | None = Field(description="theta; null for systems without one")
    seed: int
    block: int
    rounds: tuple[RoundReport, ...]
    session: str
    http_retries: int = Field(0, description="requests repeated after a transport error; not HARQ rounds")
    restarts: int = Field(0, description="sessions started over after the cloud had lost the first")
    durable: bool = True
    total_ms: float


class BatchClassification(Wire):
    """The reply to ``POST /v1/classify/batch``: images in the order sent. ``wire_bytes`` is that of them all."""

    results: tuple[Classification, ...]
    session: str
    exchanges: int = Field(description="HTTP exchanges between edge and channel, retries apart")
    wire_bytes: int
    total_ms: float
