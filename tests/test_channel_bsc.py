# SPDX-License-Identifier: Apache-2.0
"""The keyed binary symmetric channel: theory, keys, and a Philox written out by hand.

Tolerances are five standard deviations of the statistic under test, each from the binomial law of independent flips.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from channel.bits import pack, unpack
from channel.bsc import feedback_flipped, flip_mask
from channel.noise import MAX_SEED, uniforms
from channel.transmission import transmit

PROCESS_BITS = 4128
SIGMAS = 5.0
GOLDEN_KEY = (20231008804, 7, "forward")
GOLDEN = """
0x1.ba9410fe64970p-5 0x1.03bc471f164c0p-4 0x1.b49cffe0329cdp-1 0x1.cce5578f7a54fp-1
0x1.7435861308720p-3 0x1.946897410ff90p-5 0x1.35691a8995244p-1 0x1.96bbeb0f28ec2p-1
0x1.f299d7ed3275bp-1 0x1.c23ba794e6d5cp-1 0x1.26e208292e998p-4 0x1.ee1bc54cbd75fp-1
0x1.d09dd097facdap-2 0x1.b2286c4f5841ap-1 0x1.7bd88e8380a5ep-2 0x1.ab778c1999f58p-2
"""


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 of Salmon et al. (SC 2011), in plain integers."""
    x, k, mask = list(counter), list(key), 2**64 - 1
    for _ in range(10):
        high0, low0 = divmod(x[0] * 0xD2E7470EE14C6C93, 2**64)
        high1, low1 = divmod(x[2] * 0xCA5A826395121157, 2**64)
        x = [high1 ^ x[1] ^ k[0], low1, high0 ^ x[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return x


def uniform_by_hand(seed: int, block: int, link: str, position: int) -> float:
    # NumPy adds one to the counter before it draws (Differs, channel/noise.py).
    words = philox4x64([position // 4 + 1, block, 0, 0], [seed, {"forward": 1, "feedback": 2}[link]])
    return (words[position % 4] >> 11) / 2**53


def flips(p: float, seed: int = 1, block: int = 0, link: str = "forward", count: int = 200_000) -> NDArray[np.float64]:
    return flip_mask(p, seed=seed, block=block, link=link, position=0, count=count).astype(np.float64)


@pytest.mark.parametrize("key", [GOLDEN_KEY, (0, 0, "forward"), (0, 0, "feedback"), (MAX_SEED, MAX_SEED, "forward")])
def test_uniforms_are_philox_at_the_position(key: tuple[int, int, str]) -> None:
    for position in (0, 1, 2, 3, 4, 33, 4127):
        assert uniforms(*key, position, 1)[0] == uniform_by_hand(*key, position)


def test_noise_never_changes() -> None:
    assert [value.hex() for value in uniforms(*GOLDEN_KEY, 0, 16).tolist()] == GOLDEN.split()


@pytest.mark.parametrize("p", [0.001, 0.05, 0.1, 0.2, 0.3, 0.5])
def test_flip_rate_is_the_crossover_probability(p: float) -> None:
    count = 200_000
    assert abs(flips(p, count=count).mean() - p) <= SIGMAS * math.sqrt(p * (1 - p) / count)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_independent(p: float) -> None:
    mask, count = flips(p), 200_000
    for lag in (1, 2, 3, 4, 32, 512):
        correlation = np.corrcoef(mask[:-lag], mask[lag:])[0, 1]
        assert abs(correlation) <= SIGMAS / math.sqrt(count - lag), lag


@pytest.mark.parametrize("other", [{"seed": 2}, {"block": 1}, {"link": "feedback"}, {"seed": 0, "block": 1}])
def test_keys_are_independent(other: dict[str, int]) -> None:
    # An int for an int and "feedback" for a str: mypy cannot see that the names pick the types.
    one, another = flips(0.2), flips(0.2, **other)  # type: ignore[arg-type]
    assert abs(np.corrcoef(one, another)[0, 1]) <= SIGMAS / math.sqrt(len(one))


def test_flips_per_position_over_many_blocks() -> None:
    blocks, p = 4000, 0.3
    mask_BN = np.stack([flip_mask(p, seed=9, block=b, link="forward", position=0, count=64) for b in range(blocks)])
    assert np.abs(mask_BN.mean(axis=0) - p).max() <= SIGMAS * math.sqrt(p * (1 - p) / blocks)


@given(low=st.floats(0, 0.5), high=st.floats(0, 0.5), seed=st.integers(0, MAX_SEED))
def test_more_noise_is_never_luckier(low: float, high: float, seed: int) -> None:
    low, high = sorted((low, high))
    few = flip_mask(low, seed=seed, block=3, link="forward", position=32, count=512)
    many = flip_mask(high, seed=seed, block=3, link="forward", position=32, count=512)
    assert not np.any(few & ~many & 1)


@given(cut=st.integers(0, PROCESS_BITS), seed=st.integers(0, MAX_SEED), block=st.integers(0, MAX_SEED))
@settings(max_examples=50)
def test_framing_does_not_show(cut: int, seed: int, block: int) -> None:
    whole = uniforms(seed, block, "forward", 0, PROCESS_BITS)
    first, rest = uniforms(seed, block, "forward", 0, cut), uniforms(seed, block, "forward", cut, PROCESS_BITS - cut)
    assert np.array_equal(whole, np.concatenate((first, rest)))


def test_steps_arrive_as_in_one_frame() -> None:
    payload = np.random.default_rng(0).bytes(PROCESS_BITS // 8)
    whole = transmit(payload, 0.2, seed=5, blocks=[11], position=0)
    parts = [
        transmit(payload[start // 8 : end // 8], 0.2, seed=5, blocks=[11], position=start)
        for start, end in pairwise([0, 2080, 2592, 3104, 3616, 4128])
    ]
    assert b"".join(part.payload for part in parts) == whole.payload
    assert sum(part.flipped_bits[0] for part in parts) == whole.flipped_bits[0]


def test_batch_order_and_company_do_not_show() -> None:
    bits_BN = np.random.default_rng(1).integers(0, 2, (4, 512)).astype(np.uint8)
    alone = [unpack(transmit(pack(row[None]), 0.3, seed=8, blocks=[b], position=32).payload, 1)[0]
             for b, row in zip((4, 0, 9, 2), bits_BN, strict=True)]  # fmt: skip
    together = unpack(transmit(pack(bits_BN), 0.3, seed=8, blocks=[4, 0, 9, 2], position=32).payload, 4)
    reversed_ = unpack(transmit(pack(bits_BN[::-1]), 0.3, seed=8, blocks=[2, 9, 0, 4], position=32).payload, 4)
    assert np.array_equal(together, np.stack(alone))
    assert np.array_equal(reversed_[::-1], together)


def test_a_repeated_frame_meets_the_same_noise_and_counts_its_flips() -> None:
    payload = np.random.default_rng(2).bytes(260)
    first = transmit(payload, 0.1, seed=3, blocks=[0, 1], position=0)
    transmit(payload, 0.4, seed=4, blocks=[0, 1], position=0)
    assert transmit(payload, 0.1, seed=3, blocks=[0, 1], position=0) == first
    difference = unpack(payload, 2) ^ unpack(first.payload, 2)
    assert first.flipped_bits == tuple(int(n) for n in difference.sum(axis=1))
    assert min(first.flipped_bits) > 0


def test_no_noise_flips_nothing() -> None:
    payload = bytes(range(256))
    received = transmit(payload, 0.0, seed=1, blocks=[0], position=0)
    assert received.payload == payload
    assert received.flipped_bits == (0,)


@pytest.mark.parametrize("p", [math.nan, math.inf, -math.inf, -1e-9, 0.5 + 1e-9, 1.0])
def test_impossible_crossover_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.0\.5"):
        flip_mask(p, seed=0, block=0, link="forward", position=0, count=8)
    with pytest.raises(ValueError, match=r"0\.\.0\.5"):
        transmit(b"\x00", p, seed=0, blocks=[0], position=0)
    with pytest.raises(ValueError, match=r"0\.\.0\.5"):
        feedback_flipped(p, seed=0, block=0, t=4)


@pytest.mark.parametrize(
    ("seed", "block", "position"), [(-1, 0, 0), (2**53, 0, 0), (0, -1, 0), (0, 2**53, 0), (0, 0, -1)]
)
def test_key_out_of_range_is_refused(seed: int, block: int, position: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.2\^53-1|not negative"):
        uniforms(seed, block, "forward", position, 1)


def test_unknown_link_is_refused() -> None:
    with pytest.raises(KeyError):
        uniforms(0, 0, "sideways", 0, 1)


def test_payload_that_does_not_fit_its_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="do not divide evenly"):
        transmit(b"abc", 0.1, seed=0, blocks=[0, 1], position=0)


def test_feedback_follows_its_own_link() -> None:
    # 2,000 blocks times five rounds: the rate, and the very uniforms of the hand-written generator.
    p, heard = 0.25, [(b, t, feedback_flipped(0.25, seed=6, block=b, t=t)) for b in range(2000) for t in range(4, 9)]
    rate = sum(flipped for *_, flipped in heard) / len(heard)
    assert abs(rate - p) <= SIGMAS * math.sqrt(p * (1 - p) / len(heard))
    for block, t, flipped in heard[:40]:
        assert flipped == (uniform_by_hand(6, block, "feedback", t) < p)
