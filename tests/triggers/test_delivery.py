"""What the dispatcher promises of delivery, one promise a test, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.memory_broker import Disk, MemoryBroker, partition_of_key
from support.virtual import run_virtual
from support.workers import Answer, Workers, at_once, text_of

from tidemill.brokers.protocol import Effects, StateWrite, Stored, TopicConfig
from tidemill.errors import ConfigurationError, NotFound
from tidemill.record import Event, to_record
from tidemill.triggers import lanes
from tidemill.triggers.delivery import Busy, Delivery, Dispatcher, Done, Failed
from tidemill.triggers.policy import RetryPolicy

FAIL = RetryPolicy(delay=0.5)


def event(text: str, key: str | None = None, **attributes: str) -> Event:
    named = {"id": text, "source": "/test", "type": "dev.tidemill.record", **attributes}
    if key is not None:
        named["partitionkey"] = key
    return Event(named, text.encode())


async def memory(disk: Disk | None = None, partitions: int = 3, **options: Any) -> MemoryBroker:
    broker = MemoryBroker(disk, **options)
    for name in ("in", "out", "in-deadletter"):
        await broker.create_topic(TopicConfig(name, partitions))
    return broker


@asynccontextmanager
async def dispatching(
    broker: MemoryBroker, workers: Workers, policy: RetryPolicy = FAIL, **options: Any
) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(
        broker, group="g", topic="in", policy=policy, subscriber=workers,
        dead_letter="in-deadletter", unit="u", **options,
    )  # fmt: skip
    await dispatcher.start()
    yield dispatcher
    await dispatcher.close()


async def texts(broker: MemoryBroker, topic: str) -> list[str]:
    return [(stored.event().data or b"").decode() for stored in broker.disk.all(topic)]


def forward(delivery: Delivery) -> Done:
    source = delivery.stored.event()
    return Done([("out", Event({**source.attributes, "id": source.id + "'"}, source.data))])


def scripted(script: dict[str, list[Answer]]) -> Callable[[Delivery], Answer]:
    """The n-th attempt of a text gets its n-th answer, all others success at once."""
    left = {text: list(answers) for text, answers in script.items()}

    def answer(delivery: Delivery) -> Answer:
        answers = left.get(text_of(delivery))
        return answers.pop(0) if answers else (0, forward(delivery))

    return answer


def times(workers: Workers, text: str) -> list[float]:
    return [round(time, 3) for time, delivery in workers.sent if text_of(delivery) == text]


def attempts(workers: Workers, text: str) -> list[int]:
    return [delivery.attempt for _, delivery in workers.sent if text_of(delivery) == text]


# --- order and speed ---------------------------------------------------------------------------------


def test_records_of_a_key_go_one_after_the_other_and_keys_side_by_side() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (1, forward(delivery)))
        await broker.publish("in", [event(f"{key}{n}", key) for n in range(3) for key in "abc"])
        async with dispatching(broker, workers):
            await asyncio.sleep(10)
        assert len(await texts(broker, "out")) == 9
        for key in "abc":
            assert [times(workers, f"{key}{n}") for n in range(3)] == [[0], [1], [2]]

    run_virtual(main())


def test_records_without_key_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (1, Done()))
        await broker.publish("in", [event(str(n)) for n in range(20)])
        async with dispatching(broker, workers):
            await asyncio.sleep(2)
        assert {time for time, _ in workers.sent} == {0}

    run_virtual(main())


def test_an_event_is_sent_when_it_is_published_without_a_timer() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(at_once)
        async with dispatching(broker, workers):
            await asyncio.sleep(7.25)
            await broker.publish("in", [event("x", "k")])
            for _ in range(5):  # turns of the loop, no time
                await asyncio.sleep(0)
            assert [time for time, _ in workers.sent] == [7.25]

    run_virtual(main())


def test_results_of_one_turn_are_one_commit() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (1, Done()))
        await broker.publish("in", [event(str(n)) for n in range(50)])
        async with dispatching(broker, workers):
            await asyncio.sleep(2)
        assert broker.commits == 1

    run_virtual(main())


def test_the_next_record_of_a_key_does_not_wait_for_the_disk() -> None:
    async def main() -> None:
        broker = await memory(latency=lambda: 5)
        workers = Workers(lambda delivery: (1, forward(delivery)))
        await broker.publish("in", [event(str(n), "k") for n in range(4)])
        async with dispatching(broker, workers):
            await asyncio.sleep(4.5)
            assert workers.texts() == ["0", "1", "2", "3"]
            assert await texts(broker, "out") == []
            await asyncio.sleep(10)
        assert await texts(broker, "out") == ["0", "1", "2", "3"]

    run_virtual(main())


def test_lanes_take_turns() -> None:
    """One place, one key with many records: the others wait for one of them, not for all."""

    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda delivery: (1, Done()), places=1)
        await broker.publish("in", [event(f"a{n}", "a") for n in range(5)] + [event("b", "b"), event("c")])
        async with dispatching(broker, workers):
            await asyncio.sleep(10)
        assert workers.texts() == ["a0", "b", "c", "a1", "a2", "a3", "a4"]

    run_virtual(main())


# --- failures ----------------------------------------------------------------------------------------


def test_a_failing_record_holds_its_own_lane_only() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(scripted({"a0": [(0, Failed("no"))] * 3}))
        await broker.publish("in", [event("a0", "a"), event("a1", "a"), event("b0", "b"), event("n")])
        async with dispatching(broker, workers) as dispatcher:
            await asyncio.sleep(0.1)
            assert times(workers, "b0") == times(workers, "n") == [0]
            (stuck,) = dispatcher.stuck
            assert (stuck.key, stuck.offset, stuck.attempt, stuck.error, stuck.behind) == ("a", 0, 2, "no", 1)
            assert stuck.next_attempt == 1.0
            assert dispatcher.lag == 2
            await asyncio.sleep(20)
            assert dispatcher.stuck == []
        assert times(workers, "a0") == [0, 1, 3, 7]  # 0.5 s times 2, 4, 8
        assert attempts(workers, "a0") == [1, 2, 3, 4]
        assert times(workers, "a1") == [7]
        assert sorted(await texts(broker, "out")) == ["a0", "a1", "b0", "n"]

    run_virtual(main())


def test_fail_retries_for_ever_with_waits_up_to_the_cap() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (0, Failed("no", permanent=True)))
        await broker.publish("in", [event("x", "k")])
        async with dispatching(broker, workers, RetryPolicy(retries=2)) as dispatcher:
            await asyncio.sleep(3600)
            assert dispatcher.counters.failed == len(workers.sent) > 60
        waits = [b - a for a, b in zip(times(workers, "x"), times(workers, "x")[1:], strict=False)]
        assert waits[:3] == pytest.approx([0.1, 0.2, 0.4])
        assert waits[-1] == pytest.approx(60)

    run_virtual(main())


def test_the_lag_is_zero_only_when_everything_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for lag 0 and then reads the outputs must find them all."""

    async def main() -> None:
        broker = await memory(partitions=1)
        commit = broker.commit

        async def slow_commit(effects: Sequence[Effects]) -> None:
            await asyncio.sleep(1)
            await commit(effects)

        monkeypatch.setattr(broker, "commit", slow_commit)
        await broker.publish("in", [event("x", "k"), event("y")])
        async with dispatching(broker, Workers(at_once)) as dispatcher:
            await asyncio.sleep(0.5)
            assert (dispatcher.in_flight, dispatcher.lag) == (0, 2)
            await asyncio.sleep(1)
            assert dispatcher.lag == 0

    run_virtual(main())


