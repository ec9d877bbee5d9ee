# SPDX-License-Identifier: Apache-2.0
"""What the cloud answers, docs/protocol.md, row by row: frames made by hand against one cloud, on both stores."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nodes import AT_ONCE, NEVER, PROFILE, Cloud, Sender, lasting, metric, problem, running_cloud, until
from redis_server import running_redis
from toy import load_networks

from channel.bits import unpack
from models.inference import Inference, choose_device
from models.receiver import Receiver
from models.systems import SYSTEMS, frame_of_round
from models.weights import read_manifest
from service.nodes.cloud.engine import Engine
from service.nodes.cloud.record import decode, encode
from service.nodes.cloud.sessions import Sessions
from service.wire import Problem, ResultAnswer


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def cloud(
    request: pytest.FixtureRequest, toy_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """One cloud for the module; each test has sessions of its own."""
    if request.param == "sqlite":
        with running_cloud(toy_folder, f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}") as running:
            yield running
    else:
        with running_redis() as server, running_cloud(toy_folder, server.url) as running:
            yield running


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The session of every computation."""
    sessions: list[str] = []
    original = Engine.decide

    def counting(self: Engine, session: str, *args: object) -> object:
        sessions.append(session)
        return original(self, session, *args)  # type: ignore[arg-type]  # handed on as they come

    monkeypatch.setattr(Engine, "decide", counting)
    return sessions


def expected_round(found: Problem) -> object:
    return (found.model_extra or {})["expected_round"]


def test_the_expected_round_is_answered_until_the_last_one_ends_the_session(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder)
    answers = [cloud.send(sender.frame(round_)) for round_ in range(1, 6)]
    assert [(answer.round, answer.t, answer.session) for answer in answers] == [
        (round_, round_ + 3, sender.session) for round_ in range(1, 6)
    ]
    assert [answer.answers[0].feedback for answer in answers] == ["NACK"] * 4 + ["ACK"]
    assert all(answer.answers[0].similarity is not None and not answer.answers[0].late for answer in answers)
    assert [answer.answers[0].outcome for answer in answers] == [None] * 4 + ["exhausted"]
    assert all(answer.answers[0].prediction is None for answer in answers[:4])
    last = answers[4].answers[0].prediction
    assert last is not None
    assert len(last.top) == 5
    assert not any(answer.replayed for answer in answers)
    assert all(answer.durable for answer in answers)


def test_a_similarity_above_theta_ends_the_session_with_its_result(cloud: Cloud, toy_folder: Path) -> None:
    answer = cloud.send(Sender(toy_folder, theta=AT_ONCE).frame(1)).answers[0]
    assert (answer.feedback, answer.outcome, answer.late) == ("ACK", "accepted", False)
    assert answer.prediction is not None


def test_a_round_already_answered_is_replayed_and_nothing_counts_twice(
    cloud: Cloud, toy_folder: Path, decided: list[str]
) -> None:
    sender = Sender(toy_folder)
    first, second = cloud.send(sender.frame(1)), cloud.send(sender.frame(2))
    before = cloud.record(sender.session)
    counted = [metric(cloud.http, "cloud_payload_bits_total"), metric(cloud.http, "cloud_answers_total")]
    replays = [cloud.send(sender.frame(round_)) for round_ in (1, 2, 1)]
    assert all(answer.replayed for answer in replays)
    assert [lasting(answer) for answer in replays] == [lasting(first), lasting(second), lasting(first)]
    assert decided == [sender.session] * 2
    assert cloud.record(sender.session) == before
    assert [metric(cloud.http, "cloud_payload_bits_total"), metric(cloud.http, "cloud_answers_total")] == counted
    # And the session goes on as if nothing had happened.
    undisturbed = Sender(toy_folder)
    expected = [cloud.send(undisturbed.frame(round_)) for round_ in (1, 2, 3)][-1]
    assert cloud.send(sender.frame(3)).answers == expected.answers


def test_a_replay_whose_noise_differs_gets_the_stored_answer(cloud: Cloud, toy_folder: Path) -> None:
    """The digest is of the payload as the edge sent it; a retry may meet another BER."""
    sender = Sender(toy_folder)
    first = cloud.send(sender.frame(1, ber=0.1))
    again = cloud.send(sender.frame(1, ber=0.4))
    assert (first.replayed, again.replayed) == (False, True)
    assert lasting(again) == lasting(first)
    assert again.crossover == 0.1, "p of the bits that were combined"


