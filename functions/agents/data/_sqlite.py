"""SQLite with vectors: a file, the sqlite-vec extension, plain tables with vectors in columns.

Used by way of `_datasource.py`. A list of numbers travels as a vector of 32-bit floats, so that
`ORDER BY vec_distance_cosine(embeddings, ?)` works as it is written. All units of an application may
have the file open: it is in WAL mode, so readers and the one writer do not stop each other. Every
connection has a thread of its own; the event loop never waits for a disk.

Where the file is: `path`; relative paths, and the default `<resource id>.db`, are below `databases`
in the state folder (TIDEMILL_STATE), which the units of one machine share. A cluster's pods share no
folder: there a file database serves one unit with a disk.
"""

from __future__ import annotations

import asyncio
import os
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ....errors import ConfigurationError, MissingExtra
from ...api import Context
from ...batching import BatchExecutor
from ...expressions import to_json, to_text
from ...unit import ResourceSpec
from ._datasource import DatabaseError, Row, required

MEMORY = ":memory:"
JDBC_PREFIX = "jdbc:sqlite:"
BUSY_SECONDS = 30.0
_STEPS_BETWEEN_LOOKS = 10_000  # virtual machine steps after which a running statement looks if it is wanted

MAX_WRITES = 256  # in one transaction

Found = TypeVar("Found")
Write: TypeAlias = Callable[[], None]


def open_sqlite(spec: ResourceSpec, context: Context) -> Sqlite:
    path = str(spec.configuration.get("path") or f"{spec.id}.db")
    return Sqlite(spec.id, database_path(path, context), makes_tables=True)


def open_jdbc(spec: ResourceSpec, context: Context) -> Sqlite:
    """A JDBC resource whose URL is SQLite's. Its tables are the application's own (assets)."""
    url = required(spec, "url")
    if not url.startswith(JDBC_PREFIX):
        raise ConfigurationError(
            f"the datasource '{spec.id}' has a JDBC URL that cannot be reached yet",
            hint=f"only {JDBC_PREFIX}PATH is served",
        )
    path = url.removeprefix(JDBC_PREFIX).partition("?")[0] or MEMORY
    return Sqlite(spec.id, database_path(path, context), makes_tables=False)


def database_path(path: str, context: Context) -> str:
    """Where the file is. Raises ConfigurationError if nothing says so."""
    if path == MEMORY or os.path.isabs(path):
        return path
    own = context.state_directory
    state = os.environ.get("TIDEMILL_STATE") or (own.parent if own is not None else None)
    if state is None:
        raise ConfigurationError(
            f"the database file '{path}' has no place: this unit has no state folder",
            agent=context.agent,
            hint="give the agent a disk (resources: disk: enabled: true), or the resource an absolute path",
        )
    return str(Path(state) / "databases" / path)


