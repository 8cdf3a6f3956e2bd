"""Delivery under random keys, delays, failures, time-outs, busy answers, crashes and restarts: per key
the effects come in the order of the input, each input has its effect exactly once, nothing is lost.
Against the double in virtual time, and against the embedded broker in real time."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.delivery_world import TIMEOUT, World, policies, random_action, random_answer, windows
from support.memory_broker import Disk, MemoryBroker
from support.virtual import run_virtual

from tidemill.brokers.embedded import EmbeddedBroker
from tidemill.brokers.protocol import Broker
from tidemill.triggers.policy import RetryPolicy

SHORT = 0.004  # seconds of real time for one of the schedule

counts = st.integers(0, 40)
seeds = st.integers(0, 2**32)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, windows, counts, st.integers(0, 100), st.booleans(), seeds)
def test_delivery(
    policy: RetryPolicy, window: int, actions: int, answers: int, slow_disk: bool, seed: int
) -> None:
    chance, disk = random.Random(seed), Disk()

    async def open_broker() -> Broker:
        pause = (lambda: chance.choice([0, 0, 0.01, 1.5])) if slow_disk else None
        return MemoryBroker(disk, pause, pause)

    async def main() -> None:
        script = [random_answer(chance) for _ in range(answers)]
        world = World(open_broker, policy, window, script)
        await world.begin()
        for _ in range(actions):
            await world.act(*random_action(chance))
        await world.end(lambda: asyncio.sleep(5000))

    run_virtual(main())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, windows, counts, st.integers(0, 60), seeds)
def test_delivery_from_the_embedded_broker(
    policy: RetryPolicy, window: int, actions: int, answers: int, seed: int
) -> None:
    chance = random.Random(seed)
    short = replace(policy, delay=policy.delay * SHORT, cap=0.2, timeout=TIMEOUT * SHORT)

    async def main(folder: Path) -> None:
        script = [random_answer(chance) for _ in range(answers)]
        world = World(lambda: EmbeddedBroker.open(folder), short, window, script, SHORT)
        await world.begin()
        for _ in range(actions):
            await world.act(*random_action(chance))

        async def finished() -> None:
            async with asyncio.timeout(30):
                while world.dispatcher.lag or world.dispatcher.loaded:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

        await world.end(finished)
        await world.broker.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
