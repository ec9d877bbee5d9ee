# SPDX-License-Identifier: Apache-2.0
"""SNN-SC-HARQ as a plain loop, from arXiv 2310.08804 (Algorithm 1, Eqs. 1 to 5) and docs/protocol.md.

Shares no code with models/ or channel/: tensors, torch.nn.functional and the weights' values by name (resnet18).
It runs every time step of every image first and plays the protocol afterwards, image by image; the link goes the other
way round. Its noise is drawn for a whole HARQ process at once.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

T0, T = 4, 8
PRIOR, STEP = 32, 512
V_TH = 1.0
Weights = dict[str, Tensor]


@dataclass
class Session:
    """What one image's HARQ process comes to. Rounds are lists, one entry a round."""

    outcome: str = ""
    steps: list[int] = field(default_factory=list)
    payload: list[int] = field(default_factory=list)
    flips: list[int] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass
class Steps:
    """All T steps of all images, as sent and as received: bits [B, 4128] in {0, 1}, logits and scores [B, T]."""

    sent: Tensor
    received: Tensor
    similarity: Tensor
    margin: Tensor
    outlook: Tensor
    logits: Tensor
    true_similarity: Tensor


@dataclass(frozen=True)
class Rules:
    """How a session is played.

    ``stop`` is "similarity" (sends K), "margin", "outlook" or "fixed" (ends with step ``first_t``).
    """

    stop: str
    theta: float = 0.0
    feedback_ber: float = 0.0
    first_t: int = T0


