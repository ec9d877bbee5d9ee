# SPDX-License-Identifier: Apache-2.0
"""The baselines over the link against plain loops, and what every codec of the catalogue has to keep."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import oracle_loop
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from toy import load_link, load_networks, toy_images

from channel.ldpc import MAX_ITERATIONS
from models.codecs import CODECS, Checked, Whole
from models.decision import Feedback, Outcome
from models.inference import Inference
from models.link import BlockTrace, InProcessLink, Request
from models.parts import ALL_CLOUD_PARTS, ALL_EDGE_PARTS, EdgeNetworks, cloud_parts, edge_parts
from models.profiles import PROFILES
from models.receiver import Receiver, ReceiverState
from models.systems import SYSTEMS, StopRule, frame_of_round, last_round
from models.transmitter import Transmitter

HARQ = PROFILES["resnet18"].harq
COUNT, SEED, ATOL = 17, 11, 1e-4
BLOCKS = tuple(range(100, 100 + COUNT))
LDPC, ONE_BIT = SYSTEMS["snn-sc-ldpc-harq"], SYSTEMS["cnn-1bit"]


@pytest.fixture(scope="module")
def link(toy_folder: Path) -> InProcessLink:
    return load_link(toy_folder)


@pytest.fixture(scope="module")
def weights(toy_folder: Path) -> oracle_loop.Weights:
    edge, cloud = load_networks(toy_folder)
    return {**edge.state_dict(), **cloud.state_dict()}


@pytest.fixture(scope="module")
def halves(toy_folder: Path) -> tuple[Transmitter, Receiver]:
    edge, cloud = load_networks(toy_folder)
    inference = Inference(torch.device("cpu"))
    return Transmitter(edge, inference), Receiver(cloud, inference)


IMAGES = toy_images(COUNT, seed=3)


def flipped(bits_BN: NDArray[np.uint8], start: int, ber: float) -> NDArray[np.uint8]:
    """Bits of positions ``start ..`` after the channel, by the oracle's own generator."""
    end = start + bits_BN.shape[1]
    return bits_BN ^ np.stack([oracle_loop.uniforms(SEED, b, 1, end)[start:] < ber for b in BLOCKS]).astype(np.uint8)


@torch.inference_mode()
def ldpc_by_hand(w: oracle_loop.Weights, ber: float) -> Iterator[tuple[list[int], str, torch.Tensor]]:
    """Each image's (step of each round, outcome, logits): Sionna on the whole codeword, with LLR 0 for unsent bits."""
    from sionna.phy.fec.crc import CRCDecoder, CRCEncoder
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    quiet = {name.removeprefix("noise-free-"): v for name, v in w.items() if name.startswith("noise-free-")} | {
        name: v for name, v in w.items() if name.startswith(("edge.", "head."))
    }
    feature = oracle_loop.extract_feature(quiet, IMAGES)
    bits = torch.cat([s.flatten(1) for s in oracle_loop.encode(quiet, feature)[:3]], dim=1)
    crc = CRCEncoder("CRC24A", device="cpu")
    code = LDPC5GEncoder(1560, 4128, bg="bg1", device="cpu")
    decoder, check = LDPC5GDecoder(code, num_iter=MAX_ITERATIONS, device="cpu"), CRCDecoder(crc, device="cpu")
    arrived = flipped(code(crc(bits)).numpy().astype(np.uint8), 0, ber)
    llr = torch.from_numpy((2.0 * arrived - 1) * np.log((1 - ber) / ber)).float()
    for row in range(COUNT):
        steps = []
        for t in range(4, 9):
            steps.append(t)
            known = torch.cat((llr[row : row + 1, : 32 + 512 * t], torch.zeros(1, 4128 - 32 - 512 * t)), dim=1)
            decoded, holds = check(decoder(known))
            if holds:
                break
        spikes = list(decoded.reshape(1, 3, 32, 4, 4).unbind(1))
        rebuilt = oracle_loop.convert(quiet, oracle_loop.reconstruct(quiet, spikes, feature.shape[1]))
        yield steps, "accepted" if holds else "exhausted", oracle_loop.classify(quiet, rebuilt)[0]


