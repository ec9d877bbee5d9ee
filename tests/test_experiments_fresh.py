# SPDX-License-Identifier: Apache-2.0
"""Codecs trained on fresh images and on the task head's own word, and weights that keep few bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from toy import load_networks, toy_images

from experiments.training.accuracy import Cells
from experiments.training.codec import CodecPlan, CodecStage
from experiments.training.codecs import Codec
from experiments.training.draws import Draws
from experiments.training.export import Destination, export_parts
from experiments.training.features import FeatureSet, FeatureSets, FreshFeatures
from experiments.training.images import LABEL_SMOOTHING, ImageSet, PlainLabels

IMAGES = 6
ROWS = torch.tensor([4, 1, 3])


def drawn(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return ImageSet(torch.from_numpy(toy_images(IMAGES)), torch.arange(IMAGES))


def test_fresh_features_are_the_edges_of_the_augmented_images(toy_folder: Path, images: ImageSet) -> None:
    edge = load_networks(toy_folder)[0].edge
    batch = FreshFeatures(edge, images, cutmix=1.0).draw(ROWS, drawn())
    augmented = images.augmented(ROWS, 1.0, drawn())
    with torch.inference_mode():
        expected = edge(augmented.x_BCHW)
    assert torch.equal(batch.f_BCHW, expected)
    assert not batch.f_BCHW.requires_grad
    logits_BL = torch.randn(3, 100, generator=drawn())
    assert torch.equal(batch.labels.cross_entropy(logits_BL), augmented.labels.cross_entropy(logits_BL))
    assert not torch.equal(batch.f_BCHW, FreshFeatures(edge, images, 1.0).draw(ROWS, drawn(6)).f_BCHW)


def stage(toy_folder: Path, images: ImageSet, distilled: float) -> tuple[CodecStage, nn.Module]:
    edge, cloud = load_networks(toy_folder)
    with torch.inference_mode():
        stored = edge.edge(images.images_NCHW.float() / 255).half()[None].clone()
    sets = FeatureSets(FeatureSet(stored, images.labels_N), FeatureSet(stored, images.labels_N))
    codec = Codec(512, 8).eval()
    for name in ("encoder", "reconstructor", "converter"):
        part = (edge if name == "encoder" else cloud)[name]
        getattr(codec, name).load_state_dict(part.state_dict())
    plan = CodecPlan(Draws(4, 8), Cells((4, 8)), distilled=distilled)
    return CodecStage(codec, cloud.head, sets, plan, batch=3), cloud.head


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_loss_follows_label_and_task_head_in_their_shares(toy_folder: Path, images: ImageSet, share: float) -> None:
    """By hand: cross-entropies with the smoothed label, and sum_l P_l log(P_l / Q_l) with the head's word on F."""
    codec_stage, head = stage(toy_folder, images, share)
    generator, network = drawn(), codec_stage.network
    batch = codec_stage._sets.train.draw(ROWS, generator)
    rebuilt_BCHW, penalty = network.learn(batch.f_BCHW, codec_stage._plan.draws, generator)
    q_BL, p_BL = head(rebuilt_BCHW).softmax(dim=1).double(), head(batch.f_BCHW).softmax(dim=1).double()
    told = cross_entropy(head(rebuilt_BCHW), ROWS, label_smoothing=LABEL_SMOOTHING)
    divergence = (p_BL * (p_BL / q_BL).log()).sum(dim=1).mean()
    expected = (1 - share) * told + share * divergence + penalty
    assert float(codec_stage.loss(ROWS, drawn()).detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_nothing_is_to_learn_from_a_head_that_hears_f_itself(toy_folder: Path, images: ImageSet) -> None:
    codec_stage, head = stage(toy_folder, images, 1.0)
    batch = codec_stage._sets.train.draw(ROWS, drawn())
    assert isinstance(batch.labels, PlainLabels)
    assert float(codec_stage._told(batch, head(batch.f_BCHW).float())) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("bits", [2, 5, 11])
def test_written_kernels_keep_so_many_significant_bits(tmp_path: Path, bits: int) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 16, 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    export_parts({"encoder": network}, Destination(tmp_path, "resnet18", "codec", bits), {})
    stored = load_file(tmp_path / "resnet18" / "encoder.safetensors")
    kernel, exact = stored["weight"].double().numpy(), before["weight"].double().numpy()
    mantissa, _ = np.frexp(kernel)
    assert np.array_equal(mantissa * 2**bits, np.round(mantissa * 2**bits))
    assert (np.abs(kernel - exact) <= 2.0**-bits * np.abs(exact)).all()
    assert torch.equal(stored["bias"], before["bias"])
    assert torch.equal(network.weight.detach().half(), stored["weight"]), "the network is rounded as stored"
