"""Reading the state of a run without taking part in it, also while the run holds the lock.

Used by `tidemill verify` and by tests. It sees what was durable when a page was read, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import NotFound
from ..protocol import Stored
from . import schema


class StateReader:
    """A read-only view of the topics in a state folder."""

    def __init__(self, folder: Path) -> None:
        if not (folder / schema.FILE).exists():
            raise NotFound("state folder", str(folder))
        self._connection = schema.connect_read_only(folder)
        if schema.check_version(self._connection) == 0:  # killed before it made its tables
            self._connection.close()
            raise NotFound("state folder", str(folder))

    def topics(self) -> dict[str, int]:
        """The number of partitions by topic."""
        return dict(self._connection.execute("SELECT name, partitions FROM topics ORDER BY name").fetchall())

    def events(self, topic: str) -> Iterator[Stored]:
        row = self._connection.execute("SELECT id, partitions FROM topics WHERE name=?", (topic,)).fetchone()
        if row is None:
            raise NotFound("topic", topic, self.topics())
        for number in range(row[1]):
            yield from self._partition(topic, schema.part_id(row[0], number), number)

    def _partition(self, topic: str, part: int, number: int, page: int = 1000) -> Iterator[Stored]:
        """In pages, so that no read stays open and keeps the run's log from being moved."""
        offset, end = 0, 1 << schema.OFFSET_BITS
        while rows := self._connection.execute(schema.READ, (part, offset, end, page)).fetchall():
            yield from (Stored(topic, number, *row) for row in rows)
            offset = rows[-1][0] + 1

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> StateReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
