# SPDX-License-Identifier: Apache-2.0
"""The 1-bit CNN codec: bits with a gradient, blocks that decode by prefix, a size that bears comparison."""

import pytest
import torch
from torch import nn

from models.networks.codec import Converter, Encoder, Reconstructor
from models.networks.one_bit import OneBitDecoder, OneBitEncoder

C = 8


def parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("channels", [512, 2048])
def test_size_is_the_spiking_codecs_to_one_percent(channels: int) -> None:
    spiking = parameters(Encoder(channels), Reconstructor(channels), Converter(8))
    assert parameters(OneBitEncoder(channels), OneBitDecoder(channels)) == pytest.approx(spiking, rel=0.01)


def test_encoder_sends_eight_blocks_of_bits_and_learns_through_them() -> None:
    feature = torch.rand(16, C, 4, 4, requires_grad=True)
    bits = OneBitEncoder(C)(feature)
    assert bits.shape == (16, 8, 32, 4, 4)
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert bits.mean().item() == pytest.approx(0.5, abs=0.05)
    bits.square().sum().backward()
    assert feature.grad is not None
    assert feature.grad.abs().sum() > 0


@pytest.mark.parametrize("t", [1, 5, 8])
def test_decoder_takes_any_prefix(t: int) -> None:
    bits = torch.randint(0, 2, (6, 8, 32, 4, 4)).float()
    decoder = OneBitDecoder(C).eval()
    out = decoder(bits[:, :t])
    assert out.shape == (6, C, 4, 4)
    assert torch.equal(out, decoder(bits, torch.full((6,), t)))
    signs = (2 * bits[:, :t] - 1).flatten(1, 2)
    by_hand = torch.cat((signs, torch.zeros(6, 32 * (8 - t), 4, 4)), dim=1)
    assert torch.equal(out, decoder.output(decoder.hidden(by_hand).relu()).relu())


@pytest.mark.parametrize("blocks", [0, 9])
def test_decoder_refuses_no_block_and_too_many(blocks: int) -> None:
    with pytest.raises(ValueError, match="blocks, but the decoder takes 1 to 8"):
        OneBitDecoder(C)(torch.zeros(2, blocks, 32, 4, 4))
