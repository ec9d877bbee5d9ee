# SPDX-License-Identifier: Apache-2.0
"""A large file over HTTP: what has arrived is kept, what is missing is asked for, and the md5 decides."""

import os
import re
import time
from collections.abc import Callable
from io import BufferedIOBase
from typing import Final

import httpx2

from client.errors import one_line
from client.node import is_loopback
from experiments.data.places import md5_of

#: Called with the bytes that are there and, where the server tells it, the bytes that there will be.
Report = Callable[[int, int | None], None]

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
#: So many times in a row may a connection end without having brought a byte.
_FRUITLESS: Final = 3
_PAUSE_S: Final = 1.0


class DownloadError(Exception):
    """A file that could not be had; the message is one line."""


def download(url: str, md5: str, file: BufferedIOBase, report: Report) -> None:
    """Complete ``file``, which an earlier try may have begun. Raises DownloadError and OSError; then it can go on.

    ``file`` is open for reading and appending. Where its md5 is wrong it is emptied, and fetched once more if any of
    it was from an earlier try.
    """
    if md5_of(file) == md5:
        return
    with _client(url) as http:
        while True:
            transfer = _Transfer(http, url, file, report)
            transfer.run()
            found = md5_of(file)
            if found == md5:
                return
            size = _size(file)
            file.truncate(0)
            if not transfer.resumed:
                raise DownloadError(f"{url} is not the official archive: {size:,} bytes with md5 {found}, not {md5}")


def _client(url: str) -> httpx2.Client:
    try:
        # A proxy named in the environment leads out of this machine, never to a server on loopback.
        return httpx2.Client(timeout=_TIMEOUT, follow_redirects=True, trust_env=not is_loopback(url))
    except ValueError as error:
        raise DownloadError(f"{url} is no URL: {error}") from None


class _Transfer:
    """The way to a file's last byte, over as many connections as it takes."""

    def __init__(self, http: httpx2.Client, url: str, file: BufferedIOBase, report: Report) -> None:
        self._http, self._url, self._file, self._report = http, url, file, report
        #: Whether the file begins with what this transfer did not receive.
        self.resumed = _size(file) > 0

    def run(self) -> None:
        """Raises DownloadError where the server has nothing, or where connections bring nothing more."""
        first = most = _size(self._file)
        fruitless = 0
        while True:
            try:
                return self._receive()
            except httpx2.TransportError as error:
                size = _size(self._file)
                fruitless = 0 if size > most else fruitless + 1
                most = max(size, most)
                # Where not even the first connection brings anything, there is no network or no server.
                if most == first or fruitless == _FRUITLESS:
                    raise DownloadError(_failure(self._url, error, size)) from None
            except httpx2.HTTPError as error:
                raise DownloadError(f"{self._url} cannot be fetched: {one_line(str(error))}") from None
            except httpx2.InvalidURL as error:
                raise DownloadError(f"{self._url} is no URL: {error}") from None
            time.sleep(_PAUSE_S)  # before the next connection: whoever broke this one may need a moment

    def _receive(self) -> None:
        """One request, for what the file lacks."""
        size = _size(self._file)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
        with self._http.stream("GET", self._url, headers=headers) as response:
            if size and response.status_code == 416:
                return  # nothing lies behind the last byte: the file is whole, or another one
            if response.status_code == 200:
                self._file.truncate(0)
                size, self.resumed = 0, False
            elif response.status_code != 206 or _first_byte(response) != size:
                raise DownloadError(f"{self._url} answers {response.status_code} {response.reason_phrase}".rstrip())
            length = response.headers.get("Content-Length", "")
            total = size + int(length) if length.isdecimal() else None
            for chunk in response.iter_raw():  # of no set size: that would keep back, and lose, a broken body's rest
                self._file.write(chunk)
                size += len(chunk)
                self._report(size, total)


def _size(file: BufferedIOBase) -> int:
    return file.seek(0, os.SEEK_END)


def _first_byte(response: httpx2.Response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _failure(url: str, error: httpx2.TransportError, size: int) -> str:
    if isinstance(error, httpx2.UnsupportedProtocol):
        return f"{url} is no URL of an archive: write it like https://HOST/PATH"
    if size:
        return f"the connection to {url} broke off; {size:,} bytes are kept, and the same command goes on from there"
    if isinstance(error, httpx2.TimeoutException):
        return f"{url} does not answer"
    return f"no connection to {url} ({one_line(str(error))})"