def test_skip_acknowledges_after_the_retries() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(scripted({"x": [(0, Failed("no"))] * 9}))
        await broker.publish("in", [event("x", "k"), event("y", "k")])
        async with dispatching(broker, workers, RetryPolicy("skip", 2)) as dispatcher:
            await asyncio.sleep(5)
            assert (dispatcher.counters.skipped, dispatcher.counters.failed, dispatcher.lag) == (1, 3, 0)
        assert attempts(workers, "x") == [1, 2, 3]
        assert await texts(broker, "out") == ["y"]

    run_virtual(main())


def test_the_retries_are_counted_per_record() -> None:
    async def main() -> None:
        broker = await memory()
        failures = [(0.0, Failed("no"))] * 2
        workers = Workers(scripted({"x": failures, "y": failures}))
        await broker.publish("in", [event("x", "k"), event("y", "k")])
        async with dispatching(broker, workers, RetryPolicy("skip", 2)):
            await asyncio.sleep(5)
        assert await texts(broker, "out") == ["x", "y"]

    run_virtual(main())


def test_a_dead_letter_is_the_record_with_the_reason() -> None:
    async def main() -> None:
        broker = await memory()
        causes = [("KeyError", "direct"), ("OSError", "middle"), ("BlockingIOError", "root")]
        failure = Failed("bad", "ValueError", "INVALID_RECORD", causes=causes)
        workers = Workers(scripted({"x": [(0, failure)] * 9}))
        await broker.publish("in", [event("x", "k", shop="7"), event("y", "k")])
        async with dispatching(broker, workers, RetryPolicy("dead-letter", 1)) as dispatcher:
            await asyncio.sleep(5)
            assert dispatcher.counters.dead_lettered == 1
        (letter,) = broker.disk.all("in-deadletter")
        record = to_record(letter.event())
        assert (record.key, record.value) == ("k", "x")
        assert dict(record.headers) == {
            "shop": "7",
            "error-msg": "bad",
            "error-class": "ValueError",
            "langstream-error-message": "bad",
            "langstream-error-class": "ValueError",
            "langstream-error-type": "INVALID_RECORD",
            "cause-msg": "direct",
            "cause-class": "KeyError",
            "langstream-error-cause-message": "direct",
            "langstream-error-cause-class": "KeyError",
            "root-cause-msg": "root",
            "root-cause-class": "BlockingIOError",
            "langstream-error-root-cause-message": "root",
            "langstream-error-root-cause-class": "BlockingIOError",
            "source-topic": "in",
            "langstream-error-source-topic": "in",
        }
        assert await texts(broker, "out") == ["y"]

    run_virtual(main())


