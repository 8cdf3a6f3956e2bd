"""How far a group is in a partition, and how that is kept in the metadata of a Kafka offset.

The committed offset is the lowest unfinished one; the finished ones beyond it are a bitmap, compressed,
in the offset's metadata. Brokers take 4096 characters of it: what does not fit waits, so the bitmap
bounds how far lanes run ahead of a stuck one. Offsets that hold no record (marks of transactions,
aborted or compacted records) count as finished.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable

from ..protocol import Progress

MOST_METADATA = 4096  # characters; the default of Kafka's offset.metadata.max.bytes
_VERSION = "t1:"


class Finished:
    """Mutable; bit i of `bits` stands for the offset `low` + i, and bit 0 is never set."""

    __slots__ = ("bits", "low")

    def __init__(self, low: int, bits: int = 0) -> None:
        self.low, self.bits = low, bits
        self._rise()

    def __contains__(self, offset: int) -> bool:
        return offset < self.low or bool(self.bits >> (offset - self.low) & 1)

    def copy(self) -> Finished:
        return Finished(self.low, self.bits)

    def add(self, offsets: Iterable[int]) -> None:
        for offset in offsets:
            if offset >= self.low:
                self.bits |= 1 << (offset - self.low)
        self._rise()

    def add_range(self, start: int, end: int) -> None:
        start = max(start, self.low)
        if start < end:
            self.bits |= ((1 << (end - start)) - 1) << (start - self.low)
            self._rise()

    def merge(self, other: Finished) -> None:
        self.add_range(self.low, other.low)
        self.bits |= other.bits >> (self.low - other.low)
        self._rise()

    def _rise(self) -> None:
        ones = ((self.bits + 1) & ~self.bits).bit_length() - 1  # how many of the lowest bits are set
        if ones:
            self.low += ones
            self.bits >>= ones

    def progress(self) -> Progress:
        text = bin(self.bits)[:1:-1]
        return Progress(self.low, frozenset(self.low + i for i, bit in enumerate(text) if bit == "1"))

    def metadata(self) -> str:
        if not self.bits:
            return ""
        packed = zlib.compress(self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little"))
        return _VERSION + base64.b85encode(packed).decode()


def read_finished(offset: int, metadata: str | None) -> Finished:
    """What was committed. Metadata that others wrote says nothing to us."""
    if not metadata or not metadata.startswith(_VERSION):
        return Finished(offset)
    try:
        packed = base64.b85decode(metadata[len(_VERSION) :])
        return Finished(offset, int.from_bytes(zlib.decompress(packed), "little"))
    except (ValueError, zlib.error):
        return Finished(offset)


def fits(finished: Finished) -> bool:
    return len(finished.metadata()) <= MOST_METADATA


def longest_prefix(finished: Finished, offsets: list[int]) -> int:
    """How many of the ascending offsets can be added so that the metadata still fits. Those that
    only raise `low` always can, so the lowest unfinished record is never held back."""

    def fits_with(count: int) -> bool:
        tried = finished.copy()
        tried.add(offsets[:count])
        return fits(tried)

    if fits_with(len(offsets)):
        return len(offsets)
    raising = 0
    while raising < len(offsets) and offsets[raising] <= finished.low + raising:
        raising += 1
    low, high = raising, len(offsets) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits_with(middle) else (low, middle - 1)
    return low
