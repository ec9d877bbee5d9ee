# SPDX-License-Identifier: Apache-2.0
"""The keyed channel against Sionna's BinarySymmetricChannel: the same law, though never the same bits.

Sionna draws from one generator of the whole process and reseeds torch's when imported; both stay inside the fixture.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from channel.bits import pack, unpack
from channel.transmission import transmit

FRAMES, FRAME_BITS = 1000, 512
CROSSOVERS = (0.05, 0.1, 0.2, 0.3, 0.5)
SIGMAS = 5.0
Flips = NDArray[np.int64]


@pytest.fixture(scope="module")
def sionna_flips() -> Callable[[float, NDArray[np.uint8]], Flips]:
    """(p, bits_BN) -> flips of each frame over Sionna's channel."""
    import torch

    with torch.random.fork_rng(devices=[]):
        from sionna.phy import config
        from sionna.phy.channel import BinarySymmetricChannel

    channel = BinarySymmetricChannel(device="cpu")

    def send(p: float, bits_BN: NDArray[np.uint8]) -> Flips:
        sent = torch.from_numpy(bits_BN.astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            config.seed = 17
            received = channel(sent, p)
        flipped: Flips = (received != sent).sum(dim=1).numpy()
        return flipped

    return send


@pytest.fixture(scope="module")
def bits_BN() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 2, (FRAMES, FRAME_BITS)).astype(np.uint8)


def keyed_flips(p: float, bits_BN: NDArray[np.uint8]) -> Flips:
    received = transmit(pack(bits_BN), p, seed=23, blocks=range(FRAMES), position=32)
    flipped: Flips = (unpack(received.payload, FRAMES) != bits_BN).sum(axis=1)
    assert received.flipped_bits == tuple(flipped.tolist())
    return flipped


@pytest.mark.parametrize("p", CROSSOVERS)
def test_both_flip_as_many(
    p: float, bits_BN: NDArray[np.uint8], sionna_flips: Callable[[float, NDArray[np.uint8]], Flips]
) -> None:
    deviation = math.sqrt(FRAMES * FRAME_BITS * p * (1 - p))  # of one channel's count
    ours, theirs = int(keyed_flips(p, bits_BN).sum()), int(sionna_flips(p, bits_BN).sum())
    for count in (ours, theirs):
        assert abs(count - FRAMES * FRAME_BITS * p) <= SIGMAS * deviation
    assert abs(ours - theirs) <= SIGMAS * deviation * math.sqrt(2)


@pytest.mark.parametrize("p", CROSSOVERS)
def test_both_spread_flips_over_frames_as_the_binomial_does(
    p: float, bits_BN: NDArray[np.uint8], sionna_flips: Callable[[float, NDArray[np.uint8]], Flips]
) -> None:
    from scipy.stats import binom, chi2

    # Ten classes of about equal expected count (100 frames each); the chance of a chi-square beyond the limit is 1e-6.
    edges = np.unique(binom.ppf(np.linspace(0, 1, 11)[1:-1], FRAME_BITS, p))
    shares = np.diff(np.concatenate(([0.0], binom.cdf(edges, FRAME_BITS, p), [1.0])))
    limit = chi2.ppf(1 - 1e-6, len(shares) - 1)
    for flips in (keyed_flips(p, bits_BN), sionna_flips(p, bits_BN)):
        observed = np.bincount(np.searchsorted(edges, flips), minlength=len(shares))
        statistic = float(((observed - FRAMES * shares) ** 2 / (FRAMES * shares)).sum())
        assert statistic <= limit


def test_neither_flips_without_noise(
    bits_BN: NDArray[np.uint8], sionna_flips: Callable[[float, NDArray[np.uint8]], Flips]
) -> None:
    assert keyed_flips(0.0, bits_BN).sum() == 0
    assert sionna_flips(0.0, bits_BN).sum() == 0


def test_sionna_repeats_only_by_its_global_seed(
    bits_BN: NDArray[np.uint8], sionna_flips: Callable[[float, NDArray[np.uint8]], Flips]
) -> None:
    """Why the channel node draws its own noise: each call here sets the seed of the whole process."""
    assert np.array_equal(sionna_flips(0.2, bits_BN), sionna_flips(0.2, bits_BN))
