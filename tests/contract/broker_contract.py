"""What every broker must do. Subclassed once per broker; the subclass says how to open one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.brokers.partitioning import partition_of
from tidemill.brokers.protocol import Broker, Effects, Progress, StateWrite, TopicConfig
from tidemill.errors import NotFound
from tidemill.record import Event


def event(id: str, key: str | None = "k", data: bytes | None = b"x", source: str = "/test") -> Event:
    attributes = {"id": id, "source": source, "type": "test"}
    return Event(attributes | ({"partitionkey": key} if key is not None else {}), data)


async def everything(broker: Broker, topic: str) -> list[list[str]]:
    """The ids of all events, per partition."""
    found = []
    for number, (_, end) in enumerate(broker.bounds(topic)):
        ids: list[str] = []
        offset = 0
        while offset < end and (events := await broker.read(topic, number, offset, 7)):
            ids += [stored.event().id for stored in events]
            offset = events[-1].offset + 1
        found.append(ids)
    return found


class BrokerContract:
    """Each test gets a fresh broker with the topics `in` (4 partitions) and `out` (2)."""

    async def open(self, folder: Path) -> Broker:
        raise NotImplementedError

    def check(self, folder: Path, test: Callable[[Broker], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            broker = await self.open(folder)
            try:
                await broker.create_topic(TopicConfig("in", 4))
                await broker.create_topic(TopicConfig("out", 2))
                return await test(broker)
            finally:
                await broker.close()

        return asyncio.run(run())

    def test_a_topic_is_made_once_and_never_altered(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            assert await broker.create_topic(TopicConfig("new", 3, {"retention.ms": "5000"}))
            assert not await broker.create_topic(TopicConfig("new", 9))
            assert broker.topics()["new"].partitions == 3
            assert broker.topics()["new"].config["retention.ms"] == "5000"
            assert broker.bounds("new") == [(0, 0)] * 3
            assert (await asyncio.gather(*(broker.create_topic(TopicConfig("two")) for _ in range(2)))).count(
                True
            ) == 1

        self.check(tmp_path, test)

    def test_unknown_names_are_refused(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            with pytest.raises(NotFound):
                await broker.publish("imn", [event("1")])
            with pytest.raises(NotFound):
                await broker.read("nowhere", 0, 0, 1)
            with pytest.raises(NotFound):
                await broker.read("in", 4, 0, 1)
            with pytest.raises(NotFound):
                await broker.delete_topic("nowhere")
            with pytest.raises(NotFound):
                await broker.commit([Effects("g", "in", 0, 0, [("nowhere", event("1"))])])
            assert await everything(broker, "in") == [[]] * 4
            assert (await broker.progress("g", "in"))[0] == Progress(0, frozenset())

        self.check(tmp_path, test)

    def test_events_lie_by_key_in_the_order_of_publishing(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            keys = [f"kéy-{number % 7}" for number in range(50)]
            positions = await broker.publish("in", [event(str(n), key) for n, key in enumerate(keys)])
            for number, (key, position) in enumerate(zip(keys, positions, strict=True)):
                assert position.partition == partition_of(key, 4)
                [stored] = await broker.read("in", *position, 1)
                assert (stored.event().id, stored.key, stored.offset) == (str(number), key, position.offset)
            ends = [end for _, end in broker.bounds("in")]
            assert sum(ends) == 50
            for partition, end in enumerate(ends):
                found = await broker.read("in", partition, 0, 100)
                assert [stored.offset for stored in found] == list(range(end))
                assert await broker.read("in", partition, end, 10) == []

        self.check(tmp_path, test)

    def test_events_without_key_are_spread(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            for number in range(64):
                await broker.publish("in", [event(str(number), None)])
            assert all(end > 0 for _, end in broker.bounds("in"))
            assert (await broker.read("in", 0, 0, 1))[0].key is None

        self.check(tmp_path, test)

    def test_an_id_is_written_once_per_topic(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            first = await broker.publish("in", [event("1", "a"), event("2", "b")])
            again = await broker.publish("in", [event("2", "b"), event("3", "c"), event("3", "c")])
            assert again[0] == first[1]
            assert again[1] == again[2]
            await broker.publish("in", [event("1", "a", source="/other")])
            await broker.publish("out", [event("1", "a")])
            assert sum(end for _, end in broker.bounds("in")) == 4
            assert sum(end for _, end in broker.bounds("out")) == 1
            assert await broker.publish("in", []) == []

        self.check(tmp_path, test)

    def test_published_at_the_same_time_an_id_is_written_once(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            found = await asyncio.gather(*(broker.publish("in", [event(str(n % 5))]) for n in range(50)))
            assert len({position for [position] in found}) == 5
            assert sum(end for _, end in broker.bounds("in")) == 5

        self.check(tmp_path, test)

    def test_read_key_gives_one_key_within_bounds(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            keys = [f"k{number % 9}" for number in range(90)]
            await broker.publish("in", [event(str(n), key) for n, key in enumerate(keys)])
            place = partition_of("k3", 4)
            everyone = await broker.read_key("in", place, "k3", 0, 1000, 100)
            assert [stored.event().id for stored in everyone] == [str(n) for n in range(3, 90, 9)]
            offsets = [stored.offset for stored in everyone]
            some = await broker.read_key("in", place, "k3", offsets[2], offsets[7], 3)
            assert [stored.offset for stored in some] == offsets[2:5]
            some = await broker.read_key("in", place, "k3", offsets[2], offsets[4], 100)
            assert [stored.offset for stored in some] == offsets[2:4]
            assert await broker.read_key("in", place, "none", 0, 1000, 10) == []

        self.check(tmp_path, test)

    def test_wait_returns_when_the_event_is_there(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            place = partition_of("k", 4)
            waiting = [asyncio.ensure_future(broker.wait("in", place, offset)) for offset in (0, 0, 1)]
            await asyncio.sleep(0)
            await broker.publish("in", [event("1")])
            await asyncio.wait_for(asyncio.gather(*waiting[:2]), 5)
            assert not waiting[2].done()
            waiting[2].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting[2]
            await broker.wait("in", place, 0)
            await broker.publish("in", [event("2")])
            await broker.wait("in", place, 1)

        self.check(tmp_path, test)

    def test_effects_are_written_together_and_once(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            await broker.publish("in", [event(str(n)) for n in range(3)])
            place = partition_of("k", 4)

            def effects(offset: int, mark: bytes | None) -> Effects:
                state = [StateWrite("unit", "k", mark)]
                return Effects("g", "in", place, offset, [("out", event(f"o{offset}"))], state)

            await broker.commit([effects(0, b"0")])
            assert await broker.state("unit", ["k", "other"]) == {"k": b"0"}
            await broker.commit([effects(0, b"repeated")])
            assert await broker.state("unit", ["k"]) == {"k": b"0"}
            await broker.commit([effects(2, b"2"), effects(2, b"repeated"), effects(1, None)])
            assert await broker.state("unit", ["k"]) == {}
            assert await broker.state("other unit", ["k"]) == {}
            assert sorted(id for ids in await everything(broker, "out") for id in ids) == ["o0", "o1", "o2"]
            assert (await broker.progress("g", "in"))[place] == Progress(3, frozenset())
            assert (await broker.progress("other", "in"))[place] == Progress(0, frozenset())

        self.check(tmp_path, test)

    def test_calls_take_effect_in_the_order_in_which_they_were_made(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            place = partition_of("k", 4)
            await broker.publish("in", [event(str(n)) for n in range(300)])
            calls: list[Awaitable[object]] = []
            for number in range(300):
                outputs = [("out", event(f"o{number}"))]
                calls.append(
                    asyncio.ensure_future(broker.commit([Effects("g", "in", place, number, outputs)]))
                )
                calls.append(asyncio.ensure_future(broker.publish("out", [event(f"p{number}")])))
                if number % 40 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*calls)
            [ids] = [ids for ids in await everything(broker, "out") if ids]
            assert ids == [f"{kind}{n}" for n in range(300) for kind in "op"]

        self.check(tmp_path, test)

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.permutations(range(24)))
    def test_progress_in_any_order(self, tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
        async def test(broker: Broker) -> None:
            place = partition_of("k", 4)
            await broker.publish("in", [event(str(n)) for n in range(24)])
            done: set[int] = set()
            for start in range(0, 24, 3):
                done.update(order[start : start + 3])
                await broker.commit([Effects("g", "in", place, n) for n in order[start : start + 3]])
                position = next(n for n in range(25) if n not in done)
                expected = Progress(position, frozenset(n for n in done if n > position))
                assert (await broker.progress("g", "in"))[place] == expected

        self.check(tmp_path_factory.mktemp("broker"), test)

    def test_a_deleted_topic_is_gone_and_may_come_again(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            place = partition_of("k", 4)
            await broker.publish("in", [event("1")])
            await broker.commit([Effects("g", "in", place, 0)])
            await broker.delete_topic("in")
            assert "in" not in broker.topics()
            with pytest.raises(NotFound):
                await broker.publish("in", [event("1")])
            assert await broker.create_topic(TopicConfig("in", 4))
            assert await everything(broker, "in") == [[]] * 4
            assert (await broker.progress("g", "in"))[place] == Progress(0, frozenset())
            assert (await broker.publish("in", [event("1")]))[0].offset == 0

        self.check(tmp_path, test)
