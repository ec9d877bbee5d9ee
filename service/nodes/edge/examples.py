# SPDX-License-Identifier: Apache-2.0
"""Examples for OpenAPI, in the shape that the edge really answers."""

from typing import Final

from models.labels import CLASS_NAMES
from service.wire import BatchClassification, Classification, Label, RoundReport

_PROBABILITIES: Final = {"rocket": 0.83, "bottle": 0.05, "skyscraper": 0.02, "lamp": 0.01, "castle": 0.01}
_TOP: Final = tuple(
    Label(label=label, class_index=CLASS_NAMES.index(label), probability=probability)
    for label, probability in _PROBABILITIES.items()
)


def _round(number: int, payload_bits: int, flipped_bits: int, similarity: float, feedback: str) -> RoundReport:
    return RoundReport.model_validate(
        {
            "round": number,
            "t": number + 3,
            "payload_bits": payload_bits,
            "flipped_bits": flipped_bits,
            "similarity": similarity,
            "margin": None,
            "crc_ok": None,
            "feedback": feedback,
            "edge_ms": 9.1,
            "channel_ms": 1.4,
            "cloud_ms": 6.8,
        }
    )


_CLASSIFICATION: Final = Classification(
    label="rocket",
    class_index=69,
    top=_TOP,
    outcome="accepted",
    system="snn-sc-harq",
    profile="resnet18",
    bandwidth_bits=2592,
    wire_bytes=3318,
    feedback_bits=2,
    ber=0.2,
    threshold=0.74,
    seed=7,
    block=0,
    rounds=(_round(1, 2080, 402, 0.71, "NACK"), _round(2, 512, 103, 0.76, "ACK")),
    session="0123456789abcdef0123456789abcdef",
    total_ms=34.6,
)


def _example(value: Classification | BatchClassification) -> dict[str, object]:
    return {"content": {"application/json": {"example": value.model_dump()}}}


CLASSIFICATION_EXAMPLE: Final = _example(_CLASSIFICATION)
BATCH_EXAMPLE: Final = _example(
    BatchClassification(
        results=(_CLASSIFICATION.model_copy(update={"wire_bytes": None}),),
        session=_CLASSIFICATION.session,
        exchanges=2,
        wire_bytes=3318,
        total_ms=34.6,
    )
)
