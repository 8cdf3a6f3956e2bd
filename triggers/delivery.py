"""The dispatcher: takes the events of one topic for one group and drives a subscriber.

Made by the local platform, one per trigger. It keeps what the design promises of delivery: per key
the records are processed one after the other in the order of writing, retries included; an answer
counts once, for the attempt that it answers; outputs, acknowledgement and per-key state go to the
broker in one commit, first in first out; no more is loaded than the window. There is no task and no
timer per record: results of one turn of the loop make one commit, and one timer serves all lanes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count, islice, takewhile
from typing import Any, NamedTuple

from ..brokers.protocol import Broker, Effects, StateWrite, Stored
from ..errors import ConfigurationError, NotFound
from ..record import Event
from .deadletter import dead_letter_event
from .lanes import Lane, Lanes, Partition
from .policy import RetryPolicy, gives_up, wait_after
from .reading import PendingState, Reader
from .subscriber import Busy, Delivery, Done, Failed, Finished, Result, Subscriber

SHORTEST_REST = 0.001  # seconds before a subscriber that was busy is asked again
ERROR_SHOWN = 500  # characters of an error that a stuck lane keeps

__all__ = [
    "Busy", "Counters", "Delivery", "Dispatcher", "Done", "Failed", "Finished", "Result", "Stuck",
    "Subscriber",
]  # fmt: skip

_tokens = count(1)  # unique in this process, whichever dispatcher asks


log = logging.getLogger("tidemill.delivery")


class Stuck(NamedTuple):
    """A lane whose head failed. `next_attempt` is in the loop's time; None = queued or running."""

    key: str | None
    partition: int
    offset: int
    attempt: int
    next_attempt: float | None
    error: str
    behind: int


@dataclass(slots=True)
class Counters:
    """Since the start. `failed` counts attempts, the others records."""

    delivered: int = 0
    failed: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    filtered: int = 0


