# SPDX-License-Identifier: Apache-2.0
"""A session's record: what must last. Everything else the cloud holds can be rebuilt from it.

Rows count the session's blocks from 0. A round keeps the received bits of the rows that it was combined for; rows
whose session had already ended (late frames) are named, and their bits are not kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import msgpack

from channel.bits import Bits, unpack

#: A digest tells one frame from another within a session; 128 bits are plenty and keep the record small.
DIGEST_BYTES: Final = 16
#: To be raised with every change of the fields: replicas of two versions may share a store while one follows the other.
_FORMAT: Final = 2


class RecordFormatError(ValueError):
    """A record that another version of SpikeLink wrote."""


@dataclass(frozen=True)
class RoundRecord:
    """One frame: which rows it named, what arrived for those still open, and what each was answered.

    ``payload`` is empty once the session has ended; a score is what the stop rule went by, 1 or 0 for a CRC.
    """

    digest: bytes
    crossover: float
    rows: tuple[int, ...]
    combined: tuple[int, ...]
    payload: bytes
    scores: tuple[float | None, ...]

    def bits_of(self, rows: Iterable[int]) -> Bits:
        """The received bits of some of the combined rows, bits_BN; of a session that goes on."""
        bits_BN = unpack(self.payload, len(self.combined))
        return bits_BN[[self.combined.index(row) for row in rows]]


@dataclass(frozen=True)
class EndRecord:
    """How a row ended: the outcome, in which round (0: on request) and the five most probable classes."""

    outcome: str
    round: int
    score: float | None
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class SessionRecord:
    """One session of B blocks."""

    profile: str
    weights: bytes
    system: str
    theta: float | None
    fixed_t: int | None
    blocks: tuple[int, ...]
    rounds: tuple[RoundRecord, ...] = ()
    ends: dict[int, EndRecord] = field(default_factory=dict)

    @property
    def next_round(self) -> int:
        return len(self.rounds) + 1

    @property
    def ended(self) -> bool:
        """Whether every row has its result."""
        return len(self.ends) == len(self.blocks)

    def stripped(self) -> "SessionRecord":
        """Without the received bits where nothing will be rebuilt from them any more."""
        if not self.ended:
            return self
        return replace(self, rounds=tuple(replace(entry, payload=b"") for entry in self.rounds))

    def history(self, row: int) -> tuple[int, ...]:
        """The rounds, counted from 0, that were combined for a row."""
        return tuple(index for index, entry in enumerate(self.rounds) if row in entry.combined)

    def with_round(self, entry: RoundRecord, ends: dict[int, EndRecord]) -> "SessionRecord":
        return replace(self, rounds=(*self.rounds, entry), ends={**self.ends, **ends})

    def with_ends(self, ends: dict[int, EndRecord]) -> "SessionRecord":
        return replace(self, ends={**self.ends, **ends})


def encode(record: SessionRecord) -> bytes:
    """A record as msgpack: the format's number, then field values only, in the order of the fields."""
    fields = dict(vars(record))  # shallow: dataclasses.asdict copies every value, 40 times slower at 256 blocks
    fields["rounds"] = [tuple(vars(entry).values()) for entry in record.rounds]
    fields["ends"] = [(row, *vars(end).values()) for row, end in record.ends.items()]
    packed: bytes = msgpack.packb((_FORMAT, *fields.values()))
    return packed


def decode(packed: bytes) -> SessionRecord:
    """The inverse of :func:`encode`. Raises RecordFormatError where the format is another."""
    format_, *fields = msgpack.unpackb(packed, use_list=False)
    if format_ != _FORMAT:
        raise RecordFormatError(f"a record of format {format_!r}, not {_FORMAT}")
    profile, weights, system, theta, fixed_t, blocks, rounds, ends = fields
    return SessionRecord(
        profile,
        weights,
        system,
        theta,
        fixed_t,
        blocks,
        tuple(RoundRecord(*entry) for entry in rounds),
        {row: EndRecord(*end) for row, *end in ends},
    )
