# SPDX-License-Identifier: Apache-2.0
"""One image at a time: where a round's time goes, and how much of it is not model computation."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from client import Classification, SpikeLinkError
from experiments.bench.report import Latency, Load, Single
from experiments.bench.statistics import latency_of

#: PyTorch's threads look for work for some milliseconds after a computation, on the cores of who computes next.
_PAUSE_S: Final = 0.02


@dataclass(frozen=True)
class Pair:
    """An image through the nodes, and right after it in process: what its networks took in each round."""

    reply: Classification
    waited_ms: float
    networks_ms: list[float]


class NothingToCompareError(SpikeLinkError):
    """No image came back from the nodes with as many rounds as in process."""


def paired(send: Callable[[int], Classification], networks_ms: Callable[[int], list[float]], number: int) -> Pair:
    """Image ``number`` both ways; a machine whose speed changes meanwhile changes both. Raises what ``send`` does."""
    time.sleep(_PAUSE_S)
    began_s = time.monotonic()
    reply = send(number)
    waited_ms = 1000 * (time.monotonic() - began_s)
    time.sleep(_PAUSE_S)
    return Pair(reply, waited_ms, networks_ms(reply.block))


def split(load: Load, pairs: Sequence[Pair], failures: dict[str, int]) -> Single:
    """The figures of a level, and of pairs by round. Raises NothingToCompareError."""
    replies = [pair.reply for pair in pairs]
    rounds = [entry for reply in replies for entry in reply.rounds]
    networks, beside, unpaired = list[float](), list[float](), 0
    for pair in pairs:
        if len(pair.networks_ms) != len(pair.reply.rounds):
            unpaired += 1
            continue
        networks += pair.networks_ms
        taken = (entry.edge_ms + entry.channel_ms + entry.cloud_ms for entry in pair.reply.rounds)
        beside += [round_ms - alone_ms for round_ms, alone_ms in zip(taken, pair.networks_ms, strict=True)]
    return Single(
        load=load,
        rounds_per_image=float(np.mean([len(reply.rounds) for reply in replies])) if replies else 0.0,
        total=_latency([reply.total_ms for reply in replies]),
        http=_latency([pair.waited_ms - pair.reply.total_ms for pair in pairs]),
        edge=_latency([entry.edge_ms for entry in rounds]),
        channel=_latency([entry.channel_ms for entry in rounds]),
        cloud=_latency([entry.cloud_ms for entry in rounds]),
        round=_latency([entry.edge_ms + entry.channel_ms + entry.cloud_ms for entry in rounds]),
        networks=_latency(networks),
        beside=_latency(beside),
        unpaired_images=unpaired,
        failures=failures,
    )


def _latency(values_ms: Sequence[float]) -> Latency:
    found = latency_of(values_ms)
    if found is None:
        raise NothingToCompareError("no image came back from the nodes with as many rounds as in process")
    return found
