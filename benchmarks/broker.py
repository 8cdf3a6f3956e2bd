"""How fast the embedded broker is: appends per second in batches, by many publishers, by commits.

Run by hand: `python benchmarks/broker.py [--stored N]`; `--stored` fills the state with that many
events first, to show that the rate does not depend on them. Each row also gives the processor time
per append, of the event loop's thread alone and of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import Effects, StateWrite, TopicConfig
from tidemill.record import Event

DATA = os.urandom(1024)
KEYS = [f"customer-{number}" for number in range(500)]


def event(number: int) -> Event:
    attributes = {
        "id": f"b5a2c1d0e9f84a7b{number:016x}",
        "source": "/benchmark/shop",
        "type": "dev.tidemill.record",
        "partitionkey": KEYS[number % len(KEYS)],
        "datacontenttype": "application/json",
        "time": "2026-11-21T12:00:00.000Z",
    }
    return Event(attributes, DATA)


class Numbers:
    def __init__(self) -> None:
        self.next = 0

    def take(self, count: int) -> list[Event]:
        self.next += count
        return [event(number) for number in range(self.next - count, self.next)]


async def measure(name: str, count: int, run: Callable[[], Awaitable[None]]) -> None:
    wall, loop, process = time.perf_counter(), time.thread_time(), time.process_time()
    await run()
    wall, loop, process = time.perf_counter() - wall, time.thread_time() - loop, time.process_time() - process
    micro = 1e6 / count
    print(
        f"{name:<44}{count / wall:>10,.0f}/s"
        f"   loop {loop * micro:5.1f} µs   process {process * micro:5.1f} µs"
    )


async def batches(broker: EmbeddedBroker, numbers: Numbers, count: int, size: int, parallel: int) -> None:
    async def publisher(events: list[Event]) -> None:
        for start in range(0, len(events), size):
            await broker.publish("in", events[start : start + size])

    prepared = [numbers.take(count // parallel) for _ in range(parallel)]
    await measure(
        f"publish, batches of {size}, {parallel} publishers",
        count // parallel * parallel,
        lambda: asyncio.gather(*map(publisher, prepared)),
    )


async def commits(
    broker: EmbeddedBroker, numbers: Numbers, count: int, size: int, parallel: int, state: int
) -> None:
    """Each delivery finishes one record and writes one output."""
    starts = [progress.offset for progress in await broker.progress("group", "in")]
    work = [
        (number, offset)
        for number, (start, (_, end)) in enumerate(zip(starts, broker.bounds("in"), strict=True))
        for offset in range(start, min(end, start + count // len(starts)))
    ]
    outputs = numbers.take(len(work))
    effects = [
        Effects(
            "group",
            "in",
            place,
            offset,
            [("out", output)],
            [StateWrite("unit", KEYS[offset % 500], b"12")] * state,
        )
        for (place, offset), output in zip(work, outputs, strict=True)
    ]

    async def worker(mine: list[Effects]) -> None:
        for start in range(0, len(mine), size):
            await broker.commit(mine[start : start + size])

    await measure(
        f"commit with an output{' and state' * state}, {size} each, {parallel} at once",
        len(effects),
        lambda: asyncio.gather(*(worker(effects[lane::parallel]) for lane in range(parallel))),
    )


async def reads(broker: EmbeddedBroker) -> None:
    async def run() -> None:
        for number, (offset, end) in enumerate(broker.bounds("out")):
            while offset < end and (found := await broker.read("out", number, offset, 500)):
                offset = found[-1].offset + 1

    await measure("read back", sum(end - first for first, end in broker.bounds("out")), run)


async def latency(broker: EmbeddedBroker, numbers: Numbers) -> None:
    times = []
    for _ in range(300):
        start = time.perf_counter()
        await broker.publish("in", numbers.take(1))
        times.append(time.perf_counter() - start)
        await asyncio.sleep(0.003)
    times.sort()
    print(f"{'one publish, alone':<44}p50 {times[150] * 1e3:.2f} ms   p99 {times[297] * 1e3:.2f} ms")


async def fill(broker: EmbeddedBroker, numbers: Numbers, count: int) -> None:
    started = last = time.perf_counter()
    for done in range(0, count, 2000):
        await broker.publish("in", numbers.take(2000))
        if done % (count // 5 // 2000 * 2000 or 2000) == 0 and done:
            now = time.perf_counter()
            print(f"  filled {done:,} after {now - started:.0f} s ({now - last:.1f} s)", flush=True)
            last = now


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=0)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--state", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.state) as folder:
        broker = await EmbeddedBroker.open(Path(folder))
        for name in ("in", "out"):
            await broker.create_topic(TopicConfig(name, 12))
        numbers = Numbers()
        await fill(broker, numbers, arguments.stored)
        await batches(broker, numbers, arguments.count, 100, 1)
        await batches(broker, numbers, arguments.count, 100, 4)
        await batches(broker, numbers, arguments.count, 1, 64)
        await batches(broker, numbers, arguments.count, 1, 256)
        await commits(broker, numbers, arguments.count, 1, 64, 0)
        await commits(broker, numbers, arguments.count, 32, 8, 1)
        await reads(broker)
        await latency(broker, numbers)
        await broker.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
