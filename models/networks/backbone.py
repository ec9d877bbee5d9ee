# SPDX-License-Identifier: Apache-2.0
"""CIFAR-style ResNet cut in two: the edge part extracts the feature F, the task head on the cloud classifies.

Shapes   B batch, C channels, H rows, W columns; x_BCHW [B, 3, 32, 32], f_BCHW [B, C, 4, 4], logits_BL [B, 100].
Units    pixels in [0, 1]; logits dimensionless.
Math     F = f_E(X; mu), P = f_T(F; lambda)
Source   Section III-A of arXiv 2310.08804: ResNet50 cut after its 14th bottleneck; blocks of He et al., CVPR 2016.
Differs  3x3 stem and no max-pool, as usual for CIFAR; the resnet18 cut (after its 7th basic block) is ours.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models.networks.linear import SteadyLinear

CLASSES = 100
_MEAN = (0.5071, 0.4867, 0.4408)
_STD = (0.2675, 0.2565, 0.2761)


class CutBackbone(Protocol):
    """A classifier cut in two, as a profile names it: makes both halves, untrained."""

    @property
    def feature_channels(self) -> int:
        """C of the feature F [B, C, 4, 4]."""

    def edge_part(self) -> nn.Module:
        """f_E: x_BCHW [B, 3, 32, 32] in [0, 1] -> f_BCHW [B, C, 4, 4], >= 0."""

    def task_head(self) -> nn.Module:
        """f_T: f_BCHW [B, C, 4, 4] -> logits_BL [B, 100]."""


@dataclass(frozen=True)
class BackboneSpec:
    """A ResNet and where it is cut. ``edge_blocks`` residual blocks run on the edge, the rest on the cloud."""

    depths: tuple[int, int, int, int]
    bottleneck: bool
    edge_blocks: int

    @property
    def expansion(self) -> int:
        return 4 if self.bottleneck else 1

    @property
    def feature_channels(self) -> int:
        return self.block_plan()[self.edge_blocks - 1][1]

    def edge_part(self) -> nn.Module:
        """f_E, untrained."""
        return EdgePart(self)

    def task_head(self) -> nn.Module:
        """f_T, untrained."""
        return TaskHead(self)

    def block_plan(self) -> list[tuple[int, int, int]]:
        """(channels in, channels out, stride) of each residual block."""
        plan, channels = [], 64
        for stage, depth in enumerate(self.depths):
            for index in range(depth):
                out = 64 * 2**stage * self.expansion
                plan.append((channels, out, 2 if stage and index == 0 else 1))
                channels = out
        return plan


RESNET18 = BackboneSpec(depths=(2, 2, 2, 2), bottleneck=False, edge_blocks=7)
RESNET50 = BackboneSpec(depths=(3, 4, 6, 3), bottleneck=True, edge_blocks=14)


class ConvNorm(nn.Module):
    """Convolution without bias, then batch normalisation."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x_BCHW))
        return out


class ResidualBlock(nn.Module):
    """Basic block or bottleneck: ReLU(shortcut(x) + layers(x))."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            width = channels_out // 4
            plan = [(channels_in, width, 1, 1), (width, width, 3, stride), (width, channels_out, 1, 1)]
        else:
            plan = [(channels_in, channels_out, 3, stride), (channels_out, channels_out, 3, 1)]
        self.layers = nn.ModuleList(ConvNorm(i, o, kernel=k, stride=s) for i, o, k, s in plan)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else ConvNorm(channels_in, channels_out, kernel=1, stride=stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = x_BCHW
        for index, layer in enumerate(self.layers):
            out = layer(out if index == 0 else torch.relu(out))
        return torch.relu(out + self.shortcut(x_BCHW))


def _blocks(spec: BackboneSpec, first: int, last: int) -> nn.Sequential:
    plan = spec.block_plan()[first:last]
    return nn.Sequential(*(ResidualBlock(i, o, s, bottleneck=spec.bottleneck) for i, o, s in plan))


class PixelNorm(nn.Module):
    """Pixels in [0, 1] -> zero mean and unit variance over CIFAR-100's training set."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW - self.mean) / self.std


class EdgePart(nn.Module):
    """f_E: image -> feature, normalisation of the pixels included."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.pixels = PixelNorm()
        self.stem = ConvNorm(3, 64, kernel=3)
        self.blocks = _blocks(spec, 0, spec.edge_blocks)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """x_BCHW [B, 3, 32, 32] in [0, 1] -> f_BCHW [B, C, 4, 4], >= 0."""
        feature: Tensor = self.blocks(torch.relu(self.stem(self.pixels(x_BCHW))))
        return feature


class TaskHead(nn.Module):
    """f_T: (reconstructed) feature -> logits of the 100 classes."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.blocks = _blocks(spec, spec.edge_blocks, sum(spec.depths))
        self.classifier = SteadyLinear(512 * spec.expansion, CLASSES)

    def forward(self, f_BCHW: Tensor) -> Tensor:
        """f_BCHW [B, C, 4, 4] -> logits_BL [B, 100]."""
        logits: Tensor = self.classifier(self.blocks(f_BCHW).mean(dim=(2, 3)))
        return logits