@pytest.mark.parametrize("on_failure", ["skip", "dead-letter"])
def test_a_poison_record_is_not_tried_again(on_failure: Any) -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(scripted({"x": [(0, Failed("no", permanent=True))] * 9}))
        await broker.publish("in", [event("x", "k")])
        async with dispatching(broker, workers, RetryPolicy(on_failure, 5)) as dispatcher:
            await asyncio.sleep(60)
            assert dispatcher.lag == 0
        assert attempts(workers, "x") == [1]

    run_virtual(main())


def test_dead_letters_need_a_topic() -> None:
    with pytest.raises(ConfigurationError, match="dead letters"):
        Dispatcher(
            MemoryBroker(),
            group="g",
            topic="in",
            policy=RetryPolicy("dead-letter"),
            subscriber=Workers(at_once),
        )


def test_an_output_to_a_topic_that_is_not_there_is_a_failure() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        lost = Done([("out", event("half")), ("nowhere", event("y"))])
        workers = Workers(scripted({"x": [(0, lost)] * 9}))
        await broker.publish("in", [event("x", "k"), event("y", "k"), event("z")])
        async with dispatching(broker, workers, RetryPolicy("dead-letter", 3)) as dispatcher:
            await asyncio.sleep(60)
            assert (dispatcher.lag, dispatcher.counters.dead_lettered) == (0, 1)
        (letter,) = broker.disk.all("in-deadletter")
        assert to_record(letter.event()).header("error-msg") == "the output topic 'nowhere' does not exist"
        assert sorted(await texts(broker, "out")) == ["y", "z"]

    run_virtual(main())


@pytest.mark.parametrize("options", [{"topic": "im"}, {"topic": "in", "dead_letter": "dead"}])
def test_topics_that_are_not_there_are_named_at_the_start(options: Any) -> None:
    async def main() -> None:
        broker = await memory()
        dispatcher = Dispatcher(broker, group="g", policy=FAIL, subscriber=Workers(at_once), **options)
        with pytest.raises(NotFound, match=options.get("dead_letter", "im")):
            await dispatcher.start()

    run_virtual(main())


