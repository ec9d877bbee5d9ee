# SPDX-License-Identifier: Apache-2.0
"""Integrate-and-fire with soft reset, and its hybrid that also sends its membrane potential.

Shapes   any; current, membrane and spike share one shape.
Units    current, membrane potential and threshold V_th = 1 dimensionless; a spike is 0 or 1.
Math     E1  m = m + I                       charge
         E2  S = 1 if m >= V_th else 0       fire
         E3  m = m - S V_th                  soft reset
Source   Eqs. (1) to (3) of arXiv 2310.08804; the step is SpikingJelly's ``functional.if_step``.
Differs  Fires at >=, the paper at > (SpikingJelly's convention; they part only where m is exactly V_th).
         V_th = 1, soft reset and the slope of the sigmoid surrogate gradient (4, SpikingJelly's default) are ours.
"""

import torch
from spikingjelly.activation_based import functional, surrogate
from torch import Tensor

V_TH = 1.0
_SURROGATE = surrogate.Sigmoid(alpha=4.0)


def integrate_and_fire(current: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
    """One time step (E1 to E3) -> (spike, membrane after reset), both float32.

    IF sends the spike alone; IHF sends the pair: it is the same step.
    Raises ValueError where the shapes differ, since one session's state must never serve another's input.
    """
    if current.shape != membrane.shape:
        raise ValueError(f"current {tuple(current.shape)} does not fit membrane {tuple(membrane.shape)}")
    # float32 even under autocast: a potential kept in bfloat16 would lose what each step adds.
    with torch.autocast(current.device.type, enabled=False):
        spike, after = functional.if_step(current.float(), membrane.float(), V_TH, None, _SURROGATE)
    return spike, after
