# SPDX-License-Identifier: Apache-2.0
"""One pass a codec: every image is sent to the end, and each point where a system could stop is noted.

A further codec is a row of CODECS and, in ``models/systems.py``, a system on it: its pass is here already, and store,
progress and resuming know passes by their columns alone. ``evaluate`` shows its systems with a threshold and chooses
that; figures show it where its rate is fixed or its CRC decides, and of systems with a threshold those on the paper's
codec. Noise is keyed by the image's id, so the figures depend on neither order nor batch, and a single request with the
same seed and block meets it too.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from channel.bits import PRIOR_BITS, Bits, pack, unpack
from channel.transmission import transmit
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.evaluation.outcomes import SCORE, Columns, Floats, join
from experiments.evaluation.parts import CPU_ROWS, Parts
from models.codecs import Whole
from models.frames import Frame, HarqParameters
from models.losses import semantic_similarity
from models.receiver import ReceiverState, margin
from models.systems import SYSTEMS, StopRule, System, first_frame, next_frame

#: A GPU waits for launches unless it has this many: a whole unit.
CUDA_BATCH: Final = 250
#: Scores that no cloud has, or that are no system's rule: the true similarity, the estimate from another image's K, and
#: the largest probability.
TRUTH, SHUFFLED, PROBABILITY = "truth", "shuffled", "probability"
#: The paper's codec without K: for weights whose SimNet has learned on another codec.
WITHOUT_PRIOR: Final = "snn-sc-without-prior"


def obstacle(system: System) -> str | None:
    """Why no pass can measure a system, in words; None where one can."""
    rate = system.codec.rate
    if isinstance(rate, Whole):
        return f"codec {system.codec.name} has no steps"
    if system.sends_prior and rate.start < PRIOR_BITS:
        return f"codec {system.codec.name} starts at bit {rate.start} and leaves no room for the {PRIOR_BITS} bits of K"
    return None


def pass_of(system: System) -> str:
    """The pass that measures a system: its codec's name.

    A codec with a CRC has a second one for all other systems on it: the first sends nothing after the CRC holds.
    """
    name = system.codec.name
    if system.stop is StopRule.CRC or all(each.codec is not system.codec for each in _checked_systems()):
        return name
    return f"{name}-scores"


def sender_of(pass_name: str) -> System:
    """The system whose frames a pass sends: of those that it measures, the one that sends the most."""
    if pass_name == WITHOUT_PRIOR:
        return SYSTEMS["snn-sc-margin-harq"]
    measured = [system for system in SYSTEMS.values() if obstacle(system) is None and pass_of(system) == pass_name]
    return max(measured, key=lambda system: system.sends_prior)


def _checked_systems() -> list[System]:
    return [system for system in SYSTEMS.values() if system.stop is StopRule.CRC]


def frames_of(system: System, harq: HarqParameters) -> list[Frame]:
    """Frames to the end of the codec's range, the first as short as it may be; a fixed rate is the sum of the first."""
    rate = system.codec.rate
    if isinstance(rate, Whole):
        raise ValueError(f"system {system.name} has no steps")
    first, last = rate.range(harq)
    frames = [first_frame(system, harq, first if system.takes_t else None)]
    while frames[-1].t < last:
        frames.append(next_frame(frames[-1]))
    return frames


