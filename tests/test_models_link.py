# SPDX-License-Identifier: Apache-2.0
"""The in-process link against the hand-written loop of oracle_loop.py: same bits, flips, rounds, outcomes and logits.

The loop runs in a batch of 16, a whole number of tiles, so that both meet the same kernels and the same last bits;
where a machine's kernels still differ, a neuron at its threshold could fire in one only: MAX_DIFFERING_BITS.
"""

from pathlib import Path

import numpy as np
import oracle_loop
import pytest
import torch
from numpy.typing import NDArray
from oracle_loop import Rules
from toy import load_networks, spreading_threshold, toy_images

from channel.bits import Bits
from models.decision import Feedback, Outcome
from models.frames import Frame
from models.inference import Inference
from models.link import BlockTrace, InProcessLink, Request
from models.losses import semantic_similarity
from models.profiles import PROFILES
from models.receiver import Receiver
from models.systems import SYSTEMS
from models.transmitter import Transmitter, TransmitterState

COUNT = 16
BLOCKS = tuple(range(100, 100 + COUNT))
SEED = 11
MAX_DIFFERING_BITS = 0
ATOL = 1e-4
RESNET18 = PROFILES["resnet18"]


class RecordingTransmitter(Transmitter):
    """Keeps the bits of every frame, as the edge sent them."""

    def encode(self, state: TransmitterState, frame: Frame) -> tuple[Bits, TransmitterState]:
        bits_BN, after = super().encode(state, frame)
        self.sent = [*getattr(self, "sent", []), (frame, bits_BN)]
        return bits_BN, after


class Bench:
    """The toy profile in both forms, over the same images."""

    def __init__(self, folder: Path) -> None:
        edge, cloud = load_networks(folder)
        self.weights: oracle_loop.Weights = {**edge.state_dict(), **cloud.state_dict()}
        inference = Inference(torch.device("cpu"))
        self.transmitter = RecordingTransmitter(edge, inference)
        self.receiver = Receiver(cloud, inference)
        self.link = InProcessLink(RESNET18, self.transmitter, self.receiver)
        self.images = toy_images(COUNT, seed=3)
        self._steps: dict[float, oracle_loop.Steps] = {}

    def steps(self, ber: float) -> oracle_loop.Steps:
        if ber not in self._steps:
            with torch.inference_mode():
                self._steps[ber] = oracle_loop.run_steps(self.weights, self.images, ber, SEED, list(BLOCKS))
        return self._steps[ber]

    def run(self, system: str, ber: float, **request: float) -> list[BlockTrace]:
        t = request.pop("t", None)
        self.transmitter.sent = []
        return self.link.run(
            self.images, Request(SYSTEMS[system], ber, SEED, BLOCKS, t=None if t is None else int(t), **request)
        )

    def check(self, traces: list[BlockTrace], ber: float, rules: Rules) -> list[oracle_loop.Session]:
        """Every image's trace against the loop's session; returns the sessions."""
        steps, sessions = self.steps(ber), []
        for row, (block, trace) in enumerate(zip(BLOCKS, traces, strict=True)):
            expected = oracle_loop.play(steps, row, block, SEED, rules)
            sessions.append(expected)
            assert trace.block == block
            assert [r.t for r in trace.rounds] == expected.steps
            assert [r.round for r in trace.rounds] == list(range(1, len(expected.steps) + 1))
            assert [r.payload_bits for r in trace.rounds] == expected.payload
            assert [r.flipped_bits for r in trace.rounds] == expected.flips
            assert [str(r.feedback) for r in trace.rounds] == expected.feedback
            assert str(trace.outcome) == expected.outcome
            assert trace.bandwidth_bits == sum(expected.payload)
            for entry, score in zip(trace.rounds, expected.scores, strict=True):
                got = {"similarity": entry.similarity, "margin": entry.margin, "outlook": entry.outlook}
                assert got.pop(rules.stop, None) == (None if score is None else pytest.approx(score, abs=ATOL))
                assert set(got.values()) == {None}
            np.testing.assert_allclose(trace.logits_L, expected.logits.numpy(), atol=ATOL, rtol=0)
            assert trace.class_index == int(expected.logits.argmax())
        self._check_sent_bits(steps)
        return sessions

    def _check_sent_bits(self, steps: oracle_loop.Steps) -> None:
        differing = 0
        for frame, bits_BN in self.transmitter.sent:
            if len(bits_BN) == COUNT:  # later frames hold the blocks that are still open
                expected = steps.sent[:, frame.position : frame.position + frame.bits].numpy()
                differing += int((bits_BN != expected).sum())
        assert differing <= MAX_DIFFERING_BITS


