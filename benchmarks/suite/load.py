"""A load generator in Python: HTTP/1.1 over kept connections, one request at a time on each.

It parses no more of an answer than it must, so that one core of it loads one core of any server
here. Requests are made before the measurement or by joining three byte strings.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CONNECT_SECONDS = 30.0

Request = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """What a round of requests gave."""

    answers: int
    seconds: float
    refused: int  # answers that were not 2xx

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


class _Client(asyncio.Protocol):
    """One connection. Asks for the next request when an answer is complete, until there is none."""

    def __init__(self, requests: Iterator[bytes], count: Callable[[bytes], None]) -> None:
        self._requests, self._count = requests, count
        self._buffer = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(buffer, 0, end + 2)
        length = int(found[1]) if found else 0
        if len(buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._count(buffer)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _drive(port: int, connections: int, requests: Iterator[bytes]) -> Load:
    loop = asyncio.get_running_loop()
    answers = refused = 0

    def count(answer: bytes) -> None:
        nonlocal answers, refused
        answers += 1
        refused += answer[9:10] != b"2"

    begun = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: _Client(requests, count), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.ended for client in clients))
    return Load(answers, time.perf_counter() - begun, refused)


def drive(port: int, request: Request, *, connections: int, seconds: float) -> Load:
    """As many requests as the server answers in a time."""
    import uvloop

    until = time.perf_counter() + seconds

    def requests() -> Iterator[bytes]:
        while time.perf_counter() < until:
            yield request()

    return uvloop.run(_drive(port, connections, requests()))


def drive_count(port: int, request: Request, *, connections: int, count: int) -> Load:
    """A number of requests."""
    import uvloop

    return uvloop.run(_drive(port, connections, (request() for _ in range(count))))


def exchange(port: int, request: bytes, seconds: float = CONNECT_SECONDS) -> bytes:
    """One request by a plain socket, connecting again until somebody listens; the whole answer."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
                connection.sendall(request)
                return _read_answer(connection)
        except OSError:
            time.sleep(0.001)
    raise TimeoutError(f"nobody answered at port {port} within {seconds:g} s")


def _read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while True:
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError
        answer += part
        end = answer.find(b"\r\n\r\n")
        if end >= 0:
            found = _LENGTH.search(answer, 0, end + 2)
            if len(answer) >= end + 4 + (int(found[1]) if found else 0):
                return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
