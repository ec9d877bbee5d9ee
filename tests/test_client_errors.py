# SPDX-License-Identifier: Apache-2.0
"""Every way in which asking a node can fail: the right error, in one line that says what to do."""

import socket
import subprocess
import sys

import httpx2
import pytest

from client import (
    Client,
    Node,
    NodeTimeoutError,
    NodeUnreachableError,
    NotAuthorizedError,
    RequestRefusedError,
    SpikeLinkError,
    UnexpectedReplyError,
)
from service.wire import Problem

PNG = b"\x89PNG\r\n\x1a\n"


def _answering(status: int, body: str, headers: dict[str, str] | None = None) -> Client:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, text=body, headers=headers or {})

    return Client("http://edge:8001", transport=httpx2.MockTransport(handle))


def _failing(error: Exception) -> Client:
    def handle(request: httpx2.Request) -> httpx2.Response:
        raise error

    return Client("http://edge:8001", transport=httpx2.MockTransport(handle), timeout_s=2.5)


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines", "blank "])
def test_a_token_that_cannot_be_sent(token: str) -> None:
    """It ended in the transport, as no error of the client's or as a node that cannot be reached."""
    for make in (lambda: Client(token=token), lambda: Client(channel_url="http://127.0.0.1:8002", admin_token=token)):
        with pytest.raises(SpikeLinkError, match="one line of printable ASCII is needed") as caught:
            make()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            httpx2.ConnectError("refused"),
            NodeUnreachableError,
            "nothing answers as the edge at http://edge:8001: start it",
        ),
        (httpx2.ConnectTimeout("slow"), NodeUnreachableError, "does not accept connections: is it running there?"),
        (httpx2.ReadTimeout("slow"), NodeTimeoutError, "did not answer within 2.5 s: allow it more time"),
        (httpx2.WriteTimeout("slow"), NodeTimeoutError, "did not answer within 2.5 s"),
        (httpx2.RemoteProtocolError("cut"), NodeUnreachableError, "broke the connection off: has it stopped?"),
        (httpx2.ReadError("reset"), NodeUnreachableError, "broke the connection off"),
        (httpx2.TooManyRedirects("loop\nhere"), NodeUnreachableError, "cannot be asked: loop here"),
    ],
)
def test_a_failed_exchange(error: Exception, kind: type[SpikeLinkError], message: str) -> None:
    with pytest.raises(kind, match=message.replace("?", r"\?")) as caught:
        _failing(error).classify(PNG)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [413, 415, 422, 429, 500, 502, 503, 504])
def test_a_refusal_carries_the_problem_and_its_detail(status: int) -> None:
    problem = Problem(title="No", status=status, detail="because\nof \x1b[31mthis")
    with pytest.raises(RequestRefusedError) as caught:
        _answering(status, problem.model_dump_json()).classify(PNG)
    assert caught.value.problem == problem
    assert caught.value.status == status
    assert str(caught.value) == f"edge at http://edge:8001 refuses: because of [31mthis (HTTP {status})"


def test_a_busy_node_says_when_to_come_back() -> None:
    problem = Problem(title="Busy", status=429, detail="too many sessions")
    with pytest.raises(RequestRefusedError, match="try again in 3 s") as caught:
        _answering(429, problem.model_dump_json(), {"Retry-After": "3"}).classify(PNG)
    assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_token_has_an_error_of_its_own(status: int) -> None:
    problem = Problem(title="Token", status=status, detail="send 'Authorization: Bearer TOKEN'")
    with pytest.raises(NotAuthorizedError, match="Bearer TOKEN"):
        _answering(status, problem.model_dump_json()).classify(PNG)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>"), (200, "{}"), (404, "not found"), (500, ""), (302, ""), (200, '{"label": NaN}')],
)
def test_whatever_else_answers_there_is_recognised(status: int, body: str) -> None:
    with pytest.raises(UnexpectedReplyError, match="is no SpikeLink edge of this version") as caught:
        _answering(status, body).classify(PNG)
    assert "\n" not in str(caught.value)


def test_a_problem_in_place_of_readiness_is_a_refusal() -> None:
    problem = Problem(title="Down", status=503, detail="draining").model_dump_json()
    with pytest.raises(RequestRefusedError, match="draining"):
        _answering(503, problem, {"Content-Type": "application/problem+json"}).ready()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8001", "ftp://host", "http://", "http://host:port", "http://host:99999", ""]
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(SpikeLinkError, match="is no URL of a node") as caught:
        Client(url)
    assert "\n" not in str(caught.value)


def test_a_real_socket_that_refuses_and_one_that_never_answers() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(NodeUnreachableError, match="start it"), Client(url) as client:
            client.classify(PNG)
        listening.listen()
        with pytest.raises(NodeTimeoutError, match=r"within 0\.05 s"), Client(url, timeout_s=0.05) as client:
            client.classify(PNG)


def test_a_proxy_in_the_environment_is_not_asked_for_a_node_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            node = Node(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.05)
            with pytest.raises(NodeTimeoutError):  # it reached the listener, and not the closed proxy
                node.health()


def test_the_client_needs_no_torch_and_no_server() -> None:
    heavy = {"torch", "numpy", "fastapi", "starlette", "uvicorn", "aiohttp", "PIL", "models", "channel"}
    code = "import client, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not heavy & loaded
    assert {name.split(".")[1] for name in loaded if name.startswith("service.")} == {"wire"}
