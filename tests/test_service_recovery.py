# SPDX-License-Identifier: Apache-2.0
"""What must not show in an answer: a dropped cache, a restart, another replica, a race, a store that was away."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from nodes import NEVER, Cloud, Sender, converse, lasting, problem, running_cloud, until
from redis_server import RedisServer, running_redis
from toy import load_link

from models.link import Request
from models.prediction import most_probable
from models.receiver import Receiver
from models.systems import SYSTEMS
from models.weights import read_manifest
from service.nodes.cloud.engine import Engine
from service.nodes.cloud.record import decode
from service.stores import open_store
from service.wire import FrameAnswer, ResultAnswer


@pytest.fixture(scope="module")
def clouds(toy_folder: Path, store_url: str) -> Iterator[tuple[Cloud, Cloud]]:
    """Two replicas on one store."""
    with running_cloud(toy_folder, store_url) as one, running_cloud(toy_folder, store_url) as other:
        yield one, other


@pytest.fixture(scope="module", params=["snn-sc-harq", "snn-sc-margin-harq", "snn-sc-learned-harq", "snn-sc-ldpc-harq"])
def six(request: pytest.FixtureRequest, toy_folder: Path) -> Sender:
    """Six images that end in different rounds."""
    theta = read_manifest("resnet18", toy_folder).thresholds.get(request.param)
    return Sender(toy_folder, request.param, 6, theta=theta, ber=0.1 if theta is not None else 0.06)


def again(sender: Sender) -> Sender:
    """The same images, noise and terms in another session."""
    return replace(sender)


def without_session(answers: list[FrameAnswer]) -> list[FrameAnswer]:
    return [answer.model_copy(update={"session": ""}) for answer in answers]


def test_the_cloud_answers_as_the_in_process_link_does(clouds: tuple[Cloud, Cloud], six: Sender) -> None:
    answers = converse(six, lambda _: clouds[0])
    request = Request(SYSTEMS[six.system], six.ber, six.seed, tuple(range(6)), six.theta)
    traces = load_link(six.folder).run(six.pixels, request)
    assert len({len(trace.rounds) for trace in traces}) > 1, "the images end in different rounds"
    for trace in traces:
        mine = [entry for answer in answers for entry in answer.answers if entry.block == trace.block]
        assert [(entry.feedback, entry.similarity, entry.margin, entry.crc_ok) for entry in mine] == [
            (entry.feedback.value, entry.similarity, entry.margin, entry.crc_ok) for entry in trace.rounds
        ]
        assert mine[-1].outcome == trace.outcome.value
        assert mine[-1].prediction is not None
        top = tuple((label.class_index, label.probability) for label in mine[-1].prediction.top)
        assert top == most_probable(trace.logits_L)


def test_without_a_cache_every_answer_is_the_same(toy_folder: Path, store_url: str, six: Sender) -> None:
    with (
        running_cloud(toy_folder, store_url) as caching,
        running_cloud(toy_folder, store_url, cache_mib=0) as forgetful,
    ):
        expected, found = converse(again(six), lambda _: caching), converse(again(six), lambda _: forgetful)
    assert without_session(found) == without_session(expected)


def test_a_restart_between_any_two_rounds_does_not_show(toy_folder: Path, store_url: str, six: Sender) -> None:
    with running_cloud(toy_folder, store_url) as cloud:
        expected = converse(again(six), lambda _: cloud)
    with ExitStack() as started:

        def restarted(_: int) -> Cloud:
            started.close()  # the one before, its memory with it
            return started.enter_context(running_cloud(toy_folder, store_url))

        assert without_session(converse(again(six), restarted)) == without_session(expected)


def test_a_codeword_is_rebuilt_with_the_p_of_each_of_its_frames(toy_folder: Path, store_url: str) -> None:
    """The second frame is pure noise: only who knows its p can use the others. The cloud restarts before each round."""
    sender, bers = Sender(toy_folder, "snn-sc-ldpc-harq", image_seed=5), (0.06, 0.5, 0.01)
    with running_cloud(toy_folder, store_url) as cloud:
        expected = [cloud.send(sender.frame(n, ber=ber)).answers for n, ber in enumerate(bers, start=1)]
    assert [answers[0].crc_ok for answers in expected] == [False, False, True]
    twin, found = replace(sender), []
    for n, ber in enumerate(bers, start=1):
        with running_cloud(toy_folder, store_url) as cloud:
            found.append(cloud.send(twin.frame(n, ber=ber)).answers)
    assert found == expected


def test_a_result_after_a_restart_is_the_same(toy_folder: Path, store_url: str) -> None:
    senders = [Sender(toy_folder), Sender(toy_folder)]
    results = []
    with running_cloud(toy_folder, store_url) as cloud:
        for sender in senders:
            for round_ in (1, 2):
                cloud.send(sender.frame(round_))
        results.append(cloud.result(senders[0].session, 0).content)
    with running_cloud(toy_folder, store_url) as cloud:
        results.append(cloud.result(senders[1].session, 0).content)
    first, second = (ResultAnswer.model_validate_json(result).results for result in results)
    assert first == second


def test_replicas_take_the_rounds_by_turns(clouds: tuple[Cloud, Cloud], six: Sender) -> None:
    alone = converse(again(six), lambda _: clouds[0])
    together = converse(again(six), lambda round_: clouds[round_ % 2])
    assert without_session(together) == without_session(alone)


def test_a_round_that_one_replica_answered_is_replayed_by_the_other(
    clouds: tuple[Cloud, Cloud], toy_folder: Path
) -> None:
    sender = Sender(toy_folder)
    first = clouds[0].send(sender.frame(1))
    second = clouds[1].send(sender.frame(1))
    assert second.replayed
    assert lasting(second) == lasting(first)


def test_replicas_that_race_agree(
    clouds: tuple[Cloud, Cloud], toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both compute the frame, each with other noise on it; the record has one, and both go on from that one."""
    decide, both = Engine.decide, threading.Barrier(2)

    def at_once(self: Engine, *args: object) -> object:
        both.wait(60)
        return decide(self, *args)  # type: ignore[arg-type]  # handed on as they come

    sender = Sender(toy_folder)
    for round_ in (1, 2):
        frames = [sender.frame(round_, ber=0.0), sender.frame(round_, ber=0.3)]
        assert frames[0].payload != frames[1].payload
        with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
            patch.setattr(Engine, "decide", at_once)
            answers = list(pool.map(lambda pair: pair[0].send(pair[1]), zip(clouds, frames, strict=True)))
        assert sorted(answer.replayed for answer in answers) == [False, True]
        assert lasting(answers[0]) == lasting(answers[1])
        winner = answers[0].replayed  # the index of the replica whose answer is no replay
        stored = clouds[0].record(sender.session)
        assert stored is not None
        assert [entry.payload for entry in decode(stored.value).rounds][-1] == frames[winner].payload
        loser = clouds[not winner]
    # The loser's memory of the rounds it lost must not show in the next.
    third = loser.send(sender.frame(3))
    with running_cloud(toy_folder, clouds[0].store_url) as fresh:
        for round_ in (1, 2):
            assert fresh.send(sender.frame(round_)).replayed
        assert fresh.send(sender.frame(3)).answers == third.answers
        fourth = fresh.send(sender.frame(4))
    stored = clouds[0].record(sender.session)
    assert stored is not None
    twin = Sender(toy_folder)
    with running_cloud(toy_folder, clouds[0].store_url) as fresh:
        for entry, round_ in zip(decode(stored.value).rounds, range(1, 5), strict=True):
            expected = fresh.send(twin.frame(round_, ber=entry.crossover))
            assert round_ < 3 or expected.answers == (third if round_ == 3 else fourth).answers


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def readiness(cloud: Cloud) -> tuple[int, bool, str]:
    response = cloud.http.get("/readyz")
    return response.status_code, response.json()["durable"], response.json()["checks"]["store"]


