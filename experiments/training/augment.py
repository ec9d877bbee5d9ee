# SPDX-License-Identifier: Apache-2.0
"""Random crops, flips and CutMix, a batch at a time.

Draws come from one generator on the CPU, whatever the device: a run sees the same crops on every device.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

_PADDING = 4


def crop_and_flip(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """x_BCHW float [B, 3, H, W] -> the same shape, each image shifted by up to 4 pixels and flipped half the time."""
    batch, channels, height, width = x_BCHW.shape
    padded = pad(x_BCHW, (_PADDING,) * 4, mode="reflect")
    shift_B2 = torch.randint(0, 2 * _PADDING + 1, (batch, 2), generator=generator)
    mirrored_B = torch.rand(batch, generator=generator) < 0.5
    rows_BH = shift_B2[:, :1] + torch.arange(height)
    columns_BW = shift_B2[:, 1:] + torch.arange(width)
    columns_BW = torch.where(mirrored_B[:, None], columns_BW.flip(1), columns_BW)
    index = (
        torch.arange(batch)[:, None, None, None],
        torch.arange(channels)[None, :, None, None],
        rows_BH[:, None, :, None],
        columns_BW[:, None, None, :],
    )
    return padded[tuple(part.to(x_BCHW.device) for part in index)]


def cutmix(x_BCHW: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """CutMix (arXiv 1905.04899) on a ``share`` of the images: a rectangle is replaced by another image's.

    Returns the images, the rows [B] of the images that the rectangles came from, and the part of each image that is
    still its own [B], 1 where nothing was replaced; all on the images' device.
    """
    batch, _, height, width = x_BCHW.shape
    donor_B = torch.randperm(batch, generator=generator)
    drawn_B4 = torch.rand(batch, 4, generator=generator)
    side_B = (1.0 - drawn_B4[:, 0]).sqrt() * (drawn_B4[:, 1] < share)
    rows_BH = _within(drawn_B4[:, 2], side_B, height)
    columns_BW = _within(drawn_B4[:, 3], side_B, width)
    inside_B1HW = rows_BH[:, None, :, None] & columns_BW[:, None, None, :]
    own_B = 1.0 - inside_B1HW.float().mean(dim=(1, 2, 3))
    donor_B, own_B, inside_B1HW = (drawn.to(x_BCHW.device) for drawn in (donor_B, own_B, inside_B1HW))
    return torch.where(inside_B1HW, x_BCHW[donor_B], x_BCHW), donor_B, own_B


def _within(centre_B: Tensor, side_B: Tensor, size: int) -> Tensor:
    """Which of ``size`` positions lie within half a side of the centre, bool [B, size]; all lengths are shares."""
    position_S = (torch.arange(size) + 0.5) / size
    return (position_S[None, :] - centre_B[:, None]).abs() < side_B[:, None] / 2


def resized(x_BCHW: Tensor, size: int) -> Tensor:
    """The images at ``size`` x ``size`` pixels: small images at first cost less and regularise."""
    if x_BCHW.shape[-1] == size:
        return x_BCHW
    return interpolate(x_BCHW, size=(size, size), mode="bilinear", antialias=True)
