# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand, for what no client of the tests' sends: bytes to a node, and what it answers before it closes."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from nodes import PATIENCE_S

from service.browsers import DEFAULT_HEADERS
from service.wire import Problem


@dataclass(frozen=True)
class Answer:
    """A response; the names of its headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@contextmanager
def connection(node: httpx2.Client) -> Iterator[socket.socket]:
    address = (node.base_url.host, node.base_url.port or 80)
    with socket.create_connection(address, timeout=PATIENCE_S) as connected:
        yield connected


def everything(connected: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    received = b""
    while chunk := connected.recv(65536):
        received += chunk
    return received


def answer_of(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(line.split()[1]), headers, body)


def last_problem(received: bytes, status: int) -> Problem:
    """What a node says before it ends a connection; fails the test where that is no problem of this status."""
    answer = answer_of(received)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers["connection"], int(answer.headers["content-length"])) == ("close", len(answer.body))
    assert {name: answer.headers[name.lower()] for name in DEFAULT_HEADERS} == DEFAULT_HEADERS
    found = Problem.model_validate_json(answer.body)
    assert (found.status, found.request_id) == (status, answer.headers["x-request-id"])
    assert found.title
    assert found.detail
    return found
