# SPDX-License-Identifier: Apache-2.0
"""The catalogue of channel models: what each must keep, bursts against Gilbert's chain run bit by bit, and the link.

Tolerances are five standard deviations, from the binomial law of independent blocks.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from channel.bits import unpack
from channel.bsc import flip_mask
from channel.bursts import MEMORY_BITS, GilbertBursts
from channel.noise import uniforms
from channel.transmission import CHANNELS, transmit

SIGMAS = 5.0
MODELS = pytest.mark.parametrize("name", CHANNELS)


def flips(name: str, p: float, block: int = 0, position: int = 0, count: int = 4128) -> NDArray[np.uint8]:
    return CHANNELS[name].flips(p, seed=3, block=block, position=position, count=count)


@MODELS
@pytest.mark.parametrize("p", [0.0, 0.02, 0.1, 0.3, 0.5])
def test_the_mean_rate_is_the_crossover_probability(name: str, p: float) -> None:
    rate_B = np.array([flips(name, p, block, count=1024).mean() for block in range(600)])
    assert abs(rate_B.mean() - p) <= SIGMAS * rate_B.std() / math.sqrt(len(rate_B))


@MODELS
def test_framing_does_not_show(name: str) -> None:
    whole = flips(name, 0.2, block=7)
    cuts = [0, 32, 33, 500, 2080, 2592, 4128]
    parts = [flips(name, 0.2, 7, a, b - a) for a, b in pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts), whole)


@MODELS
def test_more_noise_is_never_luckier(name: str) -> None:
    for low, high in ((0.01, 0.1), (0.1, 0.11), (0.3, 0.5)):
        assert not np.any(flips(name, low) & ~flips(name, high) & 1)


@MODELS
@pytest.mark.parametrize("p", [math.nan, -1e-9, 0.5 + 1e-9])
def test_impossible_crossover_is_refused(name: str, p: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.0\.5"):
        flips(name, p)


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_bursts_are_gilberts_chain_run_bit_by_bit(p: float) -> None:
    for block in (0, 5):
        redraw, state, toss = (
            uniforms(3, block, link, 0, 1500).tolist() for link in ("state-redraw", "state", "forward")
        )
        bad, expected = False, []
        for n in range(1500):
            if n == 0 or redraw[n] < 1 / MEMORY_BITS:
                bad = state[n] < 2 * p
            expected.append(int(bad and toss[n] < 0.5))
        assert flips("bursts", p, block, count=1500).tolist() == expected


def test_bursts_cluster_as_gilberts_chain_does() -> None:
    """Correlation at a lag k is (1 - 1/M)^k times that of the states; the BSC has none."""
    p, blocks, count = 0.1, 400, 4096
    mask_BN = np.stack([flips("bursts", p, block, count=count) for block in range(blocks)]).astype(float)
    for lag in (1, 8, 64):
        covariance_B = (mask_BN[:, :-lag] * mask_BN[:, lag:]).mean(axis=1) - p * p
        # P(both flip) = P(both bad) / 4, and the bad state has variance 2p (1 - 2p).
        theory = 2 * p * (1 - 2 * p) * (1 - 1 / MEMORY_BITS) ** lag / 4
        assert abs(covariance_B.mean() - theory) <= SIGMAS * covariance_B.std() / math.sqrt(blocks)


def test_transmit_uses_the_model_that_it_is_given() -> None:
    payload = np.random.default_rng(0).bytes(260)
    bursts = GilbertBursts().flips(0.2, seed=1, block=4, position=0, count=2080)
    independent = flip_mask(0.2, seed=1, block=4, link="forward", position=0, count=2080)
    for model, mask_N in (("bursts", bursts), ("bsc", independent)):
        received = transmit(payload, 0.2, seed=1, blocks=[4], position=0, model=model)
        assert np.array_equal(unpack(received.payload, 1)[0], unpack(payload, 1)[0] ^ mask_N)
        assert received.flipped_bits == (int(mask_N.sum()),)
    with pytest.raises(KeyError):
        transmit(payload, 0.2, seed=1, blocks=[4], position=0, model="absent")
