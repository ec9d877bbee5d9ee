# SPDX-License-Identifier: Apache-2.0
"""What cloud and channel answer to a frame, and to a request for the result."""

from typing import Annotated

from pydantic import Field, Strict, field_validator

from service.wire.base import FEEDBACK, MAX_BATCH, OUTCOME, Index, Wire


class Label(Wire):
    """One class and its probability."""

    label: str
    class_index: int
    probability: float


class Prediction(Wire):
    """The cloud's classification of one block, the five most probable classes first to last."""

    label: str
    class_index: int
    top: tuple[Label, ...]


class BlockAnswer(Wire):
    """ACK or NACK for one block; ``outcome`` and ``prediction`` come with an ACK unless the channel withheld them."""

    block: int
    feedback: FEEDBACK
    similarity: float | None = None
    margin: float | None = None
    outlook: float | None = Field(None, description="score of snn-sc-learned-harq, in [-1, 1]; null for all others")
    crc_ok: bool | None = Field(None, description="whether the CRC held; null for systems without one")
    late: bool = Field(False, description="the cloud had already said ACK; the frame's bits were not combined")
    outcome: OUTCOME | None = None
    prediction: Prediction | None = None


class FrameAnswer(Wire):
    """The cloud's reply to a frame."""

    session: str
    round: int
    t: int
    answers: tuple[BlockAnswer, ...]
    crossover: float = Field(description="p of the bits that this round combined; a replayed answer has the first's")
    replayed: bool = Field(False, description="this frame had been answered before; nothing was combined again")
    durable: bool = Field(True, description="the record is in the store, and not in memory alone")
    arithmetic: str | None = Field(
        None,
        description="what this cloud computes the profile with, as in 'cpu float32 tile 4'; a replayed answer may be "
        "of a cloud with another",
    )
    cloud_ms: float


class RelayedAnswer(Wire):
    """The cloud's reply as the channel hands it on, with what the links did."""

    answer: FrameAnswer
    flipped_bits: tuple[int, ...] = Field(
        description="by block in the order of the frame, of the bits that the cloud combined: of a replayed answer, "
        "the first try's"
    )
    inverted_feedback: tuple[bool, ...] = Field(
        description="whether the feedback link inverted the ACK or NACK of this try, by block in the order of the frame"
    )
    revision: int = Field(description="of the forward link's settings, as they stood for this try of the frame")
    feedback_revision: int = Field(description="of the feedback link's settings, as they stood for this try")
    channel_ms: float


class ResultRequest(Wire):
    """Asks for the classification of blocks with the bits at hand; closes them."""

    blocks: tuple[Annotated[Index, Strict()], ...] = Field(
        min_length=1, max_length=MAX_BATCH, description="each once", json_schema_extra={"uniqueItems": True}
    )

    @field_validator("blocks")
    @classmethod
    def _each_once(cls, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(blocks)) < len(blocks):
            raise ValueError("a block is named more than once")
        return blocks


class BlockResult(Wire):
    """How one block ended."""

    block: int
    outcome: OUTCOME
    prediction: Prediction


class ResultAnswer(Wire):
    """Reply to a ResultRequest."""

    session: str
    results: tuple[BlockResult, ...]
    durable: bool = True
    cloud_ms: float
