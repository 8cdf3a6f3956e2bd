"""Service gateways in front of an agent: the request goes on to the agent's own HTTP server.

Called by `app.py`. Method, sub-path, query, body and headers pass in both directions as a stream,
except what belongs to one connection, and the gateway's credentials, which an agent must not see.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote_plus, urlsplit

import h11

from ..http import ClientGone, Receive, Scope, Send
from .handshake import CREDENTIALS
from .problems import Refusal

_CONNECT_TIMEOUT = 5.0
_READ = 64 * 1024
# Of one connection only, by RFC 9110; `host` is the agent's own.
_NOT_FORWARDED = frozenset(
    b"connection content-length expect host upgrade transfer-encoding te trailer keep-alive "
    b"proxy-authenticate proxy-authorization proxy-connection x-langstream-test-authorization".split()
)
_NOT_RETURNED = _NOT_FORWARDED - {b"content-length"}


async def forward(scope: Scope, receive: Receive, send: Send, base: str, path: str) -> None:
    """Pass a request on to `base` + `path`. Raises Refusal 502 when nobody answers there."""
    url = urlsplit(base)
    try:
        request = _request(scope, url.path, path, url.netloc)
    except h11.LocalProtocolError as error:
        raise Refusal(400, f"the request cannot be forwarded: {error}") from error
    async with _connected(url.hostname or "", url.port, url.scheme == "https") as (reader, writer):
        connection = h11.Connection(h11.CLIENT)
        writer.write(connection.send(request) or b"")
        upload = asyncio.create_task(_upload(connection, receive, writer))
        answer = asyncio.create_task(_download(connection, reader, send))
        try:
            await asyncio.wait({upload, answer}, return_when=asyncio.FIRST_COMPLETED)
            if upload.done() and isinstance(upload.exception(), ClientGone):
                raise ClientGone
            await answer
        finally:
            upload.cancel()
            answer.cancel()
            await asyncio.gather(upload, answer, return_exceptions=True)


@asynccontextmanager
async def _connected(
    host: str, port: int | None, secure: bool
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = ssl.create_default_context() if secure else None
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port or (443 if secure else 80), ssl=context)
    except (OSError, TimeoutError) as error:
        raise Refusal(502, "the agent cannot be reached") from error
    try:
        yield reader, writer
    finally:
        writer.close()


def _request(scope: Scope, prefix: str, path: str, host: str) -> h11.Request:
    headers = [(b"host", host.encode()), (b"connection", b"close")]
    headers += [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_FORWARDED]
    framing = {name.lower(): value for name, value in scope["headers"]}
    if b"content-length" in framing:
        headers.append((b"content-length", framing[b"content-length"]))
    elif b"transfer-encoding" in framing:
        headers.append((b"transfer-encoding", b"chunked"))
    query = _without_credentials(scope["query_string"].decode("ascii"))
    target = prefix.rstrip("/") + "/" + path + (f"?{query}" if query else "")
    return h11.Request(method=scope["method"], target=target, headers=headers)


def _without_credentials(query: str) -> str:
    return "&".join(
        pair for pair in query.split("&") if unquote_plus(pair.split("=", 1)[0]) not in CREDENTIALS
    )


async def _upload(connection: h11.Connection, receive: Receive, writer: asyncio.StreamWriter) -> None:
    """Pass the body on, then watch whether the client stays. Ends with ClientGone, or with an OSError
    of an agent that does not want the rest."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            writer.write(connection.send(h11.Data(data=message["body"])) or b"")
        if not message.get("more_body"):
            writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()


async def _download(connection: h11.Connection, reader: asyncio.StreamReader, send: Send) -> None:
    started = False
    try:
        async for event in _answers(connection, reader):
            started = True
            await send(_message(event))
    except (OSError, h11.ProtocolError) as error:
        if started:
            raise  # too late for another status: the server cuts the connection
        raise Refusal(502, "the agent gave no valid answer") from error


async def _answers(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> AsyncIterator[h11.Response | h11.Data | h11.EndOfMessage]:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Response | h11.Data):
            yield event
        elif isinstance(event, h11.EndOfMessage):
            yield event
            return
        elif not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("the agent closed the connection")


def _message(event: h11.Response | h11.Data | h11.EndOfMessage) -> dict[str, object]:
    if isinstance(event, h11.Response):
        headers = [(name, value) for name, value in event.headers if name not in _NOT_RETURNED]
        return {"type": "http.response.start", "status": event.status_code, "headers": headers}
    if isinstance(event, h11.Data):
        return {"type": "http.response.body", "body": bytes(event.data), "more_body": True}
    return {"type": "http.response.body", "body": b"", "more_body": False}
