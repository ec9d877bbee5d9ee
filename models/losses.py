# SPDX-License-Identifier: Apache-2.0
"""What the networks are trained for: spike entropy near one bit, and the similarity that SimNet learns.

Shapes   B batch, L classes; spikes of step i s_BCHW; logits_BL [B, L].
Units    entropy in bits; similarity a cosine in [-1, 1].
Math     L1  (mean_i H(S_i) - 1)^2, H in bits, from the frequency of ones in S_i
         L2  Sim = <f_T(F), f_T(F')> / (|f_T(F)| |f_T(F')|)
Source   Eqs. (4) and (5) of arXiv 2310.08804.
Differs  nothing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def spike_entropy_bits(s: Tensor) -> Tensor:
    """Binary entropy of the frequency of ones in one step's spikes, a scalar in bits."""
    ones = s.float().mean().clamp(1e-6, 1 - 1e-6)
    return -(ones * torch.log2(ones) + (1 - ones) * torch.log2(1 - ones))


def entropy_penalty(steps: Sequence[Tensor]) -> Tensor:
    """The second term of Eq. (4): entropy per step first, then the mean over steps."""
    return (torch.stack([spike_entropy_bits(s) for s in steps]).mean() - 1.0).square()


def semantic_similarity(logits_BL: Tensor, reconstructed_BL: Tensor) -> Tensor:
    """Eq. (5) on logits -> similarity_B [B], float32."""
    return cosine_similarity(logits_BL.float(), reconstructed_BL.float(), dim=1)
