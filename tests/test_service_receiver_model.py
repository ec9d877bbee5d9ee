# SPDX-License-Identifier: Apache-2.0
"""The receiver as a model: whatever happens to frames, replicas and time, one decision per block, and always the same.

Repeated, reordered, lost, truncated, damaged, late, together, cut off in the middle; replicas that share a store and
die: every reply is one that the table of docs/protocol.md allows, with the numbers of the in-process link.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from nodes import PROFILE, Sender
from receiver_benches import CoreBench, InMemory, InRedis, InSqlite, Stage
from receiver_machine import BERS, ReceiverMachine
from receiver_model import TILE, Arrival, Oracle, Session
from receiver_over_http import HttpBench, http_bench
from redis_server import running_redis
from toy import load_link

from models.link import Request
from models.prediction import most_probable
from models.systems import SYSTEMS
from models.weights import read_manifest
from service.wire import FrameFormatError, FrameHead

#: What must have been met by the end of a run, or it has shown little.
MET = {"ACK", "NACK", "late", "ACK again", "result feedback_error", "400", "409", "crash", "given back"}


@pytest.fixture(scope="module")
def oracle(toy_folder: Path) -> Oracle:
    return Oracle(toy_folder)


class CoreMachine(ReceiverMachine):
    """Without HTTP a call can be cut off at a chosen place."""

    @rule(
        talk=ReceiverMachine.talks,
        replica=st.integers(0, 1),
        kind=st.sampled_from(["next", "close"]),
        stage=st.sampled_from(["computing", "before-write", "after-write"]),
        data=st.data(),
    )
    def caller_leaves(self, talk: Sender, replica: int, kind: str, stage: Stage, data: st.DataObject) -> None:
        event, before = self.event(talk, kind, data), self.now(talk)
        reply = self.bench.cut_off(replica % self.bench.size, event, stage)
        self.conclude(talk, before, [event], [reply])
        if reply is None and isinstance(event, Arrival):  # the edge repeats it, over a channel that has changed
            head = event.frame.head
            again = talk.frame(head.round, head.blocks, ber=data.draw(BERS))
            self.happen(talk, [(data.draw(st.integers(0, 1)), Arrival(again))])
            self.proceed_at(talk, data)


class HttpMachine(ReceiverMachine):
    """Through HTTP a header can be any text."""

    @rule(
        talk=ReceiverMachine.talks,
        replica=st.integers(0, 1),
        name=st.sampled_from(sorted(FrameHead.model_fields)),
        text=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
        data=st.data(),
    )
    def corrupt_header(self, talk: Sender, replica: int, name: str, text: str, data: st.DataObject) -> None:
        event = self.event(talk, "next", data)
        if not isinstance(event, Arrival):
            return
        headers = {**event.frame.headers(), f"SpikeLink-{name.capitalize()}": text.strip()}
        try:
            FrameHead.from_headers(headers)
        except FrameFormatError:
            before = self.now(talk)
            reply = self.bench.post(replica, headers, event.frame.payload)
            self.conclude(talk, before, [Arrival(event.frame, refused=400)], [reply])

    def _compare_record(self, talk: Sender) -> None:
        super()._compare_record(talk)
        assert self.bench.counted_bits() - self.counted_at_start == self.taken_bits


def run(machine: type[ReceiverMachine], make: Callable[[], Any], oracle: Oracle, size: tuple[int, int]) -> Counter[str]:
    """So many examples of so many steps -> what they met."""
    seen: Counter[str] = Counter()
    members = {"make_bench": staticmethod(make), "oracle": oracle, "seen": seen}
    chosen = type(machine.__name__, (machine,), members)
    examples, steps = size
    run_state_machine_as_test(
        chosen,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
    return seen


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis"])
def test_the_core_does_what_the_model_allows(store: str, oracle: Oracle, tmp_path: Path) -> None:
    numbers = itertools.count()

    def sqlite() -> InSqlite:
        return InSqlite(tmp_path / f"{next(numbers)}.sqlite3")

    with running_redis() as server:
        make = {"memory": InMemory, "sqlite": sqlite, "redis": lambda: InRedis(server.url)}[store]
        seen = run(CoreMachine, lambda: CoreBench(oracle, make()), oracle, (12, 40))
    assert set(seen) >= MET | {"410", "cut off"}
    assert store == "memory" or seen["at two replicas"] > 0


@pytest.fixture(scope="module")
def bench(toy_folder: Path) -> Iterator[HttpBench]:
    with http_bench(toy_folder) as running:
        yield running


def test_two_clouds_do_what_the_model_allows(bench: HttpBench, oracle: Oracle) -> None:
    seen = run(HttpMachine, lambda: bench, oracle, (20, 40))
    assert set(seen) >= MET


@pytest.mark.parametrize(
    ("system", "images", "t"),
    [("snn-sc-harq", 3, None), ("snn-sc-margin-harq", 2, None), ("snn-sc-learned-harq", 2, None), ("multi-rate", 2, 5)],
)
def test_the_models_numbers_are_the_links(
    oracle: Oracle, toy_folder: Path, system: str, images: int, t: int | None
) -> None:
    """An undisturbed session of the model against the in-process link."""
    theta = read_manifest(PROFILE.name, toy_folder).thresholds.get(system)
    sender = Sender(toy_folder, system, images, theta=theta, t=t)
    session, blocks, rounds = Session(sender), list(range(images)), []
    while blocks:
        session, reply = session.after(Arrival(sender.frame(session.next_round, blocks)), oracle, 0.0)
        rounds.append(reply.answers)
        blocks = [answer.block for answer in reply.answers if answer.feedback == "NACK"]
    request = Request(SYSTEMS[system], sender.ber, sender.seed, tuple(range(images)), theta, t)
    for row, trace in enumerate(load_link(toy_folder, tile=TILE).run(sender.pixels, request)):
        heard = [(entry.similarity, entry.margin, str(entry.feedback)) for entry in trace.rounds]
        mine = [answer for answers in rounds for answer in answers if answer.block == row]
        assert [(answer.similarity, answer.margin, answer.feedback) for answer in mine] == heard
        end = session.ends[row]
        assert end is not None
        assert (end.outcome, end.top) == (str(trace.outcome), most_probable(trace.logits_L))
