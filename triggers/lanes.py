"""Lanes: which record of which key may be delivered next. Pure bookkeeping, no I/O and no clock.

Used by the dispatcher alone. A lane holds the unfinished records of one key (a null key: of one
record) and is in one place at a time: `ready`, resting until a time, `wanting` records that it does
not hold, or out with the dispatcher. What is loaded never exceeds `window`: a lane with more records
than its buffer takes, or one that rests, is parked. It knows where to read again and holds no record.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from ..brokers.protocol import Stored

LANE_BUFFER = 16  # records of one lane that are loaded behind its head
SCAN_AHEAD = 1 << 20  # how far reading goes past the lowest unfinished offset of a partition
MAX_LANES = 1 << 15  # open lanes, which beyond the window are resting ones, before reading stops


class Lane:
    """The unfinished records of one key in order: `head`, `buffer`, then `parked` ones, not loaded,
    from offset `resume` on. Without a head all are parked."""

    __slots__ = (
        "attempt", "buffer", "due", "error", "head", "key", "name", "offset", "parked", "partition",
        "resume", "state", "until",
    )  # fmt: skip

    def __init__(self, partition: Partition, name: str | int, stored: Stored) -> None:
        self.partition = partition
        self.name = name
        self.key = stored.key
        self.head: Stored | None = stored
        self.offset = stored.offset  # the head's; no record of the lane below it is unfinished
        self.buffer: deque[Stored] | None = None  # most lanes never need one
        self.parked = 0
        self.resume = 0
        self.attempt = 1
        self.error: str | None = None  # of the attempt before
        self.due: float | None = None  # while resting
        self.until = 0.0  # when the running attempt is timed out
        self.state: bytes | None = None

    @property
    def behind(self) -> int:
        """How many records wait for the first one."""
        return (self.head is not None) + len(self.buffer or ()) + self.parked - 1


class Partition:
    """A partition of the topic: offsets below `scan` were seen, those in `beyond` finished earlier."""

    __slots__ = ("_beyond_end", "_floor", "_lowest", "beyond", "index", "lanes", "scan")

    def __init__(self, index: int, offset: int, beyond: frozenset[int] = frozenset()) -> None:
        self.index = index
        self.scan = offset
        self.beyond = beyond
        self.lanes: dict[str | int, Lane] = {}  # by key; by offset where the key is null
        self._beyond_end = max(beyond, default=-1)
        self._floor = offset
        self._lowest: Lane | None = None

    def too_far_ahead(self) -> bool:
        """Whether the scan must wait for the lowest unfinished record."""
        if self.scan - self._floor <= SCAN_AHEAD:  # floors only rise: an old one is on the safe side
            return False
        low = self._lowest
        if low is None or low.offset != self._floor or self.lanes.get(low.name) is not low:
            self._lowest = low = min(self.lanes.values(), key=lambda lane: lane.offset, default=None)
            self._floor = low.offset if low else self.scan
        return self.scan - self._floor > SCAN_AHEAD

    def close(self, lane: Lane) -> None:
        del self.lanes[lane.name]
        if self.beyond and not self.lanes and self.scan > self._beyond_end:
            self.beyond = frozenset()


class Lanes:
    """All lanes of one dispatcher. `loaded` counts a record from its reading until `release`."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.partitions: list[Partition] = []
        self.ready: deque[Lane] = deque()
        self.wanting: deque[Lane] = deque()
        self.loaded = 0
        self.reserved = 0  # room given to reads that are under way
        self._buffered = 0  # how many of the loaded are behind a head
        self._resting: list[tuple[float, int, Lane]] = []
        self._rests = 0

    def __iter__(self) -> Iterator[Lane]:
        return (lane for partition in self.partitions for lane in partition.lanes.values())

    def crowded(self) -> bool:
        return sum(len(partition.lanes) for partition in self.partitions) > MAX_LANES

    def room(self, starving: bool) -> int:
        """How many records may be read now. While lanes are ready, reading waits until it is worth
        its cost. `starving`: the subscriber would take records of other keys."""
        free = self.window - self.loaded - self.reserved
        if self.ready:
            return free if free >= max(1, self.window // 4) else 0
        if free <= 0 and starving and self._buffered:
            self._park_buffers()  # records behind slow heads must not keep other keys out
            free = self.window - self.loaded - self.reserved
        return max(0, free)

    def release(self, count: int) -> None:
        """Finished records are durable (or were dropped): their room is free."""
        self.loaded -= count

    # --- records come in ----------------------------------------------------------------------------

    def offer(self, partition: Partition, stored: Stored) -> Lane | None:
        """Take in a scanned record. Returns its lane when that is new: make it ready."""
        name = stored.offset if stored.key is None else stored.key
        lane = partition.lanes.get(name)
        if lane is None:
            partition.lanes[name] = lane = Lane(partition, name, stored)
            self.loaded += 1
            return lane
        if lane.parked or (lane.buffer is not None and len(lane.buffer) >= LANE_BUFFER):
            if not lane.parked:
                lane.resume = stored.offset
            lane.parked += 1
            return None
        if lane.buffer is None:
            lane.buffer = deque()
        lane.buffer.append(stored)
        self._buffered += 1
        self.loaded += 1
        return None

    def wanted(self, lane: Lane, room: int) -> int:
        """How many records to read for a lane: one where it may fail again, else a fair share."""
        if lane.attempt > 1:
            return 1
        return max(1, min(LANE_BUFFER, lane.parked, room // (len(self.wanting) + 1)))

    def refill(self, lane: Lane, records: Sequence[Stored], resume: int, unparked: int) -> bool:
        """Records of a parked lane are here; what is still parked begins at `resume`. False when
        there were none, and none are left: the lane is closed."""
        lane.resume = resume
        lane.parked -= unparked
        if not records:
            if not lane.parked:
                lane.partition.close(lane)
            return False
        lane.head = records[0]
        if lane.offset != records[0].offset:
            self._first_attempt(lane, records[0].offset)
        lane.buffer = deque(records[1:]) if len(records) > 1 else None
        self.loaded += len(records)
        self._buffered += len(records) - 1
        return True

    # --- lanes move ---------------------------------------------------------------------------------

    def advance(self, lane: Lane) -> None:
        """The head is finished: the next record, in its turn, or the end of the lane."""
        if lane.buffer:
            lane.head = lane.buffer.popleft()
            self._buffered -= 1
            self._first_attempt(lane, lane.head.offset)
            self.ready.append(lane)
        elif lane.parked:
            lane.head = None
            self._first_attempt(lane, lane.resume)
            self.wanting.append(lane)
        else:
            lane.partition.close(lane)

    def rest(self, lane: Lane, due: float) -> None:
        """The head is tried again at `due`. Until then the lane holds no record."""
        self._park(lane, lane.offset)
        lane.due = due
        lane.state = None
        self._rests += 1  # keeps the order of those with the same time
        heapq.heappush(self._resting, (due, self._rests, lane))

    def wake(self, now: float) -> float | None:
        """Lanes that rested long enough want their head again. Returns when the next one will."""
        resting = self._resting
        while resting and resting[0][0] <= now:
            lane = heapq.heappop(resting)[2]
            lane.due = None
            self.wanting.append(lane)
        return resting[0][0] if resting else None

    def _first_attempt(self, lane: Lane, offset: int) -> None:
        lane.offset = offset
        lane.attempt = 1
        lane.error = None

    def _park_buffers(self) -> None:
        for lane in self:
            self._park_behind(lane)

    def _park(self, lane: Lane, offset: int) -> None:
        self._park_behind(lane)
        lane.head = None
        lane.parked += 1
        lane.resume = offset
        self.loaded -= 1

    def _park_behind(self, lane: Lane) -> None:
        if lane.buffer:
            lane.resume = lane.buffer[0].offset
            lane.parked += len(lane.buffer)
            self._buffered -= len(lane.buffer)
            self.loaded -= len(lane.buffer)
        lane.buffer = None
