"""A thread for synchronous user code, so that it never blocks the event loop.

Used by `_user_code.py`. It runs one call after the other, always in the same thread (objects such as
database connections may insist on that), in the caller's context variables. It is a daemon: user
code that never returns does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias


class Ended(NamedTuple):
    """How a call ended: what it gave, or what it raised."""

    value: Any
    error: BaseException | None

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


_Call: TypeAlias = tuple[
    Context, Callable[..., Any], tuple[Any, ...], asyncio.AbstractEventLoop, "asyncio.Future[Ended]"
]


class CodeThread:
    """Started with the first call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: set[asyncio.Future[Ended]] = set()

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    async def run(self, function: Callable[..., Any], *arguments: Any, hold: bool = False) -> Ended:
        """Call in the thread.

        With `hold`, a cancelled caller still waits until the call is over: running code cannot be
        stopped, and who asked must not believe that it was.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Ended] = loop.create_future()
        self._waiting.add(ended)
        ended.add_done_callback(self._waiting.discard)
        self._start()
        self._calls.put((copy_context(), function, arguments, loop, ended))
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if hold and not ended.done():
                await asyncio.wait([ended])
            raise

    def stop(self) -> None:
        """End after the call at hand, and let nobody wait for it."""
        self._calls.put(None)
        for ended in list(self._waiting):
            ended.cancel()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        context, function, arguments, loop, ended = call
        outcome = context.run(_attempt, function, arguments)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, ended, outcome)
        del call, context, function, arguments, loop, ended, outcome  # keep no record while waiting


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Ended:
    try:
        return Ended(function(*arguments), None)
    except BaseException as error:  # SystemExit too: user code must not end the process unseen
        return Ended(None, error)


def _deliver(ended: asyncio.Future[Ended], outcome: Ended) -> None:
    if not ended.done():
        ended.set_result(outcome)
