# SPDX-License-Identifier: Apache-2.0
"""What the page has to know, as numbered events: the latest of each thing, so that nobody misses anything for long."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from fastapi.sse import format_sse_event

#: How long a browser waits before it comes back.
_RETRY_MS: Final = 1000
#: How often a stream with nothing to say looks up, and after how many of these it says so.
_TICK_S: Final = 1.0
_TICKS_OF_SILENCE: Final = 15


@dataclass(frozen=True)
class Event:
    """The state of one thing. Numbers ascend."""

    number: int
    name: str
    document: str


class Feed:
    """Keeps the latest event of each key. Whoever comes back with the id of the last event gets what is newer."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)  # numbers start over with the process; ids do not repeat
        self._last = 0
        self._latest: dict[tuple[str, str], Event] = {}
        self._changed = asyncio.Event()
        self.listeners = 0

    def publish(self, name: str, key: str, document: str) -> None:
        """A thing's new state; nothing happens where it is the one that is known."""
        known = self._latest.get((name, key))
        if known is not None and known.document == document:
            return
        self._last += 1
        self._latest[name, key] = Event(self._last, name, document)
        self._changed.set()
        self._changed = asyncio.Event()

    def forget(self, name: str, key: str) -> None:
        """A thing is no more; whoever opens a stream from now on does not hear of it."""
        self._latest.pop((name, key), None)

    async def stream(self, last_id: str | None, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
        """``text/event-stream`` from after an event on, until ``ended``."""
        self.listeners += 1
        try:
            yield format_sse_event(retry=_RETRY_MS)
            seen, silent = self._number(last_id), 0
            while not ended():
                changed = self._changed
                for event in self._after(seen):
                    yield self._encoded(event)
                    seen, silent = event.number, 0
                try:
                    await asyncio.wait_for(changed.wait(), _TICK_S)
                except TimeoutError:
                    silent += 1
                    if silent % _TICKS_OF_SILENCE == 0:
                        yield format_sse_event(comment="still here")
        finally:
            self.listeners -= 1

    def _after(self, number: int) -> list[Event]:
        return sorted((event for event in self._latest.values() if event.number > number), key=lambda e: e.number)

    def _number(self, last_id: str | None) -> int:
        epoch, _, number = (last_id or "").partition("-")
        return int(number) if epoch == self._epoch and number.isdecimal() else 0

    def _encoded(self, event: Event) -> bytes:
        return format_sse_event(event=event.name, data_str=event.document, id=f"{self._epoch}-{event.number}")