class PreparedImages:
    """Some images, encoded once for all BERs and seeds."""

    def __init__(self, parts: Parts, system: System, images: LabelledImages) -> None:
        self._parts, self._system, self._labels_N = parts, system, images.labels_N
        self._blocks = [noise_block(name) for name in images.ids()]
        self._frames = frames_of(system, parts.profile.harq)
        sent = [self._encoded(images.images_NCHW[rows]) for rows in self._batches()]
        self._logits_NL = np.concatenate([logits for logits, _ in sent])
        self._bits = [np.concatenate(frames) for frames in zip(*(bits for _, bits in sent), strict=True)]

    def _batches(self) -> list[slice]:
        batch = CUDA_BATCH if self._parts.device.type == "cuda" else CPU_ROWS
        return [slice(start, start + batch) for start in range(0, len(self._labels_N), batch)]

    def _encoded(self, images_BCHW: NDArray[np.uint8]) -> tuple[Floats, list[Bits]]:
        state, bits = self._parts.transmitter.begin(images_BCHW), []
        logits_BL = self._parts.receiver.logits(state.feature_BCHW)
        for frame in self._frames:
            bits_BN, state = self._parts.transmitter.encode(state, frame)
            bits.append(bits_BN)
        return logits_BL, bits

    def receive(self, ber: float, seed: int) -> Columns:
        """All frames of all images over the channel at one BER and seed, judged after each."""
        arrived = []
        for frame, bits_NB in zip(self._frames, self._bits, strict=True):
            payload = transmit(pack(bits_NB), ber, seed=seed, blocks=self._blocks, position=frame.position).payload
            arrived.append(unpack(payload, len(self._blocks)))
        # K of the next image: ids are hashes, so their order is as good as a shuffle.
        others_NK = np.roll(arrived[0][:, : self._frames[0].prior_bits], -1, axis=0)
        columns = join([self._judged(arrived, others_NK, rows, ber) for rows in self._batches()])
        return {**columns, "direct": self._logits_NL.argmax(1) == self._labels_N}

    def _judged(self, arrived: Sequence[Bits], others_NK: Bits, rows: slice, ber: float) -> Columns:
        if self._system.stop is StopRule.CRC:
            return self._checked(arrived, rows, ber)
        receiver, state = self._parts.receiver, None
        p_B = np.full(len(self._labels_N[rows]), ber)
        points: list[Columns] = []
        for frame, bits_NB in zip(self._frames, arrived, strict=True):
            state = receiver.combine(state, bits_NB[rows], frame, p_B)
            points.append(self._point(state, torch.from_numpy(others_NK[rows]), rows))
        return {name: np.stack([point[name] for point in points], axis=1) for name in points[0]}

    def _point(self, state: ReceiverState, others_BK: torch.Tensor, rows: slice) -> Columns:
        receiver = self._parts.receiver
        feature = receiver.feature(state)
        logits_BL = receiver.logits(feature)
        direct, logits = torch.from_numpy(self._logits_NL[rows]), torch.from_numpy(logits_BL)
        noted: Columns = {
            "correct": logits_BL.argmax(1) == self._labels_N[rows],
            SCORE + StopRule.MARGIN: margin(logits_BL),
            SCORE + PROBABILITY: logits.softmax(dim=1).amax(dim=1).numpy(),
            SCORE + TRUTH: semantic_similarity(direct, logits).numpy(),
        }
        if self._system.sends_prior:
            p_B = state.mean_crossover()
            own_B, shuffled_B = receiver.similarities(feature, [state.prior_BK, others_BK], p_B)
            noted |= {SCORE + StopRule.SIMILARITY: own_B, SCORE + SHUFFLED: shuffled_B}
        return noted

    def _checked(self, arrived: Sequence[Bits], rows: slice, ber: float) -> Columns:
        """Only while the CRC fails: no threshold asks for what would follow, and a decoder takes its time."""
        receiver, state = self._parts.receiver, None
        labels_B = self._labels_N[rows]
        shape = (len(labels_B), len(self._frames))
        correct_BS, crc_BS = np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.float32)
        stay, going = list(range(len(labels_B))), np.arange(len(labels_B))
        for point, (frame, bits_NB) in enumerate(zip(self._frames, arrived, strict=True)):
            if len(going) == 0:
                break
            state = state.select(stay) if state else None
            state = receiver.combine(state, bits_NB[rows][going], frame, np.full(len(going), ber))
            ok_B = receiver.judge(self._system, state).crc_ok_B
            assert ok_B is not None, f"{self._system.name} stops by its CRC"
            right_B = receiver.logits(receiver.feature(state)).argmax(1) == labels_B[going]
            correct_BS[going, point:], crc_BS[going, point] = right_B[:, None], ok_B
            stay = [row for row, ok in enumerate(ok_B) if not ok]
            going = going[stay]
        return {"correct": correct_BS, SCORE + StopRule.CRC: crc_BS}
