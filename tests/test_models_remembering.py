# SPDX-License-Identifier: Apache-2.0
"""Remembered features: the same as computed ones, computed once, no more of them than fit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import load_networks, toy_images

from models.inference import Function, Inference
from models.remembering import RememberingTransmitter
from models.transmitter import Transmitter

PLAIN = Inference(torch.device("cpu"))
FEATURE_BYTES = 512 * 4 * 4 * 4


class Counting(Inference):
    """Notes how many images go through a network."""

    rows: list[int]

    def run(self, function: Function, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.rows.append(len(inputs[0]))
        return super().run(function, *inputs)


@pytest.fixture
def counting() -> Counting:
    inference = Counting(torch.device("cpu"))
    object.__setattr__(inference, "rows", [])
    return inference


def test_features_are_those_of_a_transmitter_that_remembers_nothing(toy_folder: Path, counting: Counting) -> None:
    networks, images = load_networks(toy_folder)[0], toy_images(20, seed=3)
    plain, remembering = Transmitter(networks, PLAIN), RememberingTransmitter(networks, counting, 2**20)
    for rows in ([0], [1, 0, 1], list(range(20)), [19, 3]):
        found = remembering.begin(images[rows])
        assert (found.t, found.codec) == (0, None)
        assert torch.equal(found.feature_BCHW, plain.begin(images[rows]).feature_BCHW)
    assert counting.rows == [1, 1, 18]


def test_memory_is_bounded_and_the_last_used_stay(toy_folder: Path, counting: Counting) -> None:
    images = toy_images(4, seed=3)
    remembering = RememberingTransmitter(load_networks(toy_folder)[0], counting, 2 * FEATURE_BYTES)
    for row in (0, 1, 0, 2, 0, 1):  # 2 drops 1, which was used before 0
        remembering.begin(images[[row]])
        assert remembering.size_bytes <= 2 * FEATURE_BYTES
    assert counting.rows == [1, 1, 1, 1]
    assert remembering.begin(images).feature_BCHW.shape == (4, 512, 4, 4)  # more than fit are still answered
    assert remembering.size_bytes == 2 * FEATURE_BYTES


def test_without_memory_each_is_computed(toy_folder: Path, counting: Counting) -> None:
    remembering = RememberingTransmitter(load_networks(toy_folder)[0], counting, 0)
    for _ in range(2):
        remembering.begin(toy_images(3, seed=3))
    assert (counting.rows, remembering.size_bytes) == ([3, 3], 0)


def test_threads_may_share_it(toy_folder: Path) -> None:
    networks, images = load_networks(toy_folder)[0], toy_images(8, seed=3)
    expected = Transmitter(networks, PLAIN).begin(images).feature_BCHW
    remembering = RememberingTransmitter(networks, PLAIN, 3 * FEATURE_BYTES)
    rows = np.random.default_rng(0).integers(0, 8, (40, 2)).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: remembering.begin(images[pair]).feature_BCHW, rows))
    assert all(torch.equal(got, expected[pair]) for got, pair in zip(found, rows, strict=True))
    assert remembering.size_bytes == 3 * FEATURE_BYTES