@pytest.mark.parametrize("ber", [0.03, 0.15])
def test_separate_coding_is_the_loop_by_hand(link: InProcessLink, weights: oracle_loop.Weights, ber: float) -> None:
    traces = link.run(IMAGES, Request(LDPC, ber, SEED, BLOCKS))
    assert len({len(trace.rounds) for trace in traces}) == (2 if ber < 0.1 else 1)
    for trace, (steps, outcome, logits) in zip(traces, ldpc_by_hand(weights, ber), strict=True):
        assert [entry.t for entry in trace.rounds] == steps
        assert [entry.payload_bits for entry in trace.rounds] == [2080, 512, 512, 512, 512][: len(steps)]
        assert [entry.crc_ok for entry in trace.rounds[:-1]] == [False] * (len(steps) - 1)
        assert trace.rounds[-1].crc_ok == (outcome == "accepted")
        assert {(entry.similarity, entry.margin) for entry in trace.rounds} == {(None, None)}
        assert str(trace.outcome) == outcome
        # Where the CRC never held, this compares what the wrong bits make of the image.
        np.testing.assert_allclose(trace.logits_L, logits.numpy(), atol=ATOL, rtol=0)


def test_without_noise_separate_coding_needs_one_round_and_loses_nothing(link: InProcessLink) -> None:
    clean, noisy = (link.run(IMAGES, Request(LDPC, ber, SEED, BLOCKS)) for ber in (0.0, 0.05))
    assert {len(trace.rounds) for trace in clean} == {1}
    assert {trace.outcome for trace in noisy} == {Outcome.ACCEPTED}
    for one, other in zip(clean, noisy, strict=True):
        np.testing.assert_array_equal(one.logits_L, other.logits_L)


@torch.inference_mode()
def one_bit_by_hand(w: oracle_loop.Weights, t: int, ber: float) -> torch.Tensor:
    def layer(name: str, x: torch.Tensor, padding: int) -> torch.Tensor:
        norm = (w[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        x = F.conv2d(x, w[f"{name}.0.weight"], None, 1, padding)
        return F.batch_norm(x, *norm, training=False, eps=1e-5)

    hidden = layer("cnn-1bit-encoder.hidden", oracle_loop.extract_feature(w, IMAGES), 1).relu()
    sent = (layer("cnn-1bit-encoder.output", hidden, 0) > 0).flatten(1).numpy().astype(np.uint8)
    arrived = flipped(sent[:, : 512 * t], 32, ber)
    signs = torch.zeros(COUNT, 4096)
    signs[:, : 512 * t] = torch.from_numpy(2.0 * arrived - 1)
    hidden = layer("cnn-1bit-decoder.hidden", signs.reshape(COUNT, 256, 4, 4), 0).relu()
    return oracle_loop.classify(w, layer("cnn-1bit-decoder.output", hidden, 1).relu())


@pytest.mark.parametrize("t", [1, 5, 8])
def test_the_one_bit_codec_is_the_loop_by_hand(link: InProcessLink, weights: oracle_loop.Weights, t: int) -> None:
    traces = link.run(IMAGES, Request(ONE_BIT, 0.1, SEED, BLOCKS, t=t))
    for trace, logits in zip(traces, one_bit_by_hand(weights, t, 0.1), strict=True):
        assert [(entry.t, entry.payload_bits, entry.feedback) for entry in trace.rounds] == [(t, 512 * t, Feedback.ACK)]
        assert (trace.outcome, trace.rounds[0].crc_ok) == (Outcome.ACCEPTED, None)
        np.testing.assert_allclose(trace.logits_L, logits.numpy(), atol=ATOL, rtol=0)


@pytest.mark.parametrize(("request_", "sizes"), [(Request(LDPC, 0.06, SEED, ()), (1, 2, 5, 17)),
                                                 (Request(ONE_BIT, 0.2, SEED, (), t=3), (1, 2, 5, 16, 17))],
                         ids=["ldpc", "one_bit"])  # fmt: skip
def test_batch_size_does_not_show(link: InProcessLink, request_: Request, sizes: tuple[int, ...]) -> None:
    def send(start: int, size: int) -> list[BlockTrace]:
        rows = slice(start, start + size)
        return link.run(IMAGES[rows], replace(request_, blocks=BLOCKS[rows]))

    whole = send(0, COUNT)
    for size in sizes:
        for start in {0, COUNT - size}:
            for trace, expected in zip(send(start, size), whole[start : start + size], strict=True):
                assert (trace.block, trace.outcome, trace.rounds) == (expected.block, expected.outcome, expected.rounds)
                np.testing.assert_array_equal(trace.logits_L, expected.logits_L, strict=True)


def test_feedback_errors_mean_for_a_crc_what_they_mean_for_a_score(link: InProcessLink) -> None:
    clean = link.run(IMAGES, Request(LDPC, 0.05, SEED, BLOCKS))
    noisy = link.run(IMAGES, Request(LDPC, 0.05, SEED, BLOCKS, feedback_ber=0.4))
    assert {trace.outcome for trace in noisy} == {Outcome.ACCEPTED, Outcome.FEEDBACK_ERROR}
    late = 0
    for before, after in zip(clean, noisy, strict=True):
        if after.outcome is Outcome.FEEDBACK_ERROR:  # a NACK was heard as ACK: the wrong bits were used as they are
            assert not after.rounds[-1].crc_ok
            assert (before.logits_L != after.logits_L).any()
        else:  # frames after a lost ACK count and change nothing
            late += len(after.rounds) > len(before.rounds)
            assert all(entry.crc_ok for entry in after.rounds[len(before.rounds) - 1 :])
            np.testing.assert_array_equal(after.logits_L, before.logits_L)
    assert late


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.is_harq])
def test_state_rebuilt_and_selected_is_the_same(halves: tuple[Transmitter, Receiver], name: str) -> None:
    """Frame by frame, in a batch or for some rows alone, with another p for each frame and block."""
    transmitter, receiver = halves
    system, few = SYSTEMS[name], [4, 0, 16]
    sent, whole, alone = transmitter.begin(IMAGES), None, None
    apart = sent.select(few)
    for round_ in range(1, last_round(system, HARQ) + 1):
        frame = frame_of_round(system, HARQ, round_)
        bits_BN, sent = transmitter.encode(sent, frame)
        again_BN, apart = transmitter.encode(apart, frame)
        assert np.array_equal(again_BN, bits_BN[few])
        p_B = np.linspace(0.0, 0.1, COUNT) / round_
        arrived_BN = bits_BN ^ (np.random.default_rng(round_).random(bits_BN.shape) < p_B[:, None])
        whole = receiver.combine(whole, arrived_BN, frame, p_B)
        alone = receiver.combine(alone, arrived_BN[few], frame, p_B[few])
        assert_same(whole.select(few), alone)
    assert whole is not None
    assert whole.size_bytes == sum(whole.select([row]).size_bytes for row in range(COUNT)) > 0
    assert torch.equal(receiver.feature(whole)[few], receiver.feature(alone))