class Sqlite:
    """One connection and its thread."""

    def __init__(self, name: str, path: str, *, makes_tables: bool) -> None:
        self._name, self._path, self._makes_tables = name, path, makes_tables
        self._thread = ThreadPoolExecutor(1, f"sqlite-{name}")
        self._connection: Any = None
        self._unwanted = threading.Event()  # of the statement that runs
        # Nothing is waited for: writes gather only behind a commit that is under way.
        self._writes = BatchExecutor[Write, Exception | None](
            self._commit, size=MAX_WRITES, interval=BUSY_SECONDS, buckets=1, in_flight=lambda: 0
        )

    async def start(self) -> None:
        try:
            import apsw
            import sqlite_vec
        except ImportError as error:
            raise MissingExtra(str(error.name), "sql", "a datasource of the service sqlite") from error
        self._refusals = (apsw.Error, OverflowError)
        await self._call(lambda: self._open(apsw, sqlite_vec.loadable_path()))

    def _open(self, apsw: Any, extension: str) -> None:
        if self._path != MEMORY:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = apsw.Connection(self._path)
        self._connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        self._connection.enable_load_extension(True)
        self._connection.load_extension(extension)
        self._connection.enable_load_extension(False)
        self._connection.set_progress_handler(lambda: self._unwanted.is_set(), _STEPS_BETWEEN_LOOKS)
        self._connection.execute("PRAGMA journal_mode = WAL")

    async def query(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        return await self._call(lambda: self._rows(statement, parameters))

    async def execute(self, statement: str, parameters: Sequence[Any], generated: Sequence[str]) -> Row:
        def run() -> Row:
            before = self._connection.total_changes()
            self._run(statement, parameters)
            result: Row = {"count": self._connection.total_changes() - before}
            if generated:  # SQLite makes one key only, the row's number
                result["generatedKeys"] = dict.fromkeys(generated, self._connection.last_insert_rowid())
            return result

        return await self._call(run)

    async def prepare(self, table: str, columns: Sequence[str], keys: Sequence[str]) -> None:
        if self._makes_tables:
            # Columns without a type keep each value as it is.
            listed = ", ".join(map(_quoted, columns))
            key = ", ".join(map(_quoted, keys))
            statement = f"CREATE TABLE IF NOT EXISTS {_quoted(table)} ({listed}, PRIMARY KEY ({key}))"
            await self._call(lambda: self._run(statement, ()))

    async def upsert(self, table: str, keys: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        # Not ON CONFLICT: a table made by the user may have no constraint on its keys.
        assigned = ", ".join(f"{_quoted(name)} = ?" for name in columns)
        names = [*columns, *keys]
        values = [*columns.values(), *keys.values()]
        places = ", ".join("?" * len(names))
        update = f"UPDATE {_quoted(table)} SET {assigned} WHERE {_matching(keys)}"
        insert = f"INSERT INTO {_quoted(table)} ({', '.join(map(_quoted, names))}) VALUES ({places})"

        def work() -> None:
            self._run(update, values)
            if not self._connection.changes():
                self._run(insert, values)

        await self._write(work)

    async def delete(self, table: str, keys: Mapping[str, Any]) -> None:
        statement = f"DELETE FROM {_quoted(table)} WHERE {_matching(keys)}"
        await self._write(lambda: self._run(statement, list(keys.values())))

    async def _write(self, work: Write) -> None:
        failed = await self._writes.submit(None, work)
        if failed is not None:
            raise self._failure(failed)

    async def _commit(self, works: Sequence[Write]) -> list[Exception | None]:
        """One commit, so one wait for the disk, for all writes that have gathered; each may fail alone."""

        def run() -> list[Exception | None]:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                ended = [self._attempt(work) for work in works]
                self._connection.execute("COMMIT")
                return ended
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

        return await self._call(run)

    def _attempt(self, work: Write) -> Exception | None:
        try:
            with self._connection:  # a savepoint
                work()
        except self._refusals as error:
            return error
        return None

    async def close(self) -> None:
        await self._writes.close()
        if self._connection is not None:
            await self._call(self._connection.close)
            self._connection = None
        self._thread.shutdown(wait=False)

    def _run(self, statement: str, parameters: Sequence[Any]) -> None:
        for _ in self._connection.execute(statement, [bound(value) for value in parameters]):
            pass

    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        cursor = self._connection.execute(statement, [bound(value) for value in parameters])
        rows: list[Row] = []
        names: list[str] = []
        for row in cursor:
            names = names or [column[0] for column in cursor.getdescription()]
            rows.append(dict(zip(names, row, strict=True)))
        return rows

    async def _call(self, work: Callable[[], Found]) -> Found:
        """In the connection's thread, one after the other. A cancelled caller's statement is stopped."""
        unwanted = threading.Event()

        def run() -> Found:
            self._unwanted = unwanted
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except asyncio.CancelledError:
            unwanted.set()
            raise
        except (*self._refusals, OSError) as error:
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> DatabaseError:
        reason = str(error) or type(error).__name__
        hint = None
        if "no such table" in reason and self._makes_tables:
            hint = "a vector-db-sink makes its table when its unit starts for the first time"
        return DatabaseError(self._name, reason, hint=hint)


def bound(value: Any) -> Any:
    """A value as SQLite takes it: lists of numbers as vectors, other lists and maps as JSON."""
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, int):  # booleans too
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return array("f", value).tobytes() if _is_vector(value) else to_json(value)
    return to_json(value) if isinstance(value, dict) else to_text(value)


def _is_vector(values: Sequence[Any]) -> bool:
    """Whole numbers alone (page numbers, say) are no vector, though sqlite-vec would read them as one."""
    return any(isinstance(value, float) for value in values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _matching(keys: Mapping[str, Any]) -> str:
    return " AND ".join(f"{_quoted(name)} IS ?" for name in keys)  # IS: null equals null


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
