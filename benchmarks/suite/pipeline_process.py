"""The process of P2 and P3: a broker, dispatchers, three units in processes, and who feeds them.

`python pipeline_process.py STACK FOLDER JSON` prints a JSON object. Both stacks have the same broker,
the same dispatchers and the same feeder in one process on one core, and the agents on the other core;
what differs is how an event gets to an agent and back. The feeder keeps a number of events in flight
between the first topic and the last, or publishes one every so many seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from events import event
from load import free_port
from processes import LOAD_CORE, cpu_seconds
from report import median, quantile
from servers import USER_CODE, Server, func_python, functions_framework
from subscriber import HttpSubscriber

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import Broker, TopicConfig
from tidemill.local.platform import Platform
from tidemill.local.run import RunOptions, prepare
from tidemill.triggers.delivery import Dispatcher
from tidemill.triggers.policy import RetryPolicy

KEYS = 500
TOPICS = ("t0", "t1", "t2", "t3")
PARTITIONS = 4
AGENTS = {
    "python": "type: python-processor, configuration: {className: marking.Mark}",
    "compute": 'type: compute, configuration: {fields: [{name: value.seen, expression: "true"}]}',
    "identity": "type: identity",
}


# --- the stacks --------------------------------------------------------------------------------------


@asynccontextmanager
async def tidemill(folder: Path, broker: EmbeddedBroker, agent: str) -> AsyncIterator[Callable[[], None]]:
    """The platform of `tidemill run`, in this process."""
    application = folder / "application"
    (application / "python").mkdir(parents=True)
    (application / "python" / "marking.py").write_text(USER_CODE)
    (application / "pipeline.yaml").write_text(_pipeline(agent))
    options = RunOptions(application, state=folder / "state", gateway_port=0, watch=False)
    prepared = prepare(options)
    platform = Platform(
        prepared.manifests, broker, state=folder / "state", code=application, secrets={}, gateway_port=0
    )
    await platform.start()
    try:
        yield lambda: _pin_workers(platform)
    finally:
        await platform.drain(5.0)


def _pipeline(agent: str) -> str:
    topics = [
        f"  - {{name: {t}, creation-mode: create-if-not-exists, partitions: {PARTITIONS}}}" for t in TOPICS
    ]
    steps = [
        f"  - {{id: a{number}, input: {before}, output: {after}, {AGENTS[agent]}}}"
        for number, (before, after) in enumerate(pairwise(TOPICS))
    ]
    return "\n".join(["topics:", *topics, "pipeline:", *steps, ""])


def _pin_workers(platform: Platform) -> None:
    for unit in platform.units.values():
        for worker in unit.pool.workers:
            for task in os.listdir(f"/proc/{worker.pid}/task") if worker.pid else ():
                os.sched_setaffinity(int(task), {LOAD_CORE})


@asynccontextmanager
async def servers(
    folder: Path, broker: EmbeddedBroker, make: Callable[[], Server]
) -> AsyncIterator[Callable[[], None]]:
    """One server a unit, each behind a dispatcher that POSTs."""
    async with AsyncExitStack() as stack:
        for topic in TOPICS:
            await broker.create_topic(TopicConfig(topic, PARTITIONS))
        for number, (before, after) in enumerate(pairwise(TOPICS)):
            port = free_port()
            command, variables = make().at(port)
            process = subprocess.Popen(  # noqa: ASYNC220
                command,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
            )
            stack.callback(process.terminate)
            subscriber = HttpSubscriber(port, after)
            await subscriber.connect()
            dispatcher = Dispatcher(
                broker, group=f"g{number}", topic=before, policy=RetryPolicy(), subscriber=subscriber
            )
            subscriber.room_again = dispatcher.capacity_changed
            await dispatcher.start()
            stack.push_async_callback(dispatcher.close)
        yield lambda: None


# --- who feeds and watches ----------------------------------------------------------------------------


class Feeder:
    """Publishes events with their number as id of the subject, and notes when each comes out."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._number = 0
        self._begun: dict[str, float] = {}
        self.times: list[float] = []
        self._waiting: asyncio.Future[None] | None = None
        self._target = 0
        self._seen = 0
        self._room = asyncio.Semaphore(0)
        self._tails = [asyncio.create_task(self._tail(partition)) for partition in range(PARTITIONS)]

    async def _tail(self, partition: int) -> None:
        offset = self._broker.bounds(TOPICS[-1])[partition][1]
        while True:
            await self._broker.wait(TOPICS[-1], partition, offset)
            for stored in await self._broker.read(TOPICS[-1], partition, offset, 256):
                offset = stored.offset + 1
                self._arrived(stored.key or "")

    def _arrived(self, key: str) -> None:
        # The key tells which one it was: of one key there is at most one on its way.
        self.times.append(time.perf_counter() - self._begun.pop(key))
        self._seen += 1
        self._room.release()
        if self._waiting is not None and self._seen >= self._target:
            self._waiting.set_result(None)
            self._waiting = None

    async def _publish(self) -> None:
        key = f"k{self._number % KEYS:03}"
        self._number += 1
        self._begun[key] = time.perf_counter()
        await self._broker.publish(TOPICS[0], [event(self._number, key)])

    async def saturate(self, count: int, in_flight: int) -> float:
        """Events per second with so many on their way."""
        self._expect(count)
        self._room = asyncio.Semaphore(in_flight)
        begun = time.perf_counter()
        publishing = set()
        for _ in range(count):
            await self._room.acquire()
            task = asyncio.create_task(self._publish())
            publishing.add(task)
            task.add_done_callback(publishing.discard)
        await self._all_seen()
        return count / (time.perf_counter() - begun)

    async def pace(self, count: int, interval: float) -> list[float]:
        """Seconds from publishing to the last output, at a steady rate."""
        self._expect(count)
        begun = time.perf_counter()
        publishing = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number * interval - time.perf_counter()))
            publishing.append(asyncio.create_task(self._publish()))
        await self._all_seen()
        return self.times

    def _expect(self, count: int) -> None:
        self.times = []
        self._target = self._seen + count
        self._waiting = asyncio.get_running_loop().create_future()

    async def _all_seen(self) -> None:
        if self._waiting is not None:
            await self._waiting

    def close(self) -> None:
        for tail in self._tails:
            tail.cancel()


