"""Reading: brings the records of a topic from the broker to their lanes.

Works for one dispatcher: a task per partition scans forward, one more brings back what parked lanes
let go. All share the room of the window, each in its turn. Invariants: a record is read ahead of
others of its key only when those are finished; an offset below `scan` is finished or in a lane.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Protocol

from ..brokers.protocol import Broker, StateWrite, Stored
from ..record import Event
from .lanes import Lane, Lanes, Partition

READ_LIMIT = 128  # records of one read


class Owner(Protocol):
    """What reading needs of the dispatcher."""

    def starving(self) -> bool:
        """Whether the subscriber would take more than is ready."""
        ...

    def unwanted(self, records: Sequence[Stored]) -> None:
        """The filter refused these: they are finished."""
        ...

    def settle(self) -> None:
        """Lanes have changed."""
        ...


class PendingState:
    """Per-key state of a unit, as the commits that are under way will leave it."""

    def __init__(self, broker: Broker, unit: str) -> None:
        self._broker, self._unit = broker, unit
        self._pending: dict[str, tuple[int, bytes | None]] = {}  # how many commits, the last value

    def submitted(self, write: StateWrite) -> None:
        under_way, _ = self._pending.get(write.key, (0, None))
        self._pending[write.key] = (under_way + 1, write.value)

    def durable(self, write: StateWrite) -> None:
        under_way, value = self._pending.pop(write.key)
        if under_way > 1:
            self._pending[write.key] = (under_way - 1, value)

    async def read(self, lanes: Sequence[Lane]) -> None:
        """Nothing can write the state of these keys meanwhile: their lanes are held by the caller."""
        unknown: dict[str, Lane] = {}
        for lane in lanes:
            if lane.key in self._pending:
                lane.state = self._pending[lane.key][1]
            elif lane.key is not None:
                unknown[lane.key] = lane
        if unknown:
            found = await self._broker.state(self._unit, list(unknown))
            for key, lane in unknown.items():
                lane.state = found.get(key)


class Reader:
    """The tasks that read, for `owner`."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        lanes: Lanes,
        owner: Owner,
        filter: Callable[[Event], bool] | None,
        state: PendingState | None,
    ) -> None:
        self._broker, self._topic, self._lanes, self._owner = broker, topic, lanes, owner
        self._filter, self._state = filter, state
        self._queue: deque[asyncio.Future[int]] = deque()  # of those that wait for room
        self._moved = asyncio.Event()
        self._wanted = asyncio.Event()

    def tasks(self) -> Iterator[Coroutine[None, None, None]]:
        for partition in self._lanes.partitions:
            yield self._scan(partition)
        yield self._bring_back()

    def lanes_changed(self) -> None:
        """Go on where room or work has come up."""
        self._moved.set()
        if self._lanes.wanting:
            self._wanted.set()
        self._grant_room()

    # --- forward ------------------------------------------------------------------------------------

    async def _scan(self, partition: Partition) -> None:
        while True:
            await self._broker.wait(self._topic, partition.index, partition.scan)
            while partition.too_far_ahead() or self._lanes.crowded():
                self._moved.clear()
                await self._moved.wait()
            room = await self._reserve()
            while room:
                room = await self._read_on(partition, room)

    async def _read_on(self, partition: Partition, room: int) -> int:
        """Read as much as there is room for. Returns the room that is left: records of parked lanes
        take none, so a partition full of them reads on and keeps its share of the window."""
        lanes, end = self._lanes, self._broker.bounds(self._topic)[partition.index][1]
        records = await self._broker.read(self._topic, partition.index, partition.scan, room)
        lanes.reserved -= room
        # An empty read below the end: these offsets are gone (compacted, out of retention).
        partition.scan = records[-1].offset + 1 if records else end
        loaded = lanes.loaded
        new = self._take_in(partition, records)
        left = room - (lanes.loaded - loaded)
        if len(records) < room or left < READ_LIMIT // 8 or partition.too_far_ahead():
            left = 0
        lanes.reserved += left
        await self._make_ready(new)
        if len(records) == room:
            await asyncio.sleep(0)  # a long backlog leaves the others their turn
        return left

    def _take_in(self, partition: Partition, records: Sequence[Stored]) -> list[Lane]:
        """Give the records to their lanes; returns the new lanes."""
        if partition.beyond:
            records = [stored for stored in records if stored.offset not in partition.beyond]
        if self._filter is not None:
            unwanted = [stored for stored in records if not self._wants(stored)]
            if unwanted:
                self._owner.unwanted(unwanted)
                gone = {stored.offset for stored in unwanted}
                records = [stored for stored in records if stored.offset not in gone]
        lanes = self._lanes
        return [lane for stored in records if (lane := lanes.offer(partition, stored)) is not None]

    def _wants(self, stored: Stored) -> bool:
        return self._filter is None or self._filter(stored.event())

    async def _make_ready(self, lanes: Sequence[Lane]) -> None:
        if self._state is not None and lanes:
            await self._state.read(lanes)
        self._lanes.ready.extend(lanes)
        self._owner.settle()

    # --- back ---------------------------------------------------------------------------------------

    async def _bring_back(self) -> None:
        """Read the records of lanes that do not hold theirs."""
        while True:
            while not self._lanes.wanting:
                self._wanted.clear()
                await self._wanted.wait()
            batch = self._share_out(await self._reserve())
            found = await asyncio.gather(*(self._fetch(lane, limit) for lane, limit in batch))
            await self._make_ready([lane for (lane, _), there in zip(batch, found, strict=True) if there])

    def _share_out(self, room: int) -> list[tuple[Lane, int]]:
        """The lanes to read for now, and how many records of each."""
        lanes, batch = self._lanes, []
        while lanes.wanting and room:
            lane = lanes.wanting.popleft()
            limit = min(room, lanes.wanted(lane, room))
            batch.append((lane, limit))
            room -= limit
        lanes.reserved -= room
        return batch

    async def _fetch(self, lane: Lane, limit: int) -> bool:
        """The next records of a parked lane; False when there are none."""
        lanes, partition, there = self._lanes, lane.partition, False
        while lane.parked and not there:
            before, parked = partition.scan, lane.parked
            records = await self._read_lane(lane, before, limit)
            kept = [s for s in records if s.offset not in partition.beyond and self._wants(s)]
            if len(records) < limit:  # all below `before` was seen: what is parked then came since
                there = lanes.refill(lane, kept, before, parked)
            else:
                there = lanes.refill(lane, kept, records[-1].offset + 1, len(kept))
        lanes.reserved -= limit
        return there

    async def _read_lane(self, lane: Lane, before: int, limit: int) -> Sequence[Stored]:
        index = lane.partition.index
        if lane.key is not None:
            return await self._broker.read_key(self._topic, index, lane.key, lane.resume, before, limit)
        found = await self._broker.read(self._topic, index, lane.offset, 1)
        return [stored for stored in found if stored.offset == lane.offset]

    # --- room ---------------------------------------------------------------------------------------

    async def _reserve(self) -> int:
        """Wait for room to read, and take it."""
        reader: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(reader)
        self._grant_room()
        return await reader

    def _grant_room(self) -> None:
        while self._queue:
            room = self._lanes.room(self._owner.starving())
            if not room:
                return
            reader = self._queue.popleft()
            if not reader.done():  # else its task was cancelled
                limit = min(room, READ_LIMIT)
                self._lanes.reserved += limit
                reader.set_result(limit)