RULES = [("snn-sc-harq", "similarity"), ("snn-sc-margin-harq", "margin"), ("snn-sc-learned-harq", "outlook")]


@pytest.fixture(scope="module")
def bench(toy_folder: Path) -> Bench:
    return Bench(toy_folder)


def threshold_for(steps: oracle_loop.Steps, stop: str) -> float:
    """A theta between the loop's scores (never on one) that ends the sessions in different rounds."""
    scores_BT = {"similarity": steps.similarity, "margin": steps.margin, "outlook": steps.outlook}[stop]
    return spreading_threshold(scores_BT[:, oracle_loop.T0 - 1 :].numpy())


@pytest.mark.parametrize("ber", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("system", "stop"), RULES)
def test_harq_is_the_loop(bench: Bench, system: str, stop: str, ber: float) -> None:
    theta = threshold_for(bench.steps(ber), stop)
    sessions = bench.check(bench.run(system, ber, threshold=theta), ber, Rules(stop, theta))
    assert len({len(session.steps) for session in sessions}) >= 3, "the sessions should end in different rounds"
    assert {session.outcome for session in sessions} == {"accepted", "exhausted"}


@pytest.mark.parametrize("system", ["snn-sc-harq", "snn-sc-margin-harq"])
def test_all_frames_carry_the_loops_bits(bench: Bench, system: str) -> None:
    traces = bench.run(system, 0.1, threshold=2.0)  # nothing exceeds 2: all blocks stay to the end
    bench.check(traces, 0.1, Rules("similarity" if system == "snn-sc-harq" else "margin", theta=2.0))
    assert [frame.bits for frame, _ in bench.transmitter.sent] == [2080 if "margin" not in system else 2048, *[512] * 4]
    assert all(len(bits_BN) == COUNT for _, bits_BN in bench.transmitter.sent)
    assert {trace.outcome for trace in traces} == {Outcome.EXHAUSTED}
    assert {trace.bandwidth_bits for trace in traces} == {4128 if system == "snn-sc-harq" else 4096}


@pytest.mark.parametrize("t", [4, 5, 6, 7, 8])
def test_fixed_rate_is_the_loop(bench: Bench, t: int) -> None:
    traces = bench.run("multi-rate", 0.2, t=t)
    bench.check(traces, 0.2, Rules("fixed", first_t=t))
    assert {trace.bandwidth_bits for trace in traces} == {512 * t}
    assert {trace.outcome for trace in traces} == {Outcome.ACCEPTED}


def test_fixed_rate_and_harq_see_the_same_channel(bench: Bench) -> None:
    fixed = bench.run("multi-rate", 0.2, t=8)
    harq = bench.run("snn-sc-margin-harq", 0.2, threshold=2.0)
    for one, other in zip(fixed, harq, strict=True):
        assert one.rounds[0].flipped_bits == sum(r.flipped_bits for r in other.rounds)
        np.testing.assert_array_equal(one.logits_L, other.logits_L)


def test_bypass_is_the_backbone_at_half_precision(bench: Bench) -> None:
    with torch.inference_mode():
        feature = oracle_loop.extract_feature(bench.weights, bench.images).half()
        expected = oracle_loop.classify(bench.weights, feature.float()).numpy()
    traces = bench.run("bypass", 0.0)
    for trace, logits_L in zip(traces, expected, strict=True):
        np.testing.assert_allclose(trace.logits_L, logits_L, atol=ATOL, rtol=0)
        assert (trace.outcome, trace.bandwidth_bits) == (Outcome.ACCEPTED, 16 * 512 * 4 * 4)
        assert [(r.t, r.flipped_bits, r.feedback) for r in trace.rounds] == [(0, 0, Feedback.ACK)]
    _, bits_BN = bench.transmitter.sent[0]
    by_hand = np.frombuffer(np.packbits(bits_BN[0]).tobytes(), dtype=np.dtype(">f2"))
    assert np.array_equal(by_hand.astype(np.float32), feature[0].flatten().float().numpy())


