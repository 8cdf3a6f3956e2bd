"""Publishes events to the Brokers' ingress over HTTP, from a unit on a cluster.

Used by `serve.py`. Events leave in structured mode, because Knative neither encodes nor decodes
header values; one connection carries one request at a time, and connections are kept. 202 means
durable. 5xx and broken connections are tried again with the same id, which the trigger's own
redelivery would repeat anyway; what cannot work (404, 413, 400) is raised at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ..bindings import STRUCTURED, to_structured
from ..errors import TidemillError
from ..record import Event

ATTEMPTS = 4
FIRST_DELAY = 0.1  # seconds, doubling
REQUEST_TIMEOUT = 30.0


class PublishFailed(TidemillError):
    """The ingress did not take an event; `answer` is its HTTP status, or None without one."""

    def __init__(self, topic: str, answer: int | None, reason: str) -> None:
        self.topic, self.answer = topic, answer
        said = f"HTTP {answer}: {reason}" if answer else reason
        super().__init__(f"the ingress did not take an event for '{topic}': {said}")


class IngressPublisher:
    """host.Publisher over HTTP. `topics` maps a topic to `<namespace>/<broker>` below the base URL."""

    def __init__(self, base: str, topics: Mapping[str, str]) -> None:
        parts = urlsplit(base)
        if parts.scheme != "http" or parts.hostname is None:
            raise TidemillError(f"TIDEMILL_INGRESS must be an http:// URL, not '{base}'")
        self._address = (parts.hostname, parts.port or 80)
        self._prefix = parts.path.rstrip("/")
        self._topics = topics
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """In order: the next event leaves when the one before is durable."""
        if topic not in self._topics:
            raise TidemillError(f"the unit was not told the Broker of topic '{topic}'")
        for event in events:
            await self._publish(topic, to_structured(event))

    async def _publish(self, topic: str, body: bytes) -> None:
        delay = FIRST_DELAY
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    status, reason = await self._post(f"{self._prefix}/{self._topics[topic]}", body)
            except (OSError, EOFError, TimeoutError) as error:
                status, reason = None, str(error) or type(error).__name__
            if status is not None and status < 300:
                return
            if attempt == ATTEMPTS or (status is not None and 400 <= status < 500 and status != 429):
                raise PublishFailed(topic, status, reason)
            await asyncio.sleep(delay)
            delay *= 2

    async def _post(self, path: str, body: bytes) -> tuple[int | None, str]:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        try:
            head = f"POST {path} HTTP/1.1\r\nhost: {self._address[0]}:{self._address[1]}\r\n"
            head += f"content-type: {STRUCTURED}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status, reason, keep = await _read_answer(reader)
        except BaseException:
            writer.close()
            raise
        if keep:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return status, reason

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """(status, the body's beginning, whether the connection may be used again)."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    status = int(first.split(" ", 2)[1])
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
        keep = headers.get("connection", "").lower() != "close"
    else:
        body, keep = b"", status == 202 or status == 204
    return status, body[:200].decode("utf-8", "replace"), keep
