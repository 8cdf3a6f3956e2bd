"""Moving events into the indexes `by_key` and `by_id`, many at a time.

Called by the writer between its transactions. A key or an id falls anywhere in its index, so that one
event at a time would write a page each. A round takes all that came since the last one, sorts it, and
moves it in small steps; the longer the index, the more a round takes. Reads find what is not
indexed by scanning from a partition's `indexed` offset on, and a round cut short is begun anew.
"""

from __future__ import annotations

from ..faults import fault
from .store import Store

_LEAST, _MOST = 4096, 32768  # events in a round: the writer stands still while it sorts them
_SPAN = "temp.span s CROSS JOIN events e INDEXED BY by_offset ON e.part=s.part AND e.off>=s.lo AND e.off<s.hi"
_BEGIN = f"""
DROP TABLE IF EXISTS temp.span;
DROP TABLE IF EXISTS temp.new_ids;
DROP TABLE IF EXISTS temp.new_keys;
CREATE TEMP TABLE span(part INTEGER PRIMARY KEY, lo INTEGER, hi INTEGER);
{{spans}}
CREATE TEMP TABLE new_ids AS SELECT e.ih, e.seq FROM {_SPAN} ORDER BY e.ih;
CREATE TEMP TABLE new_keys AS SELECT e.part, e.kh, e.off, e.seq FROM {_SPAN} WHERE e.kh IS NOT NULL
  ORDER BY e.part, e.kh, e.off;
"""
_MOVES = (
    "INSERT OR IGNORE INTO by_id SELECT ih, seq FROM temp.new_ids WHERE rowid>? AND rowid<=?",
    "INSERT OR IGNORE INTO by_key SELECT part, kh, off, seq FROM temp.new_keys WHERE rowid>? AND rowid<=?",
)


class Indexer:
    """At most one round at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._spans: dict[int, tuple[int, int]] = {}
        self._counts = (0, 0)
        self._moved = 0

    @property
    def active(self) -> bool:
        return bool(self._spans)

    def due(self) -> bool:
        indexed = sum(upkeep.indexed - upkeep.first for upkeep in self._store.upkeep.values())
        return len(self._store.ids) >= min(_MOST, max(_LEAST, indexed // 32))

    def begin(self) -> None:
        """Fix what this round moves. Runs outside a transaction; only temporary tables change."""
        store = self._store
        spans = {
            part: (upkeep.indexed, store.ends[part])
            for part, upkeep in store.upkeep.items()
            if store.ends[part] > upkeep.indexed
        }
        values = ",".join(f"({part},{lo},{hi})" for part, (lo, hi) in spans.items())
        if not spans:
            return
        store.connection.executescript(_BEGIN.format(spans=f"INSERT INTO span VALUES{values};"))
        query = store.connection.execute
        ids, keys = (
            query(f"SELECT count(*) FROM temp.{name}").fetchone()[0] for name in ("new_ids", "new_keys")
        )
        self._spans, self._counts, self._moved = spans, (ids, keys), 0
        store.ids.begin_move()

    def step(self, rows: int) -> dict[int, int]:
        """Move `rows` more, within the transaction of the caller. After the last step, the new
        `indexed` of each partition."""
        query = self._store.connection.execute
        for move in _MOVES:
            query(move, (self._moved, self._moved + rows))
        self._moved += rows
        if self._moved < max(self._counts):
            return {}
        fault("broker.indexing")
        query("UPDATE parts SET indexed=s.hi FROM temp.span s WHERE parts.part=s.part")
        return {part: hi for part, (_, hi) in self._spans.items()}

    def end(self, indexed: dict[int, int]) -> None:
        """The last step is durable."""
        for part, offset in indexed.items():
            if part in self._store.upkeep:
                self._store.upkeep[part].indexed = offset
        self._store.ids.end_move()
        self._spans = {}

    def abandon(self) -> None:
        """A transaction failed, and the store was loaded anew."""
        self._spans = {}
