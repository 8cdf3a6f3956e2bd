"""A process that works on a broker until it is killed (by `test_embedded_kill.py`).

Publishers write numbered records; a unit reads them and commits an output, state and the position per
record. What was acknowledged is printed, a line each, before the next record is sent.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tidemill.brokers.embedded import EmbeddedBroker, indexing
from tidemill.brokers.protocol import Effects, StateWrite, TopicConfig
from tidemill.record import Event

KEYS, PARTITIONS = 6, 3


def record(key: str, number: int, kind: str = "in") -> Event:
    attributes = {"id": f"{kind}-{key}-{number}", "source": "/kill", "type": "t", "partitionkey": key}
    return Event(attributes, str(number).encode())


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def produce(broker: EmbeddedBroker, key: str, start: int, count: int) -> None:
    """From a little before the last acknowledged record: a producer that is not sure sends again."""
    for number in range(max(0, start - 3), count):
        await broker.publish("in", [record(key, number)])
        say(f"{key} {number}")


async def consume(broker: EmbeddedBroker, partition: int) -> None:
    offset, beyond = (await broker.progress("unit", "in"))[partition]
    calls: list[asyncio.Task[None]] = []
    while True:
        await broker.wait("in", partition, offset)
        for stored in await broker.read("in", partition, offset, 10):
            offset = stored.offset + 1
            if stored.offset in beyond:
                continue
            number = int(stored.event().data or b"")
            key = stored.key or ""
            output = record(key, number, "out")
            state = [StateWrite("unit", key, str(number).encode())]
            effects = Effects("unit", "in", partition, stored.offset, [("out", output)], state)
            # Not awaited one by one: the order of the calls is the order of the outputs.
            calls.append(asyncio.create_task(broker.commit([effects])))
        if len(calls) > 50:
            await asyncio.gather(*calls)
            calls.clear()


async def unfinished(broker: EmbeddedBroker) -> bool:
    progress = await broker.progress("unit", "in")
    return any(each.offset < end for each, (_, end) in zip(progress, broker.bounds("in"), strict=True))


async def main(folder: Path, count: int) -> None:
    indexing._LEAST = 40
    broker = await EmbeddedBroker.open(folder)
    for name in ("in", "out"):
        await broker.create_topic(TopicConfig(name, PARTITIONS))
    await broker.create_topic(TopicConfig("scratch", 1, {"retention.bytes": "0"}))
    consumers = [asyncio.create_task(consume(broker, n)) for n in range(PARTITIONS)]
    starts = [int(text) for text in sys.argv[3].split(",")]
    number = 0
    await asyncio.gather(*(produce(broker, f"k{n}", start, count) for n, start in enumerate(starts)))
    while await unfinished(broker):
        await broker.publish("scratch", [record("scratch", number := number + 1)])  # passes the time
    await broker.publish("scratch", [record("scratch", -1)])
    while await broker.maintain():
        pass
    for task in consumers:
        task.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    await broker.close()
    say("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
