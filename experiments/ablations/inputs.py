# SPDX-License-Identifier: Apache-2.0
"""What a learned stop rule may look at: all of it is at the cloud after t steps, K as it arrived.

Shapes   A noise seeds, N images, S points where a session may end, F columns of an input, K = 32 prior bits
Units    margin, probability and estimate as the scores have them, with -log(1 - score) beside the first two; p; t / T
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from channel.bits import PRIOR_BITS, Bits, pack, unpack
from channel.transmission import transmit
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.parts import CPU_ROWS, Spec
from experiments.evaluation.passes import PROBABILITY, sender_of
from experiments.evaluation.units import fingerprint
from experiments.whole_files import whole_file
from models.codecs import SNN_SC
from models.networks.outlook import stretched
from models.profiles import Profile
from models.systems import StopRule, first_frame

MARGIN, P, T, ESTIMATE, K = "margin", "p", "t", "estimate", "K"
#: Inputs that K has to be sent for: SimNet's estimate rests on it, too.
NEED_PRIOR: Final = frozenset({ESTIMATE, K})


@dataclass(frozen=True)
class Priors:
    """K of some images as the edge sends it, bits [N, 32], and the noise blocks of the images."""

    sent_NK: Bits
    blocks_N: tuple[int, ...]

    def received(self, ber: float, seeds: tuple[int, ...]) -> Bits:
        """K^ [A, N, 32]: the same flips as in any session with that seed, whose first 32 positions K has."""
        packed = pack(self.sent_NK)
        sent = [transmit(packed, ber, seed=seed, blocks=self.blocks_N, position=0).payload for seed in seeds]
        return np.stack([unpack(payload, len(self.blocks_N)) for payload in sent])


def priors(spec: Spec, images: LabelledImages, folder: Path) -> Priors:
    """K of the images, from ``folder`` where it was computed before. Raises WeightsError."""
    manifest = spec.manifest()
    stem = "-".join((manifest.parts["edge"].sha256[:12], manifest.parts["prior"].sha256[:12], fingerprint(images)[:12]))
    path = folder / f"prior-{stem}-{spec.dtype}-{spec.device}-{spec.torch}.npy"
    if not path.is_file():
        computed_NK = _extracted(spec, images)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.save(file, computed_NK)
    return Priors(np.load(path), tuple(noise_block(name) for name in images.ids()))


def _extracted(spec: Spec, images: LabelledImages) -> Bits:
    parts = spec.load()
    frame = first_frame(sender_of(SNN_SC.name), parts.profile.harq, None)
    found = []
    for start in range(0, len(images), CPU_ROWS):
        state = parts.transmitter.begin(images.images_NCHW[start : start + CPU_ROWS])
        bits_BN, _ = parts.transmitter.encode(state, frame)
        found.append(bits_BN[:, :PRIOR_BITS])
    return np.concatenate(found)


def inputs(outcomes: Outcomes, received_ANK: Bits, profile: Profile) -> dict[str, Floats]:
    """By name, what is known at each point, float32 [A, N, S, F]."""
    shape = outcomes.correct_ANS.shape
    t_S = np.arange(profile.t0, profile.max_steps + 1) / profile.max_steps
    k_ANSK = np.broadcast_to(received_ANK[:, :, None, :], (*shape, received_ANK.shape[2]))
    found: dict[str, NDArray[np.generic]] = {
        MARGIN: _stretched(outcomes.scores[StopRule.MARGIN]),
        PROBABILITY: _stretched(outcomes.scores[PROBABILITY]),
        P: np.full((*shape, 1), outcomes.ber),
        T: np.broadcast_to(t_S[:, None], (*shape, 1)),
        ESTIMATE: outcomes.scores[StopRule.SIMILARITY][..., None],
        K: k_ANSK,
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def _stretched(score_ANS: Floats) -> Floats:
    """A score and -log(1 - score), which tells apart what is near 1."""
    both_ANS2: Floats = stretched(torch.from_numpy(score_ANS)).numpy()
    return both_ANS2
