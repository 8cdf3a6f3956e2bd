"""A real web site on a free port, whose pages a test declares; requests are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Page:
    """One answer. `trap` writes the body itself, in its own time."""

    body: bytes | str = b""
    status: int = 200
    kind: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    trap: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Asked:
    method: str
    path: str  # with its query
    headers: Mapping[str, str]
    body: bytes


class Site:
    """Pages by path, without query. A callable makes the page from the request."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | str | Callable[[Asked], Page]] = {}
        self.asked: list[Asked] = []
        self.url = ""
        self.stopping = threading.Event()

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def page(self, asked: Asked) -> Page:
        found = self.pages.get(urlsplit(asked.path).path, Page("not here", 404))
        if callable(found):
            found = found(asked)
        return Page(found) if isinstance(found, str) else found


@contextmanager
def site(pages: Mapping[str, Any] | None = None, found: Site | None = None) -> Iterator[Site]:
    found = found or Site()
    found.pages.update(pages or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            asked = Asked(
                self.command,
                self.path,
                {k.lower(): v for k, v in self.headers.items()},
                self.rfile.read(size),
            )
            found.asked.append(asked)
            page = found.page(asked)
            body = page.body.encode() if isinstance(page.body, str) else page.body
            self.send_response(page.status)
            self.send_header("content-type", page.kind)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.trap is None:
                self.send_header("content-length", str(len(body)))
            else:
                self.send_header("connection", "close")
                self.close_connection = True
            self.end_headers()
            if page.trap is not None:
                page.trap(self.wfile)
            else:
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
