"""s3-source against a real S3 server (moto): what is read, when it is deleted, what a crash repeats."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from contract.context import running
from support.s3_server import bucket, client, names

from tidemill.errors import ConfigurationError
from tidemill.functions.sourcing import _origin
from tidemill.functions.unit import UnitSpec
from tidemill.record import Record, to_record


async def reads(source: Any, count: int) -> list[Record]:
    return [record for _ in range(count) for record in await source.read()]


def source(place: dict[str, Any], **more: Any) -> Any:
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return running("s3-source", {"idle-time": 0, **place, **named})


def test_objects_become_records_one_by_one_and_are_deleted_when_safe() -> None:
    place = bucket(a__txt=b"A\xff", b__pdf=b"B")

    async def run() -> None:
        async with source(place) as agent:
            first, second = await reads(agent, 3)  # the third read finds nothing new
            assert (first.key, first.value, first.header("name")) == ("a.txt", b"A\xff", "a.txt")
            assert (first.origin, second.key) == (None, "b.pdf")
            assert names(place["bucketName"]) == ["a.txt", "b.pdf"]
            await agent.commit(second)
            assert names(place["bucketName"]) == ["a.txt"]
            await agent.commit(first)
            assert names(place["bucketName"]) == []

    asyncio.run(run())


def test_which_objects_count() -> None:
    place = bucket()
    for name in ("a.txt", "b.TXT", "c", "folder/", "folder/d.txt", "e.csv", "f.tar.md"):
        client().put_object(Bucket=place["bucketName"], Key=name, Body=b"x")

    async def found(**more: Any) -> list[str]:
        async with source(place, **more) as agent:
            return [record.key for record in await reads(agent, 8)]

    assert asyncio.run(found()) == ["a.txt", "f.tar.md"]
    assert asyncio.run(found(file_extensions="*")) == ["a.txt", "b.TXT", "c", "e.csv", "f.tar.md"]
    assert asyncio.run(found(file_extensions="csv, TXT")) == ["b.TXT", "e.csv"]


def test_a_crash_reads_what_was_in_flight_again_as_the_same_event() -> None:
    place = bucket(a__txt=b"A", b__txt=b"B")

    async def run() -> list[Record]:
        async with source(place) as agent:
            return await reads(agent, 2)

    first = asyncio.run(run())
    assert asyncio.run(run()) == first
    client().put_object(Bucket=place["bucketName"], Key="a.txt", Body=b"new")
    changed = asyncio.run(run())
    assert changed[1] == first[1]
    assert changed[0].header("tidemill-id") != first[0].header("tidemill-id")


def test_the_records_name_becomes_the_events_id_and_no_header() -> None:
    class Host:
        unit = UnitSpec(id="u", kind="source", agents=())

    event = _origin(Host(), Record(b"A", "a.txt", (("name", "a.txt"), ("tidemill-id", "abc"))))  # type: ignore[arg-type]
    assert event.attributes["id"] == "abc"
    assert to_record(event).headers == (("name", "a.txt"),)


def test_a_missing_bucket_is_made_and_one_that_is_refused_stops_the_start() -> None:
    place = bucket() | {"bucketName": "made-by-the-source"}

    async def run(**more: Any) -> None:
        async with source(place | more) as agent:
            assert await reads(agent, 1) == []

    asyncio.run(run())
    assert names("made-by-the-source") == []
    with pytest.raises(ConfigurationError, match="cannot be used"):
        asyncio.run(run(bucketName="Not A Name"))
    with pytest.raises(ConfigurationError, match="no 'endpoint'"):
        asyncio.run(run(endpoint="http://minio-endpoint.-not-set:9090"))


def test_an_object_that_has_gone_meanwhile_is_left_out() -> None:
    place = bucket(a__txt=b"A", b__txt=b"B")

    async def run() -> list[str]:
        async with source(place) as agent:
            listing = agent._store.list

            async def late() -> Any:
                async for found in listing():
                    client().delete_object(Bucket=place["bucketName"], Key="a.txt")
                    yield found

            agent._store.list = late
            return [record.key for record in await agent.read()]

    assert asyncio.run(run()) == ["b.txt"]


def test_an_empty_bucket_is_left_alone_for_a_while() -> None:
    async def run() -> float:
        async with source(bucket(), idle_time=0.05) as agent:
            begun = asyncio.get_running_loop().time()
            await agent.read()
            return asyncio.get_running_loop().time() - begun

    assert asyncio.run(run()) >= 0.05
