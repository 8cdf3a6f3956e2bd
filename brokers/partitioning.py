"""Which partition a key belongs to: Kafka's rule, so that every broker places a key alike.

Called by brokers for each event they append. The hash is the murmur2 of Kafka's Java client over the
key's UTF-8 bytes; `partition_of` equals its default partitioner for every key and partition count.
"""

from __future__ import annotations

from functools import lru_cache

_SEED, _MULTIPLIER, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned."""
    length = len(data)
    hashed = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        hashed = hashed * _MULTIPLIER & _MASK ^ word
    if whole < length:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _MASK
    return hashed ^ hashed >> 15


@lru_cache(maxsize=32768)
def key_hash(key: str) -> int:
    """The hash of a key, as a positive number; remembered, since keys repeat."""
    return murmur2(key.encode()) & 0x7FFFFFFF


def partition_of(key: str, partitions: int) -> int:
    return key_hash(key) % partitions
