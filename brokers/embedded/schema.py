"""The file of the embedded broker: its tables, how it is opened, and SQL that takes many rows.

Used by the store (writing), the broker and `verify` (reading). Events lie in one table in the order
of writing, so that an append touches the end of the file only. `by_key` and `by_id` would cost a
random page per event: they hold the events below each partition's `indexed` offset, and are filled in
bulk (see `indexing.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ...errors import NewerVersion

FILE = "events.db"
VERSION = 1
PARTITION_BITS = 16  # a partition's id: topic id << 16 | number
OFFSET_BITS = 40  # an offset that is finished out of order: pair id << 40 | offset
_MOST_ROWS = 256  # per statement

_TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL,
  partitions INTEGER NOT NULL, config TEXT NOT NULL);
CREATE TABLE epochs(name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE parts(part INTEGER PRIMARY KEY, first INTEGER NOT NULL, least_end INTEGER NOT NULL,
  indexed INTEGER NOT NULL, cleaned INTEGER NOT NULL, holes INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE events(seq INTEGER PRIMARY KEY, part INTEGER NOT NULL, off INTEGER NOT NULL,
  ts INTEGER NOT NULL, kh INTEGER, ih INTEGER NOT NULL, tomb INTEGER NOT NULL, key TEXT, data BLOB NOT NULL);
CREATE INDEX by_offset ON events(part, off, kh, ih);
CREATE TABLE by_key(part INTEGER, kh INTEGER, off INTEGER, seq INTEGER,
  PRIMARY KEY(part, kh, off, seq)) WITHOUT ROWID;
CREATE TABLE by_id(ih INTEGER, seq INTEGER, PRIMARY KEY(ih, seq)) WITHOUT ROWID;
CREATE TABLE tombstones(part INTEGER, due INTEGER, off INTEGER, seq INTEGER,
  PRIMARY KEY(part, due, off)) WITHOUT ROWID;
CREATE TABLE positions(pair INTEGER PRIMARY KEY, grp TEXT NOT NULL, part INTEGER NOT NULL,
  off INTEGER NOT NULL, UNIQUE(grp, part));
CREATE TABLE beyond(id INTEGER PRIMARY KEY);
CREATE TABLE state(unit TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY(unit, key)) WITHOUT ROWID;
"""

# What a reader makes a `Stored` of, after the topic and partition that it asked for.
STORED_COLUMNS = "e.off, e.ts, e.key, e.data"
READ = f"SELECT {STORED_COLUMNS} FROM events e WHERE part=? AND off>=? AND off<? ORDER BY off LIMIT ?"
READ_KEY = (
    f"SELECT {STORED_COLUMNS} FROM by_key k CROSS JOIN events e ON e.seq=k.seq "
    "WHERE k.part=? AND k.kh=? AND k.off>=? AND k.off<? AND e.key=? ORDER BY k.off LIMIT ?"
)
READ_KEY_UNINDEXED = (
    f"SELECT {STORED_COLUMNS} FROM events e INDEXED BY by_offset "
    "WHERE part=? AND kh=? AND off>=? AND off<? AND key=? ORDER BY off LIMIT ?"
)


def part_id(topic: int, partition: int) -> int:
    return topic << PARTITION_BITS | partition


def connect(folder: Path, *, cache_kib: int = 2048) -> sqlite3.Connection:
    """A connection for one thread at a time; transactions are begun and ended by hand."""
    connection = sqlite3.connect(
        folder / FILE, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=10
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA wal_autocheckpoint=0")  # the writer must not stop for one
    connection.execute(f"PRAGMA cache_size=-{cache_kib}")
    return connection


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """For another process: beside a run that writes, or after it."""
    connection = sqlite3.connect(f"{(folder / FILE).resolve().as_uri()}?mode=ro", uri=True, timeout=10)
    check_version(connection)
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that a newer Tidemill wrote."""
    if check_version(connection) == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")


def check_version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise NewerVersion("the broker's state", found, VERSION)
    return found


def insert_rows(connection: sqlite3.Connection, insert: str, width: int, flat: Sequence[object]) -> None:
    """Rows given as one flat list of values.

    Many rows per statement, because each statement hands the interpreter's lock over, and a busy
    event loop may keep it for a whole switch interval. `insert` should say OR FAIL: the default
    keeps a journal per statement, and the caller rolls back anyhow.
    """
    start, rows = 0, len(flat) // width
    while rows:
        size = _MOST_ROWS
        while size > rows:
            size >>= 1
        connection.execute(_values(insert, width, size), flat[start : start + size * width])
        start += size * width
        rows -= size


_statements: dict[tuple[str, int], str] = {}


def _values(insert: str, width: int, size: int) -> str:
    statement = _statements.get((insert, size))
    if statement is None:
        row = f"({','.join('?' * width)})"
        before, _, after = insert.partition("VALUES")
        statement = _statements[insert, size] = f"{before}VALUES{','.join([row] * size)}{after}"
    return statement


def listed(numbers: Iterable[object]) -> str:
    """Numbers as one parameter, to be unfolded by json_each."""
    return msgspec.json.encode(list(numbers)).decode()
