"""The broker of the Kafka runner: the same protocol as the embedded one, on kafka-python.

Opened by `local/` with `KafkaBroker.open(properties, identity=…)` in the event loop that uses it.
kafka-python has no asyncio interface, so every client lives in a thread of its own: one reads from any
offset, one follows ends, one publishes, one commits, and one for each group keeps the membership.

What differs from the embedded broker, by Kafka's nature:
- `commit` is a Kafka transaction with the outputs and the group's offsets, fenced by the group's
  generation; readers read committed records only. So effects of deliveries count once.
- `publish` is at least once: Kafka cannot tell that a topic holds an id already.
- `publish` and `commit` keep the order of their own calls, not of each other's.
- Offsets may have gaps. `bounds` is up to a second old where another process writes and nobody here
  waits for it.
- Per-key state is refused: Kafka has no place to look it up.

Groups span processes: `join` gives partitions to a member and takes them back (`SharedBroker`). That a
dispatcher holds all partitions of a topic is left as it is, where it is true: `triggers/sharing.py`
runs one dispatcher for each partition that is ours, so a rebalance touches those that move and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import BrokerUnavailable, ConfigurationError, MissingExtra, NotFound
from ...record import Event
from ..protocol import Effects, GroupMember, Position, Progress, SharedBroker, Stored, TopicConfig
from .committing import Committer, Ending, Ledger, Share
from .groups import Committed, Membership
from .options import client_options
from .producers import Outgoing, Turns
from .publishing import Publisher
from .reading import Fetcher, Page, Pages, Place, Tail, unavailable
from .topics import Topics, bounds

__all__ = ["KafkaBroker"]

log = logging.getLogger("tidemill.kafka")

_PAGE_BYTES = 32 << 20
_MOST_AHEAD = 4096  # records of a partition that nobody waited for, after which its tail is paused
_REFRESH_SECONDS = 1.0
_SLOW_SECONDS = 20.0
_TAIL_SECONDS = 0.05  # that a read waits for the tail to bring it, before it asks Kafka itself


class _Log:
    """What we know of a partition."""

    __slots__ = ("ahead", "arrival", "end", "first", "followed", "paused", "tail")

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end
        self.followed = self.paused = False
        self.tail = 0  # where the follower is
        self.ahead = 0
        self.arrival = asyncio.Event()


class KafkaBroker(SharedBroker):
    """See `protocol.SharedBroker`."""

    def __init__(self, arguments: Mapping[str, Any], identity: str) -> None:
        """Called by `open`."""
        self._arguments, self._client_id = arguments, f"tidemill-{identity}"
        self._topics = Topics(arguments)
        self._partitions: dict[str, int] = {}
        self._configs: dict[str, Mapping[str, str]] = {}
        self._logs: dict[str, list[_Log]] = {}
        self._pages = Pages(_PAGE_BYTES)
        self._turns = Turns()
        self._ledger = Ledger()
        self._members: dict[tuple[str, str], Membership] = {}
        self._committed = Committed(arguments)
        self._fetcher = Fetcher(arguments)
        self._tail = Tail(arguments, self._arrived)
        self._publisher = Publisher(arguments)
        self._loop = asyncio.get_running_loop()
        self._committer = Committer(
            arguments, identity, self._ledger, self._member_of, self._committed.read, self._outputs_written
        )
        self._closed = False
        self._refreshing = self._loop.create_task(self._keep_fresh())

    @classmethod
    async def open(cls, properties: Mapping[str, Any], *, identity: str) -> KafkaBroker:
        """`properties` are Java's; `identity` is the run's own and stays the same when it starts again.
        Raises ConfigurationError and BrokerUnavailable."""
        try:
            import kafka  # noqa: F401
        except ImportError as error:
            raise MissingExtra("kafka-python", "kafka", "the Kafka broker") from error
        options = client_options(properties)
        for note in options.notes:
            log.warning("%s", note)
        broker = cls(options.arguments, identity)
        try:
            await broker._refresh_topics()
        except BaseException:
            await broker.close()
            raise
        return broker

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._refreshing.cancel()
        await asyncio.gather(*(member.leave() for member in self._members.values()))
        await asyncio.gather(
            self._publisher.close(), self._committer.close(), self._fetcher.close(), self._tail.close()
        )
        for logs in self._logs.values():
            for one in logs:
                one.arrival.set()
        await asyncio.to_thread(self._committed.close)
        await asyncio.to_thread(self._topics.close)

    # --- topics ----------------------------------------------------------------------------------

    async def create_topic(self, topic: TopicConfig) -> bool:
        made: bool = await self._in_thread(self._topics.create, topic)
        await self._refresh_topics()
        self._configs[topic.name] = await self._in_thread(self._topics.config, topic.name)
        await self._known(topic.name)
        return made

    async def delete_topic(self, name: str) -> None:
        await self._check(name)
        await self._in_thread(self._topics.delete, name)
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._partitions.pop(name, None)
        self._configs.pop(name, None)
        self._fetcher.drop(name)
        self._tail.drop(name)
        self._pages.forget(name)
        with self._ledger.lock:
            ours = [share for share in self._ledger.finished if share[1] == name]
        for share in ours:
            self._ledger.forget(share)
        for one in self._logs.pop(name, ()):
            one.arrival.set()

    def topics(self) -> Mapping[str, TopicConfig]:
        return {
            name: TopicConfig(name, count, self._configs.get(name, {}))
            for name, count in self._partitions.items()
        }

    def bounds(self, topic: str) -> Sequence[tuple[int, int]]:
        """Of a topic that was created, read or written here."""
        logs = self._logs.get(topic)
        if logs is None:
            raise NotFound("topic", topic, self._logs)
        return [(one.first, one.end) for one in logs]

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        if self._closed:
            raise BrokerUnavailable("it is closed")
        try:
            return await asyncio.to_thread(function, *arguments)
        except Exception as error:
            raise unavailable(error) from error

    async def _refresh_topics(self) -> None:
        self._partitions = await self._in_thread(self._topics.partitions)

    async def _check(self, topic: str) -> int:
        """The number of partitions. Raises NotFound."""
        if topic not in self._partitions:
            await self._refresh_topics()
            if topic not in self._partitions:
                raise NotFound("topic", topic, self._partitions)
        return self._partitions[topic]

    async def _known(self, topic: str) -> list[_Log]:
        logs = self._logs.get(topic)
        if logs is None:
            await self._check(topic)
            found = await self._bounds([topic])
            logs = self._logs.setdefault(topic, [_Log(*found[place]) for place in sorted(found)])
        return logs

    async def _bounds(self, topics: Sequence[str]) -> Mapping[Place, tuple[int, int]]:
        places = [(topic, number) for topic in topics for number in range(self._partitions[topic])]
        if not places:
            return {}
        found: Mapping[Place, tuple[int, int]] = await self._fetcher.ask(
            lambda consumer: bounds(consumer, places)
        )
        return found

    async def _log(self, topic: str, partition: int) -> _Log:
        logs = await self._known(topic)
        if not 0 <= partition < len(logs):
            raise NotFound(f"partition of topic {topic}", str(partition), map(str, range(len(logs))))
        return logs[partition]

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self._refresh_topics()
                known = [topic for topic in self._logs if topic in self._partitions]
                self._take_bounds(await self._bounds(known))
            except Exception as error:  # whatever it is, the next look may succeed
                log.warning("%s", error)
            self._say_what_hangs()

    def _say_what_hangs(self) -> None:
        for what, batches in (("commit", self._committer), ("publish", self._publisher)):
            since = batches.busy_since
            if since is not None and time.monotonic() - since > _SLOW_SECONDS:
                log.warning("Kafka has not answered a %s for %.0f s", what, time.monotonic() - since)

    def _take_bounds(self, found: Mapping[Place, tuple[int, int]]) -> None:
        for (topic, number), (first, end) in found.items():
            logs = self._logs.get(topic)
            if logs is not None:
                logs[number].first = max(logs[number].first, first)
                self._raise_end(logs[number], end)

    def _raise_end(self, one: _Log, end: int) -> None:
        if end > one.end:
            one.end = end
            one.arrival.set()
            one.arrival = asyncio.Event()

    # --- writing ---------------------------------------------------------------------------------

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        logs = await self._known(topic)
        if not events:
            return []
        outgoing = [self._turns.place(topic, event, len(logs)) for event in events]
        positions: Sequence[Position] = await self._publisher.submit(outgoing)
        for partition, offset in positions:
            self._raise_end(logs[partition], offset + 1)
        return positions

    async def commit(self, effects: Sequence[Effects]) -> None:
        for topic in {topic for one in effects for topic in (one.topic, *(name for name, _ in one.outputs))}:
            await self._known(topic)
        endings = []
        for one in effects:
            if one.state:
                unit = one.state[0].unit
                raise ConfigurationError(
                    f"the unit '{unit}' keeps state per key, which Kafka has no place for"
                )
            outputs = [self._turns.place(name, event, len(self._logs[name])) for name, event in one.outputs]
            endings.append(Ending((one.group, one.topic, one.partition), one.offset, outputs))
        await self._committer.submit(endings)

    def _member_of(self, share: Share) -> Any:
        member = self._members.get(share[:2])
        return self._committed.membership(share[0]) if member is None else member.metadata(share[2])

    def _outputs_written(self, outputs: Sequence[tuple[Outgoing, int]]) -> None:
        """Called in the committer's thread, before it answers."""
        ends: dict[Place, int] = {}
        for output, offset in outputs:
            place = output.topic, output.partition
            ends[place] = max(ends.get(place, 0), offset + 1)

        def tell() -> None:
            for (topic, number), end in ends.items():
                if topic in self._logs:
                    self._raise_end(self._logs[topic][number], end)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)

    # --- reading ---------------------------------------------------------------------------------

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        one = await self._log(topic, partition)
        found: list[Stored] = []
        at = offset
        while at < one.end and len(found) < limit:
            page = self._pages.get((topic, partition), at)
            if page is None:
                if found:
                    break
                page = await self._page(one, (topic, partition), at)
            found += [stored for stored in page.records if stored.offset >= at][: limit - len(found)]
            at = page.end
        self._note_gaps((topic, partition), offset, found, at if len(found) < limit else None)
        return found

    async def _page(self, one: _Log, place: Place, offset: int) -> Page:
        """From the tail, which may be about to bring it, or from where it lies."""
        if one.followed and not one.paused and offset >= one.tail:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TAIL_SECONDS):
                    while one.tail <= offset:
                        await one.arrival.wait()
            page = self._pages.get(place, offset)
            if page is not None:
                return page
        page = await self._fetcher.fetch(place, offset)
        self._pages.add(place, page)
        self._raise_end(one, page.end)
        return page

    def _note_gaps(self, place: Place, offset: int, found: Sequence[Stored], end: int | None) -> None:
        """Offsets without a record count as finished for every group that works here."""
        last = found[-1].offset + 1 if found else offset
        end = last if end is None else max(end, last)
        if end - offset == len(found):
            return
        with self._ledger.lock:
            for share, finished in self._ledger.finished.items():
                if share[1:] == place:
                    at = offset
                    for stored in found:
                        finished.add_range(at, stored.offset)
                        at = stored.offset + 1
                    finished.add_range(at, end)

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        """Kafka has no index: this goes through the partition from `offset` on."""
        one = await self._log(topic, partition)
        before, found = min(before, one.end), list[Stored]()
        while offset < before and len(found) < limit:
            page = self._pages.get((topic, partition), offset)
            if page is None:
                page = await self._page(one, (topic, partition), offset)
            found += [s for s in page.records if s.key == key and offset <= s.offset < before]
            offset = page.end
        return found[:limit]

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        one = await self._log(topic, partition)
        while one.end <= offset:
            self._follow(one, (topic, partition))
            await one.arrival.wait()
            if self._closed:
                raise BrokerUnavailable("it is closed")
            one = await self._log(topic, partition)  # which may be deleted by now

    def _follow(self, one: _Log, place: Place) -> None:
        one.ahead = 0
        if not one.followed:
            one.followed, one.tail = True, one.end
            self._tail.follow(place, one.end)
        elif one.paused:
            one.paused = False
            self._tail.resume(place)

    def _arrived(self, place: Place, page: Page) -> None:
        topic, number = place
        if topic not in self._logs:
            return
        one = self._logs[topic][number]
        self._pages.add(place, page)
        one.tail = page.end
        one.ahead += len(page.records)
        if one.ahead > _MOST_AHEAD and not one.paused:
            one.paused = True
            self._tail.pause(place)
        one.end = max(one.end, page.end)
        one.arrival.set()
        one.arrival = asyncio.Event()

    # --- groups ----------------------------------------------------------------------------------

    async def progress(self, group: str, topic: str) -> Sequence[Progress]:
        shares = [(group, topic, number) for number in range(len(await self._known(topic)))]
        return [await self._progress(share) for share in shares]

    async def _progress(self, share: Share) -> Progress:
        with self._ledger.lock:
            known = self._ledger.finished.get(share)
            if known is not None:
                return known.progress()
        found = await self._in_thread(self._committed.read, share)
        progress: Progress = found.progress()
        return progress

    async def state(self, unit: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {}

    async def join(self, group: str, topic: str, member: GroupMember) -> None:
        await self._known(topic)
        if (group, topic) in self._members:
            raise ConfigurationError(f"the group '{group}' is joined on the topic '{topic}' already")
        await self._committer.submit([])  # the run before us may have died in a transaction
        await self._in_thread(self._topics.remove_members, group, self._client_id)
        self._members[group, topic] = Membership(
            self._arguments, self._client_id, group, topic, member, self._ledger
        )

    async def resume(self, group: str, topic: str, partition: int) -> Progress:
        share = group, topic, partition
        with self._ledger.lock:
            self._ledger.broken.discard(share)
        return await self._progress(share)

    async def leave(self, group: str, topic: str) -> None:
        member = self._members.get((group, topic))
        if member is not None:
            await member.leave()
            self._members.pop((group, topic), None)

    # --- what a platform asks ---------------------------------------------------------------------

    def hold(self, group: str, topic: str) -> None:
        """Retention is Kafka's own: it waits for nobody."""

    async def maintain(self) -> bool:
        return False