def test_busy_is_no_attempt() -> None:
    async def main() -> None:
        broker = await memory()
        busy: list[Answer] = [(0, Busy(2)), (0, Busy(3)), (0, Failed("no"))]
        workers = Workers(scripted({"x": busy}))
        await broker.publish("in", [event("x", "k"), event("y", "k")])
        async with dispatching(broker, workers, RetryPolicy("skip", 1, delay=0.5)) as dispatcher:
            await asyncio.sleep(1)
            assert dispatcher.stuck == []
            await asyncio.sleep(20)
            assert dispatcher.counters.failed == 1
        assert (times(workers, "x"), attempts(workers, "x")) == ([0, 2, 5, 6], [1, 1, 1, 2])
        assert await texts(broker, "out") == ["x", "y"]

    run_virtual(main())


# --- timeouts and fencing ----------------------------------------------------------------------------


def test_an_overdue_attempt_is_ended_and_its_late_answer_ignored() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda d: (25 if d.attempt == 1 else 0, Done([("out", event(f"by {d.attempt}"))])))
        await broker.publish("in", [event("x", "k")])
        async with dispatching(broker, workers, RetryPolicy(delay=0.5, timeout=10)) as dispatcher:
            await asyncio.sleep(100)
            assert (dispatcher.counters.failed, dispatcher.counters.delivered) == (1, 1)
        assert times(workers, "x") == [0, 11]
        assert workers.abandoned == [workers.sent[0][1].token]
        assert await texts(broker, "out") == ["by 2"]

    run_virtual(main())


def test_each_attempt_has_its_own_time() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (9, forward(delivery)), places=2)
        await broker.publish("in", [event(str(n)) for n in range(10)])
        async with dispatching(broker, workers, RetryPolicy(timeout=10)) as dispatcher:
            await asyncio.sleep(100)
            assert dispatcher.counters.failed == 0
        assert len(await texts(broker, "out")) == 10

    run_virtual(main())


class SlowToKill(Workers):
    """Its attempts need three more seconds to end."""

    def abandon(self, token: int) -> Any:
        super().abandon(token)
        return asyncio.sleep(3)


def test_the_lane_is_held_until_the_attempt_has_ended() -> None:
    async def main() -> None:
        broker = await memory()
        workers = SlowToKill(lambda delivery: (0, None if delivery.attempt == 1 else Done()))
        await broker.publish("in", [event("x", "k")])
        async with dispatching(broker, workers, RetryPolicy(delay=0.5, timeout=10)):
            await asyncio.sleep(100)
        assert times(workers, "x") == [0, 14]

    run_virtual(main())


def test_an_answer_counts_once() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (1, forward(delivery)))
        await broker.publish("in", [event("x", "k"), event("y", "k")])
        async with dispatching(broker, workers):
            await asyncio.sleep(1.5)
            first = workers.sent[0][1]
            assert workers.finished is not None
            workers.finished(first.token, Done([("out", event("again"))]))
            workers.finished(10**9, Done([("out", event("never sent"))]))
            await asyncio.sleep(5)
        assert await texts(broker, "out") == ["x", "y"]

    run_virtual(main())


# --- filters, state, restarts ------------------------------------------------------------------------


def test_unwanted_events_are_finished_without_delivery() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda delivery: (5, Done()))
        await broker.publish("in", [event(f"{n}", "k", odd=str(n % 2)) for n in range(100)])
        wanted: Callable[[Event], bool] = lambda event: event.attributes["odd"] == "1"  # noqa: E731
        async with dispatching(broker, workers, filter=wanted, window=20) as dispatcher:
            await asyncio.sleep(1000)
            assert (dispatcher.counters.filtered, dispatcher.counters.delivered) == (50, 50)
            assert dispatcher.lag == 0
        assert workers.texts() == [str(n) for n in range(1, 100, 2)]

    run_virtual(main())


