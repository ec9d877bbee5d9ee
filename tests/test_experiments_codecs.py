# SPDX-License-Identifier: Apache-2.0
"""What codecs are trained over and scored by: draws of t and p, the straight-through channel, multi-rate accuracy."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from experiments.training.accuracy import Cells, multi_rate_accuracy
from experiments.training.codecs import Codec, OneBitCodec
from experiments.training.draws import Draws, flip_straight_through

C, DRAWN = 8, 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_ber_is_uniform_and_a_share_of_it_high() -> None:
    """Mean and share have standard deviations of max/sqrt(12 n) and below 0.5/sqrt(n); five of them are allowed."""
    for share, mean in ((0.0, 0.5), (0.5, 0.625), (1.0, 0.75)):
        p_B = Draws(4, 8, 0.4, share).bers(DRAWN, generator())
        assert 0.2 * (share == 1.0) <= float(p_B.min()) < float(p_B.max()) < 0.4
        assert float(p_B.mean()) == pytest.approx(0.4 * mean, abs=5 * 0.4 / (12 * DRAWN) ** 0.5)
        assert float((p_B > 0.2).float().mean()) == pytest.approx((1 + share) / 2, abs=2.5 / DRAWN**0.5)


def test_steps_take_every_value_of_their_range() -> None:
    draws, source = Draws(2, 5), generator()
    assert {draws.steps(source) for _ in range(200)} == {2, 3, 4, 5}
    assert draws.steps_per_image(200, source).unique().tolist() == [2, 3, 4, 5]


def test_channel_flips_by_each_images_own_p_and_passes_the_gradient() -> None:
    s = torch.randint(0, 2, (4, 50, 100), generator=generator()).float().requires_grad_()
    p_B = torch.tensor([0.0, 0.1, 0.5, 1.0])
    received = flip_straight_through(s, p_B, generator())
    rate_B = (received != s).float().mean(dim=(1, 2))
    assert (float(rate_B[0]), float(rate_B[3])) == (0.0, 1.0)
    for rate, p in zip(rate_B[1:3].tolist(), (0.1, 0.5), strict=True):
        assert rate == pytest.approx(p, abs=5 * (p * (1 - p) / 5000) ** 0.5)
    weight = torch.randn(s.shape, generator=generator())
    (received * weight).sum().backward()
    assert torch.equal(s.grad, weight)


@pytest.mark.parametrize("codec", [Codec(C, 8), OneBitCodec(C)], ids=["spiking", "1-bit"])
def test_a_shorter_transmission_is_the_beginning_of_a_longer(codec: Codec | OneBitCodec) -> None:
    codec.eval()
    f_BCHW, p_B = torch.rand(5, C, 4, 4, generator=generator()) * 4, torch.full((5,), 0.1)
    with torch.no_grad():
        together = codec.rebuild(f_BCHW, p_B, (3, 8), generator(1))
        clean = codec.rebuild(f_BCHW, torch.zeros(5), (3,), generator(1))
    assert [tuple(f.shape) for f in together.features] == [(5, C, 4, 4)] * 2
    assert not torch.equal(together.features[0], clean.features[0])
    if isinstance(codec, Codec):  # its draws follow one another step by step
        with torch.no_grad():
            alone = codec.rebuild(f_BCHW, p_B, (3,), generator(1))
        assert torch.equal(alone.features[0], together.features[0])


def test_the_1_bit_codec_meets_every_t_in_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder has batch statistics: one t a batch would fit no running mean."""
    codec, heard = OneBitCodec(C), []
    inner = codec.decoder.forward
    monkeypatch.setattr(codec.decoder, "forward", lambda bits, t_B: heard.append(t_B) or inner(bits, t_B))
    rebuilt, penalty = codec.learn(torch.rand(200, C, 4, 4), Draws(1, 8), generator())
    assert heard[0].unique().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    (rebuilt.sum() + penalty).backward()
    assert codec.encoder.hidden[0].weight.grad.abs().sum() > 0


class FlippedCodec(nn.Module):
    """Rebuilds the label's feature, except for the first ``t`` images at BERs above zero."""

    def rebuild(self, f_BCHW: Tensor, p_B: Tensor, steps: Sequence[int], generator: torch.Generator) -> SimpleNamespace:
        noisy = float(p_B[0]) > 0
        features = tuple(torch.cat((-f_BCHW[: t * noisy], f_BCHW[t * noisy :])) for t in steps)
        return SimpleNamespace(features=features, entropy_bits=torch.tensor(0.75))


def test_score_is_the_mean_accuracy_over_the_scored_cells() -> None:
    labels = torch.arange(10)
    batches = [(torch.eye(10), labels), (torch.eye(10), labels)]
    cells = Cells(scored=(4, 8), others=(1,), bers=(0.0, 0.2))
    metrics = multi_rate_accuracy(FlippedCodec(), nn.Identity(), batches, cells)  # type: ignore[arg-type]
    assert metrics == {
        "accuracy_ber0.0_t1": 100.0,
        "accuracy_ber0.0_t4": 100.0,
        "accuracy_ber0.0_t8": 100.0,
        "accuracy_ber0.2_t1": 90.0,
        "accuracy_ber0.2_t4": 60.0,
        "accuracy_ber0.2_t8": 20.0,
        "score": (100 + 100 + 60 + 20) / 4,
        "entropy_bits": 0.75,
    }
