# SPDX-License-Identifier: Apache-2.0
"""Whether a Ray cluster's head is there at all: Ray itself tries for minutes, and then may end the process."""

import socket


def knock(address: str, within_s: float) -> None:
    """Raises ValueError where it is no HOST:PORT, OSError where nobody listens there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535 or "/" in host:
        raise ValueError(f"a Ray cluster's address is HOST:PORT of its head, not {address!r}")
    socket.create_connection((host.strip("[]"), int(port)), within_s).close()
