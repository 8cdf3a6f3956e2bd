"""The pool's decisions, second by second: workers are stand-ins, the pool and its autoscaler are real."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from support.virtual import run_virtual

from tidemill.brokers.protocol import Stored
from tidemill.functions import frames
from tidemill.functions.outcome import Done
from tidemill.local.autoscaler import Autoscaler, ScalePolicy
from tidemill.local.pool import RESTART_DELAYS, Pool
from tidemill.triggers.delivery import Delivery


class Connected:
    """The socket of a worker that is told to stop, and stops."""

    def __init__(self, end: Callable[[int], None]) -> None:
        self.end = end

    def send(self, messages: Sequence[frames.Message]) -> None:
        if any(isinstance(message, frames.Stop) for message in messages):
            asyncio.get_running_loop().call_soon(self.end, 0)


class Forks:
    """Workers that connect at once, or end at once with `status`."""

    def __init__(self, status: int | None = None) -> None:
        self.status, self.starts, self.pool = status, list[float](), None

    async def spawn(self, variables: Mapping[str, str], ended: Callable[[int], None]) -> int:
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        if self.status is not None:
            loop.call_soon(ended, self.status)
        else:
            hello = frames.Hello("unit", variables["TIDEMILL_PASS"], 1, 8)
            loop.call_soon(self.pool.connected, Connected(ended), hello)
        return len(self.starts)

    def kill(self, pid: int) -> None: ...


class Waiting:
    """A dispatcher: how much waits, as far as the pool asks."""

    demand = 0

    def capacity_changed(self) -> None: ...


def pool_of(forks: Forks, **policy: Any) -> tuple[Pool, Waiting]:
    pool, waiting = Pool("unit", forks, {}, Autoscaler(ScalePolicy(**policy))), Waiting()  # type: ignore[arg-type]
    forks.pool, pool.dispatchers = pool, [waiting]
    return pool, waiting


def deliver(pool: Pool, token: int) -> None:
    """One record that is answered before the next tick."""
    pool.send([Delivery(token, Stored("in", 0, token, 0, None, b""), 1, None)], lambda *_: None)
    worker = next(worker for worker in pool.workers if token in worker.held)
    pool.answered(worker, token, Done())


async def seconds(pool: Pool, count: int, each: Callable[[int], None] = lambda _: None) -> list[int]:
    """How many workers there are after each of so many ticks."""
    found = []
    for second in range(count):
        each(second)
        await asyncio.sleep(1)
        pool.tick(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        found.append(len(pool.workers))
    return found


def test_a_record_that_comes_and_goes_between_two_ticks_keeps_its_worker_for_the_window() -> None:
    async def main() -> list[int]:
        pool, waiting = pool_of(Forks(), window=6)
        waiting.demand = 1
        pool.demand_changed()
        await asyncio.sleep(0.01)
        deliver(pool, 1)
        waiting.demand = 0
        return await seconds(pool, 10)

    assert run_virtual(main()) == [1] * 7 + [0] * 3


def test_records_per_second_are_counted_where_the_unit_asks_for_them() -> None:
    async def main(metric: str) -> int:
        pool, waiting = pool_of(Forks(), window=6, target=10, maximum=9, metric=metric)
        waiting.demand = 1
        pool.demand_changed()
        await asyncio.sleep(0.01)
        waiting.demand = 0
        ticks = await seconds(
            pool, 12, lambda second: [deliver(pool, second * 100 + n) for n in range(28)] and None
        )
        return ticks[-1]

    assert run_virtual(main("rps")) == 4  # 28 / (10 * 0.7)
    assert run_virtual(main("concurrency")) == 1


def test_a_worker_that_cannot_start_is_tried_less_and_less_often() -> None:
    async def main() -> list[float]:
        forks = Forks(status=1)
        pool, waiting = pool_of(forks)
        waiting.demand = 1
        pool.demand_changed()
        await seconds(pool, 300)
        return forks.starts

    starts = run_virtual(main())
    waits = [round(later - earlier, 1) for earlier, later in itertools.pairwise(starts)]
    assert waits[:7] == list(RESTART_DELAYS)
    assert set(waits[7:]) == {RESTART_DELAYS[-1]}
