"""Ordered batches: many records share one call, and records with equal keys stay in order.

Used by agents whose service takes many inputs at once. Items go by key into buckets; a bucket has one
batch under way, so what follows waits behind it. A batch leaves when it is full, when its oldest
item has waited for the interval or behind another batch, or at once when nothing more can come: the
executor then holds everything that the unit has in flight. An interval of zero means batches of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

from ..errors import RecordError
from .expressions import to_text

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    result: asyncio.Future[Result]


@dataclass(slots=True)
class _Bucket(Generic[Item, Result]):
    """`due`: the oldest waiting item has waited long enough."""

    waiting: list[_Entry[Item, Result]] = field(default_factory=list)
    running: list[_Entry[Item, Result]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    due: bool = False

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer, self.due = None, False


class BatchExecutor(Generic[Item, Result]):
    """`handle` gives one result for each item of a batch, in their order.

    `interval` in seconds; `in_flight` says how many records the unit holds (api.Context).
    """

    def __init__(
        self,
        handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        size: int,
        interval: float,
        buckets: int,
        in_flight: Callable[[], int],
    ) -> None:
        self._handle = handle
        self._size = max(1, size) if interval > 0 else 1
        self._interval = interval
        self._in_flight = in_flight
        self._buckets = [_Bucket[Item, Result]() for _ in range(max(1, buckets))]
        self._turns = count()
        self._held = 0
        self._look_scheduled = False
        self._closing = False

    async def submit(self, key: Any, item: Item) -> Result:
        """The item's result, when its batch is done. Raises what the batch's call raised."""
        loop = asyncio.get_running_loop()
        bucket = self._bucket_of(key)
        entry = _Entry[Item, Result](item, loop.create_future())
        bucket.waiting.append(entry)
        self._held += 1
        if self._interval > 0 and bucket.timer is None:
            bucket.timer = loop.call_later(self._interval, self._expire, bucket)
        self._look_soon()
        try:
            return await entry.result
        except asyncio.CancelledError:
            self._forget(bucket)
            raise
        finally:
            self._held -= 1

    async def close(self) -> None:
        """Everything that waits is sent now; returns when all batches are done."""
        self._closing = True
        self._look()
        while tasks := [bucket.task for bucket in self._buckets if bucket.task is not None]:
            await asyncio.wait(tasks)

    def _bucket_of(self, key: Any) -> _Bucket[Item, Result]:
        number = next(self._turns) if key is None else hash(to_text(key))
        return self._buckets[number % len(self._buckets)]

    def _look_soon(self) -> None:
        # Records that the unit handles side by side arrive in one turn of the loop: they come first.
        if not self._look_scheduled:
            self._look_scheduled = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._look_scheduled = False
        complete = self._closing or self._held >= self._in_flight()
        for bucket in self._buckets:
            if bucket.waiting and bucket.task is None:
                full = len(bucket.waiting) >= self._size
                if full or bucket.due or complete:
                    self._send(bucket)

    def _expire(self, bucket: _Bucket[Item, Result]) -> None:
        bucket.due = True
        self._look_soon()

    def _send(self, bucket: _Bucket[Item, Result]) -> None:
        bucket.running, bucket.waiting = bucket.waiting[: self._size], bucket.waiting[self._size :]
        bucket.stop_timer()
        loop = asyncio.get_running_loop()
        if bucket.waiting and self._interval > 0:
            bucket.timer = loop.call_later(self._interval, self._expire, bucket)
        bucket.task = loop.create_task(self._settle(bucket.running))
        # A callback, for a task that is cancelled before its first step runs nothing of its own.
        bucket.task.add_done_callback(lambda task: self._ended(bucket))

    def _ended(self, bucket: _Bucket[Item, Result]) -> None:
        # What gathered behind this batch has waited for it, which is long enough.
        bucket.task, bucket.running, bucket.due = None, [], bool(bucket.waiting)
        self._look_soon()

    async def _settle(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        try:
            results = await self._handle([entry.item for entry in batch])
            settled = list(zip(batch, results, strict=True))
        except RecordError as error:
            if error.permanent and len(batch) > 1:
                # One record is at fault: each goes alone, so that only that one fails.
                for entry in batch:
                    await self._settle([entry])
            else:
                _fail(batch, error)
        except Exception as error:
            _fail(batch, error)
        else:
            for entry, result in settled:
                if not entry.result.done():
                    entry.result.set_result(result)

    def _forget(self, bucket: _Bucket[Item, Result]) -> None:
        """Leave out items that nobody waits for any more, and end a batch of nothing else."""
        bucket.waiting = [entry for entry in bucket.waiting if not entry.result.cancelled()]
        if not bucket.waiting:
            bucket.stop_timer()
        if bucket.task is not None and all(entry.result.cancelled() for entry in bucket.running):
            bucket.task.cancel()


def _fail(batch: Sequence[_Entry[Any, Any]], error: Exception) -> None:
    for entry in batch:
        if not entry.result.done():
            entry.result.set_exception(error)