def test_a_store_that_dies_and_comes_back(toy_folder: Path, redis_server: RedisServer) -> None:
    with running_cloud(toy_folder, redis_server.url) as cloud:
        expected = converse(Sender(toy_folder, theta=NEVER), lambda _: cloud)
        sender, other = Sender(toy_folder), Sender(toy_folder)
        answers = [cloud.send(sender.frame(1))]
        assert answers[0].durable
        assert readiness(cloud) == (200, True, "ok")
        redis_server.kill()
        answers += [cloud.send(sender.frame(2)), cloud.send(sender.frame(3))]
        assert [answer.durable for answer in answers] == [True, False, False]
        status, durable, store = readiness(cloud)
        assert (status, durable) == (200, False)
        assert store != "ok"
        assert not cloud.http.get("/v1/info").json()["durable"]
        assert not cloud.send(sender.frame(3)).durable, "a replay out of memory"
        assert not cloud.send(other.frame(1)).durable, "a new session"
        result = ResultAnswer.model_validate_json(cloud.result(other.session, 0).content)
        assert not result.durable
        assert not ResultAnswer.model_validate_json(cloud.result(other.session, 0).content).durable
        redis_server.start()  # empty: it has lost what it had
        until(lambda: readiness(cloud) == (200, True, "ok"), "the store's return")
        answers += [cloud.send(sender.frame(4)), cloud.send(sender.frame(5))]
        assert [answer.durable for answer in answers[3:]] == [True, True]
        assert without_session([lasting(answer) for answer in answers]) == without_session(expected)
        record = cloud.record(sender.session)
        assert record is not None
        assert len(decode(record.value).rounds) == 5


