"""The few lines of HTTP that every ASGI app here needs: read a bounded body, send an answer.

Used by the host's app, the ingress, the gateway and the model process, which are bare ASGI because a
pod pays for every import and every layer per event.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1024 * 1024  # what Kafka's brokers take with stock settings


class BodyTooLarge(Exception):
    """The request's body is over the limit; answer 413."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the body is over the limit of {limit} bytes")


class ClientGone(Exception):
    """The client closed the connection before its body was complete; there is nobody to answer."""


async def read_body(receive: Receive, limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises BodyTooLarge, ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body


async def answer(
    send: Send, status: int, body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """One response."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def answer_text(send: Send, status: int, text: str) -> None:
    """A response that a person can read."""
    await answer(send, status, text.encode(), ((b"content-type", b"text/plain; charset=utf-8"),))


async def answer_json(send: Send, status: int, value: Any) -> None:
    """A response for programs."""
    await answer(send, status, json.dumps(value).encode(), ((b"content-type", b"application/json"),))


async def lifespan(receive: Receive, send: Send) -> None:
    """The lifespan protocol for an app that has nothing to start."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
