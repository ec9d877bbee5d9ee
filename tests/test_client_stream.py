# SPDX-License-Identifier: Apache-2.0
"""The client's stream of events: typed, in pieces as they come, closed when nobody reads on, failures as errors."""

from collections.abc import Iterator

import httpx2
import pytest
from fake_edge import classification

from client import (
    Classification,
    Client,
    ImageFileError,
    NodeTimeoutError,
    NodeUnreachableError,
    NotAuthorizedError,
    RequestRefusedError,
    RoundReport,
    SpikeLinkError,
    Start,
    UnexpectedReplyError,
)
from service.wire import Event, Problem

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
RESULT = classification()
START = Start.model_validate(RESULT.model_dump(include=set(Start.model_fields)))
PROBLEM = Problem(title="Busy", status=429, detail="too many\nsessions")


def sent(name: str, event: Event) -> bytes:
    return f"event: {name}\ndata: {event.model_dump_json()}\nid: 1\n\n".encode()


BEGUN = (sent("start", START), *(sent("round", report) for report in RESULT.rounds))
WHOLE = (*BEGUN, sent("result", RESULT))


class Pieces(httpx2.SyncByteStream):
    """A body that comes piece by piece and knows what became of it; an error among the pieces is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces, self.sent, self.closed = pieces, 0, False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.sent += 1
            yield piece

    def close(self) -> None:
        self.closed = True


def answering(body: Pieces, kind: str = "text/event-stream; charset=utf-8", status: int = 200) -> Client:
    def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Accept"] == "text/event-stream"
        assert (request.url.path, dict(request.url.params)) == ("/v1/classify", {"ber": "0.1", "seed": "7"})
        assert (request.content, request.headers["Content-Type"]) == (PNG, "image/png")
        return httpx2.Response(status, stream=body, headers={"Content-Type": kind})

    return Client("http://edge:8001", transport=httpx2.MockTransport(handle), timeout_s=2.5)


def ask(body: Pieces, **reply: object) -> Iterator[Start | RoundReport | Classification]:
    return answering(body, **reply).stream(PNG, ber=0.1, seed=7)  # type: ignore[arg-type]  # the two of answering


def test_events_are_typed_and_the_last_is_the_result() -> None:
    body = Pieces(*WHOLE)
    assert list(ask(body)) == [START, *RESULT.rounds, RESULT]
    assert body.closed


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_events_may_come_in_any_pieces_with_comments_between(size: int) -> None:
    raw = b": waiting\n\n".join(WHOLE)
    body = Pieces(*(raw[start : start + size] for start in range(0, len(raw), size)))
    assert list(ask(body)) == [START, *RESULT.rounds, RESULT]


def test_each_event_is_there_when_its_piece_is() -> None:
    body = Pieces(*WHOLE)
    for number, _ in enumerate(ask(body), start=1):
        assert body.sent == number


def test_leaving_the_loop_closes_the_connection() -> None:
    body = Pieces(*WHOLE)
    events = answering(body).stream(PNG, ber=0.1, seed=7)
    assert next(events) == START
    assert not body.closed
    events.close()
    assert body.closed
    assert body.sent == 1


def test_nothing_is_sent_of_a_file_that_is_no_image() -> None:
    with pytest.raises(ImageFileError):
        answering(Pieces()).stream(b"GIF89a")


def test_a_problem_in_the_stream_is_raised_as_it_would_be_without_one() -> None:
    problem = Problem.model_validate({**PROBLEM.model_dump(), "retry_after_s": 3})
    body, found = Pieces(*BEGUN, sent("problem", problem)), []
    with pytest.raises(RequestRefusedError) as caught:
        found.extend(ask(body))
    assert str(caught.value) == ("edge at http://edge:8001 refuses: too many sessions (HTTP 429); try again in 3 s")
    assert (caught.value.status, caught.value.retry_after_s, caught.value.problem) == (429, 3.0, problem)
    assert body.closed


def test_a_problem_before_the_stream() -> None:
    document = Problem(title="Token", status=401, detail="send it").model_dump_json().encode()
    body = Pieces(document[:10], document[10:])
    with pytest.raises(NotAuthorizedError, match="send it"):
        list(ask(body, kind="application/problem+json", status=401))
    assert body.closed


@pytest.mark.parametrize(
    ("pieces", "kind", "message"),
    [
        ((), NodeUnreachableError, "broke the connection off"),
        (BEGUN, NodeUnreachableError, "broke the connection off"),
        ((*BEGUN, WHOLE[-1][:-1]), NodeUnreachableError, "broke the connection off"),
        ((*BEGUN, httpx2.RemoteProtocolError("cut")), NodeUnreachableError, "broke the connection off"),
        ((*BEGUN, httpx2.ReadTimeout("slow")), NodeTimeoutError, r"did not answer within 2\.5 s"),
        ((b"event: start\ndata: {}\n\n",), UnexpectedReplyError, "its event 'start' has another form"),
        ((b"event: end\ndata: {}\n\n",), UnexpectedReplyError, "its event 'end' has another form"),
        ((b"data: 1\n\n",), UnexpectedReplyError, "its event 'message' has another form"),
        ((b"event: a\x1b[31m\ndata: 1\n\n",), UnexpectedReplyError, r"its event 'a \[31m' has another form"),
        ((b"data: " + b"1" * 2**24,), NodeUnreachableError, "cannot be asked"),
    ],
    ids=["empty", "no-result", "half", "cut", "slow", "start", "unknown", "unnamed", "escape", "endless"],
)
def test_a_stream_that_fails(pieces: tuple[bytes | Exception, ...], kind: type[SpikeLinkError], message: str) -> None:
    body = Pieces(*pieces)
    with pytest.raises(kind, match=message) as caught:
        list(ask(body))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert body.closed


def test_an_edge_that_knows_no_events_is_recognised() -> None:
    body = Pieces(RESULT.model_dump_json().encode())
    with pytest.raises(UnexpectedReplyError, match="does not answer with events"):
        list(ask(body, kind="application/json"))
    assert body.closed
