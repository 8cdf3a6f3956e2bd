"""Delivery under random keys, delays, failures, time-outs, busy answers, crashes and restarts: per key
the effects come in the order of the input, each input has its effect exactly once, nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.memory_broker import Disk, MemoryBroker
from support.virtual import run_virtual
from support.workers import Answer, Workers, text_of

from tidemill.brokers.protocol import StateWrite, TopicConfig
from tidemill.record import Event
from tidemill.triggers.delivery import Busy, Delivery, Dispatcher, Done, Failed
from tidemill.triggers.policy import RetryPolicy

_unique = itertools.count()

SECONDS = (0.0, 0.001, 0.5, 1.0, 3.0)


def random_answer(chance: random.Random) -> tuple[str, float]:
    kind = chance.choice(["done", "done", "done", "failed", "failed", "poison", "busy", "never"])
    late = [0.0, 0.25, 2.0, 9.0]  # the last comes after the time-out
    return kind, chance.choice(late if kind == "done" else SECONDS)


def random_action(chance: random.Random) -> tuple[str, object]:
    kind = chance.choice(["publish"] * 6 + ["sleep"] * 8 + ["places", "crash", "restart", "drain"])
    match kind:
        case "publish":  # one hot key; "-" is no key, "x" an unwanted event
            return kind, [chance.choice("aaaaabc-x") for _ in range(chance.choice([1, 3, 40]))]
        case "sleep":
            return kind, chance.choice(SECONDS)
        case "places":
            return kind, chance.randrange(7)
    return kind, None


policies = st.builds(
    RetryPolicy,
    st.sampled_from(["fail", "skip", "dead-letter"]),
    st.integers(0, 2),
    backoff=st.sampled_from(["exponential", "linear"]),
    delay=st.sampled_from([0.0, 0.1, 2.0]),
    timeout=st.just(5.0),
)


@dataclass
class World:
    """One application whose dispatcher comes and goes."""

    policy: RetryPolicy
    window: int
    script: list[tuple[str, float]]
    slow_disk: random.Random | None

    def __post_init__(self) -> None:
        self.disk = Disk()
        self.inputs: list[tuple[str, str]] = []  # (text, key)

    async def create_topics(self) -> None:
        for name in ("in", "out", "dead"):
            await MemoryBroker(self.disk).create_topic(TopicConfig(name, 2))

    async def start(self) -> None:
        pause = (lambda: self.slow_disk.choice([0, 0, 0.01, 1.5])) if self.slow_disk else None
        self.broker = MemoryBroker(self.disk, pause, pause)
        self.workers = Checked(self.answer, 3)
        self.dispatcher = Dispatcher(
            self.broker, group="g", topic="in", policy=self.policy, subscriber=self.workers,
            filter=lambda event: event.attributes["wanted"] == "1",
            dead_letter="dead", unit="u", stateful=True, window=self.window,
        )  # fmt: skip
        self.workers.dispatcher = self.dispatcher
        await self.dispatcher.start()

    def answer(self, delivery: Delivery) -> Answer:
        kind, after = self.script.pop() if self.script else ("done", 0.1)
        match kind:
            case "done":
                return after, self.done(delivery)
            case "busy":
                return 0, Busy(after)
            case "never":
                return 0, None
        return after, Failed(kind, permanent=kind == "poison")

    def done(self, delivery: Delivery) -> Done:
        """Counts the records of the key in its state. The id is new each time: no broker can take
        a second effect for the first."""
        key, number = delivery.stored.key, int(delivery.state or b"0") + 1
        attributes = {"id": str(next(_unique)), "source": "/", "type": "t"}
        if key is None:
            return Done([("out", Event(attributes, text_of(delivery).encode()))])
        output = Event({**attributes, "partitionkey": key}, f"{text_of(delivery)} {number}".encode())
        return Done([("out", output)], [StateWrite("u", key, str(number).encode())])

    async def act(self, action: str, argument: object) -> None:
        match action, argument:
            case "publish", list(keys):
                await self.publish(keys)
            case "sleep", float(wait):
                await asyncio.sleep(wait)
            case "places", int(places):
                self.workers.places = places
                self.dispatcher.capacity_changed()
            case "crash", _:
                self.broker.crash()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await self.start()
            case "restart" | "drain", _:
                if action == "drain":
                    await self.dispatcher.drain(3)
                await self.dispatcher.close()
                await self.start()

    async def publish(self, keys: list[str]) -> None:
        for key in keys:
            text, wanted = str(len(self.inputs)), "0" if key == "x" else "1"
            attributes = {"id": text, "source": "/", "type": "t", "wanted": wanted}
            if key != "-":
                attributes["partitionkey"] = key if wanted == "1" else "a"
            if wanted == "1":
                self.inputs.append((text, key))
            else:
                attributes["id"] = f"unwanted {next(_unique)}"
            await self.broker.publish("in", [Event(attributes, text.encode())])


class Checked(Workers):
    """Also holds the dispatcher to its window."""

    dispatcher: Dispatcher

    def send(self, deliveries: object, finished: object) -> None:
        assert self.dispatcher.loaded <= self.dispatcher._lanes.window
        super().send(deliveries, finished)  # type: ignore[arg-type]


def check(world: World) -> None:
    by_key: dict[str, list[str]] = defaultdict(list)
    for stored in world.disk.all("out"):
        by_key[stored.key or "-"].append((stored.event().data or b"").decode())
    letters = {(stored.event().data or b"").decode() for stored in world.disk.all("dead")}
    assert len(letters) == len(world.disk.all("dead"))
    for key in "abc":
        texts = [text for text, its in world.inputs if its == key and text not in letters]
        got = [entry.split()[0] for entry in by_key[key]]
        if world.policy.on_failure == "skip":
            assert got == [text for text in texts if text in set(got)]  # in order, each once
        else:
            assert got == texts
        assert [entry.split()[1] for entry in by_key[key]] == [str(n + 1) for n in range(len(got))]
    unordered = sorted(text for text, key in world.inputs if key == "-" and text not in letters)
    if world.policy.on_failure != "skip":
        assert sorted(by_key["-"]) == unordered


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    policies,
    st.sampled_from([1, 2, 5, 40, 1024]),
    st.integers(0, 40),
    st.integers(0, 100),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_delivery(
    policy: RetryPolicy, window: int, actions: int, answers: int, slow_disk: bool, seed: int
) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        script = [random_answer(chance) for _ in range(answers)]
        world = World(policy, window, script, chance if slow_disk else None)
        await world.create_topics()
        await world.start()
        for _ in range(actions):
            await world.act(*random_action(chance))
        world.script.clear()
        await world.act("places", 4)
        await asyncio.sleep(5000)
        assert (world.dispatcher.lag, world.dispatcher.loaded, world.dispatcher.demand) == (0, 0, 0)
        await world.dispatcher.close()
        check(world)

    run_virtual(main())
