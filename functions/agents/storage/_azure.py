"""One container of Azure's Blob Storage, through azure-storage-blob in threads; made if it is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ....errors import ConfigurationError, MissingExtra
from ._objects import Listed


class Container:
    """`connect` gives the vendor's client of the account, once its package is there."""

    def __init__(self, name: str, connect: Callable[[], Any]) -> None:
        self.name, self._connect = name, connect
        self._client: Any = None

    async def start(self) -> None:
        """Raises MissingExtra, ConfigurationError."""
        try:
            import azure.storage.blob  # noqa: F401
        except ImportError as error:
            raise MissingExtra("azure-storage-blob", "azure", "azure-blob-storage-source") from error
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        from azure.core.exceptions import AzureError, ResourceExistsError

        try:
            self._client = self._connect().get_container_client(self.name)
            self._client.create_container()
        except ResourceExistsError:
            return
        except (AzureError, ValueError) as error:
            code = getattr(error, "error_code", None) or type(error).__name__
            reason = getattr(code, "value", code)
            raise ConfigurationError(f"the container '{self.name}' cannot be used: {reason}") from None

    async def list(self) -> AsyncIterator[Listed]:
        """All blobs; a `/` in a name means nothing, and deleted ones that can be restored are left out."""
        walk = iter(self._client.list_blobs())
        while (found := await asyncio.to_thread(next, walk, None)) is not None:
            yield Listed(found.name, f"{found.etag} {found.last_modified.timestamp()}")

    async def get(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._get, name)

    def _get(self, name: str) -> bytes | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            content: bytes = self._client.download_blob(name).readall()
        except ResourceNotFoundError:
            return None
        return content

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._delete, name)

    def _delete(self, name: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            self._client.delete_blob(name)
        except ResourceNotFoundError:  # deleted by an attempt whose answer was lost
            return

    async def close(self) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
