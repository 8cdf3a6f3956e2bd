"""Tail and catch-up under random schedules: every record once, in the order of its partition.

The broker here is a list whose calls take a random number of turns of the event loop, so that tail,
catch-up, writer and slow readers meet in every order. No server, no clock.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.brokers.protocol import Stored
from tidemill.functions.gateway.consume import Subscription, Tails
from tidemill.functions.gateway.limits import Limits
from tidemill.record import Record, to_event

TOPIC = "t"


class Lists:
    """Reading and writing one topic, each call in its own time."""

    def __init__(self, partitions: int, chance: random.Random) -> None:
        self.logs: list[list[Stored]] = [[] for _ in range(partitions)]
        self.firsts = [0] * partitions
        self._chance = chance
        self._written = asyncio.Event()

    async def pause(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)

    def write(self, partition: int, parity: str) -> None:
        log = self.logs[partition]
        record = Record(f"{partition}:{len(log)}", None, (("parity", parity),))
        event = to_event(record, id=f"{partition}-{len(log)}", source="/test")
        log.append(Stored(TOPIC, partition, len(log), 0, None, msgspec.msgpack.encode(event)))
        self._written.set()
        self._written = asyncio.Event()

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        return [(first, len(log)) for first, log in zip(self.firsts, self.logs, strict=True)]

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        await self.pause()
        start = max(offset, self.firsts[partition])
        found = self.logs[partition][start : start + limit]
        await self.pause()
        return found

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        while len(self.logs[partition]) <= offset:
            await self._written.wait()
        await self.pause()


@dataclass
class Reader:
    """A client that reads from its first moment on."""

    subscription: Subscription
    starts: Sequence[int]
    parity: str | None
    lists: Lists
    pushes: list[dict[str, Any]] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            self.pushes.append(json.loads(await self.subscription.next()))
            await self.lists.pause()

    async def finish(self, task: asyncio.Task[None], count: int) -> None:
        """Wait for `count` records, and long enough for one too many."""
        async with asyncio.timeout(5):
            while len(self.pushes) < count:  # noqa: ASYNC110
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.subscription.close()


def expected(lists: Lists, starts: Sequence[int], parity: str | None) -> list[str]:
    return [
        f"{partition}:{offset}"
        for partition, start in enumerate(starts)
        for offset in range(start, len(lists.logs[partition]))
        if parity is None or offset % 2 == (parity == "odd")
    ]


async def scenario(seed: int, partitions: int, before: int, during: int, limits: Limits) -> None:
    chance = random.Random(seed)
    lists = Lists(partitions, chance)
    tails = Tails(lists, limits)  # type: ignore[arg-type]

    def write() -> None:
        partition = chance.randrange(partitions)
        lists.write(partition, "odd" if len(lists.logs[partition]) % 2 else "even")

    for _ in range(before):
        write()
    readers: list[tuple[Reader, asyncio.Task[None]]] = []

    def subscribe(position: str, parity: str | None, starts: Sequence[int]) -> None:
        filter = () if parity is None else (("parity", parity),)
        reader = Reader(tails.subscribe(TOPIC, position, filter), starts, parity, lists)
        readers.append((reader, asyncio.create_task(reader.run())))

    def arrive() -> None:
        position, parity = chance.choice(["latest", "earliest"]), chance.choice([None, "odd", "even"])
        starts = [end if position == "latest" else first for first, end in lists.bounds(TOPIC)]
        subscribe(position, parity, starts)

    def come_back() -> None:
        reader, _ = chance.choice(readers)
        if reader.pushes:
            at = chance.randrange(len(reader.pushes))
            starts = list(reader.starts)
            for push in reader.pushes[: at + 1]:
                partition, offset = map(int, push["record"]["value"].split(":"))
                starts[partition] = offset + 1
            subscribe(reader.pushes[at]["offset"], reader.parity, starts)

    arrive()
    for _ in range(during):
        write()
        if chance.random() < 0.2 and len(readers) < 6:
            chance.choice([arrive, come_back])()
        await lists.pause()
    for reader, task in readers:
        wanted = expected(lists, reader.starts, reader.parity)
        await reader.finish(task, len(wanted))
        values = [push["record"]["value"] for push in reader.pushes]
        assert sorted(values) == sorted(wanted)
        for partition in range(partitions):
            own = [int(value.split(":")[1]) for value in values if value.startswith(f"{partition}:")]
            assert own == sorted(own)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 3),
    before=st.integers(0, 20),
    during=st.integers(0, 60),
    queue=st.integers(1, 8),
    read=st.integers(1, 5),
)
def test_every_record_once_and_in_order(seed, partitions, before, during, queue, read):
    asyncio.run(scenario(seed, partitions, before, during, Limits(queue=queue, read=read)))