def test_a_cloud_starts_without_its_store(toy_folder: Path, redis_server: RedisServer) -> None:
    redis_server.kill()
    with running_cloud(toy_folder, redis_server.url) as cloud:
        assert readiness(cloud)[:2] == (200, False)
        assert not cloud.send(Sender(toy_folder).frame(1)).durable


def test_a_stopped_cloud_lets_its_networks_go(toy_folder: Path, tmp_path: Path) -> None:
    """A process that starts several nodes, one after the other, holds the networks of one."""

    def receivers() -> int:
        gc.collect()
        return sum(type(each) is Receiver for each in gc.get_objects())

    before = receivers()
    with running_cloud(toy_folder, f"sqlite://{tmp_path}/sessions.sqlite3"):
        assert receivers() == before + 1
    assert receivers() == before


def swap_record(url: str, session: str, value: bytes, version: int) -> None:
    """Put something else under a session into a store, past the cloud."""

    async def swap() -> None:
        store = open_store(url)
        await store.open()
        try:
            assert (await store.swap(session, value, expected=version, ttl_s=60)).done
        finally:
            await store.close()

    asyncio.run(swap())


@pytest.mark.parametrize("written", [lambda fields: fields[1:], lambda fields: (fields[0] + 1, *fields[1:], "more")])
def test_a_record_of_another_version_is_gone_and_the_session_begins_anew(
    clouds: tuple[Cloud, Cloud], toy_folder: Path, written: Callable[[tuple[object, ...]], tuple[object, ...]]
) -> None:
    """While replicas of two versions share a store: of one before records had a number, and of one to come."""
    sender = Sender(toy_folder)
    first = clouds[0].send(sender.frame(1))
    stored = clouds[0].record(sender.session)
    assert stored is not None
    other = msgpack.packb(written(msgpack.unpackb(stored.value, use_list=False)))
    swap_record(clouds[0].store_url, sender.session, other, stored.version)
    for found in (clouds[0].post(sender.frame(2)), clouds[1].result(sender.session, 0)):
        assert "another version" in problem(found, 410).detail
    fresh = again(sender)
    assert clouds[0].send(fresh.frame(1)).answers == first.answers
