"""Reading topics for many clients: one shared tail per topic, fanned out by filter.

A `Subscription` is one client's place on a topic. A partition of it is either *live*, and fed by
the tail, or *behind*, and read from the broker by the subscription itself, from the offset in
`_behind`, until it meets the tail. A client that is too slow for its bounded queue falls behind in
the same way, so memory is bounded and nothing is lost. No `await` lies between comparing with the
tail's position and joining it: that is why nothing is lost or doubled at the hand-over.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Sequence

from ...brokers.protocol import Broker, Stored
from .handshake import Filter
from .limits import Limits
from .push import Delivery
from .tokens import start_offsets, write_token

log = logging.getLogger(__name__)

_TAIL_READ = 256


class TopicUnreadable(Exception):
    """The broker failed while a topic was read; the client may come back with its token."""


class Subscription:
    """One client's reading of a topic. `next` is for one caller; `close` when the client is gone."""

    def __init__(self, tail: Tail, filter: Filter, starts: Sequence[int], limits: Limits) -> None:
        self.filter = filter
        self._tail, self._limits = tail, limits
        self._floor = list(starts)  # live offers below it are not for this client
        self._delivered = list(starts)
        self._behind = {p: start for p, start in enumerate(starts) if start < tail.positions[p]}
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._failure: Exception | None = None

    def offer(self, delivery: Delivery) -> None:
        """A record from the tail that passed the filter."""
        partition = delivery.partition
        if partition in self._behind or delivery.offset < self._floor[partition]:
            return
        if self._full():
            self._behind[partition] = delivery.offset
        else:
            self._append(delivery)
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """The tail has ended; what is queued is still delivered."""
        self._failure = error
        self._wake.set()

    def close(self) -> None:
        self._tail.remove(self)

    async def next(self) -> str:
        """The push for the next record, with the token to resume after it."""
        while not self._queue:
            if self._failure is not None:
                raise TopicUnreadable(self._tail.topic) from self._failure
            if self._behind:
                await self._catch_up()
            else:
                self._wake.clear()
                await self._wake.wait()
        delivery = self._queue.popleft()
        self._queued_bytes -= delivery.size
        self._delivered[delivery.partition] = delivery.offset + 1
        return delivery.push(write_token(self._tail.topic, self._delivered))

    def _full(self) -> bool:
        return len(self._queue) >= self._limits.queue or self._queued_bytes >= self._limits.queue_bytes

    def _append(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._queued_bytes += delivery.size

    async def _catch_up(self) -> None:
        """Read one piece of the partition that has waited longest."""
        partition, start = next(iter(self._behind.items()))
        seen = self._tail.positions[partition]
        batch = await self._tail.broker.read(self._tail.topic, partition, start, self._limits.read)
        for stored in batch:
            delivery = Delivery.read(stored)
            if delivery is not None and delivery.matches(self.filter):
                self._append(delivery)
        # An empty answer: what lay before the tail is no longer there (retention, compaction).
        reached = batch[-1].offset + 1 if batch else max(start, seen)
        del self._behind[partition]
        if reached < self._tail.positions[partition]:
            self._behind[partition] = reached
        else:
            self._floor[partition] = reached
        await asyncio.sleep(0)  # a broker may answer without ever giving way


class Tail:
    """Reads the end of one topic for all its subscriptions.

    `positions` are the offsets that come next; they only change together with the fan-out.
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self.broker, self.topic = broker, topic
        self.positions = [end for _, end in broker.bounds(topic)]
        self._failed = False
        # By the first header of their filter, so that a record asks only those it may concern.
        self._groups: dict[tuple[str, str | None] | None, set[Subscription]] = {}
        self._pumps = [asyncio.create_task(self._pump(p)) for p in range(len(self.positions))]

    def add(self, subscription: Subscription) -> None:
        self._groups.setdefault(_group(subscription.filter), set()).add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription, and stop with the last one."""
        group = _group(subscription.filter)
        members = self._groups.get(group, set())
        members.discard(subscription)
        if not members:
            self._groups.pop(group, None)
        if not self._groups:
            self.stop()

    @property
    def usable(self) -> bool:
        return bool(self._groups) and not self._failed

    def stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()

    async def _pump(self, partition: int) -> None:
        try:
            while True:
                await self._advance(partition)
        except Exception as error:
            log.exception("topic %s, partition %d cannot be read", self.topic, partition)
            self._fail(error)

    async def _advance(self, partition: int) -> None:
        position = self.positions[partition]
        await self.broker.wait(self.topic, partition, position)
        end = self.broker.bounds(self.topic)[partition][1]
        batch = await self.broker.read(self.topic, partition, position, _TAIL_READ)
        for stored in batch:
            self._fan_out(stored)
            self.positions[partition] = stored.offset + 1
        if not batch:  # written and removed again before we came
            self.positions[partition] = max(position, end)

    def _fan_out(self, stored: Stored) -> None:
        delivery = Delivery.read(stored)
        if delivery is None:
            return
        for group in (None, *delivery.headers.items()):
            for subscription in self._groups.get(group, ()):
                if delivery.matches(subscription.filter):
                    subscription.offer(delivery)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        for subscription in itertools.chain.from_iterable(self._groups.values()):
            subscription.fail(error)
        self.stop()


def _group(filter: Filter) -> tuple[str, str | None] | None:
    return filter[0] if filter else None


class Tails:
    """The tails of one process: at most one per topic, while somebody reads it."""

    def __init__(self, broker: Broker, limits: Limits) -> None:
        self._broker, self._limits = broker, limits
        self._tails: dict[str, Tail] = {}

    def subscribe(self, topic: str, position: str, filter: Filter) -> Subscription:
        """Fix a client's start, at once. Raises ValueError for a position that is none."""
        starts = start_offsets(position, topic, self._broker.bounds(topic))
        tail = self._tails.get(topic)
        if tail is None or not tail.usable or len(tail.positions) != len(starts):
            tail = self._tails[topic] = Tail(self._broker, topic)
        subscription = Subscription(tail, filter, starts, self._limits)
        tail.add(subscription)
        return subscription