@pytest.mark.parametrize(("system", "stop"), RULES)
@pytest.mark.parametrize("feedback_ber", [0.3, 0.5])
def test_feedback_errors_are_the_loops(bench: Bench, system: str, stop: str, feedback_ber: float) -> None:
    theta = threshold_for(bench.steps(0.1), stop)
    traces = bench.run(system, 0.1, threshold=theta, feedback_ber=feedback_ber)
    sessions = bench.check(traces, 0.1, Rules(stop, theta, feedback_ber))
    cut_short = [s for s in sessions if s.outcome == "feedback_error"]
    sent_on = [s for s in sessions if s.outcome == "accepted" and s.feedback[0] == "NACK"]
    assert cut_short, "a corrupted NACK should occur in this draw"
    assert sent_on, "a corrupted ACK should occur in this draw"


def test_frames_after_a_lost_ack_count_but_change_nothing(bench: Bench) -> None:
    clean = bench.run("snn-sc-harq", 0.1, threshold=-2.0)  # everything exceeds -2: ACK in the first round
    noisy = bench.run("snn-sc-harq", 0.1, threshold=-2.0, feedback_ber=0.5)
    extra = [(a, b) for a, b in zip(clean, noisy, strict=True) if len(b.rounds) > 1]
    assert extra
    for before, after in extra:
        assert after.bandwidth_bits == 2080 + 512 * (len(after.rounds) - 1) > before.bandwidth_bits
        assert after.outcome is Outcome.ACCEPTED
        assert {r.similarity for r in after.rounds} == {before.rounds[0].similarity}
        np.testing.assert_array_equal(after.logits_L, before.logits_L)


def test_true_similarity_is_the_loss_functions(bench: Bench) -> None:
    steps = bench.steps(0.1)
    with torch.inference_mode():
        target = oracle_loop.classify(bench.weights, oracle_loop.extract_feature(bench.weights, bench.images))
    for t in range(1, oracle_loop.T + 1):
        estimate = semantic_similarity(target, steps.logits[:, t - 1])
        torch.testing.assert_close(estimate, steps.true_similarity[:, t - 1], atol=1e-5, rtol=0)


def test_bad_requests_are_refused(bench: Bench) -> None:
    images: NDArray[np.uint8] = bench.images[:2]
    with pytest.raises(ValueError, match="2 images for 1 blocks"):
        bench.link.run(images, Request(SYSTEMS["snn-sc-harq"], 0.0, SEED, (0,), 0.5))
    with pytest.raises(ValueError, match="error-free"):
        bench.link.run(images, Request(SYSTEMS["bypass"], 0.1, SEED, (0, 1)))
    with pytest.raises(ValueError, match="needs t"):
        bench.link.run(images, Request(SYSTEMS["multi-rate"], 0.1, SEED, (0, 1)))
    with pytest.raises(ValueError, match=r"4\.\.8"):
        bench.link.run(images, Request(SYSTEMS["multi-rate"], 0.1, SEED, (0, 1), t=9))
    with pytest.raises(ValueError, match="takes no t"):
        bench.link.run(images, Request(SYSTEMS["snn-sc-harq"], 0.1, SEED, (0, 1), 0.5, t=5))
    with pytest.raises(ValueError, match="takes a threshold"):
        bench.link.run(images, Request(SYSTEMS["snn-sc-harq"], 0.1, SEED, (0, 1)))
    with pytest.raises(ValueError, match="takes no threshold"):
        bench.link.run(images, Request(SYSTEMS["multi-rate"], 0.1, SEED, (0, 1), 0.5, t=4))
