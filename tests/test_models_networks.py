# SPDX-License-Identifier: Apache-2.0
"""Neurons, codec, SimNet, backbone and losses, each against a hand computation, a published count or SpikingJelly."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from models.losses import entropy_penalty, semantic_similarity, spike_entropy_bits
from models.networks.backbone import RESNET18, RESNET50, BackboneSpec, EdgePart, TaskHead
from models.networks.codec import Converter, Encoder, Membranes, Reconstructor
from models.networks.neurons import V_TH, integrate_and_fire
from models.networks.simnet import PriorExtractor, SimilarityEstimator

C = 8  # feature channels of the small networks here


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def currents(steps: int = 12) -> Tensor:
    return torch.randn(steps, 3, 5, 4, 4, generator=generator()) * 0.8 + 0.3


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# --- neurons ------------------------------------------------------------------------------------------------------


def test_neuron_is_the_hand_loop() -> None:
    membrane = torch.zeros(3, 5, 4, 4)
    by_hand = [0.0] * membrane.numel()
    for current in currents():
        spike, membrane = integrate_and_fire(current, membrane)
        fired = []
        for i, value in enumerate(current.flatten().tolist()):
            charged = torch.tensor(by_hand[i]) + torch.tensor(value)  # float32, as the membrane is
            fired.append(1.0 if charged >= 1.0 else 0.0)
            by_hand[i] = float(charged - fired[-1] * V_TH)
        assert spike.flatten().tolist() == fired
        assert membrane.flatten().tolist() == by_hand
    assert 0 < float(spike.mean()) < 1


def test_neuron_is_spikingjellys_stateful_one() -> None:
    node = neuron.IFNode(v_threshold=1.0, v_reset=None, surrogate_function=surrogate.Sigmoid(alpha=4.0), step_mode="s")
    membrane = torch.zeros(3, 5, 4, 4)
    for current in currents():
        spike, membrane = integrate_and_fire(current, membrane)
        assert torch.equal(node(current), spike)
        assert torch.equal(node.v, membrane)


def test_neuron_fires_at_the_threshold_and_keeps_what_is_left() -> None:
    membrane = torch.tensor([0.0, 0.25, 0.5, -0.5])
    spike, after = integrate_and_fire(torch.tensor([1.0, 0.5, 1.75, 1.25]), membrane)
    assert spike.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert after.tolist() == [0.0, 0.75, 1.25, 0.75]  # one spike a step, however much is left


@pytest.mark.parametrize("shape", [(1, 4), (4,), (3, 4), (2, 4, 1), (2, 1)])
def test_state_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        integrate_and_fire(torch.zeros(2, 4), torch.zeros(shape))


def test_surrogate_gradient_is_the_sigmoids() -> None:
    current = torch.linspace(-2, 4, 61, dtype=torch.float32, requires_grad=True)
    spike, after = integrate_and_fire(current, torch.zeros(61))
    (gradient,) = torch.autograd.grad(spike.sum(), current, retain_graph=True)
    steep = torch.sigmoid(4 * (current.detach() - V_TH))
    expected = 4 * steep * (1 - steep)
    torch.testing.assert_close(gradient, expected)
    (through_reset,) = torch.autograd.grad(after.sum(), current)
    torch.testing.assert_close(through_reset, 1 - expected * V_TH)


def test_membranes_stay_float32_under_autocast() -> None:
    encoder, state = Encoder(C).eval(), Membranes.at_rest(2, 256, 32, torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        current = encoder.input_current(torch.rand(2, C, 4, 4))
        spike, state = encoder.step(current, state)
    assert {x.dtype for x in (current, spike, state.hidden_BCHW, state.output_BCHW)} == {torch.float32}


# --- backbone -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "feature"), [(RESNET18, (512, 4, 4)), (RESNET50, (2048, 4, 4))])
def test_edge_part_ends_in_the_feature(spec: BackboneSpec, feature: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        edge, head = EdgePart(spec).eval(), TaskHead(spec).eval()
        f_BCHW = edge(torch.empty(2, 3, 32, 32))
    assert tuple(f_BCHW.shape) == (2, *feature)
    assert tuple(head(f_BCHW).shape) == (2, 100)
    assert spec.feature_channels == feature[0]


def test_resnet50_is_cut_after_the_first_block_of_stage_4() -> None:
    assert RESNET50.edge_blocks == 14 == sum(RESNET50.depths[:3]) + 1
    assert RESNET50.block_plan()[13] == (1024, 2048, 2)
    assert len(RESNET50.block_plan()) - RESNET50.edge_blocks == 2
    assert RESNET18.edge_blocks == 7
    assert RESNET18.block_plan()[6] == (256, 512, 2)


@pytest.mark.parametrize(("spec", "count"), [(RESNET18, 11_220_132), (RESNET50, 23_705_252)])
def test_both_halves_make_the_known_network(spec: BackboneSpec, count: int) -> None:
    """The sizes of weiaicunzai/pytorch-cifar100, whose layers these are."""
    with torch.device("meta"):
        assert parameters(EdgePart(spec)) + parameters(TaskHead(spec)) == count


def test_feature_is_not_negative() -> None:
    edge = EdgePart(BackboneSpec((1, 1, 1, 1), bottleneck=False, edge_blocks=2)).eval()
    f_BCHW = edge(torch.rand(2, 3, 32, 32)).detach()
    assert float(f_BCHW.min()) == 0.0 < float(f_BCHW.max())


# --- codec --------------------------------------------------------------------------------------------------------


def test_codec_has_the_papers_size() -> None:
    with torch.device("meta"):
        assert parameters(Encoder(2048)) == 4_793_184
        assert parameters(Reconstructor(2048)) == 4_799_232
        assert parameters(Converter(8)) == 272


def test_converter_pads_with_zeros_and_gates_each_map() -> None:
    converter, maps = Converter(4), torch.randn(2, 6, C, 4, 4, generator=generator())
    padded = torch.cat((maps, torch.zeros(2, 2, C, 4, 4)), dim=1)
    with torch.no_grad():
        out = converter(maps)
        torch.testing.assert_close(out, converter(padded), atol=1e-6, rtol=0)
        x = padded[1, :, 3, 2, 1]
        gate = torch.sigmoid(converter.gate.weight @ x + converter.gate.bias)
        assert float(out[1, 3, 2, 1]) == pytest.approx(float(gate @ x), abs=1e-6)


def test_converter_refuses_more_steps_than_it_has() -> None:
    with pytest.raises(ValueError, match="10 maps"):
        Converter(4)(torch.zeros(1, 10, C, 4, 4))


def test_reconstructor_sends_spike_then_membrane() -> None:
    reconstructor = Reconstructor(C).eval()
    rest = reconstructor.at_rest(2, torch.device("cpu"))
    maps, state = reconstructor.step(torch.ones(2, 32, 4, 4), rest)
    assert tuple(maps.shape) == (2, 2, C, 4, 4)
    assert bool(((maps[:, 0] == 0) | (maps[:, 0] == 1)).all())
    assert torch.equal(maps[:, 1], state.output_BCHW)


# --- SimNet -------------------------------------------------------------------------------------------------------


def test_prior_is_bits_with_the_gradient_of_the_sigmoid() -> None:
    extractor, f_BCHW = PriorExtractor(C), torch.randn(6, C, 4, 4, requires_grad=True, generator=generator())
    k_BK = extractor(f_BCHW)
    assert tuple(k_BK.shape) == (6, 32)
    assert set(k_BK.flatten().tolist()) == {0.0, 1.0}
    score = extractor.project(extractor.norm(f_BCHW.mean(dim=(2, 3))))
    assert torch.equal(k_BK.detach(), (score > 0).float())
    (hard,) = torch.autograd.grad((k_BK * torch.arange(32)).sum(), f_BCHW)
    (soft,) = torch.autograd.grad((torch.sigmoid(score) * torch.arange(32)).sum(), f_BCHW)
    assert float(hard.abs().max()) > 0
    torch.testing.assert_close(hard, soft)


def simnet_inputs() -> tuple[SimilarityEstimator, Tensor, Tensor]:
    k_BK = torch.randint(0, 2, (5, 32), generator=generator(1)).float()
    return SimilarityEstimator(C).eval(), torch.randn(5, C, 4, 4, generator=generator(2)), k_BK


def test_estimate_listens_to_the_prior_and_to_p() -> None:
    estimator, f_BCHW, k_BK = simnet_inputs()
    p_B = torch.full((5,), 0.1)
    estimate = estimator(f_BCHW, k_BK, p_B)
    assert tuple(estimate.shape) == (5,)
    assert estimate.dtype == torch.float32
    assert bool((estimator(f_BCHW, k_BK.roll(1, dims=0), p_B) != estimate).all())  # shuffled among images
    assert bool((estimator(f_BCHW, k_BK, p_B + 0.1) != estimate).all())


def test_estimate_ignores_a_prior_that_is_pure_noise() -> None:
    estimator, f_BCHW, k_BK = simnet_inputs()
    p_B = torch.full((5,), 0.5)
    torch.testing.assert_close(estimator(f_BCHW, 1 - k_BK, p_B), estimator(f_BCHW, k_BK, p_B), atol=0, rtol=0)


def test_estimate_sees_noise_that_leaves_mean_and_maximum_of_a_channel() -> None:
    estimator, f_BCHW, k_BK = simnet_inputs()
    calm_BCP, p_B = f_BCHW.flatten(2).sort(dim=2).values, torch.full((5,), 0.1)
    change_P = torch.tensor([-0.5, 0, 0, 0, 0, 0, 0, 0.25, 0.25, 0, 0, 0, 0, 0, 0, 0])  # of low values: no new maximum
    calm, noisy = (x.unflatten(2, (4, 4)) for x in (calm_BCP, calm_BCP + change_P))
    assert bool((noisy.amax(dim=(2, 3)) == calm.amax(dim=(2, 3))).all())
    assert bool(((estimator(noisy, k_BK, p_B) - estimator(calm, k_BK, p_B)).abs() > 1e-5).all())


def test_a_feature_without_spread_has_a_gradient() -> None:
    estimator, f_BCHW, k_BK = simnet_inputs()
    constant = torch.ones_like(f_BCHW).requires_grad_()
    (gradient,) = torch.autograd.grad(estimator(constant, k_BK, torch.zeros(5)).sum(), constant)
    assert bool(gradient.isfinite().all())


# --- no state survives a call -------------------------------------------------------------------------------------


def _encode(encoder: nn.Module) -> Tensor:
    assert isinstance(encoder, Encoder)
    current = encoder.input_current(torch.rand(2, C, 4, 4, generator=generator()))
    first, state = encoder.step(current, encoder.at_rest(2, torch.device("cpu")))
    return torch.stack((first, encoder.step(current, state)[0]))


def _reconstruct(reconstructor: nn.Module) -> Tensor:
    assert isinstance(reconstructor, Reconstructor)
    spikes = torch.randint(0, 2, (2, 32, 4, 4), generator=generator()).float()
    maps, state = reconstructor.step(spikes, reconstructor.at_rest(2, torch.device("cpu")))
    return torch.cat((maps, reconstructor.step(spikes, state)[0]))


def _call(*shapes: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
    def call(module: nn.Module) -> Tensor:
        out: Tensor = module(*(torch.rand(shape, generator=generator()) for shape in shapes))
        return out

    return call


SMALL = BackboneSpec((1, 1, 1, 1), bottleneck=True, edge_blocks=3)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (Encoder(C), _encode),
        (Reconstructor(C), _reconstruct),
        (Converter(4), _call((2, 6, C, 4, 4))),
        (PriorExtractor(C), _call((2, C, 4, 4))),
        (SimilarityEstimator(C), _call((2, C, 4, 4), (2, 32), (2,))),
        (EdgePart(SMALL), _call((2, 3, 32, 32))),
        (TaskHead(SMALL), _call((2, 1024, 4, 4))),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_no_state_survives_a_call(module: nn.Module, call: Callable[[nn.Module], Tensor]) -> None:
    module.eval()
    attributes = {name: set(vars(part)) for name, part in module.named_modules()}
    before = copy.deepcopy(module.state_dict())
    first, second = call(module), call(module)
    assert torch.equal(first, second)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert attributes == {name: set(vars(part)) for name, part in module.named_modules()}


# --- losses -------------------------------------------------------------------------------------------------------


def spikes_with(ones: int, total: int = 64) -> Tensor:
    return torch.cat((torch.ones(ones), torch.zeros(total - ones))).view(1, 4, 4, total // 16)


def test_entropy_is_in_bits() -> None:
    assert float(spike_entropy_bits(spikes_with(32))) == pytest.approx(1.0, abs=1e-6)
    assert float(spike_entropy_bits(spikes_with(16))) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-6)
    for silent in (0, 64):
        assert float(spike_entropy_bits(spikes_with(silent))) == pytest.approx(0.0, abs=1e-4)


def test_penalty_takes_the_entropy_of_each_step_first() -> None:
    quarter = 2 - 0.75 * math.log2(3)  # of 16 in 64, and of 48 in 64; of both together it would be one bit
    penalty = entropy_penalty([spikes_with(16), spikes_with(48)])
    assert float(penalty) == pytest.approx((quarter - 1) ** 2, abs=1e-6)
    mixed = entropy_penalty([spikes_with(16), spikes_with(32)])  # and the mean comes before the square
    assert float(mixed) == pytest.approx(((quarter + 1) / 2 - 1) ** 2, abs=1e-6)


def test_similarity_is_the_cosine_of_logits() -> None:
    similarity = semantic_similarity(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [-2.0, 0.0]]))
    assert similarity.tolist() == pytest.approx([24 / 25, -1.0], abs=1e-6)
    half = semantic_similarity(torch.ones(1, 3, dtype=torch.bfloat16), torch.ones(1, 3))
    assert half.dtype == torch.float32