def assert_same(one: ReceiverState, other: ReceiverState | None) -> None:
    assert other is not None
    assert (one.t, one.frame_bits, one.codec_name) == (other.t, other.frame_bits, other.codec_name)
    pairs = [(one.prior_BK, other.prior_BK), (one.crossover_BR, other.crossover_BR)]
    pairs += [(getattr(one.codec, f.name), getattr(other.codec, f.name)) for f in fields(one.codec)]
    assert all(torch.equal(got, expected) for got, expected in pairs)


def test_the_catalogues_fit_each_other() -> None:
    assert {system.codec.name for system in SYSTEMS.values()} == set(CODECS)
    assert {system.stop for system in SYSTEMS.values()} == set(StopRule)
    for system in SYSTEMS.values():
        assert set(edge_parts(system)) <= set(ALL_EDGE_PARTS)
        assert set(cloud_parts(system)) <= set(ALL_CLOUD_PARTS)
        assert not system.is_harq or not isinstance(system.codec.rate, Whole)
        assert (system.stop is not StopRule.CRC) or issubclass(system.codec.cloud, Checked)
    assert not set(ALL_EDGE_PARTS) & set(ALL_CLOUD_PARTS), "their files lie in one folder"
    own = [part for codec in CODECS.values() for part in (*codec.edge_parts, *codec.cloud_parts)]
    assert len(own) == len(set(own)), "a part belongs to one codec"


def test_a_codec_whose_parts_are_not_there_is_refused() -> None:
    inference = Inference(torch.device("cpu"))
    transmitter = Transmitter(EdgeNetworks(PROFILES["resnet18"], edge_parts(SYSTEMS["bypass"])), inference)
    frame = frame_of_round(LDPC, HARQ, 1)
    with pytest.raises(KeyError, match="snn-sc-ldpc"):
        transmitter.encode(transmitter.begin(IMAGES[:1]), frame)
