"""A broker double: topics in memory, with the semantics of `brokers/protocol.py` and nothing else.

It stands in for a real broker where virtual time is wanted, or a crash between two instructions.
`Disk` is what survives; a `MemoryBroker` is one run on it. It refuses what no dispatcher may do:
to finish an offset twice.
"""

from __future__ import annotations

import asyncio
import bisect
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tidemill.brokers.protocol import Effects, Position, Progress, Stored, TopicConfig
from tidemill.errors import NotFound
from tidemill.record import Event

_encode = msgspec.msgpack.Encoder().encode


def partition_of_key(key: str, partitions: int) -> int:
    return zlib.crc32(key.encode()) % partitions


@dataclass
class Log:
    """One partition."""

    records: list[Stored] = field(default_factory=list)
    by_key: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)


@dataclass
class Group:
    """How far a group is in one partition."""

    low: int = 0
    beyond: set[int] = field(default_factory=set)

    def finish(self, offset: int) -> None:
        assert offset >= self.low, f"offset {offset} is finished twice"
        assert offset not in self.beyond, f"offset {offset} is finished twice"
        self.beyond.add(offset)
        while self.low in self.beyond:
            self.beyond.remove(self.low)
            self.low += 1


class Disk:
    """Topics, groups and state: what is there after a crash."""

    def __init__(self) -> None:
        self.configs: dict[str, TopicConfig] = {}
        self.logs: dict[str, list[Log]] = {}
        self.ids: dict[str, dict[tuple[str, str], Position]] = {}
        self.groups: dict[tuple[str, str, int], Group] = defaultdict(Group)
        self.state: dict[tuple[str, str], bytes] = {}
        self.lost: list[asyncio.Future[None]] = []  # calls that never return

    def append(self, topic: str, event: Event) -> Position:
        if topic not in self.logs:
            raise NotFound("topic", topic, self.logs)
        known = self.ids[topic].get((event.source, event.id))
        if known is not None:
            return known
        logs, key = self.logs[topic], event.partition_key
        index = partition_of_key(event.id if key is None else key, len(logs))
        log = logs[index]
        at = Position(index, len(log.records))
        log.records.append(Stored(topic, index, at.offset, 0, key, _encode(event)))
        if key is not None:
            log.by_key[key].append(at.offset)
        self.ids[topic][event.source, event.id] = at
        for offset, waiter in log.waiters:
            if at.offset >= offset and not waiter.done():
                waiter.set_result(None)
        log.waiters = [entry for entry in log.waiters if not entry[1].done()]
        return at

    def apply(self, effects: Effects) -> None:
        self.groups[effects.group, effects.topic, effects.partition].finish(effects.offset)
        for topic, event in effects.outputs:
            self.append(topic, event)
        for write in effects.state:
            if write.value is None:
                self.state.pop((write.unit, write.key), None)
            else:
                self.state[write.unit, write.key] = write.value

    def all(self, topic: str) -> list[Stored]:
        return [stored for log in self.logs[topic] for stored in log.records]


class MemoryBroker:
    """One run on a disk. `latency` gives the seconds of each commit, `reading` those of each read."""

    def __init__(
        self,
        disk: Disk | None = None,
        latency: Callable[[], float] | None = None,
        reading: Callable[[], float] | None = None,
    ) -> None:
        self.disk = disk or Disk()
        self._latency, self._reading = latency, reading
        self._queue: deque[tuple[Sequence[Effects], asyncio.Future[None]]] = deque()
        self._durable_at = 0.0
        self._dead = False
        self.commits = 0

    def crash(self) -> None:
        """Nothing of this run is written any more; its calls never return."""
        self._dead = True

    async def create_topic(self, topic: TopicConfig) -> bool:
        if topic.name in self.disk.configs:
            return False
        self.disk.configs[topic.name] = topic
        self.disk.logs[topic.name] = [Log() for _ in range(topic.partitions)]
        self.disk.ids[topic.name] = {}
        return True

    async def delete_topic(self, name: str) -> None:
        del self.disk.configs[name], self.disk.logs[name], self.disk.ids[name]

    def topics(self) -> Mapping[str, TopicConfig]:
        return self.disk.configs

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        return [self.disk.append(topic, event) for event in events]

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        await self._pause()
        return self.disk.logs[topic][partition].records[offset : offset + limit]

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        await self._pause()
        log = self.disk.logs[topic][partition]
        offsets = log.by_key[key]
        begin = bisect.bisect_left(offsets, offset)
        return [log.records[at] for at in offsets[begin : begin + limit] if at < before]

    async def _pause(self) -> None:
        if self._reading is not None:
            await asyncio.sleep(self._reading())

    def bounds(self, topic: str) -> Sequence[tuple[int, int]]:
        return [(0, len(log.records)) for log in self.disk.logs[topic]]

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        log = self.disk.logs[topic][partition]
        while len(log.records) <= offset:
            waiter = asyncio.get_running_loop().create_future()
            log.waiters.append((offset, waiter))
            await waiter

    async def progress(self, group: str, topic: str) -> Sequence[Progress]:
        found = [self.disk.groups[group, topic, index] for index in range(len(self.disk.logs[topic]))]
        return [Progress(at.low, frozenset(at.beyond)) for at in found]

    async def commit(self, effects: Sequence[Effects]) -> None:
        self.commits += 1
        loop = asyncio.get_running_loop()
        durable = loop.create_future()
        self._queue.append((effects, durable))
        if self._latency is None:
            self._write_next()
        else:
            self._durable_at = max(self._durable_at, loop.time() + self._latency())
            loop.call_at(self._durable_at, self._write_next)
        await durable

    def _write_next(self) -> None:
        effects, durable = self._queue.popleft()
        if self._dead:
            self.disk.lost.append(durable)
            return
        for one in effects:
            self.disk.apply(one)
        if not durable.done():
            durable.set_result(None)

    async def state(self, unit: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        await self._pause()
        return {key: self.disk.state[unit, key] for key in keys if (unit, key) in self.disk.state}

    async def close(self) -> None: ...
