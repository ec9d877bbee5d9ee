# SPDX-License-Identifier: Apache-2.0
"""A frame's headers: what is written reads back, and whatever else is read, FrameFormatError is all that is raised."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadFrame
from service.hop import Deadline
from service.nodes.channel.relay import read_frame
from service.wire import (
    BER_ADAPTER,
    DEADLINE_ADAPTER,
    INDEX_ADAPTER,
    MAX_BATCH,
    MAX_INDEX,
    SEED,
    FrameFormatError,
    FrameHead,
    format_blocks,
    parse_blocks,
    read_number,
)

HEX = "0123456789abcdef"
NAMES = st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True)
BLOCKS = st.one_of(
    st.sets(st.integers(0, MAX_INDEX), min_size=1, max_size=MAX_BATCH),
    st.sets(st.integers(0, 40), min_size=1, max_size=MAX_BATCH),  # near each other: ranges
    st.integers(0, MAX_INDEX - MAX_BATCH).map(lambda low: range(low, low + MAX_BATCH)),
).map(lambda blocks: tuple(sorted(blocks)))
HEADS = st.builds(
    FrameHead,
    session=st.text(HEX, min_size=32, max_size=32),
    round=st.integers(1, 64),
    t=st.integers(0, 64),
    position=st.integers(0, MAX_INDEX),
    blocks=BLOCKS,
    system=NAMES,
    profile=NAMES,
    weights=st.text(HEX, min_size=64, max_size=64),
    threshold=st.one_of(st.none(), st.floats(-1, 1)),
    digest=st.text(HEX, min_size=64, max_size=64),
)
#: What h11 and httptools let through, and then some.
TEXT = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=80),
    st.text(max_size=20),
    st.text("0123456789-,. +eE_xnaif", max_size=40),
    st.integers().map(str),
    st.floats().map(repr),
)
HEADERS = [f"SpikeLink-{name.capitalize()}" for name in FrameHead.model_fields]


@given(head=HEADS)
def test_what_is_written_reads_back(head: FrameHead) -> None:
    headers = head.to_headers()
    assert FrameHead.from_headers(headers) == head
    assert all(value.isascii() and value == value.strip() and "\n" not in value for value in headers.values())


@given(blocks=BLOCKS)
def test_blocks_read_back_and_have_one_spelling(blocks: tuple[int, ...]) -> None:
    text = format_blocks(blocks)
    assert parse_blocks(text) == blocks
    assert format_blocks(parse_blocks(text)) == text


@given(text=TEXT)
def test_blocks_of_any_text_are_ascending_or_refused(text: str) -> None:
    try:
        blocks = parse_blocks(text)
    except FrameFormatError:
        return
    assert 1 <= len(blocks) <= MAX_BATCH
    assert list(blocks) == sorted(set(blocks))
    assert 0 <= blocks[0] <= blocks[-1] <= MAX_INDEX


@pytest.mark.parametrize("name", HEADERS)
@given(head=HEADS, text=st.one_of(st.none(), TEXT), place=st.integers(0, 70), whole=st.booleans())
def test_any_text_in_a_header_is_read_or_refused(
    name: str, head: FrameHead, text: str | None, place: int, whole: bool
) -> None:
    """None: the header is missing; otherwise it is another text, or has one more in the middle."""
    headers = head.to_headers()
    value = headers.pop(name, "")
    if text is not None:
        headers[name] = text if whole else value[:place] + text + value[place:]
    try:
        found = FrameHead.from_headers(headers)
    except FrameFormatError:
        return
    assert FrameHead.from_headers(found.to_headers()) == found
    field = name.removeprefix("SpikeLink-").lower()
    assert found.model_copy(update={field: getattr(head, field)}) == head


@pytest.mark.parametrize("kind", [BER_ADAPTER, INDEX_ADAPTER, DEADLINE_ADAPTER])
@given(text=TEXT)
def test_a_number_of_any_text_is_finite_and_in_range_or_refused(kind: Callable[..., object], text: str) -> None:
    try:
        number = read_number({"Some": text}, "Some", kind)  # type: ignore[arg-type]  # one of the three
    except FrameFormatError:
        return
    assert number is not None
    assert 0 <= number <= {BER_ADAPTER: 0.5, INDEX_ADAPTER: MAX_INDEX, DEADLINE_ADAPTER: 3_600_000}[kind]  # type: ignore[index]


@given(head=HEADS, seed=TEXT, payload=st.binary(max_size=300))
def test_the_channel_reads_a_frame_or_calls_it_a_bad_one(head: FrameHead, seed: str, payload: bytes) -> None:
    deadline = Deadline.after(1)
    try:
        frame = read_frame({**head.to_headers(), SEED: seed}, payload, "id", deadline)
    except BadFrame:
        return
    assert (frame.head, frame.payload) == (head, payload)
    assert 0 <= frame.seed <= MAX_INDEX
    assert payload
    assert len(payload) % len(head.blocks) == 0
