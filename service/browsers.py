# SPDX-License-Identifier: Apache-2.0
"""What a node tells browsers with each reply, and which of their requests it refuses.

A browser runs the code of any site that its user visits, and reaches nodes that the site itself cannot reach.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

#: For a reply that does not say otherwise: it is data, to be kept by nobody, and nothing of it may ever be run.
DEFAULT_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def add_default_headers(headers: MutableHeaders) -> None:
    """Each of the headers that is not there yet."""
    for name, value in DEFAULT_HEADERS.items():
        headers.setdefault(name, value)


def comes_from_another_site(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin sent this; programs other than browsers say neither."""
    origin = headers.get("Origin")
    foreign = origin is not None and _netloc(origin) != headers.get("Host")
    return foreign or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def is_sent_to_a_foreign_name(headers: Headers) -> bool:
    """Whether the request names its host neither localhost nor by an IP address, but as anybody may name a host.

    Another site can have its own name point here; to a browser its requests are then this node's own (DNS rebinding).
    No browser leaves the header out.
    """
    host = headers.get("Host")
    if host is None:
        return False
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return False
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None where it is no URL, as for ``null``."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