class Dispatcher:
    """Events of `topic` to `subscriber`, for `group`."""

    def __init__(
        self,
        broker: Broker,
        *,
        group: str,
        topic: str,
        policy: RetryPolicy,
        subscriber: Subscriber,
        filter: Callable[[Event], bool] | None = None,
        dead_letter: str | None = None,
        unit: str = "",
        stateful: bool = False,
        window: int = 1024,
    ) -> None:
        if policy.on_failure == "dead-letter" and dead_letter is None:
            raise ConfigurationError(f"the trigger '{group}' has no topic for its dead letters")
        self._broker, self._group, self._topic = broker, group, topic
        self._policy, self._subscriber, self._dead_letter = policy, subscriber, dead_letter
        self.counters = Counters()
        self.demand_changed: Callable[[], None] | None = None
        # Called when a broker call failed: nothing is delivered any more, close and start anew.
        self.failed: Callable[[BaseException], None] | None = None
        self._lanes = Lanes(window)
        self._in_flight: dict[int, Lane] = {}  # in the order of sending, thus of timing out
        self._abandoned: dict[int, Lane] = {}
        self._topics: frozenset[str] = frozenset()  # that were there when last asked
        self._results: list[tuple[Lane, Result]] = []
        self._state = PendingState(broker, unit)
        self._reader = Reader(broker, topic, self._lanes, self, filter, self._state if stateful else None)
        self._tasks: set[asyncio.Task[None]] = set()  # that bring records in
        self._writes: set[asyncio.Task[None]] = set()  # commits, and ends of abandoned attempts
        self._unwritten = 0  # records whose commit is submitted and not durable yet
        self._turn_is_due = False
        self._stopped = True  # nothing new is sent
        self._broken = False  # nor anything committed
        self._timer: asyncio.TimerHandle | None = None
        self._last_demand = 0
        self._quiet = asyncio.Event()

    # --- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read how far the group is, and begin. Raises NotFound for a topic that is not there."""
        self._loop = asyncio.get_running_loop()
        topics = self._broker.topics()
        for topic in (self._topic, self._dead_letter):
            if topic is not None and topic not in topics:
                raise NotFound("topic", topic, topics)
        progress = await self._broker.progress(self._group, self._topic)
        self._lanes.partitions = [Partition(i, at.offset, at.beyond) for i, at in enumerate(progress)]
        self._stopped = False
        for task in self._reader.tasks():
            self._spawn(task, self._tasks)

    def capacity_changed(self) -> None:
        """The subscriber has room."""
        if not self._stopped:
            self._come_back()

    async def drain(self, timeout: float) -> None:
        """Take nothing new, let what is in flight end, and commit it; at most `timeout` seconds."""
        await self._stop_reading()
        try:
            async with asyncio.timeout(timeout):
                while self._in_flight or self._abandoned or self._results or self._writes:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """End all attempts; results that are here already are committed."""
        await self._stop_reading()
        ends = [self._subscriber.abandon(token) for token in list(self._in_flight)]
        self._in_flight.clear()
        self._abandoned.clear()
        self._turn()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(end for end in ends if end is not None), *self._writes, return_exceptions=True)

    async def _stop_reading(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], group: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        group.add(task)
        task.add_done_callback(lambda done: self._ended(done, group))

    def _ended(self, task: asyncio.Task[None], group: set[asyncio.Task[None]]) -> None:
        group.discard(task)
        self._quiet.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._broken:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """What the broker holds is not known any more: only a new start can tell."""
        self._stopped = self._broken = True
        for task in self._tasks:
            task.cancel()
        if self.failed is not None:
            self.failed(error)
        else:
            context = {
                "message": f"delivery from '{self._topic}' to '{self._group}' stopped",
                "exception": error,
            }
            self._loop.call_exception_handler(context)

    # --- what can be seen ---------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return len(self._in_flight) + len(self._abandoned)

    @property
    def demand(self) -> int:
        """Lanes that run or could run now: how many deliveries at a time make sense."""
        return len(self._lanes.ready) + len(self._lanes.wanting) + self.in_flight

    @property
    def loaded(self) -> int:
        """Records in memory; at most the window."""
        return self._lanes.loaded

    @property
    def lag(self) -> int:
        """Records of the topic that are not finished: 0 means that everything is durable."""
        bounds = self._broker.bounds(self._topic)
        unread = sum(
            max(0, bounds[part.index][1] - part.scan) - sum(offset >= part.scan for offset in part.beyond)
            for part in self._lanes.partitions
        )
        return unread + sum(lane.behind + 1 for lane in self._lanes) + self._unwritten

    @property
    def stuck(self) -> list[Stuck]:
        """Lanes whose head failed and will be tried again."""
        return [
            Stuck(
                lane.key, lane.partition.index, lane.offset, lane.attempt, lane.due, lane.error, lane.behind
            )
            for lane in self._lanes
            if lane.error is not None
        ]

    # --- records go out -----------------------------------------------------------------------------

    def settle(self) -> None:
        """After every change: send what can be sent, read what there is room for."""
        if not self._stopped:
            if self._lanes.ready:
                self._send()
            self._reader.lanes_changed()
        if self.demand_changed is not None and self.demand != self._last_demand:
            self._last_demand = self.demand
            self.demand_changed()

    def starving(self) -> bool:
        """Part of reading: the subscriber would take more than is ready."""
        return not self._lanes.ready and self._subscriber.capacity() > 0

    def unwanted(self, records: Sequence[Stored]) -> None:
        """Part of reading: the filter refused these records."""
        self.counters.filtered += len(records)
        self._lanes.loaded += len(records)  # until that is durable: commits under way are bounded too
        self._submit([self._effects(stored) for stored in records])

    def _send(self) -> None:
        ready, in_flight = self._lanes.ready, self._in_flight
        room = min(self._subscriber.capacity(), len(ready))
        if room <= 0:
            return
        timeout = self._policy.timeout
        until = self._loop.time() + timeout if timeout is not None else 0.0
        deliveries = []
        for token in islice(_tokens, room):
            lane = ready.popleft()
            assert lane.head is not None
            lane.until = until
            in_flight[token] = lane
            deliveries.append(Delivery(token, lane.head, lane.attempt, lane.state))
        if timeout is not None:
            self._call_at(until)
        self._subscriber.send(deliveries, self._finished)

    # --- results ------------------------------------------------------------------------------------

    def _finished(self, token: int, result: Result) -> None:
        lane = self._in_flight.pop(token, None)
        if lane is None:
            lane = self._abandoned.pop(token, None)
            if lane is None:
                return  # an attempt that was ended, or has answered before
            result = Failed(f"no answer within {self._policy.timeout:g} s", "TimeoutError")
        self._results.append((lane, result))
        self._come_back()

    def _come_back(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """All results of one turn of the loop, in one commit."""
        self._turn_is_due = False
        self._quiet.set()
        results, self._results = self._results, []
        if not self._broken:
            try:
                self._apply(results)
            except Exception as error:  # of the subscriber, or ours: never stand still without a word
                self._break(error)

    def _apply(self, results: Sequence[tuple[Lane, Result]]) -> None:
        effects: list[Effects] = []
        for lane, result in results:
            if isinstance(result, Done):
                missing = self._missing_topic(result)
                if missing is None:
                    self._done(lane, result, effects)
                else:  # known before the lane goes on: a commit must not be refused
                    why = f"the output topic '{missing}' does not exist"
                    self._attempt_failed(lane, Failed(why, "NotFound", permanent=True), effects)
            elif isinstance(result, Failed):
                self._attempt_failed(lane, result, effects)
            else:
                self._rest(lane, max(SHORTEST_REST, result.retry_after))
        if effects:
            self._submit(effects)
        self.settle()

    def _missing_topic(self, result: Done) -> str | None:
        for topic, _ in result.outputs:
            if topic not in self._topics:
                self._topics = frozenset(self._broker.topics())
                if topic not in self._topics:
                    return topic
        return None

    def _done(self, lane: Lane, result: Done, effects: list[Effects]) -> None:
        assert lane.head is not None
        effects.append(self._effects(lane.head, result.outputs, result.state))
        self.counters.delivered += 1
        for write in result.state:
            self._state.submitted(write)
            lane.state = write.value
        self._lanes.advance(lane)

    def _attempt_failed(self, lane: Lane, failure: Failed, effects: list[Effects]) -> None:
        self.counters.failed += 1
        if gives_up(self._policy, lane.attempt, failure.permanent):
            assert lane.head is not None
            self._tell("given up", lane, failure)
            effects.append(self._effects(lane.head, self._set_aside(lane.head, failure)))
            self._lanes.advance(lane)
        else:
            wait = wait_after(self._policy, lane.attempt)
            if lane.error is None:  # the first failure of a record is told, not each of its attempts
                self._tell(f"tried again in {wait:g} s", lane, failure)
            lane.attempt += 1
            lane.error = failure.message[:ERROR_SHOWN]
            self._rest(lane, wait)

    def _tell(self, what: str, lane: Lane, failure: Failed) -> None:
        log.warning(
            "%s: record of %s, partition %s, offset %s, key %r failed and is %s: %s",
            self._group, self._topic, lane.partition.index, lane.offset, lane.key, what,
            failure.message[:ERROR_SHOWN],
        )  # fmt: skip

    def _set_aside(self, stored: Stored, failure: Failed) -> Sequence[tuple[str, Event]]:
        if self._dead_letter is None or self._policy.on_failure == "skip":
            self.counters.skipped += 1
            return ()
        self.counters.dead_lettered += 1
        event = dead_letter_event(
            stored,
            self._group,
            message=failure.message,
            error_class=failure.error_class,
            kind=failure.kind,
            causes=failure.causes,
        )
        return ((self._dead_letter, event),)

    def _effects(
        self,
        stored: Stored,
        outputs: Sequence[tuple[str, Event]] = (),
        state: Sequence[StateWrite] = (),
    ) -> Effects:
        return Effects(self._group, self._topic, stored.partition, stored.offset, outputs, state)

    def _submit(self, effects: Sequence[Effects]) -> None:
        # Tasks begin in the order in which they are made, so commits reach the broker in order.
        self._unwritten += len(effects)
        self._spawn(self._commit(effects), self._writes)

    async def _commit(self, effects: Sequence[Effects]) -> None:
        await self._broker.commit(effects)
        self._unwritten -= len(effects)
        self._lanes.release(len(effects))
        for write in (write for one in effects for write in one.state):
            self._state.durable(write)
        self.settle()

    # --- time ---------------------------------------------------------------------------------------

    def _rest(self, lane: Lane, wait: float) -> None:
        due = self._loop.time() + wait
        self._lanes.rest(lane, due)
        self._call_at(due)

    def _call_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._tick, when)

    def _tick(self, when: float) -> None:
        """Lanes that have rested go on; attempts that ran too long are ended."""
        self._timer = None
        now = max(when, self._loop.time())  # the loop may call a hair too early
        next_due = self._lanes.wake(now)
        if next_due is not None:
            self._call_at(next_due)
        if self._policy.timeout is not None:
            self._end_overdue(now)
        self.settle()

    def _end_overdue(self, now: float) -> None:
        overdue = list(takewhile(lambda item: item[1].until <= now, self._in_flight.items()))
        for token, lane in overdue:
            if self._in_flight.pop(token, None) is not None:  # it may answer while others are ended
                self._abandoned[token] = lane
                self._end(token, self._subscriber.abandon(token))
        if self._in_flight:
            self._call_at(next(iter(self._in_flight.values())).until)

    def _end(self, token: int, ending: Awaitable[None] | None) -> None:
        if ending is None:
            self._finished(token, Busy())  # whatever is said now, it counts as timed out
        else:
            self._spawn(self._await_end(token, ending), self._writes)

    async def _await_end(self, token: int, ending: Awaitable[None]) -> None:
        await ending
        self._finished(token, Busy())
