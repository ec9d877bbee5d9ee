# SPDX-License-Identifier: Apache-2.0
"""The logs of four real processes: JSON lines, and one id of a request from its client to the cloud and back."""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import pytest
from nodes import NEVER, PATIENCE_S, png, until
from raw_http import connection, everything, last_problem
from toy import toy_images

from cli.processes import Launch, Nodes, Ports, running_nodes
from client import Client, RequestRefusedError

ROLES: Final = ("dashboard", "edge", "channel", "cloud")
IMAGE: Final = png(toy_images(1, seed=12)[0])
ROUNDS: Final = 5  # with a threshold that no similarity exceeds


@dataclass(frozen=True)
class Logged:
    """Nodes that log all requests, and their lines so far."""

    nodes: Nodes
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def requests(self, role: str, request_id: str) -> list[dict[str, object]]:
        """What a node has logged of the requests of this id."""
        records = (json.loads(line) for line in tuple(self.lines[role]))
        return [record for record in records if (record["event"], record.get("request_id")) == ("request", request_id)]

    def crossed(self, role: str, request_id: str, count: int = 1) -> list[dict[str, object]]:
        """The same, once there are so many; a line comes a moment after the reply."""
        until(lambda: len(self.requests(role, request_id)) >= count, f"{count} lines of {request_id} at the {role}")
        found = self.requests(role, request_id)
        assert len(found) == count
        return found


@pytest.fixture(scope="module")
def logged(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder, lines = tmp_path_factory.mktemp("stores"), defaultdict(list)
    environment = {
        "": {
            "SPIKELINK_WEIGHTS": str(toy_folder),
            "SPIKELINK_DEVICE": "cpu",
            "SPIKELINK_TORCH_THREADS": "1",
            "SPIKELINK_LOG_LEVEL": "debug",
        },
        "cloud": {"SPIKELINK_STORE": "memory://"},
        "dashboard": {"SPIKELINK_SWEEP_STORE": f"sqlite://{folder / 'sweeps.sqlite3'}"},
    }
    launch = Launch(environment, deadline_s=300.0, on_line=lambda role, line: lines[role].append(line))
    with running_nodes(Ports(0, 0, 0, 0), launch) as nodes:
        yield Logged(nodes, lines)


def classify(url: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    query = {"threshold": str(NEVER), "ber": "0.1", "seed": "4"}
    sent = {"Content-Type": "image/png", **named}
    return httpx2.post(f"{url}/v1/classify", params=query, content=IMAGE, headers=sent, timeout=PATIENCE_S)


def test_an_id_goes_from_the_client_through_every_node_to_the_cloud_and_back(logged: Logged) -> None:
    response = classify(logged.nodes.urls["dashboard"], X_Request_ID="a-name.of_mine-1")
    assert response.headers["X-Request-ID"] == "a-name.of_mine-1"
    assert len(response.json()["rounds"]) == ROUNDS
    for role, path, count in (
        ("dashboard", "/v1/classify", 1),
        ("edge", "/v1/classify", 1),
        ("channel", "/v1/frames", ROUNDS),
        ("cloud", "/v1/frames", ROUNDS),
    ):
        for record in logged.crossed(role, "a-name.of_mine-1", count):
            assert record.pop("ms", 0) > 0  # type: ignore[operator]  # a number, or the comparison fails
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", str(record.pop("timestamp")))
            assert record == {
                "event": "request",
                "role": role,
                "level": "debug",
                "request_id": "a-name.of_mine-1",
                "method": "POST",
                "path": path,
                "status": 200,
                "client": "127.0.0.1",
            }


def test_the_client_names_its_requests_and_says_how(logged: Logged, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "spikelink.client"), Client(logged.nodes.urls["edge"]) as client:
        client.classify(IMAGE, threshold=NEVER)
        client.classify(IMAGE, threshold=NEVER)
    names = [record.getMessage().rpartition(" ")[2] for record in caplog.records if record.name == "spikelink.client"]
    assert len(set(names)) == 2
    for name in names:
        for role, count in (("edge", 1), ("channel", ROUNDS), ("cloud", ROUNDS)):
            logged.crossed(role, name, count)


def test_a_request_without_a_name_or_with_an_odd_one_gets_one(logged: Logged) -> None:
    edge = logged.nodes.urls["edge"]
    for response in (classify(edge), classify(edge, X_Request_ID="no name; at all")):
        name = response.headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", name)
        logged.crossed("cloud", name, ROUNDS)


def test_a_callers_address_is_its_connections_whatever_it_says(logged: Logged) -> None:
    """Or a limit for each address would be none."""
    httpx2.get(f"{logged.nodes.urls['edge']}/v1/info", headers={"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "far"})
    assert logged.crossed("edge", "far")[0]["client"] == "127.0.0.1"


def test_a_refusal_stands_at_level_info(logged: Logged) -> None:
    refusal = httpx2.post(f"{logged.nodes.urls['edge']}/v1/classify", params={"token": "hush"}, content=IMAGE)
    (record,) = logged.crossed("edge", refusal.json()["request_id"])
    assert (record["level"], record["status"], record["path"]) == ("info", 422, "/v1/classify")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("sent", "status"), [(b"\x16\x03\x01\x02", 400), (b"GET /" + b"x" * 65531, 431)])
def test_what_never_became_a_request_stands_there_too(logged: Logged, role: str, sent: bytes, status: int) -> None:
    with httpx2.Client(base_url=logged.nodes.urls[role]) as node, connection(node) as connected:
        connected.sendall(sent)
        name = last_problem(everything(connected), status).request_id
    (record,) = logged.crossed(role, name or "")
    assert (record["level"], record["status"], record["client"]) == ("info", status, "127.0.0.1")


def test_every_line_is_a_document_of_its_own(logged: Logged) -> None:
    for role in ROLES:
        lines = tuple(logged.lines[role])
        assert len(lines) > 3
        for record in map(json.loads, lines):
            assert {"event", "role", "level", "timestamp"} <= record.keys()
            assert record["role"] == role
            assert "hush" not in str(record)


def test_a_failure_names_the_request_under_which_the_nodes_have_it(logged: Logged) -> None:
    """Last, for it ends the edge."""
    logged.nodes.kill("edge")
    with (
        Client(logged.nodes.urls["dashboard"], timeout_s=PATIENCE_S) as client,
        pytest.raises(RequestRefusedError) as caught,
    ):
        client.classify(IMAGE)
    name = caught.value.problem.request_id
    assert name
    assert f"(HTTP 502, request {name})" in str(caught.value)
    assert logged.crossed("dashboard", name)[0]["level"] == "info"
