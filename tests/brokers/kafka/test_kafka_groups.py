"""Two processes' worth of brokers share the work of a group on a real Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.kafka_server import Server

from tidemill.brokers.kafka import KafkaBroker
from tidemill.brokers.protocol import Effects, Stored, TopicConfig
from tidemill.errors import BrokerUnavailable
from tidemill.record import Event
from tidemill.triggers.delivery import Delivery, Dispatcher, Done, Failed, Finished
from tidemill.triggers.policy import RetryPolicy
from tidemill.triggers.sharing import SharedDispatcher

PARTITIONS = 4


def event(id: str, key: str) -> Event:
    return Event({"id": id, "source": "/test", "type": "test", "partitionkey": key}, id.encode())


class Echo:
    """Answers each record with one output, after a moment; `bad` keys fail."""

    def __init__(self, out: str, bad: frozenset[str] = frozenset(), places: int = 32) -> None:
        self.out, self.bad, self.places = out, bad, places
        self.keys: Counter[str | None] = Counter()
        self.most_of_key = 0
        self.running: set[int] = set()
        self.done = 0

    def capacity(self) -> int:
        return self.places - len(self.running)

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        for one in deliveries:
            self.running.add(one.token)
            self.keys[one.stored.key] += 1
            self.most_of_key = max(self.most_of_key, self.keys[one.stored.key])
            asyncio.get_running_loop().call_later(0.002, self._end, one, finished)

    def _end(self, one: Delivery, finished: Finished) -> None:
        self.keys[one.stored.key] -= 1
        if one.token not in self.running:
            return
        self.running.discard(one.token)
        self.done += 1
        if one.stored.key in self.bad:
            finished(one.token, Failed("not now", "Later"))
            return
        incoming = one.stored.event()
        output = Event({**incoming.attributes, "id": f"o-{incoming.id}"}, incoming.data)
        finished(one.token, Done([(self.out, output)]))

    def abandon(self, token: int) -> None:
        self.running.discard(token)


class Cluster:
    """Brokers on one Kafka, and topics of their own."""

    def __init__(self, server: Server) -> None:
        self.server, self.mark = server, uuid.uuid4().hex[:8]
        self.words, self.loud, self.group = f"{self.mark}-words", f"{self.mark}-loud", f"{self.mark}-group"
        self.brokers: list[KafkaBroker] = []

    async def broker(self) -> KafkaBroker:
        identity = f"{self.mark}-{len(self.brokers)}"
        broker = await KafkaBroker.open({"bootstrap.servers": self.server.bootstrap}, identity=identity)
        self.brokers.append(broker)
        for name in (self.words, self.loud):
            await broker.create_topic(TopicConfig(name, PARTITIONS))
        return broker

    async def deliver(self, broker: KafkaBroker, echo: Echo) -> SharedDispatcher:
        def make(view: Any) -> Dispatcher:
            return Dispatcher(
                view,
                group=self.group,
                topic=self.words,
                policy=RetryPolicy("fail", 0),
                subscriber=echo,
            )

        shared = SharedDispatcher(broker, self.group, self.words, make)
        await shared.start()
        return shared


@asynccontextmanager
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    made = Cluster(server)
    try:
        yield made
    finally:
        for topic in (made.words, made.loud):
            if made.brokers and not made.brokers[0]._closed and topic in made.brokers[0].topics():
                await made.brokers[0].delete_topic(topic)
        for broker in made.brokers:
            await broker.close()


async def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # many things at once
            await asyncio.sleep(0.02)


async def everything(broker: KafkaBroker, topic: str) -> list[Stored]:
    await broker._refresh_topics()
    broker._take_bounds(await broker._bounds([topic]))
    found: list[Stored] = []
    for number, (offset, end) in enumerate(broker.bounds(topic)):
        while offset < end:
            records = await broker.read(topic, number, offset, 500)
            found += records
            offset = records[-1].offset + 1 if records else end
    return found


def assert_once_and_in_order(found: Sequence[Stored], keys: int, count: int) -> None:
    by_key: dict[str | None, list[str]] = {}
    for stored in found:
        by_key.setdefault(stored.key, []).append(stored.event().id)
    assert by_key == {f"k{key}": [f"o-k{key}-{n}" for n in range(count)] for key in range(keys)}


async def publish(broker: KafkaBroker, topic: str, keys: int, start: int, end: int) -> None:
    await broker.publish(topic, [event(f"k{k}-{n}", f"k{k}") for n in range(start, end) for k in range(keys)])


def test_partitions_are_shared_and_come_back(kafka: Server) -> None:
    async def test() -> None:
        async with cluster(kafka) as made:
            first, second = await made.broker(), await made.broker()
            one, two = Echo(made.loud), Echo(made.loud)
            a = await made.deliver(first, one)
            await until(lambda: len(a.partitions) == PARTITIONS)
            await publish(first, made.words, 12, 0, 30)
            b = await made.deliver(second, two)
            await publish(first, made.words, 12, 30, 60)
            await until(lambda: len(a.partitions) == 2 and len(b.partitions) == 2)
            assert sorted([*a.partitions, *b.partitions]) == list(range(PARTITIONS))
            await publish(second, made.words, 12, 60, 90)
            await until(lambda: a.lag == b.lag == 0)
            assert one.done > 0
            assert two.done > 0
            await b.drain(5)
            await b.close()
            await until(lambda: len(a.partitions) == PARTITIONS)
            await publish(second, made.words, 12, 90, 100)
            await until(lambda: one.done + two.done == 12 * 100)
            await a.drain(5)
            await a.close()
            assert_once_and_in_order(await everything(first, made.loud), 12, 100)
            assert max(one.most_of_key, two.most_of_key) == 1

    asyncio.run(test())


def test_a_stuck_key_holds_up_itself_alone_over_a_restart(kafka: Server) -> None:
    """2,000 records of the stuck key between 2,000 of others, in one partition; the offset's metadata
    carries what is finished to the next start."""

    async def test() -> None:
        async with cluster(kafka) as made:
            broker = await made.broker()
            await broker.delete_topic(made.words)
            await broker.create_topic(TopicConfig(made.words, 1))
            stuck, good = Echo(made.loud, frozenset({"stuck"})), Echo(made.loud)
            events = [event(f"{k}-{n}", k) for n in range(2000) for k in ("stuck", f"k{n % 20}")]
            await broker.publish(made.words, events)
            a = await made.deliver(broker, stuck)
            await until(lambda: a.lag == 2000 and bool(a.stuck), 60)
            await a.drain(5)
            await a.close()
            assert len(await everything(broker, made.loud)) == 2000
            [progress] = await broker.progress(made.group, made.words)
            assert progress.offset == 0
            assert len(progress.beyond) == 2000
            b = await made.deliver(broker, good)
            await until(lambda: len(b.partitions) == 1 and b.lag == 0, 60)
            await b.drain(5)
            await b.close()
            assert good.done == 2000
            found = [s.event().id for s in await everything(broker, made.loud) if s.key == "stuck"]
            assert found == [f"o-stuck-{n}" for n in range(2000)]

    asyncio.run(test())


class Holder:
    """A member that takes partitions and does nothing with them."""

    def __init__(self) -> None:
        self.held: set[int] = set()

    async def take(self, partitions: Sequence[int]) -> None:
        self.held.update(partitions)

    async def give_up(self, partitions: Sequence[int], patience: float) -> None:
        self.held.difference_update(partitions)


def test_a_process_that_lost_its_partition_cannot_commit(kafka: Server) -> None:
    """Kafka itself refuses a transaction with a member and generation that are over."""

    async def test() -> None:
        async with cluster(kafka) as made:
            zombie, heir = await made.broker(), await made.broker()
            holder, next_holder = Holder(), Holder()
            await zombie.join(made.group, made.words, holder)
            await until(lambda: len(holder.held) == PARTITIONS)
            await publish(zombie, made.words, 8, 0, 1)
            membership = zombie._members[made.group, made.words]
            old = membership.metadata(0)
            await zombie.leave(made.group, made.words)
            await heir.join(made.group, made.words, next_holder)
            await until(lambda: len(next_holder.held) == PARTITIONS)

            effects = Effects(made.group, made.words, 0, 0, [(made.loud, event("ghost", "k"))])
            zombie._committer._member_of = lambda share: old  # it has not heard
            with pytest.raises(BrokerUnavailable, match="metadata mismatch"):
                await zombie.commit([effects])
            assert await everything(heir, made.loud) == []
            assert (await heir.progress(made.group, made.words))[0].offset == 0
            await heir.commit([effects])
            assert [s.event().id for s in await everything(heir, made.loud)] == ["ghost"]

    asyncio.run(test())
