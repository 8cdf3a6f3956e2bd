"""Serves the gateway with uvicorn, with the limits and the shutdown that it needs.

Called by the local platform and the gateway's container. The process that runs the server handles
signals and sets `should_exit`; then open sessions are drained before any connection is cut.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .app import Gateway

_MAX_HEAD = 64 * 1024
_BAD_HANDSHAKE = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n"
    b"The WebSocket handshake is not valid HTTP."
)


class GatewayServer(uvicorn.Server):
    """A uvicorn server that drains its gateway first, and leaves signals to its process."""

    def __init__(self, gateway: Gateway, *, host: str = "127.0.0.1", port: int = 8091) -> None:
        self._gateway = gateway
        super().__init__(
            uvicorn.Config(
                gateway,
                host=host,
                port=port,
                http=_BoundedHttp,
                ws=_WebSocket,
                # Above the gateway's own limit, which is checked after earlier requests are answered.
                ws_max_size=4 * gateway.limits.message,
                access_log=False,
                log_config=None,
                server_header=False,
                # Longer than any service call; a forwarded stream may have no end.
                timeout_graceful_shutdown=math.ceil(gateway.limits.service_timeout) + 1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._gateway.drain()
        await super().shutdown(sockets)


class _BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP with a bound on request line and headers, which it would collect for ever."""

    _reading_head = True
    _head = 0
    _ended = False  # a request ended in this piece: most of it was not the head that is read now

    def data_received(self, data: bytes) -> None:
        self._ended = False
        super().data_received(data)
        if self._reading_head and not self._ended:
            self._head += len(data)
            if self._head > _MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")

    def on_headers_complete(self) -> None:
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading_head, self._head, self._ended = True, 0, True


class _WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with two faults mended: it takes a handshake that was denied for one that
    was forgotten, and does not answer one that cannot be parsed."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HANDSHAKE)
            self.transport.close()
