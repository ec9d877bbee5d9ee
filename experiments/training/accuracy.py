# SPDX-License-Identifier: Apache-2.0
"""Multi-rate accuracy on the validation split, in percent: what every codec is scored by."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from experiments.training.codecs import AnyCodec
from experiments.training.loop import Metrics

VALIDATION_BERS = (0.0, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Cells:
    """The (BER, t) cells that are measured; the mean over the ``scored`` t decides which epoch is kept."""

    scored: tuple[int, ...]
    others: tuple[int, ...] = ()
    bers: tuple[float, ...] = VALIDATION_BERS


def multi_rate_accuracy(
    codec: AnyCodec, head: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], cells: Cells
) -> Metrics:
    """``batches`` are features f_BCHW and labels_B; each BER has a noise of its own, the same in every epoch."""
    noise = {ber: torch.Generator().manual_seed(1) for ber in cells.bers}
    steps = sorted({*cells.scored, *cells.others})
    correct: Counter[tuple[float, int]] = Counter()
    images, entropies = 0, []
    for f_BCHW, labels_B in batches:
        images += len(labels_B)
        for ber, generator in noise.items():
            rebuilt = codec.rebuild(f_BCHW, torch.full((len(f_BCHW),), ber), steps, generator)
            for t, f_rebuilt_BCHW in zip(steps, rebuilt.features, strict=True):
                correct[ber, t] += int((head(f_rebuilt_BCHW).argmax(1) == labels_B).sum())
        entropies.append(rebuilt.entropy_bits)
    accuracy = {cell: 100.0 * hits / images for cell, hits in correct.items()}
    scored = [value for (_, t), value in accuracy.items() if t in cells.scored]
    metrics = {f"accuracy_ber{ber}_t{t}": value for (ber, t), value in sorted(accuracy.items())}
    return {**metrics, "score": sum(scored) / len(scored), "entropy_bits": float(torch.stack(entropies).mean())}
