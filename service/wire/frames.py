# SPDX-License-Identifier: Apache-2.0
"""A frame's metadata as HTTP headers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, TypeAdapter, ValidationError

from service.wire.base import MAX_BATCH, MAX_INDEX, SESSION_PATTERN, Ber, Index, Theta, Wire


class FrameFormatError(ValueError):
    """Headers that do not describe a frame."""


def format_blocks(blocks: Sequence[int]) -> str:
    """Ascending block indices as ranges: (0, 1, 2, 7) -> "0-2,7"."""
    ranges: list[list[int]] = []
    for block in blocks:
        if ranges and block == ranges[-1][1] + 1:
            ranges[-1][1] = block
        else:
            ranges.append([block, block])
    return ",".join(f"{first}-{last}" if first != last else str(first) for first, last in ranges)


def parse_blocks(text: str) -> tuple[int, ...]:
    """The inverse of :func:`format_blocks`.

    Raises FrameFormatError where the text is no list of ranges, is not ascending, or names more than 256 blocks.
    """
    blocks: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not _is_index(first) or (last and not _is_index(last)) or part.endswith("-"):
            raise FrameFormatError(f"{part[:40]!r} is no block index or range")
        low, high = int(first), int(last or first)
        if high < low or (blocks and low <= blocks[-1]):
            raise FrameFormatError("blocks are not named in ascending order")
        if high - low >= MAX_BATCH or len(blocks) + high - low + 1 > MAX_BATCH:
            raise FrameFormatError(f"a frame has at most {MAX_BATCH} blocks")
        blocks.extend(range(low, high + 1))
    return tuple(blocks)


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= MAX_INDEX


class FrameHead(Wire):
    """A frame's metadata. The same on both hops; seed and requested BER travel beside it to the channel alone."""

    session: str = Field(pattern=SESSION_PATTERN)
    round: int = Field(ge=1, le=64)
    t: int = Field(ge=0, le=64, description="last time step that the frame carries; 0 where there are no steps")
    position: int = Field(ge=0, le=MAX_INDEX, description="position of the first bit in each block's HARQ process")
    blocks: tuple[Index, ...] = Field(min_length=1, max_length=MAX_BATCH)
    system: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    profile: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    weights: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the sender's weights")
    threshold: Theta | None = Field(None, description="theta; absent for systems that take none")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the payload as the edge sent it")

    def to_headers(self) -> dict[str, str]:
        """As HTTP headers; floats in the shortest form that reads back exactly."""
        values = self.model_dump(exclude_none=True)
        values["blocks"] = format_blocks(self.blocks)
        return {_header(name): str(value) for name, value in values.items()}

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Read from HTTP headers (a case-insensitive mapping). Raises FrameFormatError naming the header at fault."""
        values: dict[str, object] = {}
        for name in cls.model_fields:
            if (value := headers.get(_header(name))) is not None:
                values[name] = parse_blocks(value) if name == "blocks" else value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise FrameFormatError(f"header {_header(str(first['loc'][0]))}: {first['msg']}") from None


def read_number(headers: Mapping[str, str], name: str, kind: TypeAdapter[float] | TypeAdapter[int]) -> float | None:
    """An optional numeric header. Raises FrameFormatError where it is present and out of range."""
    if (value := headers.get(name)) is None:
        return None
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise FrameFormatError(f"header {name}: {error.errors()[0]['msg']}") from None


BER_ADAPTER: Final[TypeAdapter[float]] = TypeAdapter(Ber)
INDEX_ADAPTER: Final[TypeAdapter[int]] = TypeAdapter(Index)
DEADLINE_ADAPTER: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=0, le=3_600_000)])


def _header(name: str) -> str:
    return f"SpikeLink-{name.capitalize()}"
