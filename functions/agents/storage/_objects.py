"""What sources of object stores share: which objects are records, and when they are deleted.

A source hands out one object at a time and deletes it when everything made of it is safe. What is in
flight is known in memory only, so after a crash an object is read again, under the same id.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from ....record import Record
from ...config import AgentConfig
from ...sourcing import NAMED

DEFAULT_EXTENSIONS = "pdf,docx,html,htm,md,txt"


class ObjectSourceConfig(AgentConfig):
    """`idle-time` in seconds: how long an empty store is left alone. `file-extensions`: `*` for all."""

    idle_time: float = 5
    file_extensions: str = DEFAULT_EXTENSIONS


class Listed(NamedTuple):
    """An object's name, and what changes when its content does."""

    name: str
    version: str


class ObjectStore(Protocol):
    """One bucket or container."""

    async def start(self) -> None: ...

    def list(self) -> AsyncIterator[Listed]: ...

    async def get(self, name: str) -> bytes | None:
        """The content; None if the object has gone."""
        ...

    async def delete(self, name: str) -> None: ...

    async def close(self) -> None: ...


class ObjectSource:
    """A source agent over a store."""

    def __init__(self, config: ObjectSourceConfig, store: ObjectStore, place: str) -> None:
        self._store, self._place, self._idle = store, place, config.idle_time
        self._extensions = {part.strip() for part in config.file_extensions.split(",")}
        self._in_flight: set[str] = set()

    async def start(self) -> None:
        await self._store.start()

    async def close(self) -> None:
        await self._store.close()

    def info(self) -> dict[str, object]:
        return {"place": self._place, "in-flight": len(self._in_flight)}

    async def read(self) -> Sequence[Record]:
        async for found in self._store.list():
            if found.name in self._in_flight or not self._wanted(found.name):
                continue
            content = await self._store.get(found.name)
            if content is None:
                continue
            self._in_flight.add(found.name)
            return [Record(content, found.name, (("name", found.name), *self._identity(found)))]
        await asyncio.sleep(self._idle)
        return ()

    async def commit(self, record: Record) -> None:
        await self._store.delete(record.key)
        self._in_flight.discard(record.key)

    def _wanted(self, name: str) -> bool:
        extension = name.rpartition(".")[2] if "." in name else ""
        return "*" in self._extensions or extension in self._extensions

    def _identity(self, found: Listed) -> Sequence[tuple[str, str]]:
        """The same object read twice is one event; new content under an old name is another."""
        digest = hashlib.sha256("\0".join((self._place, *found)).encode()).hexdigest()
        return ((NAMED, digest[:32]),)
