"""Hashes of the ids of events that `by_id` does not hold yet.

Used by the store for deduplication and filled again from the file at the start. While a round of
indexing runs (see `indexing.py`), the ids that it moves stay in `moving` until the round is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def id_hash(topic: int, source: str, id: str) -> int:
    """63 bits that differ for the same id in another topic."""
    text = f"{topic}\0{source}\0{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


class RecentIds:
    """From a hash to the sequence numbers of the events that have it, in practice one."""

    def __init__(self) -> None:
        self._fresh: dict[int, int | tuple[int, ...]] = {}
        self._moving: dict[int, int | tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._fresh)

    def add(self, id_hash: int, seq: int) -> None:
        known = self._fresh.get(id_hash)
        self._fresh[id_hash] = seq if known is None else (*_several(known), seq)

    def get(self, id_hash: int) -> Sequence[int]:
        fresh, moving = self._fresh.get(id_hash), self._moving.get(id_hash)
        if fresh is None and moving is None:
            return ()
        return (*_several(moving), *_several(fresh))

    def begin_move(self) -> None:
        self._moving, self._fresh = self._fresh, {}

    def end_move(self) -> None:
        self._moving = {}


def _several(seqs: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if seqs is None:
        return ()
    return (seqs,) if isinstance(seqs, int) else seqs