def counting(delivery: Delivery) -> Answer:
    """Keeps the texts of its key so far as state, and writes them out."""
    seen = (delivery.state or b"") + text_of(delivery).encode()
    key = delivery.stored.key or "none"
    return 1, Done([("out", event(seen.decode(), key))], [StateWrite("u", key, seen)])


@pytest.mark.parametrize("latency", [0.0, 0.5, 10.0])
def test_the_next_record_sees_the_state_of_the_one_before(latency: float) -> None:
    """Also while that is not durable, and when the lane was closed in between."""

    async def main() -> None:
        broker = await memory(latency=lambda: latency, reading=lambda: 0.25)
        workers = Workers(counting)
        async with dispatching(broker, workers, stateful=True):
            for n in range(40):
                await broker.publish("in", [event(chr(65 + n), "k")])
                await asyncio.sleep(0.125 if n % 10 else 5)
            await asyncio.sleep(60)
            assert workers.sent[-1][1].state == "".join(chr(65 + n) for n in range(39)).encode()
        assert broker.disk.state["u", "k"] == "".join(chr(65 + n) for n in range(40)).encode()

    run_virtual(main())


def test_a_restart_reads_exactly_what_is_unfinished() -> None:
    async def main() -> None:
        broker = await memory(partitions=2)
        script: dict[str, list[Answer]] = {"3": [(0, None)], "5": [(0, Failed("no"))] * 99}
        first = Workers(scripted(script))
        await broker.publish("in", [event(str(n), f"key{n % 5}") for n in range(20)])
        async with dispatching(broker, first):
            await asyncio.sleep(2)
        second = Workers(at_once)
        async with dispatching(MemoryBroker(broker.disk), second) as dispatcher:
            assert dispatcher.lag == 7
            await asyncio.sleep(1)
            assert dispatcher.lag == 0
        assert sorted(second.texts(), key=int) == ["3", "5", "8", "10", "13", "15", "18"]

    run_virtual(main())


# --- bounds ------------------------------------------------------------------------------------------


def test_nothing_is_sent_without_capacity_and_demand_says_so() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(at_once, places=0)
        async with dispatching(broker, workers) as dispatcher:
            seen: list[int] = []
            dispatcher.demand_changed = lambda: seen.append(dispatcher.demand)
            await broker.publish("in", [event(str(n), "k") for n in range(3)] + [event("n")])
            await asyncio.sleep(1)
            assert (workers.sent, seen[-1], dispatcher.lag) == ([], 2, 4)
            workers.places = 8
            dispatcher.capacity_changed()
            await asyncio.sleep(1)
            assert (len(workers.sent), seen[-1], dispatcher.lag) == (4, 0, 0)

    run_virtual(main())


def test_slow_keys_with_long_backlogs_leave_the_window_to_others() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda d: (0, None) if text_of(d).startswith("slow") else (1, Done()))
        slow = [event(f"slow{n}", f"s{n % 20}") for n in range(2000)]
        await broker.publish("in", [*slow, *(event(f"quick{n}", f"q{n % 10}") for n in range(50))])
        async with dispatching(broker, workers, RetryPolicy(timeout=None), window=40) as dispatcher:
            await asyncio.sleep(6)
            assert dispatcher.counters.delivered == 50
            assert dispatcher.loaded <= 40
            assert dispatcher.lag == 2000

    run_virtual(main())


def test_many_failing_keys_leave_the_window_to_others() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda d: (0, Failed("no")) if text_of(d).startswith("bad") else (0, Done()))
        await broker.publish("in", [event(f"bad{n}", f"b{n}") for n in range(500)] + [event("good", "g")])
        async with dispatching(broker, workers, RetryPolicy(), window=10) as dispatcher:
            await asyncio.sleep(0)
            await asyncio.sleep(1e-3)
            assert times(workers, "good") == [0]
            await asyncio.sleep(1000)
            assert len(dispatcher.stuck) == 500
            assert dispatcher.loaded == 0

    run_virtual(main())


def test_a_long_lane_is_read_again_in_order() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda delivery: (0.001, forward(delivery)))
        await broker.publish("in", [event(str(n), "k") for n in range(1000)])
        async with dispatching(broker, workers, window=64):
            await asyncio.sleep(0.5)
            await broker.publish("in", [event(str(n), "k") for n in range(1000, 1100)])
            await asyncio.sleep(10)
        assert await texts(broker, "out") == [str(n) for n in range(1100)]

    run_virtual(main())


