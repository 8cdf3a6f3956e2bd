"""HTTP servers inside the run's process: uvicorn without its own signals and log lines.

Used by `platform.py` for the gateway and the ingress. The port is bound before anything else starts,
so that a port in use is an error with a hint, not a half-started run.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from ..errors import TidemillError

LOOPBACK = "127.0.0.1"


def bind(port: int, option: str) -> socket.socket:
    """A listening socket on loopback; port 0 takes any free one."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise TidemillError(
                f"port {port} is in use by another program",
                hint=f"choose another port with {option} (0: any)",
            ) from None
        raise
    listener.listen(1024)
    return listener


class QuietServer(uvicorn.Server):
    """uvicorn for an app without WebSockets; the run handles signals."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                timeout_graceful_shutdown=10,
                server_header=False,
                date_header=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """A uvicorn server on a socket that is bound already."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self._server = server
        self._listener = listener
        self._task: asyncio.Task[None] | None = None
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Serve until `stop`; returns when connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise TidemillError(f"the server on port {self.port} ended while it started")
            await asyncio.sleep(0.005)  # uvicorn offers no event for this

    async def stop(self) -> None:
        """Finish open requests, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
