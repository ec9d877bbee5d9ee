# SPDX-License-Identifier: Apache-2.0
"""The connections of one HTTP client, so that closing it ends what is under way on other threads.

Closing a socket does not wake a thread that reads from it, nor does the other side hear of it before that thread has
let go: both wait for the answer, or for the read's timeout. Shutting it down does both at once.
"""

import socket
import threading
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakSet

_MADE: Final = (".connect_tcp.complete", ".start_tls.complete")


class Connections:
    """Sockets as they are made. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._shut = False

    @property
    def shut(self) -> bool:
        """Whether no connection lives any longer, because somebody wanted that here."""
        return self._shut

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx2 calls, as a request's extension ``trace``, with each step of a request."""
        if not event.endswith(_MADE):
            return
        made = info["return_value"].get_extra_info("socket")
        with self._lock:
            self._sockets.add(made)
            if self._shut:
                _shut_down(made)

    def shut_down(self) -> None:
        """End all connections, and those that are still being made when they are."""
        with self._lock:
            self._shut = True
            for each in self._sockets:
                _shut_down(each)


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        """It has ended already."""
