"""What only the embedded broker has: its folder, failures of the disk, indexing, maintenance."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from contract.broker_contract import event, everything

from tidemill.brokers.embedded import EmbeddedBroker, indexing
from tidemill.brokers.embedded.progress import Finished
from tidemill.brokers.embedded.reader import StateReader
from tidemill.brokers.embedded.schema import FILE
from tidemill.brokers.protocol import Effects, Progress, TopicConfig
from tidemill.errors import BrokerUnavailable, NewerVersion, NotFound, StateInUse


def with_broker(folder: Path, test: Callable[[EmbeddedBroker], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        broker = await EmbeddedBroker.open(folder)
        try:
            return await test(broker)
        finally:
            await broker.close()

    return asyncio.run(run())


async def drain(broker: EmbeddedBroker) -> None:
    while await broker.maintain():
        pass


def test_the_folder_is_the_owners_alone(memory_folder: Path) -> None:
    async def test(_: EmbeddedBroker) -> None:
        assert (memory_folder / "new").stat().st_mode & 0o777 == 0o700

    with_broker(memory_folder / "new", test)


def test_a_folder_has_one_broker(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        with pytest.raises(StateInUse) as caught:
            await EmbeddedBroker.open(memory_folder)
        assert (caught.value.pid, caught.value.path) == (os.getpid(), str(memory_folder))

    with_broker(memory_folder, test)
    with_broker(memory_folder, lambda broker: broker.create_topic(TopicConfig("t")))


def test_a_newer_file_is_refused_and_the_lock_is_let_go(memory_folder: Path) -> None:
    (memory_folder / FILE).touch()
    with pytest.raises(NotFound):  # a run that was killed before it made its tables
        StateReader(memory_folder)
    connection = sqlite3.connect(memory_folder / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for _ in range(2):
        with pytest.raises(NewerVersion):
            asyncio.run(EmbeddedBroker.open(memory_folder))


def test_a_file_that_is_no_database_is_refused(memory_folder: Path) -> None:
    (memory_folder / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(BrokerUnavailable):
        asyncio.run(EmbeddedBroker.open(memory_folder))


def test_a_full_disk_refuses_whole_calls_and_none_overtakes(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 1))
        connection = broker._store.connection

        def limit(pages: int) -> Callable[[], object]:
            return lambda: connection.execute(f"PRAGMA max_page_count={pages}").fetchall()

        await broker._control(limit(300))
        calls = [
            asyncio.ensure_future(
                broker.publish("t", [event(f"{n}-{m}", "k", b"x" * 2000) for m in range(3)])
            )
            for n in range(400)
        ]
        # Everything that was called before the failure was told fails with it or comes before it.
        results = await asyncio.gather(*calls, return_exceptions=True)
        kept = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
        assert kept == list(range(len(kept)))
        assert len(kept) < 400
        assert all(isinstance(result, BrokerUnavailable) for result in results[len(kept) :])
        with pytest.raises(BrokerUnavailable):
            await broker.commit([Effects("g", "t", 0, 0, [("t", event("o", "k", b"x" * 3_000_000))])])
        assert await broker.progress("g", "t") == [Progress(0, frozenset())]
        await broker._control(limit(100_000))
        assert await everything(broker, "t") == [[f"{n}-{m}" for n in kept for m in range(3)]]
        again = await broker.publish("t", [event(f"{n}-0", "k") for n in range(400)])
        assert [place.offset for place in again[: len(kept)]] == [3 * n for n in kept]
        assert again[-1].offset == 3 * len(kept) + 400 - len(kept) - 1

    with_broker(memory_folder, test)


REAL_DISK = """
import asyncio, resource, signal, sys, pathlib
from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import TopicConfig
from tidemill.errors import BrokerUnavailable
from tidemill.record import Event
def event(n): return Event({"id": str(n), "source": "s", "type": "t", "partitionkey": "k"}, b"x" * 1000)
async def main():
    broker = await EmbeddedBroker.open(pathlib.Path(sys.argv[1]))
    await broker.create_topic(TopicConfig("t", 1))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    sent = 0
    try:
        while sent < 1000:
            await broker.publish("t", [event(sent)])
            sent += 1
    except BrokerUnavailable as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert broker.bounds("t") == [(0, sent)]
        await broker.publish("t", [event(n) for n in range(1000)])
        assert broker.bounds("t") == [(0, 1000)]
        assert [s.event().id for s in await broker.read("t", 0, 0, 400)] == [str(n) for n in range(400)]
        print("refused after", sent)
    await broker.close()
