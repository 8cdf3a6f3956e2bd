"""Delivers to a peer over HTTP, as our dispatcher delivers to our own workers: its results are replies.

A pool of kept connections on the event loop with httptools: as cheap as it can be made in Python, so
that what is measured is the peer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import httptools

from tidemill.bindings import from_http
from tidemill.record import Event
from tidemill.triggers.delivery import Delivery, Done, Failed, Finished

CONNECTIONS = 16


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, pool: HttpSubscriber) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self.token = 0
        self.finished: Finished | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        headers, body, status = self._headers, self._body, self._parser.get_status_code()
        self._headers, self._body = [], b""
        self._pool.answered(self, status, headers, body)


class HttpSubscriber:
    """triggers.Subscriber for one server."""

    def __init__(self, port: int, output: str) -> None:
        self._port, self._output = port, output
        self._idle: list[_Connection] = []
        self.room_again: Callable[[], None] = lambda: None

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._idle) < CONNECTIONS:
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), "127.0.0.1", self._port
                )
            except OSError:
                await asyncio.sleep(0.05)
            else:
                self._idle.append(connection)

    def capacity(self) -> int:
        return len(self._idle)

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        for delivery in deliveries:
            connection = self._idle.pop()
            connection.token, connection.finished = delivery.token, finished
            connection.transport.write(_request(delivery.stored.event()))

    def abandon(self, token: int) -> None: ...

    def answered(
        self, connection: _Connection, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        finished, connection.finished = connection.finished, None
        assert finished is not None
        self._idle.append(connection)
        if status == 200:
            finished(connection.token, Done([(self._output, from_http(headers, body))]))
        else:
            finished(connection.token, Failed(f"HTTP {status}: {body[:200]!r}"))
        self.room_again()

    def lost(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.finished is not None:
            connection.finished(connection.token, Failed("the connection was closed"))


def _request(event: Event) -> bytes:
    data = event.data or b""
    lines = [f"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\nce-specversion: 1.0"]
    for name, value in event.attributes.items():
        lines.append(f"content-type: {value}" if name == "datacontenttype" else f"ce-{name}: {value}")
    return "\r\n".join([*lines, "\r\n"]).encode() + data
