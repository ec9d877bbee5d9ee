# SPDX-License-Identifier: Apache-2.0
"""The bit order, against positions and bytes computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from channel.bits import PRIOR_BITS, STEP_BITS, pack, step_position, unpack


def bits_of(*blocks: str) -> NDArray[np.uint8]:
    """One row a block, written as a string of 0 and 1."""
    return np.array([[int(bit) for bit in block] for block in blocks], dtype=np.uint8)


@pytest.mark.parametrize(("t", "position"), [(1, 32), (2, 544), (4, 1568), (5, 2080), (8, 3616)])
def test_step_stands_where_the_design_puts_it(t: int, position: int) -> None:
    assert step_position(t) == position


def test_process_of_eight_steps_is_whole() -> None:
    taken = [*range(PRIOR_BITS)]
    for t in range(1, 9):
        taken.extend(range(step_position(t), step_position(t) + STEP_BITS))
    assert taken == list(range(4128))


@pytest.mark.parametrize("t", [0, -1])
def test_there_is_no_step_before_the_first(t: int) -> None:
    with pytest.raises(ValueError, match="count from 1"):
        step_position(t)


def test_first_bit_is_the_most_significant_of_the_first_byte() -> None:
    assert pack(bits_of("1000000000000001")) == bytes([0b1000_0000, 0b0000_0001])


def test_blocks_follow_one_another() -> None:
    assert pack(bits_of("10100000", "00000011")) == bytes([0xA0, 0x03])


def test_unpacked_by_shifting() -> None:
    payload = bytes(range(256))
    by_hand = [payload[i // 8] >> (7 - i % 8) & 1 for i in range(8 * 256)]
    assert unpack(payload, 4).ravel().tolist() == by_hand


@given(blocks=st.integers(1, 9), octets=st.binary(max_size=64))
def test_unpack_then_pack_returns_the_payload(blocks: int, octets: bytes) -> None:
    payload = octets * blocks
    bits_BN = unpack(payload, blocks)
    assert bits_BN.shape == (blocks, 8 * len(octets))
    assert pack(bits_BN) == payload


@given(data=st.data(), blocks=st.integers(1, 5), octets=st.integers(1, 20))
def test_pack_then_unpack_returns_the_bits(data: st.DataObject, blocks: int, octets: int) -> None:
    size = 8 * octets
    flat = data.draw(st.lists(st.integers(0, 1), min_size=blocks * size, max_size=blocks * size))
    bits_BN = np.array(flat, dtype=np.uint8).reshape(blocks, size)
    assert np.array_equal(unpack(pack(bits_BN), blocks), bits_BN)


def test_unpacked_bits_can_be_written() -> None:
    bits_BN = unpack(b"\x00", 1)
    bits_BN[0, 0] = 1
    assert pack(bits_BN) == b"\x80"


@pytest.mark.parametrize("size", [1, 7, 9, 511])
def test_block_of_a_broken_byte_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        pack(np.zeros((8, size), dtype=np.uint8))


@pytest.mark.parametrize("blocks", [0, -1, 2, 4])
def test_payload_that_does_not_divide_is_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match="do not divide evenly"):
        unpack(b"abc", blocks)
