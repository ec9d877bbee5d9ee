# SPDX-License-Identifier: Apache-2.0
"""Examples for OpenAPI, in the shape that the edge really answers."""

from typing import Final

from models.labels import CLASS_NAMES
from service.nodes.edge.stream import frame
from service.wire import EVENT_STREAM, BatchClassification, Classification, Event, Label, RoundReport, Start

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
            "outlook": None,
            "crc_ok": None,
            "feedback": feedback,
            "feedback_inverted": False,
            "arithmetic": "cpu float32 tile 4",
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


_START: Final = Start.model_validate(_CLASSIFICATION.model_dump(include=set(Start.model_fields)))
#: FastAPI knows one model a status; these are the models of the events.
_EVENT_SCHEMAS: Final = {
    "start": Start.model_json_schema(),
    "round": {"$ref": "#/components/schemas/RoundReport"},
    "result": {"$ref": "#/components/schemas/Classification"},
    "problem": {"$ref": "#/components/schemas/Problem"},
}


def _json(value: Classification | BatchClassification) -> dict[str, object]:
    return {"application/json": {"example": value.model_dump()}}


def _events() -> dict[str, object]:
    sent: tuple[Event, ...] = (_START, *_CLASSIFICATION.rounds, _CLASSIFICATION)
    example = b"".join(frame(number, event) for number, event in enumerate(sent)).decode()
    description = "server-sent events, numbered: a start, each round as it ends, then the result or a problem"
    schema = {"type": "string", "description": description}
    return {EVENT_STREAM: {"schema": schema, "example": example, "x-events": _EVENT_SCHEMAS}}


CLASSIFICATION_EXAMPLE: Final = {"content": {**_json(_CLASSIFICATION), **_events()}}
BATCH_EXAMPLE: Final = {
    "content": _json(
        BatchClassification(
            results=(_CLASSIFICATION.model_copy(update={"wire_bytes": None}),),
            session=_CLASSIFICATION.session,
            exchanges=2,
            wire_bytes=3318,
            total_ms=34.6,
        )
    )
}
