"""The Kafka broker keeps the contract on a real Kafka; where it differs, the test here says how."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from contract.broker_contract import BrokerContract, event, everything
from support.kafka_server import Server

from tidemill.brokers.kafka import KafkaBroker
from tidemill.brokers.partitioning import partition_of
from tidemill.brokers.protocol import Broker, Effects, Progress, StateWrite, TopicConfig
from tidemill.errors import ConfigurationError, NotFound


class Named:
    """A broker in which topics have names of their own: a Kafka that others use too stays as it was."""

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self._prefix = f"t{uuid.uuid4().hex[:8]}-"
        self._closed = False

    def _name(self, topic: str) -> str:
        return self._prefix + topic

    async def create_topic(self, topic: TopicConfig) -> bool:
        return await self.broker.create_topic(
            TopicConfig(self._name(topic.name), topic.partitions, topic.config)
        )

    async def delete_topic(self, name: str) -> None:
        await self.broker.delete_topic(self._name(name))

    def topics(self) -> dict[str, TopicConfig]:
        ours = {n: c for n, c in self.broker.topics().items() if n.startswith(self._prefix)}
        return {name.removeprefix(self._prefix): config for name, config in ours.items()}

    def bounds(self, topic: str) -> Any:
        return self.broker.bounds(self._name(topic))

    async def commit(self, effects: Sequence[Effects]) -> None:
        named = [
            one._replace(
                group=self._name(one.group),
                topic=self._name(one.topic),
                outputs=[(self._name(topic), output) for topic, output in one.outputs],
            )
            for one in effects
        ]
        await self.broker.commit(named)

    async def progress(self, group: str, topic: str) -> Any:
        return await self.broker.progress(self._name(group), self._name(topic))

    async def state(self, unit: str, keys: Sequence[str]) -> Any:
        return await self.broker.state(unit, keys)

    async def close(self) -> None:
        for name in self.topics():
            await self.delete_topic(name)
        await self.broker.close()

    def __getattr__(self, method: str) -> Any:  # publish, read, read_key, wait: the topic comes first
        call = getattr(self.broker, method)
        return lambda topic, *arguments: call(self._name(topic), *arguments)


class TestKafka(BrokerContract):
    @pytest.fixture(autouse=True)
    def _server(self, kafka: Server) -> None:
        type(self).server = kafka

    server: Server

    async def open(self, folder: Path) -> Broker:
        properties = {"bootstrap.servers": self.server.bootstrap}
        opened = await KafkaBroker.open(properties, identity=f"test-{uuid.uuid4().hex[:8]}")
        return Named(opened)  # type: ignore[return-value]

    # --- what differs -----------------------------------------------------------------------------

    def test_an_id_is_written_once_per_topic(self, tmp_path: Path) -> None:
        """Kafka: at least once. The same event twice has the same id twice."""

        async def test(broker: Broker) -> None:
            await broker.publish("in", [event("1", "a")])
            await broker.publish("in", [event("1", "a")])
            assert sorted(id for ids in await everything(broker, "in") for id in ids) == ["1", "1"]
            assert await broker.publish("in", []) == []

        self.check(tmp_path, test)

    def test_published_at_the_same_time_an_id_is_written_once(self, tmp_path: Path) -> None:
        """Kafka: each has a position of its own."""

        async def test(broker: Broker) -> None:
            found = await asyncio.gather(*(broker.publish("in", [event(str(n % 5))]) for n in range(50)))
            assert len({position for [position] in found}) == 50

        self.check(tmp_path, test)

    def test_effects_are_written_together_and_once(self, tmp_path: Path) -> None:
        """Kafka: as everywhere, but state per key is refused."""

        async def test(broker: Broker) -> None:
            await broker.publish("in", [event(str(n)) for n in range(3)])
            place = partition_of("k", 4)

            def effects(offset: int) -> Effects:
                return Effects("g", "in", place, offset, [("out", event(f"o{offset}"))])

            with pytest.raises(ConfigurationError, match="state per key"):
                await broker.commit([effects(0)._replace(state=[StateWrite("unit", "k", b"0")])])
            await broker.commit([effects(0)])
            await broker.commit([effects(0)])
            await broker.commit([effects(2), effects(2), effects(1)])
            assert sorted(id for ids in await everything(broker, "out") for id in ids) == ["o0", "o1", "o2"]
            assert (await broker.progress("g", "in"))[place] == Progress(3, frozenset())
            assert (await broker.progress("other", "in"))[place] == Progress(0, frozenset())

        self.check(tmp_path, test)

    def test_calls_take_effect_in_the_order_in_which_they_were_made(self, tmp_path: Path) -> None:
        """Kafka: commits among themselves, and published events among themselves."""

        async def test(broker: Broker) -> None:
            place = partition_of("k", 4)
            await broker.publish("in", [event(str(n)) for n in range(300)])
            calls: list[Awaitable[object]] = []
            for number in range(300):
                effects = [Effects("g", "in", place, number, [("out", event(f"o{number}"))])]
                calls.append(asyncio.ensure_future(broker.commit(effects)))
                calls.append(asyncio.ensure_future(broker.publish("out", [event(f"p{number}")])))
                if number % 40 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*calls)
            [ids] = [ids for ids in await everything(broker, "out") if ids]
            for kind in "op":
                assert [id for id in ids if id[0] == kind] == [f"{kind}{n}" for n in range(300)]

        self.check(tmp_path, test)

    def test_a_partition_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> None:
            with pytest.raises(NotFound):
                await broker.wait("in", 4, 0)

        self.check(tmp_path, test)
