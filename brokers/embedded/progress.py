"""What a group has finished in one partition, as a position and intervals beyond it.

Used by the store, which persists only the differences. The intervals are disjoint, sorted and never
touch each other or the position, so that a hundred thousand offsets finished beyond a stuck one
are a single pair of numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Finished:
    """All below `position`, and the offsets of the half-open intervals beyond it."""

    __slots__ = ("_ends", "_starts", "position")

    def __init__(self, position: int, beyond: Iterable[int] = ()) -> None:
        self.position = position
        self._starts: list[int] = []
        self._ends: list[int] = []
        for offset in beyond:
            self.add(offset)

    def __contains__(self, offset: int) -> bool:
        if offset < self.position:
            return True
        index = bisect_right(self._starts, offset)
        return index > 0 and offset < self._ends[index - 1]

    @property
    def scattered(self) -> bool:
        """Whether anything is finished beyond the position."""
        return bool(self._starts)

    def beyond(self) -> frozenset[int]:
        pairs = zip(self._starts, self._ends, strict=True)
        return frozenset(offset for start, end in pairs for offset in range(start, end))

    def add(self, offset: int) -> None:
        """Count `offset` as finished; nothing changes when it was already."""
        if offset in self:
            return
        if offset == self.position:
            self.skip_to(offset + 1)
        else:
            self._insert(offset)

    def _insert(self, offset: int) -> None:
        starts, ends = self._starts, self._ends
        index = bisect_right(starts, offset)
        after_left = index > 0 and ends[index - 1] == offset
        before_right = index < len(starts) and starts[index] == offset + 1
        if after_left and before_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif after_left:
            ends[index - 1] = offset + 1
        elif before_right:
            starts[index] = offset
        else:
            starts.insert(index, offset)
            ends.insert(index, offset + 1)

    def skip_to(self, offset: int) -> None:
        """All below `offset` are finished, and what follows without a gap."""
        if offset <= self.position:
            return
        passed = bisect_right(self._starts, offset)
        if passed:
            offset = max(offset, self._ends[passed - 1])
            del self._starts[:passed], self._ends[:passed]
        self.position = offset
