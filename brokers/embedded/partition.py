"""A partition as the event loop sees it: what is durable, its newest events, and who waits for more.

Used by the broker, on the loop's thread only. The writer reads the fields that never change. The cache
holds the newest events of all partitions together within one budget of bytes, so that a consumer at
the head never touches the disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from ..protocol import Stored

_OVERHEAD = 400  # bytes that an event costs in the cache beside its blob


class Partition:
    """Offsets from `first` to `end`; the cache covers all that exists from `cached_from` on."""

    __slots__ = ("arrival", "cached", "cached_from", "end", "first", "id", "indexed", "number", "topic")

    def __init__(self, id: int, topic: str, number: int) -> None:
        self.id, self.topic, self.number = id, topic, number
        self.cached: dict[int, Stored] = {}
        self.arrival: asyncio.Future[None] | None = None
        self.resume(0, 0, 0)

    def resume(self, first: int, end: int, indexed: int) -> None:
        """Begin where an earlier run left off."""
        self.first, self.end, self.indexed = first, end, indexed
        self.cached_from = end

    def newest(self, offset: int, limit: int) -> Sequence[Stored]:
        """Cached events from `offset` on, which must not lie before `cached_from`."""
        found: list[Stored] = []
        cached = self.cached
        while offset < self.end and len(found) < limit:
            stored = cached.get(offset)
            if stored is not None:  # else compaction took it
                found.append(stored)
            offset += 1
        return found

    def forget(self, offsets: Iterable[int]) -> None:
        """These events exist no more."""
        for offset in offsets:
            self.cached.pop(offset, None)

    def announce(self) -> None:
        if self.arrival is not None:
            self.arrival.set_result(None)
            self.arrival = None


class Cache:
    """The budget that all partitions share; the oldest event goes first."""

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._order: deque[tuple[Partition, int, int]] = deque()

    def add(self, partition: Partition, stored: Stored) -> None:
        offset, size = stored.offset, len(stored.blob) + _OVERHEAD
        partition.cached[offset] = stored
        partition.end = offset + 1
        self._order.append((partition, offset, size))
        self._left -= size
        while self._left < 0:
            oldest, offset, size = self._order.popleft()
            oldest.cached.pop(offset, None)
            oldest.cached_from = offset + 1
            self._left += size
