# SPDX-License-Identifier: Apache-2.0
"""What the cloud refuses, with which status, and always as problem+json: wrong frames, limits, expiry, draining."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from nodes import AT_ONCE, Cloud, HandFrame, Sender, metric, problem, running_cloud, until

from models.systems import SYSTEMS
from models.weights import MANIFEST
from service.nodes.cloud.engine import Engine


@pytest.fixture(scope="module")
def cloud(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """For frames that are refused before the store is asked."""
    with running_cloud(toy_folder, f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}") as running:
        yield running


def post(cloud: Cloud, frame: HandFrame, **headers: str | None) -> httpx2.Response:
    """Send a frame with other headers; None leaves one out."""
    values: dict[str, str | None] = {**frame.headers(), **{n.replace("_", "-"): v for n, v in headers.items()}}
    return cloud.http.post(
        "/v1/frames", content=frame.payload, headers={name: v for name, v in values.items() if v is not None}
    )


@pytest.mark.parametrize("size", [0, 1, 63, 64, 259, 261, 520])
def test_a_frame_of_the_wrong_size(cloud: Cloud, toy_folder: Path, size: int) -> None:
    sender = Sender(toy_folder)
    problem(cloud.post(replace(sender.frame(1), payload=bytes(size))), 400)
    assert cloud.record(sender.session) is None


def test_a_retransmission_of_the_wrong_size(cloud: Cloud, toy_folder: Path) -> None:
    sender = Sender(toy_folder, images=2)
    cloud.send(sender.frame(1))
    problem(cloud.post(replace(sender.frame(2), payload=bytes(64))), 400)
    assert cloud.send(sender.frame(2)).round == 2


@pytest.mark.parametrize(
    "change", [{"t": 5}, {"t": 0}, {"position": 32}, {"position": 1}, {"round": 6, "t": 9, "position": 4128}]
)
def test_a_step_or_position_that_is_not_the_rounds(cloud: Cloud, toy_folder: Path, change: dict[str, object]) -> None:
    problem(cloud.post(Sender(toy_folder).frame(1).but(**change)), 400)


@pytest.mark.parametrize(("t", "status"), [(3, 400), (4, 200), (8, 200), (9, 400)])
def test_the_rates_that_multi_rate_has(cloud: Cloud, toy_folder: Path, t: int, status: int) -> None:
    sender = Sender(toy_folder, system="multi-rate", t=min(max(t, 4), 8))
    frame = sender.frame(1)
    assert cloud.post(replace(frame.but(t=t), payload=(frame.payload * 3)[: 64 * t])).status_code == status


MISSING = ("Session", "Round", "T", "Position", "Blocks", "System", "Profile", "Weights", "Digest", "Crossover")
MALFORMED = (
    ("Threshold", "nan"),
    ("Threshold", "inf"),
    ("Threshold", "1.5"),
    ("Threshold", "high"),
    ("Crossover", "nan"),
    ("Crossover", "-0.1"),
    ("Crossover", "0.51"),
    ("Round", "-1"),
    ("Round", "0"),
    ("Round", "65"),
    ("Round", "1.5"),
    ("T", "-4"),
    ("Position", "-32"),
    ("Session", "0" * 31),
    ("Session", "A" * 32),
    ("System", "SNN"),
    ("Weights", "0" * 63),
    ("Digest", "x" * 64),
)


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_header_is_named(cloud: Cloud, toy_folder: Path, name: str) -> None:
    header = f"SpikeLink-{name}"
    found = problem(post(cloud, Sender(toy_folder).frame(1), **{header: None}), 400)
    assert header in found.detail


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_threshold_is_there_for_the_systems_that_take_one_and_for_no_other(
    cloud: Cloud, toy_folder: Path, system: str
) -> None:
    t = 4 if SYSTEMS[system].takes_t else None
    frame = Sender(toy_folder, system, ber=0.0, t=t).frame(1)
    wrong = None if SYSTEMS[system].takes_threshold else "0.0"
    found = problem(post(cloud, frame, **{"SpikeLink-Threshold": wrong}), 400).detail
    assert "SpikeLink-Threshold" in found
    assert system in found
    assert cloud.post(frame).status_code == 200


def test_the_error_free_reference_over_a_noisy_link(cloud: Cloud, toy_folder: Path) -> None:
    assert "error-free" in problem(cloud.post(Sender(toy_folder, "bypass", ber=0.1).frame(1)), 422).detail


def test_a_profile_serves_the_systems_whose_weights_it_has(toy_folder: Path, tmp_path: Path) -> None:
    """Without the baselines' parts, the learned rule's network, and one of the thresholds."""
    folder = Path(shutil.copytree(toy_folder, tmp_path / "weights", copy_function=os.link))
    path = folder / "resnet18" / MANIFEST
    manifest = json.loads(path.read_text())
    for name in ("noise-free-converter", "cnn-1bit-decoder", "outlook"):
        del manifest["parts"][name]
    del manifest["thresholds"]["snn-sc-margin-harq"]
    path.unlink()  # a link to what other tests read
    path.write_text(json.dumps(manifest))
    served = ["snn-sc-harq", "multi-rate", "bypass"]
    with running_cloud(folder, "memory://") as cloud:
        profiles = {entry["name"]: entry["systems"] for entry in cloud.http.get("/v1/info").json()["profiles"]}
        assert profiles == {"resnet18": served, "resnet18-t1": [], "resnet50": []}
        cloud.send(Sender(folder).frame(1))
        for system, lacking in (
            ("snn-sc-ldpc-harq", "noise-free-converter"), ("cnn-1bit", "cnn-1bit-decoder"),
            ("snn-sc-margin-harq", "a threshold"), ("snn-sc-learned-harq", "outlook"),
        ):  # fmt: skip
            found = problem(cloud.post(Sender(folder).frame(1).but(system=system)), 422).detail
            assert f"{system}: it lacks {lacking}; it serves {', '.join(served)}" in found


@pytest.mark.parametrize(("name", "value"), MALFORMED, ids=lambda text: text[:24])
def test_a_malformed_header(cloud: Cloud, toy_folder: Path, name: str, value: str) -> None:
    found = problem(post(cloud, Sender(toy_folder).frame(1), **{f"SpikeLink-{name}": value}), 400)
    assert f"SpikeLink-{name}" in found.detail


BLOCKS = [
    ("1,0", 2), ("0,0", 2), ("0-2,2", 4), ("3-1", 3), ("-1", 1), ("0-", 1), ("", 1), ("0,", 1), ("zero", 1),
    ("9007199254740992", 1), ("0-9007199254740991", 1), ("0-256", 257), ("0-255,300", 257),
    (",".join(str(2 * block) for block in range(257)), 257),
]  # fmt: skip


@pytest.mark.parametrize(("blocks", "count"), BLOCKS, ids=lambda value: str(value)[:24])
def test_blocks_that_are_not_ascending_or_too_many(cloud: Cloud, toy_folder: Path, blocks: str, count: int) -> None:
    """With a body that has a block for each, so that its size is not what is refused."""
    frame = Sender(toy_folder).frame(1)
    problem(post(cloud, replace(frame, payload=count * frame.payload), SpikeLink_Blocks=blocks), 400)


def test_an_unknown_system_or_profile(cloud: Cloud, toy_folder: Path) -> None:
    assert "snn-sc-harq" in problem(cloud.post(Sender(toy_folder).frame(1).but(system="morse")), 422).detail
    assert "resnet18" in problem(cloud.post(Sender(toy_folder).frame(1).but(profile="resnet50")), 422).detail


def test_a_body_of_another_type_or_far_too_large(cloud: Cloud, toy_folder: Path) -> None:
    frame = Sender(toy_folder).frame(1)
    problem(post(cloud, frame, Content_Type="application/json"), 415)
    problem(cloud.post(replace(frame, payload=bytes(2**23))), 413)


def test_the_frameworks_own_errors_have_the_same_form(cloud: Cloud, toy_folder: Path) -> None:
    problem(cloud.http.get("/v1/nothing"), 404)
    problem(cloud.http.get("/v1/frames"), 405)
    session = "0" * 32
    for body in (b"", b"{", b'{"blocks": []}', b'{"blocks": [-1]}', b'{"blocks": [0], "more": 1}'):
        problem(cloud.http.post(f"/v1/sessions/{session}/result", content=body), 422)
    problem(cloud.http.post("/v1/sessions/short/result", json={"blocks": [0]}), 422)


def test_what_is_unforeseen_tells_the_caller_no_more_than_its_id(
    cloud: Cloud, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the node's")

    monkeypatch.setattr(Engine, "decide", broken)
    response = post(cloud, Sender(toy_folder).frame(1), X_Request_ID="mine-1")
    assert "secret" not in response.text
    assert problem(response, 500).request_id == "mine-1"


def test_a_session_that_has_expired_is_gone(toy_folder: Path, store_url: str) -> None:
    with running_cloud(toy_folder, store_url, session_ttl_s=0.2) as cloud:
        sender = Sender(toy_folder)
        cloud.send(sender.frame(1))
        until(lambda: cloud.record(sender.session) is None, "the record's end")
        problem(cloud.post(sender.frame(2)), 410)
        problem(cloud.result(sender.session, 0), 410)
        assert not cloud.send(sender.frame(1)).replayed  # it may start over


def test_each_frame_gives_the_session_new_time(toy_folder: Path, store_url: str) -> None:
    with (
        running_cloud(toy_folder, store_url) as cloud,
        running_cloud(toy_folder, store_url, session_ttl_s=0.2) as brief,
    ):
        sender = Sender(toy_folder)
        cloud.send(sender.frame(1))
        brief.send(sender.frame(2))
        until(lambda: cloud.record(sender.session) is None, "the end of a session whose last frame gave it 0.2 s")


def test_a_session_that_has_ended_stays_for_a_while_only(
    toy_folder: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For repeated and late frames; then it makes room."""
    monkeypatch.setattr("service.nodes.cloud.sessions._LINGER_S", 0.2)
    with running_cloud(toy_folder, store_url) as cloud:
        ended, closed, going_on = Sender(toy_folder, theta=AT_ONCE), Sender(toy_folder), Sender(toy_folder)
        for sender in (ended, closed, going_on):
            cloud.send(sender.frame(1))
        assert cloud.result(closed.session, 0).status_code == 200
        until(lambda: cloud.record(ended.session) is None, "the end of a session that was accepted")
        until(lambda: cloud.record(closed.session) is None, "the end of a session that was closed")
        assert cloud.send(going_on.frame(2)).round == 2


