"""Batches: order per key, when they leave, and who fails. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.virtual import run_virtual

from tidemill.errors import RecordError
from tidemill.functions.batching import BatchExecutor

MANY = 1_000_000  # in flight: more than an executor ever holds


class Service:
    """Takes `seconds` for a batch; keeps what it was given and when."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.batches: list[list[Any]] = []
        self.begun: list[float] = []

    async def handle(self, items: Sequence[Any]) -> list[str]:
        self.batches.append(list(items))
        self.begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        return [f"done {item}" for item in items]


def executor(
    handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
    *,
    size: int = 3,
    interval: float = 10.0,
    buckets: int = 1,
    in_flight: int = MANY,
) -> BatchExecutor[Any, Any]:
    return BatchExecutor(handle, size=size, interval=interval, buckets=buckets, in_flight=lambda: in_flight)


async def submit_all(batches: BatchExecutor[Any, Any], items: Sequence[Any], key: Any = "k") -> list[Any]:
    return await asyncio.gather(*(batches.submit(key, item) for item in items), return_exceptions=True)


def test_a_full_batch_leaves_at_once_and_the_rest_follows_it() -> None:
    async def main() -> None:
        service = Service()
        assert await submit_all(executor(service.handle), "abcd") == [f"done {x}" for x in "abcd"]
        assert service.batches == [["a", "b", "c"], ["d"]]
        assert service.begun == [0, 1]

    run_virtual(main())


def test_what_is_not_full_waits_for_the_interval_of_its_oldest_item() -> None:
    async def main() -> None:
        service = Service()
        batches = executor(service.handle)

        async def later() -> None:
            await asyncio.sleep(4)
            await batches.submit("k", "b")

        await asyncio.gather(batches.submit("k", "a"), later())
        assert (service.batches, service.begun) == ([["a", "b"]], [10])

    run_virtual(main())


def test_a_batch_that_holds_all_in_flight_leaves_at_once() -> None:
    async def main() -> None:
        service = Service()
        await submit_all(executor(service.handle, in_flight=2), "ab")
        assert (service.batches, service.begun) == ([["a", "b"]], [0])

    run_virtual(main())


def test_one_record_that_became_many_is_one_batch() -> None:
    """A splitter's chunks come side by side while the unit holds one record."""

    async def main() -> None:
        service = Service()
        await submit_all(executor(service.handle, size=10, in_flight=1), range(5))
        assert service.batches == [[0, 1, 2, 3, 4]]

    run_virtual(main())


@pytest.mark.parametrize("interval", [0, -1])
def test_without_an_interval_every_item_goes_alone(interval: float) -> None:
    async def main() -> None:
        service = Service()
        await submit_all(executor(service.handle, interval=interval), "ab")
        assert (service.batches, service.begun) == ([["a"], ["b"]], [0, 1])

    run_virtual(main())


def test_items_without_key_are_spread_over_the_buckets() -> None:
    async def main() -> None:
        service = Service()
        await submit_all(executor(service.handle, interval=0, buckets=4), "abcd", key=None)
        assert service.begun == [0, 0, 0, 0]

    run_virtual(main())


def test_less_than_one_bucket_is_one() -> None:
    async def main() -> None:
        service = Service()
        await submit_all(executor(service.handle, interval=0, buckets=0), "ab")
        assert service.begun == [0, 1]

    run_virtual(main())


def test_a_failed_call_fails_its_batch_and_no_other() -> None:
    async def handle(items: Sequence[Any]) -> Sequence[Any]:
        if "b" in items:
            raise RecordError("the service is down")
        return items

    async def main() -> None:
        results = await submit_all(executor(handle, size=2), "abcd")
        assert [str(result) for result in results] == ["the service is down"] * 2 + ["c", "d"]

    run_virtual(main())


def test_what_can_never_work_fails_alone() -> None:
    class Poison(RecordError):
        permanent = True

    async def handle(items: Sequence[Any]) -> Sequence[Any]:
        if "b" in items:
            raise Poison("too long")
        return items

    async def main() -> None:
        results = await submit_all(executor(handle), "abc")
        assert [str(result) for result in results] == ["a", "too long", "c"]

    run_virtual(main())


def test_a_wrong_number_of_results_fails_the_batch() -> None:
    async def handle(items: Sequence[Any]) -> Sequence[Any]:
        return items[1:]

    async def main() -> None:
        results = await submit_all(executor(handle), "abc")
        assert all(isinstance(result, ValueError) for result in results)

    run_virtual(main())


def test_a_cancelled_item_is_left_out_and_an_abandoned_batch_ends() -> None:
    async def main() -> None:
        service = Service(seconds=1e9)
        batches = executor(service.handle, interval=0)
        running = asyncio.ensure_future(batches.submit("k", "a"))
        waiting = asyncio.ensure_future(batches.submit("k", "b"))
        await asyncio.sleep(1)
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        await batches.close()
        assert service.batches == [["a"]]

    run_virtual(main(), limit=100)


@pytest.mark.parametrize("turns", range(5))
def test_a_batch_that_is_abandoned_early_blocks_nobody(turns: int) -> None:
    async def main() -> None:
        service = Service()
        batches = executor(service.handle, interval=0)
        abandoned = asyncio.ensure_future(batches.submit("k", "a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        abandoned.cancel()
        assert await batches.submit("k", "b") == "done b"

    run_virtual(main(), limit=100)


def test_closing_sends_what_waits() -> None:
    async def main() -> None:
        service = Service()
        batches = executor(service.handle)
        waiting = asyncio.gather(*(batches.submit("k", item) for item in "ab"))
        await asyncio.sleep(0)
        await batches.close()
        assert await waiting == ["done a", "done b"]
        assert service.begun == [0]

    run_virtual(main())


ARRIVALS = st.lists(st.tuples(st.sampled_from("abc") | st.none(), st.floats(0, 5)), max_size=30)


@settings(max_examples=30, deadline=None)
@given(ARRIVALS, st.integers(1, 5), st.sampled_from([0.0, 0.5, 3.0]), st.integers(1, 4), st.integers(1, 8))
def test_equal_keys_stay_in_order_and_all_are_done(
    arrivals: list[tuple[str | None, float]], size: int, interval: float, buckets: int, in_flight: int
) -> None:
    async def main() -> None:
        running: set[str] = set()
        seen: list[tuple[str | None, int]] = []

        async def handle(items: Sequence[tuple[str | None, int]]) -> Sequence[tuple[str | None, int]]:
            assert len(items) <= (size if interval else 1)
            keys = {key for key, _ in items if key}
            assert not keys & running
            running.update(keys)
            seen.extend(items)
            await asyncio.sleep(0.7)
            running.difference_update(keys)
            return items

        batches = executor(handle, size=size, interval=interval, buckets=buckets, in_flight=in_flight)

        arrived = count()

        async def arrive(key: str | None, at: float) -> None:
            await asyncio.sleep(at)
            item = (key, next(arrived))
            assert await batches.submit(key, item) == item

        await asyncio.gather(*(arrive(key, at) for key, at in arrivals))
        for key in "abc":
            numbers = [number for found, number in seen if found == key]
            assert numbers == sorted(numbers)
        assert len(seen) == len(arrivals)

    run_virtual(main())
