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


class Server(uvicorn.Server):
    """One app on one socket."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws="websockets",
                ws_max_size=2 * 1024 * 1024,
                timeout_graceful_shutdown=10,
                server_header=False,
                date_header=False,
            )
        )
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the run handles signals

    async def start(self) -> None:
        """Serve until `stop`; returns when connections are accepted."""
        self._serving = asyncio.create_task(self.serve(sockets=[self._listener]))
        while not self.started:
            if self._serving.done():
                self._serving.result()
                raise TidemillError(f"the server on port {self.port} ended while it started")
            await asyncio.sleep(0.005)  # uvicorn offers no event for this

    async def stop(self) -> None:
        """Finish open requests, then close."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving
