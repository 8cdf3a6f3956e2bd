"""Where the crawler keeps its state between processes: a file on the agent's disk, or an object in S3."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol

from ..storage._s3 import Bucket


class StateStore(Protocol):
    async def start(self) -> None: ...

    async def load(self) -> bytes | None: ...

    async def save(self, content: bytes) -> None: ...

    async def close(self) -> None: ...


class FileState:
    """Replaced in one step, so that a crash leaves the old file or the new one."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def start(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)

    async def load(self) -> bytes | None:
        return self._file.read_bytes() if self._file.exists() else None

    async def save(self, content: bytes) -> None:
        await asyncio.to_thread(self._save, content)

    def _save(self, content: bytes) -> None:
        part = self._file.with_suffix(".part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._file)

    async def close(self) -> None:
        """Nothing is held open."""


class BucketState:
    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket, self._name = bucket, name

    async def start(self) -> None:
        await self._bucket.start()

    async def load(self) -> bytes | None:
        return await self._bucket.get(self._name)

    async def save(self, content: bytes) -> None:
        await self._bucket.put(self._name, content)

    async def close(self) -> None:
        await self._bucket.close()
