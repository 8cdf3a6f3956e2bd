"""The broker of the local platform: sqlite, one writer thread, group commit.

Opened by `local/` with `EmbeddedBroker.open(folder)` in the event loop that uses it. Calls become
entries on the loop's thread, are written by the writer in the order of the calls, and return when
they are durable. What the loop sees of a partition (`Partition`) is never ahead of the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...errors import BrokerUnavailable, NotFound
from ...record import VALUE, Event
from ..partitioning import key_hash
from ..protocol import Broker, Effects, Position, Progress, Stored, TopicConfig
from . import schema
from .folder import FolderLock
from .ids import id_hash
from .partition import Cache, Partition
from .schema import listed
from .store import Delivery, Entry, Store
from .writer import Added, Call, Writer

__all__ = ["EmbeddedBroker"]

_CACHE_BYTES = 8 << 20
_MOST_READ = 512  # events from disk in one call: the loop stands still for them
# A thread that computes keeps the interpreter's lock for an interval before the writer, back from
# sqlite, gets it. Python's default of 5 ms would be ten times a transaction.
_SWITCH_INTERVAL = 0.0005
_STATE = "SELECT key, value FROM state WHERE unit=? AND key IN (SELECT value FROM json_each(?))"


class _Topic:
    """A topic of this run."""

    __slots__ = ("config", "epoch", "id", "partitions", "turn")

    def __init__(self, id: int, config: TopicConfig, epoch: int, partitions: list[Partition]) -> None:
        self.id, self.config, self.epoch, self.partitions = id, config, epoch, partitions
        self.turn = 0  # the next partition for an event without key


class EmbeddedBroker(Broker):
    """See `protocol.Broker`. `run_epoch` is larger in each run on the same state."""

    def __init__(self, folder: Path) -> None:
        """Called by `open`."""
        self._lock = FolderLock(folder)
        try:
            store = Store(folder)
            self._reader = schema.connect(folder)
        except BaseException:
            self._lock.release()
            raise
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL))
        self.run_epoch = store.run_epoch
        self._store = store  # for calls in the writer's thread
        self._encode = msgspec.msgpack.Encoder().encode
        self._cache = Cache(_CACHE_BYTES)
        self._topics: dict[str, _Topic] = {}
        self._by_id: dict[int, Partition] = {}
        self._live: dict[str, set[str]] = {}
        self._closed = False
        for id, (topic, epoch) in store.topics.items():
            self._add_topic(id, topic, epoch)
        for partition in self._by_id.values():
            known = store.upkeep[partition.id]
            partition.resume(known.first, store.ends[partition.id], known.indexed)
        self._writer = Writer(folder, store, self._arrived, self._indexed)

    @classmethod
    async def open(cls, folder: Path) -> EmbeddedBroker:
        """Lock the folder and open what it holds. Raises StateInUse and NewerVersion."""
        try:
            return cls(folder)
        except sqlite3.Error as error:
            raise BrokerUnavailable(f"cannot open the state in {folder}: {error}") from error

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        for partition in self._by_id.values():
            partition.announce()
        self._reader.close()
        self._store.close()
        self._lock.release()

    # --- topics ----------------------------------------------------------------------------------

    async def create_topic(self, topic: TopicConfig) -> bool:
        made = await self._control(lambda: self._store.create_topic(topic))
        if made is not None:
            id, epoch = made
            self._add_topic(id, topic, epoch)
        return made is not None

    async def delete_topic(self, name: str) -> None:
        self._topic(name)
        await self._control(lambda: self._store.delete_topic(name))
        for partition in self._topics.pop(name).partitions:
            del self._by_id[partition.id]
            partition.cached.clear()
            partition.announce()
        self._live.pop(name, None)

    def topics(self) -> Mapping[str, TopicConfig]:
        return {name: topic.config for name, topic in self._topics.items()}

    def epoch(self, topic: str) -> int:
        """0, and one more each time the topic was deleted and made again."""
        return self._topic(topic).epoch

    def bounds(self, topic: str) -> Sequence[tuple[int, int]]:
        return [(partition.first, partition.end) for partition in self._topic(topic).partitions]

    def _add_topic(self, id: int, config: TopicConfig, epoch: int) -> None:
        partitions = [
            Partition(schema.part_id(id, number), config.name, number) for number in range(config.partitions)
        ]
        self._by_id.update((partition.id, partition) for partition in partitions)
        self._topics[config.name] = _Topic(id, config, epoch, partitions)

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            raise NotFound("topic", name, self._topics)
        return topic

    def _partition(self, topic: str, number: int) -> Partition:
        partitions = self._topic(topic).partitions
        if not 0 <= number < len(partitions):
            raise NotFound(f"partition of topic {topic}", str(number), map(str, range(len(partitions))))
        return partitions[number]

    # --- writing ---------------------------------------------------------------------------------

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        entries = [self._entry(topic, event) for event in events]
        positions: Sequence[Position] = await self._submit(entries=entries)
        return positions

    async def commit(self, effects: Sequence[Effects]) -> None:
        await self._submit(deliveries=[self._delivery(each) for each in effects])

    def _entry(self, name: str, event: Event) -> Entry:
        topic = self._topic(name)
        attributes = event.attributes
        key = attributes.get("partitionkey")
        if key is None:
            hashed, number = None, topic.turn
            topic.turn = (number + 1) % len(topic.partitions)
        else:
            hashed = key_hash(key)
            number = hashed % len(topic.partitions)
        return Entry(
            topic.partitions[number],
            key,
            hashed,
            id_hash(topic.id, attributes["source"], attributes["id"]),
            not event.data and VALUE not in attributes,
            self._encode(event),
        )

    def _delivery(self, effects: Effects) -> Delivery:
        group, topic, partition, offset, outputs, state = effects
        for write in state:
            write.key.encode()  # half a character pair fails here, not the whole transaction
        entries = [self._entry(name, event) for name, event in outputs]
        return Delivery(group, self._partition(topic, partition), offset, entries, state)

    def _submit(self, **what: Any) -> asyncio.Future[Any]:
        if self._closed:
            raise BrokerUnavailable("it is closed")
        return self._writer.submit(Call(asyncio.get_running_loop().create_future(), **what))

    async def _control(self, run: Any) -> Any:
        """Run a function of the store in a transaction of its own."""
        return await self._submit(run=run)

    def _arrived(self, added: Added) -> None:
        for partition, stored in added:
            self._cache.add(partition, stored)
        for partition, _ in added:
            partition.announce()

    def _indexed(self, ends: Mapping[int, int]) -> None:
        for part, end in ends.items():
            if part in self._by_id:
                self._by_id[part].indexed = end

    # --- reading ---------------------------------------------------------------------------------

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        place = self._partition(topic, partition)
        if offset >= place.end:
            return []
        if offset >= place.cached_from:
            return place.newest(offset, limit)
        rows = self._query(schema.READ, (place.id, offset, place.end, min(limit, _MOST_READ)))
        return [Stored(topic, partition, *row) for row in rows]

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        place, hashed = self._partition(topic, partition), key_hash(key)
        before, limit = min(before, place.end), min(limit, _MOST_READ)
        middle = min(max(place.indexed, offset), before)
        rows = []
        if offset < middle:
            rows = self._query(schema.READ_KEY, (place.id, hashed, offset, middle, key, limit))
        if len(rows) < limit:
            rest = (place.id, hashed, middle, before, key, limit - len(rows))
            rows += self._query(schema.READ_KEY_UNINDEXED, rest)
        return [Stored(topic, partition, *row) for row in rows]

    def _query(self, sql: str, parameters: tuple[object, ...]) -> list[Any]:
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise BrokerUnavailable(str(error)) from error

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        place = self._partition(topic, partition)
        while place.end <= offset:
            if place.arrival is None:
                place.arrival = asyncio.get_running_loop().create_future()
            await asyncio.shield(place.arrival)
            if self._closed:
                raise BrokerUnavailable("it is closed")
            self._partition(topic, partition)  # which may be deleted by now

    async def progress(self, group: str, topic: str) -> Sequence[Progress]:
        partitions = self._topic(topic).partitions
        found: Sequence[Progress] = await self._control(lambda: self._store.progress(group, partitions))
        return found

    async def state(self, unit: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        return dict(self._query(_STATE, (unit, listed(keys))))

    # --- maintenance -----------------------------------------------------------------------------

    def hold(self, group: str, topic: str) -> None:
        """From now on, nothing of the topic goes before this group has finished it."""
        self._topic(topic)
        self._live.setdefault(topic, set()).add(group)

    def release(self, group: str, topic: str) -> None:
        """The group reads no more; retention need not wait for it."""
        self._live.get(topic, set()).discard(group)

    async def maintain(self) -> bool:
        """A bounded step of retention, compaction and removal of deleted topics; the owner calls this
        every now and then, and again soon when it returns True."""
        live = {topic: frozenset(groups) for topic, groups in self._live.items()}
        more, removals = await self._control(lambda: self._writer.maintain(live))
        for part, first, offsets in removals:
            partition = self._by_id.get(part)
            if partition is not None:
                partition.first = max(partition.first, first)
                partition.forget(offsets)
        return bool(more)