# --- the end -----------------------------------------------------------------------------------------


def test_drain_lets_what_is_in_flight_end_and_takes_nothing_new() -> None:
    async def main() -> None:
        broker = await memory(latency=lambda: 1)
        workers = Workers(lambda delivery: (5, forward(delivery)), places=2)
        await broker.publish("in", [event(str(n)) for n in range(10)])
        async with dispatching(broker, workers) as dispatcher:
            await asyncio.sleep(1)
            await dispatcher.drain(60)
            assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.01)
            assert len(await texts(broker, "out")) == 2
            assert dispatcher.in_flight == 0
        assert len(workers.sent) == 2
        assert workers.abandoned == []

    run_virtual(main())


def test_drain_has_an_end_and_close_abandons_the_rest() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(lambda delivery: (0, None))
        await broker.publish("in", [event("x")])
        async with dispatching(broker, workers) as dispatcher:
            await asyncio.sleep(1)
            await dispatcher.drain(3)
            assert asyncio.get_running_loop().time() == pytest.approx(4, abs=0.01)
        assert workers.abandoned == [workers.sent[0][1].token]

    run_virtual(main())


class FullDisk(MemoryBroker):
    """Refuses every commit."""

    async def commit(self, effects: Sequence[Effects]) -> None:
        raise OSError("no space left on device")


def test_a_failing_broker_stops_delivery_and_is_reported() -> None:
    async def main() -> None:
        broker = FullDisk((await memory()).disk)
        workers = Workers(lambda delivery: (1, Done()), places=1)
        await broker.publish("in", [event(str(n), "k") for n in range(10)])
        errors: list[BaseException] = []
        async with dispatching(broker, workers) as dispatcher:
            dispatcher.failed = errors.append
            await asyncio.sleep(60)
        assert [str(error) for error in errors] == ["no space left on device"]
        assert len(workers.sent) <= 2

    run_virtual(main())


def test_what_an_earlier_filter_finished_stays_finished() -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        await broker.publish("in", [event(str(n), "k") for n in range(60)])
        wanted: Callable[[Event], bool] = lambda event: not 10 < int(event.id) < 30  # noqa: E731
        async with dispatching(broker, Workers(lambda delivery: (0, None)), filter=wanted):
            await asyncio.sleep(1)
        workers = Workers(scripted({"0": [(0, Failed("no"))]}))
        async with dispatching(MemoryBroker(broker.disk), workers):
            await asyncio.sleep(10)
        assert await texts(broker, "out") == [str(n) for n in range(60) if not 10 < n < 30]

    run_virtual(main())


class Compacted(MemoryBroker):
    """Offsets 5 to 24 of each partition are gone."""

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        found = await super().read(topic, partition, offset, 10**6)
        return [stored for stored in found if not 5 <= stored.offset < 25][:limit]


@pytest.mark.parametrize("count", [25, 40])
def test_offsets_that_are_gone_are_passed_over(count: int) -> None:
    async def main() -> None:
        broker = await memory(partitions=1)
        await broker.publish("in", [event(str(n)) for n in range(count)])
        workers = Workers(at_once)
        async with dispatching(Compacted(broker.disk), workers, window=4) as dispatcher:
            await asyncio.sleep(1)
            await broker.publish("in", [event("new")])
            await asyncio.sleep(1)
            assert dispatcher.lag == 0
        assert workers.texts() == [str(n) for n in range(count) if not 5 <= n < 25] + ["new"]

    run_virtual(main())


def test_partitions_advance_side_by_side() -> None:
    async def main() -> None:
        broker = await memory(partitions=4)
        workers = Workers(lambda delivery: (0.01, Done()), places=8)
        await broker.publish("in", [event(str(n)) for n in range(4000)])
        async with dispatching(broker, workers, window=64):
            await asyncio.sleep(2.5)
        done = Counter(delivery.stored.partition for _, delivery in workers.sent)
        assert min(done.values()) > 0.7 * max(done.values()) > 0

    run_virtual(main())