def _norm(w: Weights, name: str, x: Tensor) -> Tensor:
    parts = (w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"])
    return F.batch_norm(x, *parts, training=False, eps=1e-5)


def _conv_norm(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = w[f"{name}.conv.weight"]
    return _norm(w, f"{name}.bn", F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2))


def _block(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    out = F.relu(_conv_norm(w, f"{name}.layers.0", x, stride))
    out = _conv_norm(w, f"{name}.layers.1", out)
    skip = _conv_norm(w, f"{name}.shortcut", x, stride) if f"{name}.shortcut.conv.weight" in w else x
    return F.relu(out + skip)


def extract_feature(w: Weights, images: NDArray[np.uint8]) -> Tensor:
    """F = f_E(X): resnet18 up to its 7th basic block."""
    mean = torch.tensor([0.5071, 0.4867, 0.4408]).view(1, 3, 1, 1)
    std = torch.tensor([0.2675, 0.2565, 0.2761]).view(1, 3, 1, 1)
    x = F.relu(_conv_norm(w, "edge.stem", (torch.from_numpy(images).float() / 255 - mean) / std))
    for index, stride in enumerate((1, 1, 2, 1, 2, 1, 2)):
        x = _block(w, f"edge.blocks.{index}", x, stride)
    return x


def classify(w: Weights, feature: Tensor) -> Tensor:
    """P = f_T(F): the 8th basic block, average pooling, the classifier."""
    pooled = _block(w, "head.blocks.0", feature, 1).mean(dim=(2, 3))
    return F.linear(pooled, w["head.classifier.weight"], w["head.classifier.bias"])


def _conv3(w: Weights, name: str, x: Tensor) -> Tensor:
    return _norm(w, f"{name}.1", F.conv2d(x, w[f"{name}.0.weight"], w[f"{name}.0.bias"], 1, 1))


def _charge_fire_reset(membrane: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    membrane = membrane + current  # Eq. (1)
    spike = (membrane >= V_TH).float()  # Eq. (2), >= instead of >
    return spike, membrane - spike * V_TH  # Eq. (3), soft


def encode(w: Weights, feature: Tensor) -> list[Tensor]:
    """S_1 .. S_T = E(F), each [B, 32, 4, 4]."""
    batch = feature.shape[0]
    hidden, output, spikes = torch.zeros(batch, 256, 4, 4), torch.zeros(batch, 32, 4, 4), []
    for _ in range(T):
        spike, hidden = _charge_fire_reset(hidden, _conv3(w, "encoder.hidden", feature))
        spike, output = _charge_fire_reset(output, _conv3(w, "encoder.output", spike))
        spikes.append(spike)
    return spikes


def reconstruct(w: Weights, received: list[Tensor], channels: int) -> Tensor:
    """Outputs of Algorithm 1 for all T steps, [B, 2T, C, 4, 4]: F_s^1, F_m^1, F_s^2, ..."""
    batch, outputs = received[0].shape[0], []
    hidden, output = torch.zeros(batch, 256, 4, 4), torch.zeros(batch, channels, 4, 4)
    for s in received:
        spike, hidden = _charge_fire_reset(hidden, _conv3(w, "reconstructor.hidden", s))
        spike, output = _charge_fire_reset(output, _conv3(w, "reconstructor.output", spike))
        outputs += [spike, output]
    return torch.stack(outputs, dim=1)


def convert(w: Weights, outputs: Tensor) -> Tensor:
    """F' = C(Outputs), 2T maps, element by element: gates sigmoid(A x + b), then the gated sum."""
    x = outputs.permute(0, 2, 3, 4, 1)
    gates = torch.sigmoid(F.linear(x, w["converter.gate.weight"], w["converter.gate.bias"]))
    return (gates * x).sum(dim=-1)


def prior_information(w: Weights, feature: Tensor) -> Tensor:
    """K = S_E(F), [B, 32] in {0, 1}."""
    pooled = feature.mean(dim=(2, 3))
    pooled = F.layer_norm(pooled, pooled.shape[1:], w["prior.norm.weight"], w["prior.norm.bias"])
    return (F.linear(pooled, w["prior.project.weight"], w["prior.project.bias"]) > 0).float()


def estimate_similarity(w: Weights, feature: Tensor, prior: Tensor, p: float) -> Tensor:
    """S_D(F', K^, p), [B]."""

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"similarity.{name}.weight"], w[f"similarity.{name}.bias"])

    mean = feature.mean(dim=(2, 3))
    spread = ((feature.flatten(2) - mean[:, :, None]).square().mean(dim=2) + 1e-6).sqrt()
    pooled = torch.cat((mean, feature.flatten(2).max(dim=2).values, spread), dim=1)
    pooled = F.layer_norm(pooled, pooled.shape[1:], w["similarity.embed.0.weight"], w["similarity.embed.0.bias"])
    e = F.gelu(linear("embed.3", F.gelu(linear("embed.1", pooled))))
    reliability = torch.full((len(e), 1), 1 - 2 * p)
    signs = torch.where(prior > 0.5, reliability, -reliability)
    match = signs * linear("expected_prior", e)
    evidence = torch.cat((e, match, signs, reliability, match.mean(dim=1, keepdim=True)), dim=1)
    return linear("score.2", F.gelu(linear("score.0", evidence)))[:, 0]


def expected_of_more_bits(w: Weights, margin: Tensor, p: float, t: int) -> Tensor:
    """Chances that a label is lost less those that it is gained, their root with their sign; a neuron at a time."""
    scores = []
    for row in margin.double().tolist():
        seen = [row, -float(np.log(np.float64(1) - row + 1e-4)), p, t / 8]
        hidden = []
        for weights, bias in zip(w["outlook.hidden.weight"].tolist(), w["outlook.hidden.bias"].tolist(), strict=True):
            scaled = zip(weights, seen, w["outlook.mean"].tolist(), w["outlook.deviation"].tolist(), strict=True)
            hidden.append(np.tanh(bias + sum(weight * (x - mean) / deviation for weight, x, mean, deviation in scaled)))
        outputs = zip(w["outlook.output.weight"].tolist(), w["outlook.output.bias"].tolist(), strict=True)
        powers = [np.exp(bias + sum(a * b for a, b in zip(weights, hidden, strict=True))) for weights, bias in outputs]
        net = (powers[1] - powers[0]) / sum(powers)
        scores.append(float(np.sign(net) * np.sqrt(abs(net))))
    return torch.tensor(scores)


def uniforms(seed: int, block: int, link: int, count: int) -> NDArray[np.float64]:
    """u of positions 0 .. count - 1: Philox from counter 0, 53 bits a draw. Links: 1 forward, 2 feedback."""
    words = np.random.Philox(key=[seed, link], counter=[0, block, 0, 0]).random_raw(count)
    return np.asarray(words >> np.uint64(11), dtype=np.float64) / 2.0**53


def run_steps(w: Weights, images: NDArray[np.uint8], ber: float, seed: int, blocks: list[int]) -> Steps:
    """Everything that could be sent and received, for all T steps; column t - 1 is the state after t steps."""
    feature = extract_feature(w, images)
    sent = torch.cat([prior_information(w, feature), *(s.flatten(1) for s in encode(w, feature))], dim=1)
    noise = np.stack([uniforms(seed, block, 1, PRIOR + STEP * T) < ber for block in blocks])
    received = (sent.bool() ^ torch.from_numpy(noise)).float()  # B(.; p)
    spikes = list(received[:, PRIOR:].reshape(-1, T, 32, 4, 4).unbind(1))
    outputs = reconstruct(w, spikes, feature.shape[1])
    similarity, margin, outlook, logits, truth = [], [], [], [], []
    for t in range(1, T + 1):
        padded = torch.cat((outputs[:, : 2 * t], torch.zeros_like(outputs[:, 2 * t :])), dim=1)
        rebuilt = convert(w, padded)
        similarity.append(estimate_similarity(w, rebuilt, received[:, :PRIOR], ber))
        logits.append(classify(w, rebuilt))
        ordered = F.softmax(logits[-1], dim=1).sort(dim=1, descending=True).values
        margin.append(ordered[:, 0] - ordered[:, 1])
        outlook.append(expected_of_more_bits(w, margin[-1], ber, t))
        truth.append(F.cosine_similarity(classify(w, feature), logits[-1], dim=1))  # Eq. (5)
    columns = [torch.stack(column, dim=1) for column in (similarity, margin, outlook, logits, truth)]
    return Steps(sent, received, *columns)


def play(steps: Steps, row: int, block: int, seed: int, rules: Rules) -> Session:
    """The HARQ protocol of the image in ``row``, which is block ``block``."""
    session, feedback_noise, t = Session(), uniforms(seed, block, 2, T + 1), rules.first_t
    start, ended_at = (0 if rules.stop == "similarity" else PRIOR), 0
    scores = {"similarity": steps.similarity, "margin": steps.margin, "outlook": steps.outlook}.get(rules.stop)
    while True:
        end = PRIOR + STEP * t
        session.steps.append(t)
        session.payload.append(end - start)
        session.flips.append(int((steps.sent[row, start:end] != steps.received[row, start:end]).sum()))
        seen = ended_at or t  # after its ACK the cloud combines nothing more
        score = None if scores is None else float(scores[row, seen - 1])
        session.scores.append(score)
        last = t == T or rules.stop == "fixed"
        accepted = score is None or np.float32(score) > np.float32(rules.theta)
        if not ended_at and (accepted or last):
            ended_at = t
            session.outcome = "accepted" if accepted else "exhausted"
        ack = bool(ended_at) != bool(feedback_noise[t] < rules.feedback_ber)
        session.feedback.append("ACK" if ack else "NACK")
        if ack or last:
            break
        start, t = end, t + 1
    if not ended_at:
        session.outcome = "feedback_error"
    session.logits = steps.logits[row, (ended_at or t) - 1]
    return session
