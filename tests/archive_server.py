# SPDX-License-Identifier: Apache-2.0
"""A web server for one file, over real sockets: with or without ranges, with connections that end too early."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class ArchiveServer(ThreadingHTTPServer):
    """What it serves and how badly, and the Range of each request so far (None for a request without one)."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.has_ranges = True
        self.tells_length = True
        #: Bytes after which each of the next bodies ends; later ones are whole.
        self.cuts: list[int] = []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cifar-100-binary.tar.gz"


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.server.url)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path != "/cifar-100-binary.tar.gz":
            self.send_error(404)
        else:
            self._serve()

    def _serve(self) -> None:
        server, range_ = self.server, self.headers["Range"]
        server.asked.append(range_)
        start = int(range_.removeprefix("bytes=").removesuffix("-")) if range_ and server.has_ranges else None
        body = server.content[start:]
        if start is not None and not body:
            self.send_error(416)
            return
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # Closing the connection ends the body, too early where there is a length.
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[ArchiveServer]:
    with ArchiveServer(content) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
