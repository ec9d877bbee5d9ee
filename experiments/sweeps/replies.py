# SPDX-License-Identifier: Apache-2.0
"""What the edge answers to a batch, believed only where the channel was the one that the sweep asked for.

A request names its BER and seed, but the links' other impairments are the channel's own: bursts instead of independent
flips, or inverted feedback, would pass into the figures unnoticed. The flips that each round reports follow from seed,
block and position, and it says whether its feedback was inverted and what the cloud computed it with, so that every
reply shows by itself whether it is as it should be.
"""

from collections.abc import Sequence

from channel.transmission import CHANNELS, DEFAULT_CHANNEL
from client import BatchClassification, Classification
from experiments.sweeps.engine import Answer, EngineError, Task
from models.frames import Frame
from models.profiles import PROFILES
from models.systems import SYSTEMS, first_frame, next_frame

_RESET = "set the channel's links back ('spikelink channel reset')"


def answers_of(reply: BatchClassification, task: Task, blocks: Sequence[int], cloud: str) -> list[Answer]:
    """One for each block, in their order. ``cloud`` is the arithmetic that every round must be of.

    Raises EngineError where the reply is not to this task.
    """
    if [entry.block for entry in reply.results] != list(blocks):
        raise EngineError("the edge answered for other blocks than it was asked for")
    for entry in reply.results:
        _check(entry, task)
        _check_arithmetic(entry, cloud)
    return [Answer(entry.class_index, entry.bandwidth_bits) for entry in reply.results]


def _check(entry: Classification, task: Task) -> None:
    point = task.point
    if (entry.seed, entry.system) != (task.seed, point.system):
        met = f"seed {entry.seed} and system {entry.system}"
        raise EngineError(f"block {entry.block} met {met} instead of {task.seed} and {point.system}")
    if entry.ber != point.ber:
        raise EngineError(f"block {entry.block} met BER {entry.ber:g} instead of {point.ber:g}: {_RESET}")
    frame: Frame = first_frame(SYSTEMS[point.system], PROFILES[task.profile].harq, point.t)
    for heard in entry.rounds:
        if heard.flipped_bits != _flips(frame, entry.block, task):
            raise EngineError(f"the forward link flips other bits than independent errors would: {_RESET}")
        frame = next_frame(frame)
    if any(heard.feedback_inverted for heard in entry.rounds):
        raise EngineError(f"the feedback link inverts ACKs and NACKs: {_RESET}")


def _check_arithmetic(entry: Classification, cloud: str) -> None:
    """The unit's name says it, and a cloud may be replaced by another one, or have replicas."""
    for heard in entry.rounds:
        if heard.arithmetic != cloud:
            met = heard.arithmetic or "what it does not say"
            raise EngineError(f"the cloud computed block {entry.block} with {met}, and not with {cloud}")


def _flips(frame: Frame, block: int, task: Task) -> int:
    model = CHANNELS[DEFAULT_CHANNEL]
    mask_N = model.flips(task.point.ber, seed=task.seed, block=block, position=frame.position, count=frame.bits)
    return int(mask_N.sum())
