"""The embedded broker keeps the contract; and what is there after it was opened again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contract.broker_contract import BrokerContract, event, everything

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.partitioning import partition_of
from tidemill.brokers.protocol import Broker, Effects, Progress, StateWrite, TopicConfig


class TestEmbedded(BrokerContract):
    async def open(self, folder: Path) -> Broker:
        return await EmbeddedBroker.open(folder / "state")

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        place = partition_of("k", 4)

        async def first(broker: Broker) -> list[list[str]]:
            assert isinstance(broker, EmbeddedBroker)
            assert (broker.run_epoch, broker.epoch("in")) == (1, 0)
            await broker.publish("in", [event(str(n), f"k{n % 5}") for n in range(20)])
            await broker.publish("in", [event(f"k{n}") for n in range(6)])
            await broker.commit(
                [Effects("g", "in", place, n, (), [StateWrite("u", "k", b"7")]) for n in (0, 2)]
            )
            await broker.create_topic(TopicConfig("gone", 1))
            await broker.delete_topic("gone")
            return await everything(broker, "in")

        before = self.check(tmp_path, first)

        async def second(broker: Broker) -> None:
            assert isinstance(broker, EmbeddedBroker)
            assert broker.run_epoch == 2
            assert await everything(broker, "in") == before
            assert (await broker.progress("g", "in"))[place] == Progress(1, frozenset([2]))
            assert await broker.state("u", ["k"]) == {"k": b"7"}
            await broker.publish("in", [event("3", "k3"), event("k1")])
            assert await everything(broker, "in") == before
            await broker.commit([Effects("g", "in", place, 2, [("out", event("double"))])])
            assert await everything(broker, "out") == [[], []]
            assert "gone" not in broker.topics()
            await broker.create_topic(TopicConfig("gone", 1))
            assert broker.epoch("gone") == 1

        self.check(tmp_path, second)

    def test_waiting_ends_with_the_broker(self, tmp_path: Path) -> None:
        async def test(broker: Broker) -> asyncio.Task[None]:
            waiting = asyncio.ensure_future(broker.wait("in", 0, 0))
            await asyncio.sleep(0)
            await broker.close()
            await asyncio.wait([waiting])
            return waiting

        assert type(self.check(tmp_path, test).exception()).__name__ == "BrokerUnavailable"