asyncio.run(main())
"""


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", REAL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused after ")


def test_ids_with_one_hash_are_told_apart(memory_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.brokers.embedded.id_hash", lambda *_: 7)
    monkeypatch.setattr("tidemill.brokers.embedded.key_hash", lambda _: 4)
    monkeypatch.setattr(indexing, "_LEAST", 1)

    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 1))
        first = await broker.publish("t", [event(str(n), f"k{n % 2}") for n in range(10)])
        for _ in range(2):
            again = await broker.publish("t", [event(str(n), f"k{n % 2}") for n in range(10)])
            assert again == first
            found = await broker.read_key("t", 0, "k1", 0, 99, 99)
            assert [stored.offset for stored in found] == [1, 3, 5, 7, 9]
            while broker._by_id[1 << 16].indexed < 10:  # the second time by what is indexed
                await broker.maintain()

    with_broker(memory_folder, test)


def test_indexed_or_not_all_is_found(memory_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_LEAST", 300)
    events = [event(str(n), f"k{n % 7}") for n in range(2000)]

    async def test(broker: EmbeddedBroker) -> int:
        await broker.create_topic(TopicConfig("t", 3))
        for start in range(0, 2000, 50):
            await broker.publish("t", events[start : start + 50])
        assert sum(end for _, end in broker.bounds("t")) == 2000
        await broker.publish("t", events)
        assert sum(end for _, end in broker.bounds("t")) == 2000
        for key in range(7):
            ids = []
            for number in range(3):
                found = await broker.read_key("t", number, f"k{key}", 0, 2000, 500)
                ids += [stored.event().id for stored in found]
            assert ids == [str(n) for n in range(key, 2000, 7)]
        return sum(partition.indexed for partition in broker._by_id.values())

    assert with_broker(memory_folder, test) > 300
    assert with_broker(memory_folder, test) > 300  # the same calls again, after a restart


def test_retention_waits_for_a_live_group(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 1, {"retention.ms": "0"}))
        await broker.publish("t", [event(str(n)) for n in range(1200)])
        broker.hold("g", "t")
        broker._store.now = lambda: 1 << 45  # type: ignore[method-assign]
        await drain(broker)
        assert broker.bounds("t") == [(0, 1200)]
        await broker.commit([Effects("g", "t", 0, n) for n in range(700)])
        await drain(broker)
        assert broker.bounds("t") == [(700, 1200)]
        assert [stored.offset for stored in await broker.read("t", 0, 5, 2)] == [700, 701]
        broker.release("g", "t")
        await drain(broker)
        assert broker.bounds("t") == [(1200, 1200)]
        assert await broker.progress("other", "t") == [Progress(1200, frozenset())]
        await broker.publish("t", [event("0")])  # its id is forgotten with the event
        assert broker.bounds("t") == [(1200, 1201)]

    with_broker(memory_folder, test)

    async def again(broker: EmbeddedBroker) -> None:
        assert broker.bounds("t") == [(1200, 1201)]

    with_broker(memory_folder, again)


def test_a_group_passes_what_compaction_took(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 1, {"cleanup.policy": "compact"}))
        await broker.publish("t", [event(str(n), f"k{n % 3}") for n in range(900)])
        await drain(broker)
        left = await broker.read("t", 0, 0, 10)
        assert [stored.offset for stored in left] == [897, 898, 899]
        await broker.commit([Effects("late", "t", 0, 897)])
        assert await broker.progress("late", "t") == [Progress(898, frozenset())]
        await broker.commit([Effects("later", "t", 0, 898)])
        assert await broker.progress("later", "t") == [Progress(897, frozenset([898]))]

    with_broker(memory_folder, test)


def test_a_deleted_topic_leaves_nothing(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 2))
        await broker.publish("t", [event(str(n), f"k{n % 9}") for n in range(1500)])
        await broker.commit([Effects("g", "t", 0, 3)])
        await broker.delete_topic("t")
        await drain(broker)

    with_broker(memory_folder, test)
    connection = sqlite3.connect(memory_folder / FILE)
    for table in ("events", "by_key", "by_id", "parts", "positions", "beyond", "topics"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()


def test_finished_far_beyond_a_stuck_record_stays_small(memory_folder: Path) -> None:
    finished = Finished(0, range(1, 100_001))
    assert (len(finished._starts), finished.position) == (1, 0)
    finished.add(0)
    assert (finished.position, finished.scattered) == (100_001, False)

    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 1))
        await broker.publish("t", [event(str(n)) for n in range(6000)])
        for start in range(1, 6000, 500):
            await broker.commit([Effects("g", "t", 0, n) for n in range(start, min(start + 500, 6000))])
        assert await broker.progress("g", "t") == [Progress(0, frozenset(range(1, 6000)))]
        await broker.commit([Effects("g", "t", 0, 0)])
        assert await broker.progress("g", "t") == [Progress(6000, frozenset())]

    with_broker(memory_folder, test)
    connection = sqlite3.connect(memory_folder / FILE)
    assert connection.execute("SELECT count(*) FROM beyond").fetchone() == (0,)
    connection.close()


def test_a_reader_looks_on_while_a_run_writes(memory_folder: Path) -> None:
    async def test(broker: EmbeddedBroker) -> None:
        await broker.create_topic(TopicConfig("t", 2))
        with StateReader(memory_folder) as reader:
            for number in range(3):
                await broker.publish("t", [event(str(number))])
                assert [stored.event().id for stored in reader.events("t")] == [
                    str(n) for n in range(number + 1)
                ]

    with_broker(memory_folder, test)
    with StateReader(memory_folder) as reader:
        assert len(list(reader.events("t"))) == 3
