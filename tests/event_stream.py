# SPDX-License-Identifier: Apache-2.0
"""Server-sent events as a reader of the HTML standard, section 9.2.6, would parse them, line by line as they come."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from service.wire import EVENTS, Event


@dataclass(frozen=True)
class Sent:
    """One event."""

    name: str
    data: str
    id: str


@dataclass
class Reading:
    """A stream that is being read."""

    response: httpx2.Response
    comments: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = self._parsed()

    def _parsed(self) -> Generator[Sent, None, None]:
        fields: dict[str, str] = {}
        for line in self.response.iter_lines():
            name, _, value = line.partition(":")
            if not line and fields:
                yield Sent(fields["event"], fields["data"], fields["id"])
                fields.clear()
            elif line.startswith(":"):
                self.comments.append(value.strip())
            elif line:
                assert name not in fields, f"{name} twice in one event"
                fields[name] = value.removeprefix(" ")
        assert not fields, "the last event is whole"

    def next(self) -> Event:
        """The next event, typed; StopIteration where the stream has ended."""
        sent = next(self._events)
        self.ids.append(sent.id)
        return EVENTS[sent.name].model_validate_json(sent.data)

    def rest(self) -> Iterator[Event]:
        """All events that are still to come."""
        while True:
            try:
                yield self.next()
            except StopIteration:
                return


@contextmanager
def reading(
    client: httpx2.Client, content: bytes, *, accept: str = "text/event-stream", **query: str
) -> Iterator[Reading]:
    """Ask an edge to classify a PNG by events; the connection is closed in the end, read to its end or not."""
    headers = {"Content-Type": "image/png", "Accept": accept}
    with client.stream("POST", "/v1/classify", params=query, content=content, headers=headers) as response:
        yield Reading(response)
