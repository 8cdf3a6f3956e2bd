"""A thread that does together what was asked for while it was busy.

Both writers are one: a round trip to Kafka, or a transaction, costs the same for one call as for many.
Calls are done in the order in which they were submitted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ...errors import BrokerUnavailable

T = TypeVar("T")


class Call(Generic[T]):
    """One thing to do; `answer` and `refuse` are for the thread."""

    __slots__ = ("future", "loop", "what")

    def __init__(self, what: T) -> None:
        self.what = what
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def answer(self, value: Any) -> None:
        self._tell(self.future.set_result, value)

    def refuse(self, error: BaseException) -> None:
        self._tell(self.future.set_exception, error)

    def _tell(self, setter: Callable[[Any], None], value: Any) -> None:
        def tell() -> None:
            if not self.future.done():
                setter(value)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(tell)


class Batches(Generic[T]):
    """`work` gets all calls that wait, at most `most`, and answers each."""

    def __init__(
        self, name: str, work: Callable[[Sequence[Call[T]]], None], close: Callable[[], None], most: int
    ):
        self._work, self._close, self._most = work, close, most
        self._queue: SimpleQueue[Call[T] | None] = SimpleQueue()
        self._ended = False
        self.busy_since: float | None = None  # by the monotonic clock
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, what: T) -> asyncio.Future[Any]:
        if self._ended:
            raise BrokerUnavailable("it is closed")
        call = Call(what)
        self._queue.put(call)
        return call.future

    async def close(self) -> None:
        """End after everything that was submitted."""
        if not self._ended:
            self._ended = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next()
            if batch:
                self.busy_since = time.monotonic()
                self._work(batch)
                self.busy_since = None
        self._close()

    def _next(self) -> tuple[list[Call[T]], bool]:
        """What waits, and whether that was all."""
        batch: list[Call[T]] = []
        call = self._queue.get()
        while call is not None:
            batch.append(call)
            if len(batch) == self._most or self._queue.empty():
                return batch, False
            call = self._queue.get()
        return batch, True
