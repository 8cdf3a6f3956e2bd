"""azure-blob-storage-source: the vendor's client library against a stand-in that speaks the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from contract.context import running
from support.azure_server import BlobStorage, blob_storage

from tidemill.errors import ConfigurationError

KEY = "YS1rZXk="
SAS = {"sas-token": "sv=2024&sig=planted-signature"}
ACCOUNT = {"storage-account-name": "an-account", "storage-account-key": KEY}


def source(storage: BlobStorage, credential: dict[str, str], **more: Any) -> Any:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    place = {"endpoint": f"{storage.url}/an-account", "container": "documents", "idle-time": 0}
    return running("azure-blob-storage-source", {**place, **credential, **named})


def connection(storage: BlobStorage) -> dict[str, str]:
    parts = f"AccountName=an-account;AccountKey={KEY};BlobEndpoint={storage.url}/an-account"
    return {"storage-account-connection-string": f"DefaultEndpointsProtocol=http;{parts}"}


@pytest.mark.parametrize("kind", ["token", "account", "connection"])
def test_blobs_become_records_and_are_deleted_when_safe(kind: str) -> None:
    with blob_storage(a__txt=b"A\xff", b__pdf=b"B", c__exe=b"C") as storage:
        storage.blobs["folder/d ü.md"] = b"D"
        credential = {"token": SAS, "account": ACCOUNT, "connection": connection(storage)}[kind]

        async def run() -> None:
            async with source(storage, credential) as agent:
                records = [record for _ in range(5) for record in await agent.read()]
                assert [(one.key, one.value, one.header("name")) for one in records] == [
                    ("a.txt", b"A\xff", "a.txt"),
                    ("b.pdf", b"B", "b.pdf"),
                    ("folder/d ü.md", b"D", "folder/d ü.md"),
                ]
                assert len(storage.blobs) == 4
                for record in records:
                    await agent.commit(record)
                assert list(storage.blobs) == ["c.exe"]

        asyncio.run(run())
        assert storage.there


def test_a_crash_reads_again_under_the_same_name() -> None:
    with blob_storage(a__txt=b"A") as storage:

        async def run() -> Any:
            async with source(storage, SAS) as agent:
                [record] = await agent.read()
                return record.header("tidemill-id")

        assert asyncio.run(run()) == asyncio.run(run())


def test_a_blob_that_is_gone_is_deleted_already() -> None:
    with blob_storage(a__txt=b"A") as storage:

        async def run() -> None:
            async with source(storage, SAS) as agent:
                [record] = await agent.read()
                storage.blobs.clear()
                await agent.commit(record)
                assert list(await agent.read()) == []

        asyncio.run(run())


def test_what_stops_the_start() -> None:
    async def run(storage: BlobStorage, credential: dict[str, str], **more: Any) -> None:
        async with source(storage, credential, **more):
            pass

    with blob_storage() as storage:
        with pytest.raises(ConfigurationError, match="no credential"):
            asyncio.run(run(storage, {"sas-token": ""}))
        with pytest.raises(ConfigurationError, match="cannot be used: AuthenticationFailed") as caught:
            asyncio.run(run(storage, {**ACCOUNT, "storage-account-name": "other"}))
        assert KEY not in str(caught.value)
        with pytest.raises(ConfigurationError, match="cannot be used"):
            asyncio.run(run(storage, SAS, container="another"))
