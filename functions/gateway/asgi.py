"""ASGI's messages, as far as the gateway needs them: types, request bodies, answers.

Used by `app.py`, `web.py`, `service.py` and `sockets.py`. The gateway has no web framework below it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from .problems import CONTENT_TYPE, Refusal, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
# Any web page may use a gateway, as in LangStream.
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")


class ClientGone(Exception):
    """The client left before its request was complete; nobody reads an answer."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises Refusal 413 beyond `limit`, as soon as it is known."""
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:18]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"a message may have at most {limit} bytes", headers={"connection": "close"})


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


async def respond(
    send: Send,
    status: int,
    body: bytes = b"",
    kind: str = JSON,
    headers: Mapping[str, str] | None = None,
    *,
    prefix: str = "http.response",
) -> None:
    """A whole answer. `prefix` is `websocket.http.response` for a handshake that is denied."""
    raw = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), _ANY_ORIGIN]
    raw += [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await send({"type": f"{prefix}.start", "status": status, "headers": raw})
    await send({"type": f"{prefix}.body", "body": body})


async def refuse(send: Send, refusal: Refusal, instance: str, *, prefix: str = "http.response") -> None:
    """The answer that a refusal stands for."""
    body = problem(refusal.code, refusal.message, instance)
    await respond(send, refusal.code, body, CONTENT_TYPE, refusal.headers, prefix=prefix)
