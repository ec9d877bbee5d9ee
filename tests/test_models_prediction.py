# SPDX-License-Identifier: Apache-2.0
"""From logits to named classes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.labels import CLASS_NAMES
from models.prediction import most_probable

OFFICIAL_NAMES = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar100" / "fine_label_names.txt"


def test_probabilities_are_the_softmax() -> None:
    logits_L = (np.random.default_rng(0).normal(size=100) * 4).astype(np.float32)
    expected = torch.from_numpy(logits_L).double().softmax(dim=0).topk(5)
    top = most_probable(logits_L)
    assert [index for index, _ in top] == expected.indices.tolist()
    assert [probability for _, probability in top] == pytest.approx(expected.values.tolist(), rel=1e-12)


def test_huge_logits_do_not_overflow() -> None:
    logits_L = np.full(100, -3e38, dtype=np.float32)
    logits_L[[7, 3]] = 3e38
    assert most_probable(logits_L, 2) == ((3, 0.5), (7, 0.5))


def test_of_equal_logits_the_smaller_class_comes_first() -> None:
    logits_L = np.zeros(100, dtype=np.float32)
    top = most_probable(logits_L)
    assert [index for index, _ in top] == [0, 1, 2, 3, 4]
    assert top[0][0] == int(logits_L.argmax())


def test_classes_are_cifar_100s() -> None:
    assert len(set(CLASS_NAMES)) == 100
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)
    if OFFICIAL_NAMES.is_file():
        assert list(CLASS_NAMES) == OFFICIAL_NAMES.read_text().split()
