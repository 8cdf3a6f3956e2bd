"""HTTP answers of the gateway, and bodies within its limit.

Used by `app.py`, `web.py` and `service.py`; an answer to a handshake differs only in its prefix.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import http
from ..http import Receive, Send
from .problems import CONTENT_TYPE, Refusal, problem

JSON = "application/json"
# Any web page may use a gateway, as in LangStream.
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises Refusal 413, and ClientGone."""
    try:
        return await http.read_body(receive, limit)
    except http.BodyTooLarge:
        raise Refusal(413, f"a message may have at most {limit} bytes") from None


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
