# SPDX-License-Identifier: Apache-2.0
"""A linear layer whose result does not depend on the number of threads.

Shapes   B batch, I inputs, O outputs; x_BI [B, I] -> y_BO [B, O].
Units    dimensionless.
Math     y = x W^T + b
Source   measured: PyTorch's matrix product on a CPU sums in another order with four threads than with one or two, and
         the last bits of the logits differ (docs/decisions/0002).
Differs  on a CPU and outside training it is computed with one thread; it is a thousandth of a network's work.
"""

from torch import Tensor, nn

from models.threads import one_thread


class SteadyLinear(nn.Linear):
    """nn.Linear, in all its names and shapes."""

    def forward(self, input: Tensor) -> Tensor:  # the name of PyTorch's own
        if self.training or input.is_cuda:
            return super().forward(input)
        with one_thread():
            return super().forward(input)
