"""The sockets between the run and its workers, on the run's side.

`platform.py` listens with one Connection per worker; a Connection finds its pool by the worker's
Hello and hands it every answer. Side writes of agents go from here to the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..brokers.protocol import Broker
from ..functions import frames
from ..functions.outcome import Busy, Done, Failed

if TYPE_CHECKING:
    from .pool import Pool, Worker

log = logging.getLogger("tidemill.pool")


class Connection(asyncio.Protocol):
    """A worker's socket on the dispatcher's side."""

    def __init__(self, pools: Mapping[str, Pool], broker: Broker) -> None:
        self._pools = pools
        self._broker = broker
        self._reader = frames.Reader(self._receive)
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker: Worker | None = None
        self._pool: Pool | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream socket has a Transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pool is not None and self._worker is not None:
            self._pool.disconnected(self._worker)

    def send(self, messages: Sequence[frames.Message]) -> None:
        self._transport.write(frames.encode(messages))

    def close(self) -> None:
        self._transport.close()

    def _receive(self, message: Any) -> None:
        if isinstance(message, frames.Hello):
            self._greet(message)
        elif self._pool is None or self._worker is None:
            self.close()  # it did not say who it is
        elif isinstance(message, frames.Finished):
            self._pool.answered(self._worker, message.token, Done(message.outputs))
        elif isinstance(message, frames.Refused):
            failed = Failed(
                message.message, message.error_class, message.kind, message.permanent, message.causes
            )
            self._pool.answered(self._worker, message.token, failed)
        elif isinstance(message, frames.Later):
            self._pool.answered(self._worker, message.token, Busy(message.retry_after))
        elif isinstance(message, frames.Publish):
            task = asyncio.get_running_loop().create_task(self._write(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif isinstance(message, frames.Info):
            self._pool.informed(self._worker, message)

    def _greet(self, hello: frames.Hello) -> None:
        self._pool = self._pools.get(hello.unit)
        self._worker = self._pool.connected(self, hello) if self._pool is not None else None
        if self._worker is None:
            log.warning("a worker of an earlier run was refused (unit %s, process %s)", hello.unit, hello.pid)
            self.close()

    async def _write(self, message: frames.Publish) -> None:
        try:
            await self._broker.publish(message.topic, message.events)
            answer = frames.Published(message.request)
        except Exception as error:
            answer = frames.Published(message.request, str(error))
        self.send([answer])
