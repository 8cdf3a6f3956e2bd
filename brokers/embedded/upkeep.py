"""Retention and compaction, in bounded steps.

Called by the writer when the owner asks for maintenance, each time within one transaction. Nothing
goes that a live group has not finished: a step stops at the lowest position of those groups.
Compaction walks forward once over each partition and removes what the event under its cursor
supersedes, so that its work grows with new events, not with the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..faults import fault
from ..protocol import TopicConfig
from . import schema
from .schema import listed
from .store import Store

_STEP = 500  # events that one call looks at
_WEEK, _DAY = 7 * 86_400_000, 86_400_000
_SUPERSEDED = (
    "SELECT DISTINCT o.seq, o.off FROM events n"
    " CROSS JOIN by_key k ON k.part=n.part AND k.kh=n.kh AND k.off<n.off"
    " CROSS JOIN events o ON o.seq=k.seq AND o.key=n.key WHERE n.part=? AND n.off>=? AND n.off<?"
)
_OF = "(SELECT value FROM json_each(?))"
_REMOVE = (
    f"DELETE FROM by_id WHERE (ih, seq) IN (SELECT ih, seq FROM events WHERE seq IN {_OF})",
    "DELETE FROM by_key WHERE (part, kh, off, seq) IN"
    f" (SELECT part, kh, off, seq FROM events WHERE kh IS NOT NULL AND seq IN {_OF})",
    f"DELETE FROM events WHERE seq IN {_OF}",
)


class Removal(NamedTuple):
    """What a step took from one partition."""

    part: int
    first: int
    offsets: Sequence[int]


def step(store: Store, live: Mapping[str, Iterable[str]]) -> list[Removal]:
    """One step of everything, at most `_STEP` events looked at per kind; empty when nothing is left."""
    now = store.now()
    removals: list[Removal] = []
    for part, topic in _parts(store):
        if len(removals) * 100 >= _STEP or sum(len(removal.offsets) for removal in removals) >= _STEP:
            break
        limit = min(
            (store.finished(group, part).position for group in live.get(topic.name, ())),
            default=store.ends[part],
        )
        policy = topic.config.get("cleanup.policy", "delete")
        if "delete" in policy:
            removals += _retain(store, part, topic.config, limit, now)
        if "compact" in policy:
            removals += _compact(store, part, topic.config, limit, now)
            removals += _bury(store, part, limit, now)
    return removals or _drop(store)


def _parts(store: Store) -> Iterator[tuple[int, TopicConfig]]:
    for id, (topic, _) in list(store.topics.items()):
        for number in range(topic.partitions):
            yield schema.part_id(id, number), topic


def compactable(store: Store) -> bool:
    """Whether events of a compacted topic wait to be indexed first."""
    return any(
        "compact" in topic.config.get("cleanup.policy", "") and store.upkeep[part].indexed < store.ends[part]
        for part, topic in _parts(store)
    )


def _retain(store: Store, part: int, config: Mapping[str, str], limit: int, now: int) -> Iterator[Removal]:
    """Remove from the front what is too old, or too much."""
    upkeep = store.upkeep[part]
    oldest = now - int(config.get("retention.ms", _WEEK))
    by_age = int(config.get("retention.ms", _WEEK)) >= 0
    surplus = _surplus(store, part, int(config.get("retention.bytes", -1)))
    rows = store.connection.execute(
        "SELECT seq, off, ts, length(data) FROM events"
        " WHERE part=? AND off>=? AND off<? ORDER BY off LIMIT ?",
        (part, upkeep.first, limit, _STEP),
    )
    seqs, offsets = [], []
    for seq, offset, timestamp, size in rows:
        if not (by_age and timestamp < oldest) and surplus <= 0:
            break
        surplus -= size
        seqs.append(seq)
        offsets.append(offset)
    if seqs:
        upkeep.first = offsets[-1] + 1
        upkeep.holes = max(upkeep.holes, upkeep.first)
        yield _remove(store, part, seqs, offsets)


def _surplus(store: Store, part: int, allowed: int) -> int:
    """Bytes above retention.bytes."""
    if allowed < 0:
        return 0
    upkeep = store.upkeep[part]
    if upkeep.bytes is None:
        sql = "SELECT coalesce(sum(length(data)), 0) FROM events WHERE part=?"
        upkeep.bytes = store.connection.execute(sql, (part,)).fetchone()[0]
    return upkeep.bytes - allowed


def _compact(store: Store, part: int, config: Mapping[str, str], limit: int, now: int) -> Iterator[Removal]:
    """Remove what the next events supersede, and note the tombstones among these."""
    upkeep = store.upkeep[part]
    young = now - int(config.get("min.compaction.lag.ms", 0))
    rows = store.connection.execute(
        "SELECT seq, off, ts, tomb FROM events WHERE part=? AND off>=? AND off<? ORDER BY off LIMIT ?",
        (part, upkeep.cleaned, min(limit, upkeep.indexed), _STEP),
    ).fetchall()
    ready = [row for row in rows if row[2] <= young]
    if not ready:
        return
    start, upkeep.cleaned = upkeep.cleaned, ready[-1][1] + 1
    superseded = store.connection.execute(_SUPERSEDED, (part, start, upkeep.cleaned)).fetchall()
    kept_for = int(config.get("delete.retention.ms", _DAY))
    store.connection.executemany(
        "INSERT OR REPLACE INTO tombstones VALUES(?,?,?,?)",
        [(part, timestamp + kept_for, offset, seq) for seq, offset, timestamp, tomb in ready if tomb],
    )
    offsets = [offset for _, offset in superseded]
    upkeep.holes = max([upkeep.holes, *(offset + 1 for offset in offsets)])
    yield _remove(store, part, [seq for seq, _ in superseded], offsets)


def _bury(store: Store, part: int, limit: int, now: int) -> Iterator[Removal]:
    """Remove tombstones whose time is over."""
    rows = store.connection.execute(
        "SELECT seq, off FROM tombstones WHERE part=? AND due<=? AND off<? LIMIT ?", (part, now, limit, _STEP)
    ).fetchall()
    if rows:
        upkeep = store.upkeep[part]
        upkeep.holes = max(upkeep.holes, 1 + max(offset for _, offset in rows))
        yield _remove(store, part, [seq for seq, _ in rows], [offset for _, offset in rows])


def _remove(store: Store, part: int, seqs: Sequence[int], offsets: Sequence[int]) -> Removal:
    upkeep, query = store.upkeep[part], store.connection.execute
    if upkeep.bytes is not None:
        sql = f"SELECT coalesce(sum(length(data)), 0) FROM events WHERE seq IN {_OF}"
        upkeep.bytes -= query(sql, (listed(seqs),)).fetchone()[0]
    _delete(store, seqs)
    query(f"DELETE FROM tombstones WHERE part=? AND off IN {_OF}", (part, listed(offsets)))
    fault("broker.removing")
    query(
        "UPDATE parts SET first=?, least_end=?, cleaned=?, holes=? WHERE part=?",
        (upkeep.first, store.ends[part], upkeep.cleaned, upkeep.holes, part),
    )
    return Removal(part, upkeep.first, offsets)


def _delete(store: Store, seqs: Sequence[int]) -> None:
    """Sequence numbers are not used again, even when those that go are the newest."""
    for statement in _REMOVE:
        store.connection.execute(statement, (listed(seqs),))
    store.connection.execute("INSERT OR REPLACE INTO meta VALUES('seq', ?)", (store.seq,))


def _drop(store: Store) -> list[Removal]:
    """Remove a part of the events of deleted topics."""
    query = store.connection.execute
    row = query("SELECT part FROM parts WHERE dropped=1 LIMIT 1").fetchone()
    if row is None:
        return []
    part: int = row[0]
    seqs = [seq for (seq,) in query("SELECT seq FROM events WHERE part=? LIMIT ?", (part, _STEP)).fetchall()]
    _delete(store, seqs)
    if len(seqs) < _STEP:
        query("DELETE FROM tombstones WHERE part=?", (part,))
        query("DELETE FROM parts WHERE part=?", (part,))
    return [Removal(part, 0, ())]
