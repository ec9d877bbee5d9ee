# SPDX-License-Identifier: Apache-2.0
"""A profile without training: random networks that spike, stop at different rounds and save like trained ones.

Batch norm statistics come from one pass over random images, so that currents, spikes, similarities and margins are of
ordinary size; thresholds lie where sessions over a BER of 0.1 end in as many different rounds as possible.
"""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from channel.bits import pack, unpack
from channel.transmission import transmit
from models.inference import Inference
from models.link import InProcessLink
from models.networks.codec import Converter, Encoder, Reconstructor
from models.parts import ALL_CLOUD_PARTS, ALL_EDGE_PARTS, CloudNetworks, EdgeNetworks
from models.profiles import PROFILES, Profile
from models.receiver import Receiver
from models.systems import SYSTEMS, frame_of_round
from models.transmitter import Transmitter
from models.weights import CLOUD_PARTS, EDGE_PARTS, MANIFEST, load_cloud, load_edge, read_manifest

CALIBRATION_IMAGES = 16
CALIBRATION_BER = 0.1


def toy_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random coloured clouds with a little grain -> images uint8 [count, 3, 32, 32], as unlike as photographs."""
    generator = np.random.default_rng([seed, 32])
    coarse = torch.from_numpy(generator.uniform(0, 255, (count, 3, 5, 5)))
    clouds = nn.functional.interpolate(coarse, size=32, mode="bicubic", align_corners=False).numpy()
    grain = generator.normal(0.0, 12.0, clouds.shape)
    images: NDArray[np.uint8] = (clouds + grain).clip(0, 255).astype(np.uint8)
    return images


def toy_weights(folder: Path, profile: str = "resnet18", seed: int = 0) -> Path:
    """Write ``folder/PROFILE`` as the export of a training run would -> ``folder``."""
    chosen = PROFILES[profile]
    edge, cloud = _random_networks(chosen, seed)
    target = folder / profile
    target.mkdir(parents=True, exist_ok=True)
    networks = {**dict(edge.items()), **dict(cloud.items())}
    parts = {name: _save(part, target / f"{name}.safetensors") for name, part in networks.items()}
    manifest = {"profile": profile, "parts": parts, "thresholds": {}, "provenance": {"toy": {"seed": seed}}}
    (target / MANIFEST).write_text(json.dumps(manifest))
    manifest["thresholds"] = _thresholds(chosen, folder)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2))
    return folder


def load_networks(folder: Path, profile: str = "resnet18") -> tuple[EdgeNetworks, CloudNetworks]:
    """The networks of a weights folder, as the nodes load them."""
    manifest = read_manifest(profile, folder)
    return load_edge(PROFILES[profile], manifest, folder), load_cloud(PROFILES[profile], manifest, folder)


def load_link(folder: Path, profile: str = "resnet18", tile: int | None = None) -> InProcessLink:
    """The in-process link over a weights folder, on the CPU."""
    edge, cloud = load_networks(folder, profile)
    inference = Inference(torch.device("cpu"), tile=tile or PROFILES[profile].tile)
    return InProcessLink(PROFILES[profile], Transmitter(edge, inference), Receiver(cloud, inference))


def _random_networks(profile: Profile, seed: int) -> tuple[EdgeNetworks, CloudNetworks]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        edge, cloud = EdgeNetworks(profile, EDGE_PARTS), CloudNetworks(profile, CLOUD_PARTS)
        # After the others, so that these stay what they are when a codec is added.
        edge.update(EdgeNetworks(profile, [name for name in ALL_EDGE_PARTS if name not in edge]))
        cloud.update(CloudNetworks(profile, [name for name in ALL_CLOUD_PARTS if name not in cloud]))
    norms = [m for network in (edge, cloud) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the steps of the pass
    with torch.no_grad():
        for layer in cloud.similarity.modules():
            if isinstance(layer, nn.Linear):
                layer.weight *= 2.0  # random layers shrink what differs between images
        cloud.head.classifier.weight *= 8.0  # or else all classes are as probable
        cloud.outlook.deviation.copy_(torch.tensor([0.1, 10.0, 1.0, 4.0]))  # what differs between images counts most
        cloud.outlook.output.weight *= -1.0  # or else it would go on where the margin is large
        _calibrate(edge, cloud, toy_images(CALIBRATION_IMAGES, seed))
    return edge.eval(), cloud.eval()


def _calibrate(edge: EdgeNetworks, cloud: CloudNetworks, images: NDArray[np.uint8]) -> None:
    """One pass in training mode: it fills the running statistics."""
    feature = edge.edge(torch.from_numpy(images).float() / 255)
    cloud.head(_spiking_pass(feature, edge.encoder, cloud.reconstructor, cloud.converter))
    noise_free = (cloud[f"noise-free-{name}"] for name in ("reconstructor", "converter"))
    _spiking_pass(feature, edge["noise-free-encoder"], *noise_free)
    cloud["cnn-1bit-decoder"](edge["cnn-1bit-encoder"](feature))


def _spiking_pass(feature: Tensor, encoder: Encoder, reconstructor: Reconstructor, converter: Converter) -> Tensor:
    """All steps without noise -> F'."""
    current, device = encoder.input_current(feature), feature.device
    sent, rebuilt = encoder.at_rest(len(feature), device), reconstructor.at_rest(len(feature), device)
    maps: list[Tensor] = []
    for _ in range(converter.max_maps // 2):
        spikes, sent = encoder.step(current, sent)
        pair, rebuilt = reconstructor.step(spikes, rebuilt)
        maps.append(pair)
    return converter(torch.cat(maps, dim=1))


def _save(part: nn.Module, path: Path) -> dict[str, str | int]:
    stored = {
        key: (value.half() if value.ndim > 1 else value.float()).contiguous()
        for key, value in part.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    save_file(stored, path)
    content = path.read_bytes()
    return {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}


def _thresholds(profile: Profile, folder: Path) -> dict[str, float]:
    edge, cloud = load_networks(folder, profile.name)
    inference = Inference(torch.device("cpu"))
    transmitter, receiver = Transmitter(edge, inference), Receiver(cloud, inference)
    paper = SYSTEMS["snn-sc-harq"]
    judged = (paper, SYSTEMS["snn-sc-margin-harq"], SYSTEMS["snn-sc-learned-harq"])
    sent, received = transmitter.begin(toy_images(CALIBRATION_IMAGES)), None
    scores: dict[str, list[NDArray[np.float32]]] = {system.name: [] for system in judged}
    blocks = range(CALIBRATION_IMAGES)
    for round_ in range(1, profile.max_steps - profile.t0 + 2):
        frame = frame_of_round(paper, profile.harq, round_)
        bits, sent = transmitter.encode(sent, frame)
        noisy = transmit(pack(bits), CALIBRATION_BER, seed=0, blocks=blocks, position=frame.position)
        crossover = np.full(CALIBRATION_IMAGES, CALIBRATION_BER)
        received = receiver.combine(received, unpack(noisy.payload, CALIBRATION_IMAGES), frame, crossover)
        for system in judged:
            score = receiver.judge(system, received).score_B
            assert score is not None
            scores[system.name].append(score)
    return {name: spreading_threshold(np.stack(rows, axis=1)) for name, rows in scores.items()}


def spreading_threshold(scores_BR: NDArray[np.float32]) -> float:
    """The theta, halfway between two scores, at which sessions end in the most evenly spread rounds."""
    ordered = np.unique(scores_BR)
    candidates = ((ordered[1:] + ordered[:-1]) / 2)[np.diff(ordered) > 1e-3 * np.ptp(ordered)]

    def spread(theta: float) -> float:
        ends = [next((r for r, score in enumerate(row) if score > theta), len(row)) for row in scores_BR]
        shares = np.array(list(Counter(ends).values())) / len(ends)
        return float(-(shares * np.log(shares)).sum())

    return float(max(candidates, key=spread))