def test_the_same_frame_while_the_first_is_being_computed_waits_for_it(
    cloud: Cloud, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, computed, together = [], [], threading.Event()
    answer, decide = Sessions.answer, Engine.decide

    async def arriving(self: Sessions, *args: object) -> object:
        arrived.append(args)
        return await answer(self, *args)  # type: ignore[arg-type]  # handed on as they come

    def waiting(self: Engine, *args: object) -> object:
        computed.append(args)
        assert together.wait(60)
        return decide(self, *args)  # type: ignore[arg-type]  # handed on as they come

    monkeypatch.setattr(Sessions, "answer", arriving)
    monkeypatch.setattr(Engine, "decide", waiting)
    frame = Sender(toy_folder).frame(1)
    with ThreadPoolExecutor(5) as pool:
        try:
            replies = [pool.submit(cloud.send, frame) for _ in range(5)]
            until(lambda: len(arrived) == 5, "five arrivals")
        finally:
            together.set()
        answers = [reply.result() for reply in replies]
    assert len(computed) == 1
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]
    assert len({lasting(answer).model_dump_json() for answer in answers}) == 1


@pytest.mark.parametrize("round_", [1, 2])
def test_the_same_round_with_another_digest_is_refused(cloud: Cloud, toy_folder: Path, round_: int) -> None:
    sender = Sender(toy_folder)
    for number in (1, 2):
        cloud.send(sender.frame(number))
    before = cloud.record(sender.session)
    found = problem(cloud.post(sender.frame(round_).but(digest="0" * 64)), 409)
    assert expected_round(found) == 3
    assert cloud.record(sender.session) == before


def test_the_same_payload_for_other_blocks_is_another_frame(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder, images=3)
    cloud.send(sender.frame(1))
    cloud.send(sender.frame(2, [0, 1]))
    problem(cloud.post(sender.frame(2, [0, 1]).but(blocks=(0, 2))), 409)


@pytest.mark.parametrize("theta", [NEVER, AT_ONCE], ids=["open", "ended"])
@pytest.mark.parametrize("early", [3, 5])
def test_a_later_round_than_expected_is_told_which(cloud: Cloud, toy_folder: Path, early: int, theta: float) -> None:
    sender = Sender(toy_folder, theta=theta)
    cloud.send(sender.frame(1))
    assert expected_round(problem(cloud.post(sender.frame(early)), 409)) == 2
    assert cloud.send(sender.frame(2)).answers[0].late == (theta == AT_ONCE)


def test_a_block_that_missed_a_round_is_refused(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder, images=2)
    cloud.send(sender.frame(1))
    cloud.send(sender.frame(2, [0]))
    problem(cloud.post(sender.frame(3)), 409)
    assert cloud.send(sender.frame(3, [0])).answers[0].block == 0


def test_a_frame_after_the_ack_is_late_counted_and_not_combined(
    cloud: Cloud, toy_folder: Path, decided: list[str]
) -> None:
    sender = Sender(toy_folder, theta=AT_ONCE)
    ack = cloud.send(sender.frame(1)).answers[0]
    bits, late = (
        metric(cloud.http, "cloud_payload_bits_total"),
        metric(cloud.http, "cloud_answers_total", feedback="late"),
    )
    answers = [cloud.send(sender.frame(round_)) for round_ in (2, 3)]
    assert [answer.answers for answer in answers] == [(ack.model_copy(update={"late": True}),)] * 2
    assert not any(answer.replayed for answer in answers)
    assert decided == [sender.session]
    assert metric(cloud.http, "cloud_payload_bits_total") == bits + 2 * 512
    assert metric(cloud.http, "cloud_answers_total", feedback="late") == late + 2
    stored = cloud.record(sender.session)
    assert stored is not None
    record = decode(stored.value)
    assert [entry.combined for entry in record.rounds] == [(0,), (), ()]
    assert not any(entry.payload for entry in record.rounds), "an ended session keeps no bits"
    assert cloud.send(sender.frame(2)).replayed  # a late frame is a round as any other


def test_of_a_batch_only_the_blocks_that_have_ended_are_late(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder, images=6, theta=read_manifest("resnet18", toy_folder).thresholds["snn-sc-harq"])
    first = cloud.send(sender.frame(1)).answers
    ended = [entry.block for entry in first if entry.feedback == "ACK"]
    assert 0 < len(ended) < 6, "the toy's threshold divides these images"
    second = cloud.send(sender.frame(2)).answers  # all six, as if every ACK had been corrupted
    assert [entry.block for entry in second if entry.late] == ended
    assert [second[block] for block in ended] == [first[block].model_copy(update={"late": True}) for block in ended]
    rest = Sender(toy_folder, images=6, theta=sender.theta)
    cloud.send(rest.frame(1))
    alone = cloud.send(rest.frame(2, [block for block in range(6) if block not in ended])).answers
    assert [entry for entry in second if not entry.late] == list(alone)


