"""One application whose dispatcher comes and goes, under a random schedule, and what must hold at the
end. Time is counted in units of `unit_of_time` seconds, so that it runs in virtual and in real time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from hypothesis import strategies as st
from support.memory_broker import MemoryBroker
from support.workers import Answer, Workers, text_of

from tidemill.brokers.protocol import Broker, StateWrite, Stored, TopicConfig
from tidemill.record import Event
from tidemill.triggers.delivery import Busy, Delivery, Dispatcher, Done, Failed
from tidemill.triggers.policy import RetryPolicy

WAITS = (0.0, 0.001, 0.5, 1.0, 3.0)
TIMEOUT = 5.0

windows = st.sampled_from([1, 2, 5, 40, 1024])
policies = st.builds(
    RetryPolicy,
    st.sampled_from(["fail", "skip", "dead-letter"]),
    st.integers(0, 2),
    backoff=st.sampled_from(["exponential", "linear"]),
    delay=st.sampled_from([0.0, 0.1, 2.0]),
    timeout=st.just(TIMEOUT),
)

_unique = itertools.count()


def random_answer(chance: random.Random) -> tuple[str, float]:
    kind = chance.choice(["done", "done", "done", "failed", "failed", "poison", "busy", "never"])
    late = [0.0, 0.25, 2.0, 9.0]  # the last comes after the time-out
    return kind, chance.choice(late if kind == "done" else WAITS)


def random_action(chance: random.Random) -> tuple[str, object]:
    kind = chance.choice(["publish"] * 6 + ["sleep"] * 8 + ["places", "crash", "restart", "drain"])
    match kind:
        case "publish":  # one hot key; "-" is no key, "x" an unwanted event
            return kind, [chance.choice("aaaaabc-x") for _ in range(chance.choice([1, 3, 40]))]
        case "sleep":
            return kind, chance.choice(WAITS)
        case "places":
            return kind, chance.randrange(7)
    return kind, None


class CheckedWorkers(Workers):
    """Also holds the dispatcher to its window."""

    dispatcher: Dispatcher

    def send(self, deliveries: Sequence[Delivery], finished: Callable[..., None]) -> None:
        assert self.dispatcher.loaded <= self.dispatcher._lanes.window
        super().send(deliveries, finished)


class World:
    """`open_broker` gives the broker of a new run on the same data; the run before is over."""

    def __init__(
        self,
        open_broker: Callable[[], Awaitable[Broker]],
        policy: RetryPolicy,
        window: int,
        script: list[tuple[str, float]],
        unit_of_time: float = 1.0,
    ) -> None:
        self._open_broker, self._policy, self._window = open_broker, policy, window
        self.script, self._unit = script, unit_of_time
        self.inputs: list[tuple[str, str]] = []  # (text, key)
        self.errors: list[BaseException] = []

    async def begin(self) -> None:
        self.broker = await self._open_broker()
        for name in ("in", "out", "dead"):
            await self.broker.create_topic(TopicConfig(name, 2))
        await self._start()

    async def _start(self) -> None:
        self.workers = CheckedWorkers(self._answer, 3)
        self.dispatcher = Dispatcher(
            self.broker, group="g", topic="in", policy=self._policy, subscriber=self.workers,
            filter=lambda event: event.attributes["wanted"] == "1",
            dead_letter="dead", unit="u", stateful=True, window=self._window,
        )  # fmt: skip
        self.workers.dispatcher = self.dispatcher
        self.dispatcher.failed = self.errors.append
        await self.dispatcher.start()

    def _answer(self, delivery: Delivery) -> Answer:
        kind, wait = self.script.pop() if self.script else ("done", 0.1)
        after = wait * self._unit
        match kind:
            case "done":
                return after, self._done(delivery)
            case "busy":
                return 0, Busy(after)
            case "never":
                return 0, None
        return after, Failed(kind, permanent=kind == "poison")

    def _done(self, delivery: Delivery) -> Done:
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
                await self._publish(keys)
            case "sleep", float(wait):
                await asyncio.sleep(wait * self._unit)
            case "places", int(places):
                self.workers.places = places
                self.dispatcher.capacity_changed()
            case "crash", _:
                await self._crash()
            case "restart" | "drain", _:
                if action == "drain":
                    await self.dispatcher.drain(3 * self._unit)
                await self.dispatcher.close()
                await self._start()

    async def _crash(self) -> None:
        """In memory, between any two instructions; a broker on disk is closed and opened again."""
        if isinstance(self.broker, MemoryBroker):
            self.broker.crash()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        else:
            await self.dispatcher.close()
            await self.broker.close()
        self.broker = await self._open_broker()
        await self._start()

    async def _publish(self, keys: list[str]) -> None:
        for key in keys:
            text = str(len(self.inputs))
            attributes = {"id": text, "source": "/", "type": "t", "wanted": "1"}
            if key == "x":
                attributes |= {"id": f"unwanted {next(_unique)}", "wanted": "0", "partitionkey": "a"}
            else:
                self.inputs.append((text, key))
            if key in "abc":
                attributes["partitionkey"] = key
            await self.broker.publish("in", [Event(attributes, text.encode())])

    async def end(self, settle: Callable[[], Awaitable[None]]) -> None:
        """From now on all goes well; then nothing may be left, and the effects must be right."""
        self.script.clear()
        await self.act("places", 4)
        await settle()
        assert (self.dispatcher.lag, self.dispatcher.loaded, self.dispatcher.demand) == (0, 0, 0)
        await self.dispatcher.close()
        assert self.errors == []
        await self._check()

    async def _check(self) -> None:
        by_key: dict[str, list[str]] = defaultdict(list)
        for stored in await self._all("out"):
            by_key[stored.key or "-"].append((stored.event().data or b"").decode())
        letters = [(stored.event().data or b"").decode() for stored in await self._all("dead")]
        assert len(letters) == len(set(letters))
        for key in "abc":
            got = [entry.split()[0] for entry in by_key[key]]
            assert got == self._expected(key, got, letters)
            assert [int(entry.split()[1]) for entry in by_key[key]] == list(range(1, len(got) + 1))
        assert sorted(by_key["-"]) == sorted(self._expected("-", by_key["-"], letters))

    def _expected(self, key: str, got: list[str], letters: list[str]) -> list[str]:
        """The texts of the key in order, without those that were set aside (nothing says which were
        skipped, but that they have no effect)."""
        texts = [text for text, its in self.inputs if its == key and text not in letters]
        return texts if self._policy.on_failure != "skip" else [text for text in texts if text in got]

    async def _all(self, topic: str) -> list[Stored]:
        found: list[Stored] = []
        for partition, (first, end) in enumerate(self.broker.bounds(topic)):
            while first < end:
                found += await self.broker.read(topic, partition, first, end - first)
                first = found[-1].offset + 1
        return found
