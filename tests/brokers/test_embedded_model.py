"""The embedded broker against a model: random calls, time, maintenance and restarts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contract.broker_contract import event
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tidemill.brokers.embedded import EmbeddedBroker, indexing
from tidemill.brokers.embedded.store import Store
from tidemill.brokers.partitioning import partition_of
from tidemill.brokers.protocol import Effects, Position, StateWrite, TopicConfig

TOPICS = {
    "log": TopicConfig("log", 2, {"retention.ms": "1000"}),
    "table": TopicConfig("table", 1, {"cleanup.policy": "compact", "delete.retention.ms": "500"}),
    "small": TopicConfig("small", 1, {"retention.bytes": "400", "retention.ms": "-1"}),
    "out": TopicConfig("out", 2, {"retention.ms": "-1"}),
}
GROUPS = ["one", "two"]
names, groups = st.sampled_from(list(TOPICS)), st.sampled_from(GROUPS)
keys, ids = st.sampled_from("abc"), st.integers(0, 40).map(str)


@dataclass
class Place:
    """A partition of the model: what exists by offset, as (time, id, key, data)."""

    end: int = 0
    first: int = 0
    events: dict[int, tuple[int, str, str, bytes | None]] = field(default_factory=dict)
    finished: dict[str, set[int]] = field(default_factory=dict)

    def position(self, group: str) -> int:
        done = self.finished.get(group)
        if done is None:
            return self.first
        return next(n for n in range(self.end + 1) if n == self.end or (n in self.events and n not in done))

    def remove(self, offsets: list[int]) -> None:
        for offset in offsets:
            del self.events[offset]


parent: Path  # of the folders of all examples


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=parent))
        self.runner = asyncio.Runner()
        self.clock = 1_000_000
        self.places: dict[str, list[Place]] = {}
        self.state: dict[str, bytes] = {}
        self.live: set[tuple[str, str]] = set()

    def do(self, coroutine):  # type: ignore[no-untyped-def]
        return self.runner.run(coroutine)

    def open(self) -> None:
        self.broker = self.do(EmbeddedBroker.open(self.folder))
        self.broker._store.now = lambda: self.clock
        self.live.clear()

    @initialize()
    def start(self) -> None:
        self.open()
        for topic in TOPICS.values():
            self.create(topic)

    def create(self, topic: TopicConfig) -> None:
        assert self.do(self.broker.create_topic(topic))
        self.places[topic.name] = [Place() for _ in range(topic.partitions)]

    def append(self, topic: str, id: str, key: str, data: bytes | None) -> Position:
        number = partition_of(key, TOPICS[topic].partitions)
        place = self.places[topic][number]
        place.events[place.end] = (self.clock, id, key, data)
        place.end += 1
        return Position(number, place.end - 1)

    def where(self, topic: str, id: str) -> Position | None:
        for number, place in enumerate(self.places[topic]):
            for offset, (_, known, _, _) in place.events.items():
                if known == id:
                    return Position(number, offset)
        return None

    @rule(
        topic=names, items=st.lists(st.tuples(ids, keys, st.sampled_from([None, b"", b"x" * 50])), max_size=9)
    )
    def publish(self, topic: str, items: list[tuple[str, str, bytes | None]]) -> None:
        found = self.do(self.broker.publish(topic, [event(*item) for item in items]))
        assert found == [self.where(topic, item[0]) or self.append(topic, *item) for item in items]

    @rule(topic=names, group=groups, data=st.data(), output=names, count=st.integers(0, 2))
    def commit(self, topic: str, group: str, data: st.DataObject, output: str, count: int) -> None:
        places = [(n, o) for n, place in enumerate(self.places[topic]) for o in sorted(place.events)]
        if not places:
            return
        chosen = data.draw(st.lists(st.sampled_from(places), max_size=8))
        effects = []
        for number, offset in chosen:
            name = f"{group}-{topic}-{number}-{offset}-{self.clock}"
            outputs = [(f"{name}-{n}", "abc"[n], b"y") for n in range(count)]
            state = StateWrite("unit", group, name.encode() if count else None)
            effects.append(
                Effects(group, topic, number, offset, [(output, event(*each)) for each in outputs], [state])
            )
            done = self.places[topic][number].finished.setdefault(group, set())
            if offset in done:
                continue
            done.add(offset)
            for each in outputs:
                self.append(output, *each)
            self.state.pop(group, None)
            if count:
                self.state[group] = name.encode()
        self.do(self.broker.commit(effects))

    @rule(milliseconds=st.integers(1, 1500))
    def pass_time(self, milliseconds: int) -> None:
        self.clock += milliseconds

    @rule(topic=names, group=groups)
    def hold(self, topic: str, group: str) -> None:
        self.broker.hold(group, topic)
        self.live.add((topic, group))

    @rule(topic=names, group=groups)
    def let_go(self, topic: str, group: str) -> None:
        self.broker.release(group, topic)
        self.live.discard((topic, group))

    @rule()
    def reopen(self) -> None:
        self.do(self.broker.close())
        self.open()

    @rule(topic=names)
    def make_anew(self, topic: str) -> None:
        self.do(self.broker.delete_topic(topic))
        self.live = {pair for pair in self.live if pair[0] != topic}
        self.create(TOPICS[topic])

    @rule()
    def maintain(self) -> None:
        async def drain() -> None:
            while await self.broker.maintain():
                pass

        self.do(drain())
        for topic, places in self.places.items():
            for place in places:
                limit = min(
                    [place.end] + [place.position(group) for name, group in self.live if name == topic]
                )
                {"log": self.expire, "table": self.compact, "small": self.shrink, "out": lambda *_: None}[
                    topic
                ](place, limit)

    def expire(self, place: Place, limit: int) -> None:
        old = [o for o, (time, *_) in place.events.items() if o < limit and time < self.clock - 1000]
        place.remove(old)
        place.first = max([place.first, *(offset + 1 for offset in old)])

    def shrink(self, place: Place, limit: int) -> None:
        rows = {o: len(self.stored(0, o, "small").blob) for o in place.events}
        total = sum(rows.values())
        for offset in sorted(rows):
            if total <= 400 or offset >= limit:
                break
            total -= rows[offset]
            place.remove([offset])
            place.first = offset + 1

    def stored(self, number: int, offset: int, topic: str):  # type: ignore[no-untyped-def]
        return self.sizes[topic, number, offset]

    def compact(self, place: Place, limit: int) -> None:
        newest = {key: offset for offset, (_, _, key, _) in sorted(place.events.items()) if offset < limit}
        gone = [o for o, (_, _, key, _) in place.events.items() if o < newest.get(key, -1)]
        place.remove(gone)
        over = self.clock - 500
        place.remove(
            [o for o, (time, _, _, data) in place.events.items() if not data and time <= over and o < limit]
        )

    @precondition(lambda self: self.places)
    @invariant()
    def equal(self) -> None:
        self.do(self.compare())

    async def compare(self) -> None:
        self.sizes = {}
        for topic, places in self.places.items():
            assert [end for _, end in self.broker.bounds(topic)] == [place.end for place in places]
            assert [first for first, _ in self.broker.bounds(topic)] == [place.first for place in places]
            for number, place in enumerate(places):
                await self.compare_place(topic, number, place)
            for group in GROUPS:
                for progress, place in zip(await self.broker.progress(group, topic), places, strict=True):
                    position = place.position(group)
                    assert progress.offset == position
                    left = place.finished.get(group, set()) & place.events.keys()
                    assert {o for o in progress.beyond if o in place.events} == {
                        o for o in left if o > position
                    }
        assert await self.broker.state("unit", GROUPS) == self.state

    async def compare_place(self, topic: str, number: int, place: Place) -> None:
        found = await self.broker.read(topic, number, 0, 500)
        self.sizes |= {(topic, number, stored.offset): stored for stored in found}
        seen = {s.offset: (s.timestamp, s.event().id, s.key, s.event().data) for s in found}
        assert seen == place.events
        assert [stored.offset for stored in found] == sorted(place.events)
        offsets = [o for o, each in sorted(place.events.items()) if each[2] == "b"]
        for start in {0, *offsets[1:2]}:
            some = await self.broker.read_key(topic, number, "b", start, place.end, 500)
            assert [stored.offset for stored in some] == [o for o in offsets if o >= start]
        middle = place.end // 2
        rest = await self.broker.read(topic, number, middle, 3)
        assert [stored.offset for stored in rest] == [o for o in sorted(place.events) if o >= middle][:3]

    def teardown(self) -> None:
        if hasattr(self, "broker"):
            self.do(self.broker.close())
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize("cache", [0, 8 << 20])
def test_the_broker_does_what_the_model_does(
    monkeypatch: pytest.MonkeyPatch, memory_folder: Path, cache: int
) -> None:
    global parent
    parent = memory_folder
    monkeypatch.setattr("tidemill.brokers.embedded._CACHE_BYTES", cache)
    monkeypatch.setattr(indexing, "_LEAST", 5)
    monkeypatch.setattr("tidemill.brokers.embedded.writer._INDEX_LEAST", 2)
    monkeypatch.setattr(Store, "now", lambda _: 1_000_000)

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
