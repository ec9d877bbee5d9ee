# SPDX-License-Identifier: Apache-2.0
"""From a session's record to what the cloud says: the same words for a first answer, a replay and a late frame."""

from models.labels import CLASS_NAMES
from models.systems import SYSTEMS, StopRule
from service.errors import BadFrame
from service.nodes.cloud.record import EndRecord, SessionRecord
from service.wire import BlockAnswer, BlockResult, Label, Prediction


def rows_of(record: SessionRecord, blocks: tuple[int, ...]) -> tuple[int, ...]:
    """The rows of blocks. Raises BadFrame where the session has no such block."""
    index = {block: row for row, block in enumerate(record.blocks)}
    unknown = [block for block in blocks if block not in index]
    if unknown:
        raise BadFrame(f"the session has no block {unknown[0]}")
    return tuple(index[block] for block in blocks)


def round_answers(record: SessionRecord, round_: int) -> tuple[BlockAnswer, ...]:
    """What each block of a round, counted from 1, was and will always be answered."""
    entry = record.rounds[round_ - 1]
    return tuple(_answer(record, row, score, round_) for row, score in zip(entry.rows, entry.scores, strict=True))


def block_result(record: SessionRecord, row: int) -> BlockResult:
    """How a row ended."""
    end = record.ends[row]
    return BlockResult.model_validate(
        {"block": record.blocks[row], "outcome": end.outcome, "prediction": prediction(end)}
    )


def prediction(end: EndRecord) -> Prediction:
    """The five most probable classes with their names."""
    top = tuple(Label(label=CLASS_NAMES[i], class_index=i, probability=p) for i, p in end.top)
    return Prediction(label=top[0].label, class_index=top[0].class_index, top=top)


def _answer(record: SessionRecord, row: int, score: float | None, round_: int) -> BlockAnswer:
    late = row not in record.rounds[round_ - 1].combined
    end = record.ends.get(row)
    ended = end is not None and (late or end.round == round_)
    if late and end is not None:
        score = end.score
    stop = SYSTEMS[record.system].stop
    fields: dict[str, object] = {
        "block": record.blocks[row],
        "feedback": "ACK" if ended else "NACK",
        "similarity": score if stop is StopRule.SIMILARITY else None,
        "margin": score if stop is StopRule.MARGIN else None,
        "outlook": score if stop is StopRule.OUTLOOK else None,
        "crc_ok": bool(score) if stop is StopRule.CRC and score is not None else None,
        "late": late,
    }
    if end is not None and ended:
        fields |= {"outcome": end.outcome, "prediction": prediction(end)}
    return BlockAnswer.model_validate(fields)