def sync_seconds(folder: Path, count: int) -> list[float]:
    """Write and fdatasync of 1.3 KB, one after the other, on the disk that the broker uses."""
    place = folder / "sync"
    times = []
    with place.open("wb", buffering=0) as file:
        for _ in range(count):
            begun = time.perf_counter()
            file.write(b"x" * 1300)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return times


async def measure(stack: str, folder: Path, what: dict[str, Any]) -> dict[str, Any]:
    broker = await EmbeddedBroker.open(folder / "state")
    kind, _, agent = stack.partition(":")
    make = {"func-python": func_python, "functions-framework": functions_framework}
    running = tidemill(folder, broker, agent) if kind == "tidemill" else servers(folder, broker, make[kind])
    try:
        async with running as settled:
            feeder = Feeder(broker)
            await feeder.saturate(what["warm"], 16)
            settled()
            cpu = cpu_seconds(os.getpgrp())
            rate = await feeder.saturate(what["count"], what["in_flight"])
            cpu = (cpu_seconds(os.getpgrp()) - cpu) / what["count"]
            syncs = sync_seconds(folder, 50)
            times = await feeder.pace(what["paced"], 0.01)
            syncs += sync_seconds(folder, 50)
            feeder.close()
    finally:
        await broker.close()
    return {
        "rate": rate,
        "cpu": cpu,
        "p50": median(times),
        "p99": quantile(times, 0.99),
        "sync": median(syncs),
    }


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(measure(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))))