def test_a_result_request_closes_the_session_once(cloud: Cloud, toy_folder: Path, decided: list[str]) -> None:
    sender = Sender(toy_folder)
    for round_ in (1, 2):
        cloud.send(sender.frame(round_))
    first = ResultAnswer.model_validate_json(cloud.result(sender.session, 0).content)
    assert first.results[0].outcome == "feedback_error"
    assert first.durable
    before = cloud.record(sender.session)
    again = ResultAnswer.model_validate_json(cloud.result(sender.session, 0).content)
    assert again.results == first.results
    assert cloud.record(sender.session) == before
    late = cloud.send(sender.frame(3)).answers[0]
    assert (late.late, late.feedback, late.outcome) == (True, "ACK", "feedback_error")
    assert late.prediction == first.results[0].prediction
    assert len(decided) == 2


def test_a_result_request_after_the_ack_tells_how_it_ended(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder, theta=AT_ONCE)
    ack = cloud.send(sender.frame(1)).answers[0]
    result = ResultAnswer.model_validate_json(cloud.result(sender.session, 0).content).results[0]
    assert (result.outcome, result.prediction) == ("accepted", ack.prediction)


def test_a_result_request_closes_the_named_blocks_alone(cloud: Cloud, toy_folder: Path) -> None:
    sender, undisturbed = Sender(toy_folder, images=3), Sender(toy_folder, images=3)
    cloud.send(sender.frame(1))
    assert cloud.result(sender.session, 1).status_code == 200
    cloud.send(undisturbed.frame(1))
    second = cloud.send(sender.frame(2, [0, 2])).answers
    assert second == cloud.send(undisturbed.frame(2, [0, 2])).answers
    problem(cloud.result(sender.session, 3), 400)


def test_an_unknown_session_is_gone(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder)
    problem(cloud.post(sender.frame(2)), 410)
    problem(cloud.result(sender.session, 0), 410)


@pytest.mark.parametrize("change", [{"weights": "0" * 64}, {"threshold": 0.5}, {"system": "snn-sc-margin-harq"}])
def test_other_weights_and_other_terms_than_the_sessions_are_refused(
    cloud: Cloud, toy_folder: Path, change: dict[str, object]
) -> None:
    sender = Sender(toy_folder)
    cloud.send(sender.frame(1))
    found = problem(cloud.post(sender.frame(2).but(**change)), 409)
    if "weights" in change:
        assert (found.model_extra or {})["weights_sha256"] == sender.frame(1).head.weights
        problem(cloud.post(Sender(toy_folder).frame(1).but(**change)), 409)
    assert cloud.send(sender.frame(2)).answers[0].feedback == "NACK"


def test_the_estimate_is_told_the_bit_weighted_mean_of_p(cloud: Cloud, toy_folder: Path) -> None:
    sender, bers = Sender(toy_folder), (0.4, 0.0, 0.25)
    answers = [cloud.send(sender.frame(n, ber=ber)).answers[0] for n, ber in enumerate(bers, start=1)]
    system, state = SYSTEMS[sender.system], None
    receiver = Receiver(load_networks(toy_folder)[1], Inference(choose_device("cpu")))
    for n, answer in enumerate(answers, start=1):
        frame = frame_of_round(system, PROFILE.harq, n)
        payload, p_B = sender.frame(n, ber=bers[n - 1]).payload, np.array([bers[n - 1]])
        state = receiver.combine(state, unpack(payload, 1), frame, p_B)
        mean = sum(p * bits for p, bits in zip(bers[:n], (2080, 512, 512), strict=False)) / (2080 + 512 * (n - 1))
        assert state.mean_crossover() == np.float32(mean)
        score_B = receiver.judge(system, state).score_B
        assert score_B is not None
        assert answer.similarity == float(score_B[0])


@pytest.mark.parametrize(("system", "ber"), [("snn-sc-harq", 0.1), ("snn-sc-ldpc-harq", 0.2)])
def test_one_image_costs_less_than_1024_bytes_in_the_store(
    cloud: Cloud, toy_folder: Path, system: str, ber: float
) -> None:
    """At its largest, before the last round; what has ended keeps no bits. All five rounds with theirs fit too."""
    sender, sizes = Sender(toy_folder, system, ber=ber), []
    for round_ in range(1, 6):
        cloud.send(sender.frame(round_))
        stored = cloud.record(sender.session)
        assert stored is not None
        record = decode(stored.value)
        assert len(record.rounds) == round_
        assert encode(record) == stored.value
        sizes.append(len(stored.value))
    whole = [replace(entry, payload=sender.frame(n).payload) for n, entry in enumerate(record.rounds, start=1)]
    assert max(*sizes, len(encode(replace(record, rounds=tuple(whole))))) < 1024