def test_a_partition_full_of_a_stuck_key_keeps_its_share() -> None:
    async def main() -> None:
        broker = await memory(partitions=2)
        workers = Workers(lambda d: (0, None) if d.stored.key == "stuck" else (0.01, Done()), places=9)
        stuck = partition_of_key("stuck", 2)
        keys = [f"key{n}" for n in range(3000)]
        here = [key for key in keys if partition_of_key(key, 2) == stuck][:1000]
        there = [key for key in keys if partition_of_key(key, 2) != stuck][:1000]
        for n, (one, other) in enumerate(zip(here, there, strict=True)):
            backlog = [event(f"{n}-{i}", "stuck") for i in range(9)]
            await broker.publish("in", [*backlog, event(one, one), event(other, other)])
        async with dispatching(broker, workers, RetryPolicy(timeout=None), window=200):
            await asyncio.sleep(1.2)
        done = Counter(delivery.stored.partition for _, delivery in workers.sent)
        assert min(done.values()) > 0.7 * max(done.values()) > 0

    run_virtual(main())


def test_reading_stops_far_beyond_a_stuck_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "SCAN_AHEAD", 300)

    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(scripted({"0": [(50, Done())], "1": [(100, Done())]}))
        await broker.publish("in", [event(str(n), f"key{n}") for n in range(2000)])
        async with dispatching(broker, workers) as dispatcher:
            await asyncio.sleep(10)
            first = dispatcher.counters.delivered
            assert 298 < first < 450
            await asyncio.sleep(50)
            assert first < dispatcher.counters.delivered <= first + 3
            await asyncio.sleep(50)
            assert dispatcher.counters.delivered == 2000

    run_virtual(main())


def test_reading_stops_when_very_many_lanes_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_LANES", 100)

    async def main() -> None:
        broker = await memory(partitions=1)
        workers = Workers(lambda d: (0, Failed("no") if asyncio.get_running_loop().time() < 50 else Done()))
        await broker.publish("in", [event(str(n), f"key{n}") for n in range(1000)])
        async with dispatching(broker, workers, window=16) as dispatcher:
            await asyncio.sleep(40)
            assert 100 < len(dispatcher.stuck) < 120
            await asyncio.sleep(100)
            assert dispatcher.counters.delivered == 1000

    run_virtual(main())


def test_a_subscriber_that_raises_is_reported() -> None:
    async def main() -> None:
        broker = await memory()
        workers = Workers(at_once, places=1)
        await broker.publish("in", [event(str(n), "k") for n in range(10)])
        errors: list[BaseException] = []
        async with dispatching(broker, workers) as dispatcher:
            dispatcher.failed = errors.append
            workers.answer = lambda delivery: {}["no"]  # type: ignore[index]
            await asyncio.sleep(60)
            assert dispatcher.lag == 10
        assert [type(error) for error in errors] == [KeyError]

    run_virtual(main())


class Shrinking(MemoryBroker):
    """Offsets can go at any time; reading by key is slow."""

    gone: frozenset[int] = frozenset()

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        found = await super().read_key(topic, partition, key, offset, before, 10**6)
        await asyncio.sleep(1)
        return [stored for stored in found if stored.offset not in self.gone][:limit]


def test_parked_records_that_are_gone_do_not_hide_those_that_come_meanwhile() -> None:
    async def main() -> None:
        broker = Shrinking((await memory(partitions=1)).disk)
        workers = Workers(lambda delivery: (1, forward(delivery)))
        await broker.publish("in", [event(str(n), "k") for n in range(40)])
        async with dispatching(broker, workers) as dispatcher:
            await asyncio.sleep(1)
            broker.gone = frozenset(range(17, 38))  # 17 on are parked
            await asyncio.sleep(16.5)  # they are being read again
            await broker.publish("in", [event(str(n), "k") for n in range(40, 45)])
            await asyncio.sleep(60)
            assert dispatcher.lag == 0
        assert workers.texts() == [str(n) for n in range(45) if n not in broker.gone]

    run_virtual(main())