def test_a_session_beyond_the_limit_is_told_when_to_come_back(toy_folder: Path, tmp_path: Path) -> None:
    with running_cloud(toy_folder, f"sqlite://{tmp_path / 'sessions.sqlite3'}", max_sessions=2) as cloud:
        senders = [Sender(toy_folder) for _ in range(3)]
        for sender in senders[:2]:
            cloud.send(sender.frame(1))
        refusal = cloud.post(senders[2].frame(1))
        problem(refusal, 429)
        assert int(refusal.headers["Retry-After"]) >= 1
        for sender in senders[:2]:  # those that live go on
            cloud.send(sender.frame(2))


def test_a_full_queue_is_told_when_to_come_back(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, go_on = Engine.decide, threading.Event()

    def slow(self: Engine, *args: object) -> object:
        assert go_on.wait(60)
        return decide(self, *args)  # type: ignore[arg-type]  # handed on as they come

    monkeypatch.setattr(Engine, "decide", slow)
    with (
        running_cloud(toy_folder, f"sqlite://{tmp_path / 'sessions.sqlite3'}", max_waiting=1) as cloud,
        ThreadPoolExecutor(3) as pool,
    ):
        begun = Sender(toy_folder)
        go_on.set()
        cloud.send(begun.frame(1))
        go_on.clear()
        try:
            accepted = [pool.submit(cloud.post, Sender(toy_folder).frame(1)) for _ in range(2)]
            until(lambda: metric(cloud.http, "compute_waiting") == 2, "one frame in work and one before it")
            refused = Sender(toy_folder)
            refusal = cloud.post(refused.frame(1))
            accepted.append(pool.submit(cloud.post, begun.frame(2)))
            until(lambda: metric(cloud.http, "compute_waiting") == 3, "a begun session, which is not turned away")
        finally:
            go_on.set()
        problem(refusal, 429)
        assert int(refusal.headers["Retry-After"]) >= 1
        assert [reply.result().status_code for reply in accepted] == [200] * 3
        assert cloud.record(refused.session) is None
        assert not cloud.send(refused.frame(1)).replayed


def test_a_draining_node_takes_no_more_frames(toy_folder: Path, tmp_path: Path) -> None:
    with running_cloud(toy_folder, f"sqlite://{tmp_path / 'sessions.sqlite3'}") as cloud:
        sender = Sender(toy_folder)
        cloud.send(sender.frame(1))
        cloud.app.state.node.draining = True
        refusal = cloud.post(sender.frame(2))
        problem(refusal, 503)
        assert int(refusal.headers["Retry-After"]) >= 1
        readiness = cloud.http.get("/readyz")
        assert (readiness.status_code, readiness.json()["checks"]["node"]) == (503, "draining")
        assert cloud.http.get("/healthz").status_code == 200
        cloud.app.state.node.draining = False
        assert cloud.send(sender.frame(2)).round == 2
