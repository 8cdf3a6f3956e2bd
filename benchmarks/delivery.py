"""CPU of the dispatcher per delivery, in the happy path: `python benchmarks/delivery.py [records]`.

Broker and subscriber are doubles in memory; what they cost by themselves is measured with the same
calls and taken off. The target is 15 µs. Rows: keys at random, no keys, one key, a filter, state.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.memory_broker import MemoryBroker

from tidemill.brokers.protocol import Effects, StateWrite, TopicConfig
from tidemill.record import Event
from tidemill.triggers.delivery import Delivery, Dispatcher, Done, Finished
from tidemill.triggers.filters import compile_filters
from tidemill.triggers.policy import RetryPolicy

PLACES, BATCH = 64, 16
OUTPUT = Event({"id": "1", "source": "/", "type": "t"}, b"x" * 1000)


class Instant:
    """Answers in batches of at most 16, a turn of the loop later, as a worker's socket would."""

    def __init__(self, answer: Callable[[Delivery], Done], expected: int) -> None:
        self._answer, self._left = answer, expected
        self._running: deque[Delivery] = deque()
        self._places = PLACES
        self._waiting = False
        self.all_done = asyncio.Event()

    def capacity(self) -> int:
        return self._places

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        self._running.extend(deliveries)
        self._places -= len(deliveries)
        if not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_soon(self._work, finished)

    def _work(self, finished: Finished) -> None:
        count = min(BATCH, len(self._running))
        self._places += count
        self._left -= count
        for _ in range(count):
            delivery = self._running.popleft()
            finished(delivery.token, self._answer(delivery))
        self._waiting = bool(self._running)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._work, finished)
        if self._left <= 0:
            self.all_done.set()

    def abandon(self, token: int) -> None: ...


class Sink(MemoryBroker):
    """Takes commits without writing them: the dispatcher is measured, not a store."""

    async def commit(self, effects: Sequence[Effects]) -> None:
        await asyncio.sleep(0)


async def broker_with(records: int, key: Callable[[int], str | None]) -> MemoryBroker:
    broker = Sink()
    for topic in ("in", "out"):
        await broker.create_topic(TopicConfig(topic, 12))
    for number in range(records):
        attributes = {"id": str(number), "source": "/bench", "type": "t"}
        name = key(number)
        if name is not None:
            attributes["partitionkey"] = name
        await broker.publish("in", [Event(attributes, b"x" * 1000)])
    return broker


async def dispatcher_time(
    records: int, broker: MemoryBroker, answer: Callable[[Delivery], Done], **options: object
) -> float:
    subscriber = Instant(answer, records)
    dispatcher = Dispatcher(
        broker,
        group="g",
        topic="in",
        policy=RetryPolicy(),
        subscriber=subscriber,
        **options,  # type: ignore[arg-type]
    )
    begin = time.process_time()
    await dispatcher.start()
    await subscriber.all_done.wait()
    spent = time.process_time() - begin
    await dispatcher.close()
    return spent


async def doubles_time(records: int, broker: MemoryBroker, answer: Callable[[Delivery], Done]) -> float:
    """The same reads and answers without a dispatcher."""
    subscriber = Instant(answer, records)
    stored = [record for log in broker.disk.logs["in"] for record in log.records]
    deliveries = [Delivery(number, record, 1, None) for number, record in enumerate(stored)]
    begin = time.process_time()
    for start in range(0, records, BATCH):
        subscriber.send(deliveries[start : start + BATCH], lambda token, result: None)
        await asyncio.sleep(0)
    await subscriber.all_done.wait()
    return time.process_time() - begin


def keep(delivery: Delivery) -> Done:
    write = StateWrite("", delivery.stored.key or "", b"1")
    return Done([("out", OUTPUT)], [write])


async def row(
    name: str,
    records: int,
    key: Callable[[int], str | None],
    answer: Callable[[Delivery], Done],
    **options: object,
) -> None:
    broker = await broker_with(records, key)
    rounds = []
    for _ in range(3):
        own = await doubles_time(records, broker, answer)
        rounds.append((await dispatcher_time(records, broker, answer, **options) - own) / records * 1e6)
    print(f"{name:28} {min(rounds):6.1f} µs CPU per delivery")


async def main(records: int) -> None:
    result = Done([("out", OUTPUT)])
    chance = random.Random(1)
    filter = compile_filters([{"prefix": {"source": "/bench"}}])
    plain: Callable[[Delivery], Done] = lambda delivery: result  # noqa: E731
    many: Callable[[int], str] = lambda number: f"key{chance.randrange(500)}"  # noqa: E731
    await row("500 keys", records, many, plain)
    await row("no keys", records, lambda number: None, plain)
    await row("one key", records, lambda number: "key", plain)
    await row("500 keys, filter", records, many, plain, filter=filter)
    await row("500 keys, state", records, many, keep, stateful=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
