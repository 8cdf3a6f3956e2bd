"""The truth of the embedded broker, and the transactions on it.

Called by the writer's thread only. What is held in memory (ends of partitions, progress, ids not
indexed yet) mirrors the file; a failed transaction makes it stale, and the next one loads it
again. Inside a transaction rows are only collected; `write` puts them into the file together.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...errors import NotFound
from ...record import Event
from ..protocol import Position, Progress, StateWrite, Stored, TopicConfig
from . import schema
from .ids import RecentIds
from .partition import Partition
from .progress import Finished
from .schema import OFFSET_BITS, PARTITION_BITS, insert_rows, listed

_INSERT_EVENTS = "INSERT OR FAIL INTO events(seq, part, off, ts, kh, ih, tomb, key, data) VALUES"
_EVENT_WIDTH = 9
_UPSERT_POSITIONS = (
    "INSERT INTO positions(pair, grp, part, off) VALUES ON CONFLICT(pair) DO UPDATE SET off=excluded.off"
)
_INSERT_BEYOND = "INSERT OR IGNORE INTO beyond(id) SELECT value FROM json_each(?)"
_DELETE_BEYOND = (
    "DELETE FROM beyond WHERE id IN (SELECT b.id FROM json_each(?) r CROSS JOIN beyond b"
    " ON b.id>=json_extract(r.value,'$[0]') AND b.id<json_extract(r.value,'$[1]'))"
)
_OLDER_IDS = "SELECT i.ih, i.seq FROM json_each(?) j CROSS JOIN by_id i ON i.ih=j.value"
_events = msgspec.msgpack.Decoder(Event)


class Entry(NamedTuple):
    """An event ready to be appended."""

    partition: Partition
    key: str | None
    key_hash: int | None
    id_hash: int
    tombstone: bool
    blob: bytes


class Delivery(NamedTuple):
    """Effects, with the outputs ready to be appended."""

    group: str
    partition: Partition
    offset: int
    outputs: Sequence[Entry]
    state: Sequence[StateWrite]


class Upkeep:
    """What maintenance knows of one partition (a row of `parts`)."""

    __slots__ = ("bytes", "cleaned", "first", "holes", "indexed")

    def __init__(self, first: int, indexed: int, cleaned: int, holes: int) -> None:
        self.first, self.indexed, self.cleaned, self.holes = first, indexed, cleaned, holes
        self.bytes: int | None = None  # counted for topics with retention.bytes only


class _Pair:
    """A group in a partition, and what the running transaction changes of it."""

    __slots__ = ("added", "began", "finished", "group", "id", "part", "scattered")

    def __init__(self, id: int, group: str, part: int, finished: Finished) -> None:
        self.id, self.group, self.part, self.finished = id, group, part, finished
        self.clear()

    def clear(self) -> None:
        self.began = self.finished.position
        self.scattered = self.finished.scattered
        self.added: list[int] = []


class Store:
    """One connection with its mirror in memory."""

    def __init__(self, folder: Path) -> None:
        self.connection = schema.connect(folder, cache_kib=8192)
        schema.prepare(self.connection)
        self.run_epoch = self._count("run")
        self.load()

    def _count(self, name: str) -> int:
        """Raise a counter of the file by one."""
        sql = "INSERT INTO meta VALUES(?, 1) ON CONFLICT(name) DO UPDATE SET value=value+1 RETURNING value"
        return int(self.connection.execute(sql, (name,)).fetchall()[0][0])

    # --- the mirror ------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the mirror from the file: at the start, and after a transaction that failed."""
        query = self.connection.execute
        self.topics: dict[int, tuple[TopicConfig, int]] = {
            id: (TopicConfig(name, count, msgspec.json.decode(config)), epoch)
            for id, name, epoch, count, config in query(
                "SELECT id, name, epoch, partitions, config FROM topics"
            )
        }
        self.seq: int = query(
            "SELECT max((SELECT coalesce(max(seq), 0)+1 FROM events),"
            " (SELECT coalesce(max(value), 0) FROM meta WHERE name='seq'))"
        ).fetchone()[0]
        self.last_time: int = query(
            "SELECT coalesce((SELECT ts FROM events ORDER BY seq DESC LIMIT 1), 0)"
        ).fetchone()[0]
        self.ends: dict[int, int] = {}
        self.upkeep: dict[int, Upkeep] = {}
        for part, first, least, *rest in query(
            "SELECT part, first, least_end, indexed, cleaned, holes FROM parts WHERE dropped=0"
        ).fetchall():
            self.upkeep[part] = Upkeep(first, *rest)
            last = query("SELECT max(off) FROM events WHERE part=?", (part,)).fetchone()[0]
            self.ends[part] = max(least, -1 if last is None else last + 1)
        self._load_pairs()
        self.ids = RecentIds()
        for part, upkeep in self.upkeep.items():
            tail = "SELECT ih, seq FROM events INDEXED BY by_offset WHERE part=? AND off>=?"
            for id_hash, seq in query(tail, (part, upkeep.indexed)):
                self.ids.add(id_hash, seq)
        self.clear()

    def _load_pairs(self) -> None:
        self.pairs: dict[tuple[str, int], _Pair] = {}
        self._last_pair = 0
        for id, group, part, offset in self.connection.execute("SELECT pair, grp, part, off FROM positions"):
            rows = self.connection.execute(
                f"SELECT id & {(1 << OFFSET_BITS) - 1} FROM beyond WHERE id>=? AND id<?",
                (id << OFFSET_BITS, id + 1 << OFFSET_BITS),
            )
            self.pairs[group, part] = _Pair(id, group, part, Finished(offset, (row[0] for row in rows)))
            self._last_pair = max(self._last_pair, id)

    def clear(self) -> None:
        """Forget what the last transaction collected."""
        self._rows: list[object] = []
        self.added: list[tuple[Partition, Stored]] = []
        self._touched: dict[int, _Pair] = {}
        self._state: dict[tuple[str, str], bytes | None] = {}
        self._older: dict[int, list[int]] = {}
        self._first_added = self.seq
        self.last_time = self._now = max(self.last_time, self.now())

    def now(self) -> int:
        return int(time.time() * 1000)

    # --- publishing ------------------------------------------------------------------------------

    def look_up(self, id_hashes: Iterable[int]) -> None:
        """Find indexed events with the ids that are about to be published, all in one query."""
        if any(upkeep.indexed for upkeep in self.upkeep.values()):
            for id_hash, seq in self.connection.execute(_OLDER_IDS, (listed(id_hashes),)).fetchall():
                self._older.setdefault(id_hash, []).append(seq)

    def publish(self, entries: Sequence[Entry]) -> Sequence[Position]:
        """All of one topic."""
        self._check_alive(entry.partition for entry in entries[:1])
        return [self._known(entry) or self._append(entry) for entry in entries]

    def _check_alive(self, partitions: Iterable[Partition]) -> None:
        """A topic may have been deleted since the call was made."""
        for partition in partitions:
            if partition.id not in self.ends:
                raise NotFound("topic", partition.topic, self.names())

    def _append(self, entry: Entry) -> Position:
        partition, key, key_hash, id_hash, tombstone, blob = entry
        part, seq = partition.id, self.seq
        offset = self.ends[part]
        self.ends[part], self.seq = offset + 1, seq + 1
        self._rows += (seq, part, offset, self._now, key_hash, id_hash, tombstone, key, blob)
        self.added.append(
            (partition, Stored(partition.topic, partition.number, offset, self._now, key, blob))
        )
        self.ids.add(id_hash, seq)
        size = self.upkeep[part].bytes
        if size is not None:
            self.upkeep[part].bytes = size + len(blob)
        return Position(partition.number, offset)

    def _known(self, entry: Entry) -> Position | None:
        """Where the topic holds this id already. Equal hashes are only a reason to look."""
        recent, older = self.ids.get(entry.id_hash), self._older.get(entry.id_hash, ())
        if not recent and not older:
            return None
        for seq in (*older, *recent):
            found = self._find(seq)
            if found is not None and found[0] == entry.partition.id >> PARTITION_BITS:
                mine, theirs = _events.decode(entry.blob), _events.decode(found[2])
                if (mine.source, mine.id) == (theirs.source, theirs.id):
                    return found[1]
        return None

    def _find(self, seq: int) -> tuple[int, Position, bytes] | None:
        """(topic, position, event) of a written event or one of this transaction."""
        if seq >= self._first_added:
            partition, stored = self.added[seq - self._first_added]
            return partition.id >> PARTITION_BITS, Position(partition.number, stored.offset), stored.blob
        row = self.connection.execute("SELECT part, off, data FROM events WHERE seq=?", (seq,)).fetchone()
        if row is None:
            return None
        part, offset, blob = row
        return part >> PARTITION_BITS, Position(part & (1 << PARTITION_BITS) - 1, offset), blob

    # --- finishing -------------------------------------------------------------------------------

    def commit(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._commit(delivery)

    def _commit(self, delivery: Delivery) -> None:
        group, partition, offset, outputs, state = delivery
        self._check_alive([partition])
        pair = self._pair(group, partition.id)
        if offset in pair.finished:
            return
        self._check_alive(entry.partition for entry in outputs)
        self._touched[pair.id] = pair
        self._pass_holes(pair)
        pair.finished.add(offset)
        pair.added.append(offset)
        for entry in outputs:
            self._append(entry)
        for unit, key, value in state:
            self._state[unit, key] = value

    def _pair(self, group: str, part: int) -> _Pair:
        pair = self.pairs.get((group, part))
        if pair is None:
            self._last_pair += 1
            pair = _Pair(self._last_pair, group, part, Finished(self.upkeep[part].first))
            self.pairs[group, part] = pair
        return pair

    def _pass_holes(self, pair: _Pair) -> None:
        """Offsets that exist no more count as finished."""
        holes = self.upkeep[pair.part].holes
        while (position := pair.finished.position) < holes:
            row = self.connection.execute(
                "SELECT off FROM events WHERE part=? AND off>=? ORDER BY off LIMIT 1", (pair.part, position)
            ).fetchone()
            following = min(holes, row[0]) if row else holes
            if following == position:
                break
            pair.finished.skip_to(following)

    def finished(self, group: str, part: int) -> Finished:
        pair = self.pairs.get((group, part))
        if pair is None:
            return Finished(self.upkeep[part].first)
        self._pass_holes(pair)
        return pair.finished

    def progress(self, group: str, partitions: Sequence[Partition]) -> Sequence[Progress]:
        self._check_alive(partitions)
        found = [self.finished(group, partition.id) for partition in partitions]
        return [Progress(finished.position, finished.beyond()) for finished in found]

    # --- into the file ---------------------------------------------------------------------------

    def write(self) -> None:
        """Everything that was collected, within the transaction of the caller."""
        insert_rows(self.connection, _INSERT_EVENTS, _EVENT_WIDTH, self._rows)
        if self._touched:
            self._write_progress()
        if self._state:
            self._write_state()

    def _write_progress(self) -> None:
        positions: list[object] = []
        passed: list[tuple[int, int]] = []
        beyond: list[int] = []
        for pair in self._touched.values():
            position, base = pair.finished.position, pair.id << OFFSET_BITS
            positions += (pair.id, pair.group, pair.part, position)
            if pair.scattered and position > pair.began:
                passed.append((base | pair.began, base | position))
            beyond += [base | offset for offset in pair.added if offset >= position]
            pair.clear()
        insert_rows(self.connection, _UPSERT_POSITIONS, 4, positions)
        if passed:
            self.connection.execute(_DELETE_BEYOND, (listed(passed),))
        if beyond:
            self.connection.execute(_INSERT_BEYOND, (listed(beyond),))

    def _write_state(self) -> None:
        removed = [pair for pair, value in self._state.items() if value is None]
        if removed:
            self.connection.executemany("DELETE FROM state WHERE unit=? AND key=?", removed)
        kept = [(*pair, value) for pair, value in self._state.items() if value is not None]
        flat = [field for row in kept for field in row]
        insert_rows(self.connection, "INSERT OR REPLACE INTO state(unit, key, value) VALUES", 3, flat)

    # --- topics ----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return [topic.name for topic, _ in self.topics.values()]

    def create_topic(self, topic: TopicConfig) -> tuple[int, int] | None:
        """(id, epoch) of the new topic; None when the name is taken."""
        if topic.name in self.names():
            return None
        query = self.connection.execute
        sql = "INSERT INTO epochs VALUES(?, 1) ON CONFLICT(name) DO UPDATE SET next=next+1 RETURNING next-1"
        epoch: int = query(sql, (topic.name,)).fetchall()[0][0]
        config = msgspec.json.encode(dict(topic.config)).decode()
        # Ids are never used twice: what is left of a dropped topic must not meet a new one.
        id = self._count("topic")
        query("INSERT INTO topics VALUES(?,?,?,?,?)", (id, topic.name, epoch, topic.partitions, config))
        self.topics[id] = topic, epoch
        for number in range(topic.partitions):
            part = schema.part_id(id, number)
            query("INSERT INTO parts VALUES(?,0,0,0,0,0,0)", (part,))
            self.ends[part], self.upkeep[part] = 0, Upkeep(0, 0, 0, 0)
        return id, epoch

    def delete_topic(self, name: str) -> None:
        """The topic and its groups' progress go now, its events bit by bit (see upkeep.py)."""
        id = next((id for id, (topic, _) in self.topics.items() if topic.name == name), None)
        if id is None:
            raise NotFound("topic", name, self.names())
        topic, _ = self.topics.pop(id)
        parts = {schema.part_id(id, number) for number in range(topic.partitions)}
        query = self.connection.execute
        query("DELETE FROM topics WHERE id=?", (id,))
        query(f"UPDATE parts SET dropped=1 WHERE part>>{PARTITION_BITS}=?", (id,))
        for group, part in [pair for pair in self.pairs if pair[1] in parts]:
            pair = self.pairs.pop((group, part))
            query("DELETE FROM positions WHERE pair=?", (pair.id,))
            bounds = (pair.id << OFFSET_BITS, pair.id + 1 << OFFSET_BITS)
            query("DELETE FROM beyond WHERE id>=? AND id<?", bounds)
        for part in parts:
            del self.ends[part], self.upkeep[part]

    def close(self) -> None:
        """All transactions are over: the file alone holds everything."""
        with suppress(sqlite3.Error):  # else the log stays, and the next run reads it
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.connection.close()
