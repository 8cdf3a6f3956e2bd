"""Ends attempts that run too long, with one timer for all of them.

Used by the host around every attempt that does not answer at once. `asyncio.timeout` would make and
cancel a timer for each, which costs more than a short agent. All attempts have the same time, so the
oldest is always the next to be ended.
"""

from __future__ import annotations

import asyncio
from itertools import takewhile
from types import TracebackType


class DeadlineExceeded(Exception):
    """The attempt was ended; `seconds` is what it had."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the record was not processed within {seconds:g} s")


class Deadlines:
    """The attempts that run now, oldest first."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: dict[Attempt, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def attempt(self) -> Attempt:
        return Attempt(self)

    def begin(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        self._running[attempt] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_later(self.seconds, self._end_overdue)

    def end(self, attempt: Attempt) -> bool:
        """False when it was ended by its deadline."""
        return self._running.pop(attempt, None) is not None

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for attempt, _ in list(takewhile(lambda item: item[1] <= now, self._running.items())):
            del self._running[attempt]
            attempt.task.cancel()
        oldest = next(iter(self._running.values()), None)
        self._timer = None if oldest is None else loop.call_at(oldest, self._end_overdue)


class Attempt:
    """`with`: what is awaited inside is cancelled at the deadline, and DeadlineExceeded raised."""

    __slots__ = ("_deadlines", "task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.task: asyncio.Task[object]

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._deadlines.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._deadlines.end(self):
            return
        # Somebody else may have cancelled the task as well: then it stays cancelled.
        if self.task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise DeadlineExceeded(self._deadlines.seconds) from error
