# SPDX-License-Identifier: Apache-2.0
"""Stage 3: SimNet, Algorithm 2 of arXiv 2310.08804, with backbone and codec frozen.

t and p are drawn per image, not per batch: a batch of one t teaches layers with batch statistics the wrong thing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from experiments.training.accuracy import VALIDATION_BERS
from experiments.training.codecs import Codec
from experiments.training.draws import Draws, flip_straight_through
from experiments.training.features import FeatureSets
from experiments.training.loop import Metrics, rows_in_order
from models.losses import semantic_similarity
from models.networks.simnet import PriorExtractor, SimilarityEstimator
from models.profiles import Profile


class SimNet(nn.Module):
    """SimNet_E and SimNet_D under their names in the weights."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        channels = profile.backbone.feature_channels
        self.prior = PriorExtractor(channels)
        self.similarity = SimilarityEstimator(channels)


@dataclass(frozen=True)
class FrozenLink:
    """The networks whose similarity SimNet learns to estimate."""

    codec: Codec
    head: nn.Module


class SimNetStage:
    """Trains SimNet; the score is minus the root mean square error on the validation split."""

    def __init__(self, network: SimNet, frozen: FrozenLink, profile: Profile, sets: FeatureSets, *, batch: int) -> None:
        self.network, self._codec, self._head, self._profile = network, frozen.codec, frozen.head, profile
        self._train, self._validation = sets.train, sets.validation
        self._draws = Draws(profile.t0, profile.max_steps)
        self.images, self.batch = sets.train.count, batch

    def begin(self, epoch: int) -> None:
        """Every epoch is like the others."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        f_BCHW = self._train.draw(rows, generator).f_BCHW
        t_B = self._draws.steps_per_image(len(rows), generator)
        estimate_B, truth_B = self._estimate(f_BCHW, t_B, self._draws.bers(len(rows), generator), generator)
        return (estimate_B - truth_B).square().mean()

    def _estimate(self, f_BCHW: Tensor, t_B: Tensor, p_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """SimNet's estimate and Eq. (5) for features sent at their own t and p."""
        with torch.no_grad():
            sent = self._codec.transmit(f_BCHW, self._profile.max_steps, p_B, generator)
            run_BK = torch.arange(sent.maps_BKCHW.shape[1])[None, :] < 2 * t_B[:, None]
            rebuilt = self._codec.converter(sent.maps_BKCHW * run_BK.to(f_BCHW.device)[:, :, None, None, None])
            truth_B = semantic_similarity(self._head(f_BCHW), self._head(rebuilt))
        k_BK = flip_straight_through(self.network.prior(f_BCHW), p_B, generator)
        return self.network.similarity(rebuilt, k_BK, p_B.to(f_BCHW.device)), truth_B

    def validate(self) -> Metrics:
        metrics: Metrics = {}
        squares = []
        for ber in VALIDATION_BERS:
            for t in (self._profile.t0, self._profile.max_steps):
                estimate, truth = self._cell(ber, t)
                squares.append((estimate - truth).square().mean())
                metrics[f"bias_ber{ber}_t{t}"] = float((estimate - truth).mean())
                metrics[f"spearman_ber{ber}_t{t}"] = spearman(estimate, truth)
        metrics["score"] = -float(torch.stack(squares).mean().sqrt())
        return metrics

    def _cell(self, ber: float, t: int) -> tuple[Tensor, Tensor]:
        generator, pairs = torch.Generator().manual_seed(1), []
        for rows in rows_in_order(self._validation.count, 250):
            f_BCHW = self._validation.batch(rows, torch.zeros_like(rows))
            shape = (len(rows),)
            pairs.append(self._estimate(f_BCHW, torch.full(shape, t), torch.full(shape, ber), generator))
        return torch.cat([pair[0] for pair in pairs]).cpu(), torch.cat([pair[1] for pair in pairs]).cpu()


def spearman(x_N: Tensor, y_N: Tensor) -> float:
    """Rank correlation, ties at the mean of their ranks; 0 where one does not vary, and so tells nothing."""
    ranks = torch.stack([_ranks(values_N) for values_N in (x_N, y_N)])
    return float(torch.corrcoef(ranks)[0, 1].nan_to_num())


def _ranks(values_N: Tensor) -> Tensor:
    values_N = values_N.contiguous()
    ordered_N = values_N.sort().values
    before_N, until_N = (torch.searchsorted(ordered_N, values_N, right=right) for right in (False, True))
    return (before_N + until_N).double() / 2
