"""The case that decides whether a key holds up itself alone: key A never finishes, 10,000 of its
records are mixed into 100,000 others, and the others do not notice; no more is in memory than the
window, however long A's backlog grows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from support.memory_broker import MemoryBroker
from support.virtual import run_virtual

from tidemill.brokers.protocol import Stored, TopicConfig
from tidemill.record import Event
from tidemill.triggers.delivery import Delivery, Dispatcher, Done, Failed, Finished, Result
from tidemill.triggers.policy import RetryPolicy
from tidemill.triggers.reading import READ_LIMIT

KEYS, WINDOW = 2_000, 1024
TICK, PER_TICK = 0.02, 25  # 1,250 records a second
NEVER = [pytest.param(Failed("never"), id="fails"), pytest.param(None, id="hangs")]


class Held(Stored):
    """A record in the hands of the dispatcher or the subscriber; knows how many there are."""

    alive = most = 0

    def __new__(cls, *fields: object) -> Held:
        Held.alive += 1
        Held.most = max(Held.most, Held.alive)
        return super().__new__(cls, *fields)

    def __del__(self) -> None:
        Held.alive -= 1


class CountingBroker(MemoryBroker):
    """What it gives out is counted until it is let go."""

    async def read(self, *place: int | str) -> Sequence[Stored]:  # type: ignore[override]
        return [Held(*stored) for stored in await super().read(*place)]

    async def read_key(self, *place: int | str) -> Sequence[Stored]:  # type: ignore[override]
        return [Held(*stored) for stored in await super().read_key(*place)]


class Clock:
    """A subscriber that notes when each record ended, and keeps no record that did."""

    def __init__(self, of_a: Result | None, places: int) -> None:
        self.ends: dict[int, float] = {}
        self._of_a, self._places = of_a, places

    def capacity(self) -> int:
        return self._places

    def send(self, deliveries: Sequence[Delivery], finished: Finished) -> None:
        loop = asyncio.get_running_loop()
        self._places -= len(deliveries)
        for delivery in deliveries:
            number = int(delivery.stored.event().id)
            if delivery.stored.key != "A":
                loop.call_later(duration(number), self._end, number, delivery.token, finished, Done())
            elif self._of_a is not None:
                loop.call_soon(self._end, None, delivery.token, finished, self._of_a)

    def _end(self, number: int | None, token: int, finished: Finished, result: Result) -> None:
        self._places += 1
        if number is not None:
            self.ends[number] = asyncio.get_running_loop().time()
        finished(token, result)

    def abandon(self, token: int) -> None: ...


def mixed(others: int, of_a: int) -> list[Event]:
    """All records in order; A's first is the very first."""
    chance = random.Random(7)
    keys = [f"k{chance.randrange(KEYS)}" for _ in range(others)] + ["A"] * (of_a - 1)
    chance.shuffle(keys)
    return [
        Event({"id": str(number), "source": "/", "type": "t", "partitionkey": key})
        for number, key in enumerate(["A", *keys])
    ]


def duration(number: int) -> float:
    return (1 + number * 7919 % 50) / 1000


def expected_ends(events: Sequence[Event]) -> dict[int, float]:
    """When each record of the others ends if nothing but its own key holds it up."""
    free: dict[str, float] = {}
    ends = {}
    for number, event in enumerate(events):
        key = event.attributes["partitionkey"]
        if key != "A":
            begin = max(free.get(key, 0.0), number // PER_TICK * TICK)
            ends[number] = free[key] = begin + duration(number)
    return ends


async def deliver(
    events: Sequence[Event], of_a: Result | None, *, paced: bool, places: int
) -> tuple[dict[int, float], Dispatcher]:
    Held.most = Held.alive = 0
    broker, clock = CountingBroker(), Clock(of_a, places)
    await broker.create_topic(TopicConfig("in", 4))
    policy = RetryPolicy(timeout=None)
    dispatcher = Dispatcher(broker, group="g", topic="in", policy=policy, subscriber=clock, window=WINDOW)
    if not paced:
        await broker.publish("in", events)
    await dispatcher.start()
    for begin in range(0, len(events) if paced else 0, PER_TICK):
        await broker.publish("in", events[begin : begin + PER_TICK])
        await asyncio.sleep((begin // PER_TICK + 1) * TICK - asyncio.get_running_loop().time())
    await asyncio.sleep(60)
    await dispatcher.close()
    return clock.ends, dispatcher


@pytest.mark.parametrize("of_a", NEVER)
def test_every_other_record_ends_when_it_would_without_a(of_a: Result | None) -> None:
    events = mixed(100_000, 10_000)
    expected = expected_ends(events)
    ends, dispatcher = run_virtual(deliver(events, of_a, paced=True, places=WINDOW))
    late = {number: end for number, end in ends.items() if abs(end - expected[number]) > 1e-4}
    assert (late, len(ends)) == ({}, 100_000)
    assert dispatcher.lag == 10_000
    assert Held.most < 300  # what is in flight, and one read


@pytest.mark.parametrize("of_a", NEVER)
def test_a_whole_backlog_takes_as_long_as_without_a(of_a: Result | None) -> None:
    events = mixed(20_000, 2_000)
    alone = [event for event in events if event.attributes["partitionkey"] != "A"]
    without, _ = run_virtual(deliver(alone, of_a, paced=False, places=256))
    places = 256 if of_a else 257  # the attempt that hangs has a place of its own
    ends, dispatcher = run_virtual(deliver(events, of_a, paced=False, places=places))
    assert max(ends.values()) == pytest.approx(max(without.values()), rel=0.03)
    assert dispatcher.lag == 2_000
    assert Held.most <= WINDOW + READ_LIMIT
