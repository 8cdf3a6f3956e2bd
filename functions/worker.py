"""A worker process: one copy of a unit on one machine, fed by the local dispatcher.

Started by `local/parent.py` (forked) or as `python -m tidemill.functions.worker`. It dials the
dispatcher's Unix socket, says Hello, and from then on answers every delivery. When the socket ends
the dispatcher is gone and the worker ends at once: nothing it did since is acknowledged, and the
next run delivers it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any

from ..brokers.faults import fault
from ..errors import TidemillError
from ..record import Event
from . import frames
from .environment import Environment, from_variables
from .host import Host
from .logs import configure
from .outcome import Busy, Done, Failed, Result
from .sourcing import run_source
from .unit import UnitSpec

DRAIN_SECONDS = 60.0
HAND_BACK_SECONDS = 0.05  # a delivery that could not begin by then may find another worker

log = logging.getLogger("tidemill.worker")


class Connection(asyncio.Protocol):
    """The socket to the dispatcher. Answers of one loop turn leave in one frame."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.stop = asyncio.Event()
        self.host: Host | None = None
        self.concurrency = 0
        self._reader = frames.Reader(self._receive)
        self._outgoing: list[frames.Message] = []
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._requests = 0
        self._queue: deque[tuple[float, frames.Deliver]] = deque()
        self._running = 0
        self._handing_back: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream socket has a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def send(self, message: frames.Message) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        messages, self._outgoing = self._outgoing, []
        fault("worker-before-answer")
        self._transport.write(frames.encode(messages))
        fault("worker-after-answer")

    async def publish(self, topic: str, events: Sequence[Event]) -> None:
        """Write events now; returns when they are durable (host.Publisher)."""
        self._requests += 1
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[self._requests] = waiting
        self.send(frames.Publish(self._requests, topic, events))
        await waiting

    def _receive(self, message: Any) -> None:
        if isinstance(message, frames.Deliver):
            self._deliver(message)
        elif isinstance(message, frames.Published):
            waiting = self._waiting.pop(message.request, None)
            if waiting is not None and not waiting.done():
                if message.error is None:
                    waiting.set_result(None)
                else:
                    waiting.set_exception(TidemillError(message.error))
        elif isinstance(message, frames.AskInfo) and self.host is not None:
            counters = [(name, agent, value) for (name, agent), value in self.host.metrics.items()]
            self.send(frames.Info(self.host.info(), counters))
        elif isinstance(message, frames.Stop):
            self.stop.set()

    def _deliver(self, message: frames.Deliver) -> None:
        """The dispatcher sends a little more than runs at a time, so that the next one is here already."""
        assert self.host is not None  # Hello, which asks for deliveries, is sent after the host's start
        if self._running < self.concurrency:
            self._begin(message, self.host)
            return
        loop = asyncio.get_running_loop()
        self._queue.append((loop.time(), message))
        if self._handing_back is None:
            self._handing_back = loop.call_later(HAND_BACK_SECONDS, self._hand_back)

    def _hand_back(self) -> None:
        """What has waited too long behind a slow record goes back unattempted."""
        loop = asyncio.get_running_loop()
        while self._queue and self._queue[0][0] <= loop.time() - HAND_BACK_SECONDS:
            self.send(frames.Later(self._queue.popleft()[1].token, 0.0))
        self._handing_back = (
            loop.call_at(self._queue[0][0] + HAND_BACK_SECONDS, self._hand_back) if self._queue else None
        )

    def _begin(self, message: frames.Deliver, host: Host) -> None:
        fault("worker-before-handle")
        result = host.handle(frames.decode_event(message.blob), message.topic, message.timestamp)
        if isinstance(result, asyncio.Task):
            self._running += 1
            result.add_done_callback(lambda task: self._ended(message.token, task.result(), host))
        else:
            self._answer(message.token, result)

    def _ended(self, token: int, result: Result, host: Host) -> None:
        self._running -= 1
        self._answer(token, result)
        while self._queue and self._running < self.concurrency:
            self._begin(self._queue.popleft()[1], host)

    def _answer(self, token: int, result: Result) -> None:
        if isinstance(result, Done):
            self.send(frames.Finished(token, result.outputs))
        elif isinstance(result, Failed):
            self.send(frames.Refused(token, *result))
        elif isinstance(result, Busy):
            self.send(frames.Later(token, result.retry_after))


async def serve(unit: UnitSpec, environment: Environment, dispatcher: socket.socket, pass_code: str) -> None:
    """Run the unit until the dispatcher says Stop or goes away."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(Connection, sock=dispatcher)
    host = Host(unit, environment, connection)
    await host.start()
    connection.host, connection.concurrency = host, host.concurrency
    connection.send(frames.Hello(host.unit.id, pass_code, os.getpid(), host.concurrency))
    work = _own_work(host)
    stopping = asyncio.ensure_future(connection.stop.wait())
    waiting: list[asyncio.Future[Any]] = [connection.lost, stopping]
    if work is not None:
        waiting.append(asyncio.ensure_future(work))
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if connection.lost.done():
        os._exit(0)  # nothing may run on without its dispatcher
    await _stop(host, waiting[2] if work is not None else None)


def _own_work(host: Host) -> Awaitable[None] | None:
    if host.source is not None:
        return run_source(host)
    if host.service is not None:
        running: Awaitable[None] = host.service.run()
        return running
    return None


async def _stop(host: Host, work: asyncio.Future[Any] | None) -> None:
    error = work.exception() if work is not None and work.done() and not work.cancelled() else None
    if work is not None and not work.done():
        work.cancel()
        await asyncio.wait([work], timeout=DRAIN_SECONDS)
    await host.close()
    if error is not None:
        raise error


def main(environment: Environment, socket_path: str, pass_code: str) -> int:
    """The worker's process, from its first line to its exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the dispatcher decides when to stop
    try:
        import uvloop

        dispatcher = socket.socket(socket.AF_UNIX)
        dispatcher.connect(socket_path)
        uvloop.run(serve(environment.read_unit(), environment, dispatcher, pass_code))
    except TidemillError as error:
        log.error("%s%s", error, f" ({error.hint})" if error.hint else "")
        return 1
    except Exception:
        log.exception("the unit ended with an error")
        return 1
    return 0


if __name__ == "__main__":
    configure()
    sys.exit(main(from_variables(), os.environ["TIDEMILL_SOCKET"], os.environ["TIDEMILL_PASS"]))
