"""Delivery where several processes share a topic: one dispatcher for each partition that is ours.

Made by the local platform in place of a Dispatcher when the broker is a SharedBroker; it looks like one.
A partition that comes brings its dispatcher; before one is given up, its attempts end or are ended, so
its lanes are never in two processes. A dispatcher that fails begins again, alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ..brokers.protocol import Broker, Effects, Position, Progress, SharedBroker, Stored, TopicConfig
from ..errors import BrokerUnavailable
from ..record import Event
from .delivery import Dispatcher, Stuck

RESTART_SECONDS = 1.0

log = logging.getLogger("tidemill.delivery")


class OnePartition(Broker):
    """A broker of which one topic has events in one partition only: the others stay silent."""

    def __init__(self, broker: SharedBroker, topic: str, partition: int) -> None:
        self._broker, self._topic, self._partition = broker, topic, partition

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        if topic == self._topic and partition != self._partition:
            await asyncio.get_running_loop().create_future()
        await self._broker.wait(topic, partition, offset)

    def bounds(self, topic: str) -> Sequence[tuple[int, int]]:
        found = self._broker.bounds(topic)
        if topic != self._topic:
            return found
        return [one if number == self._partition else (0, 0) for number, one in enumerate(found)]

    async def progress(self, group: str, topic: str) -> Sequence[Progress]:
        nothing = Progress(0, frozenset())
        found = [nothing] * len(self._broker.bounds(topic))
        found[self._partition] = await self._broker.resume(group, topic, self._partition)
        return found

    async def create_topic(self, topic: TopicConfig) -> bool:
        return await self._broker.create_topic(topic)

    async def delete_topic(self, name: str) -> None:
        await self._broker.delete_topic(name)

    def topics(self) -> Mapping[str, TopicConfig]:
        return self._broker.topics()

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        return await self._broker.publish(topic, events)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        return await self._broker.read(topic, partition, offset, limit)

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        return await self._broker.read_key(topic, partition, key, offset, before, limit)

    async def commit(self, effects: Sequence[Effects]) -> None:
        await self._broker.commit(effects)

    async def state(self, unit: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        return await self._broker.state(unit, keys)

    async def close(self) -> None:
        """The broker goes on."""


class SharedDispatcher:
    """Events of the partitions that are ours. `make` gives a dispatcher for a broker."""

    def __init__(
        self, broker: SharedBroker, group: str, topic: str, make: Callable[[Broker], Dispatcher]
    ) -> None:
        self._broker, self._group, self._topic, self._make = broker, group, topic, make
        self._dispatchers: dict[int, Dispatcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._turn = 0
        self.demand_changed: Callable[[], None] | None = None

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._broker.join(self._group, self._topic, self)

    async def drain(self, timeout: float) -> None:
        self._stopped = True
        await asyncio.gather(*(one.drain(timeout) for one in list(self._dispatchers.values())))

    async def close(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(one.close() for one in list(self._dispatchers.values())))
        await self._broker.leave(self._group, self._topic)

    async def take(self, partitions: Sequence[int]) -> None:
        """Part of GroupMember."""
        for partition in partitions:
            if not self._stopped:
                await self._begin(partition)

    async def give_up(self, partitions: Sequence[int], patience: float) -> None:
        """Part of GroupMember."""
        ours = [one for number in partitions if (one := self._dispatchers.pop(number, None)) is not None]
        await asyncio.gather(*(one.drain(patience) for one in ours))
        await asyncio.gather(*(one.close() for one in ours))
        self._changed()

    async def _begin(self, partition: int) -> None:
        dispatcher = self._make(OnePartition(self._broker, self._topic, partition))
        dispatcher.demand_changed = self._changed
        dispatcher.failed = lambda error: self._failed(partition, dispatcher, error)
        self._dispatchers[partition] = dispatcher
        try:
            await dispatcher.start()
        except BrokerUnavailable as error:
            self._failed(partition, dispatcher, error)

    def _failed(self, partition: int, dispatcher: Dispatcher, error: BaseException) -> None:
        log.error("delivery from %s, partition %s, begins again: %s", self._topic, partition, error)
        self._spawn(self._restart(partition, dispatcher))

    async def _restart(self, partition: int, dispatcher: Dispatcher) -> None:
        await dispatcher.close()
        await asyncio.sleep(RESTART_SECONDS)
        if self._dispatchers.get(partition) is dispatcher and not self._stopped:  # else it is not ours
            await self._begin(partition)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- as the pool and the status see a dispatcher ----------------------------------------------

    def _changed(self) -> None:
        if self.demand_changed is not None:
            self.demand_changed()

    def capacity_changed(self) -> None:
        """Partitions take turns in who is asked first: none starves while all are busy."""
        ours = list(self._dispatchers.values())
        self._turn += 1
        for index in range(len(ours)):
            ours[(self._turn + index) % len(ours)].capacity_changed()

    @property
    def partitions(self) -> Sequence[int]:
        """What is ours now."""
        return sorted(self._dispatchers)

    @property
    def demand(self) -> int:
        return sum(one.demand for one in self._dispatchers.values())

    @property
    def lag(self) -> int:
        return sum(one.lag for one in self._dispatchers.values())

    @property
    def stuck(self) -> list[Stuck]:
        return [stuck for one in self._dispatchers.values() for stuck in one.stuck]
