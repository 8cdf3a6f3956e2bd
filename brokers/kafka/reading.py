"""Two threads that read Kafka for the event loop, and the pages of records that they brought.

`Fetcher` reads from any offset on request. `Tail` follows ends, and is paused where nobody takes what
it brings: that is the back-pressure. Both read committed transactions only. A page says which offsets
were seen, so that one without a record is known to be none. Callers are on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ...errors import BrokerUnavailable
from ..protocol import Stored
from .records import stored

log = logging.getLogger("tidemill.kafka")

Place = tuple[str, int]  # topic and partition

_POLL_MS = 20
_MOST_RECORDS = 4096  # of one poll
_FETCH_BYTES = 512 << 10


class Page(NamedTuple):
    """All records of one partition with start <= offset < end."""

    start: int
    end: int
    records: Sequence[Stored]

    @property
    def size(self) -> int:
        return 200 + sum(len(one.blob) + 100 for one in self.records)


class Pages:
    """The pages used last, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._pages: OrderedDict[tuple[Place, int], Page] = OrderedDict()
        self._starts: dict[Place, list[int]] = {}

    def add(self, place: Place, page: Page) -> None:
        if (place, page.start) in self._pages:
            self._drop(place, page.start)
        self._pages[place, page.start] = page
        insort(self._starts.setdefault(place, []), page.start)
        self._held += page.size
        while self._held > self._most and len(self._pages) > 1:
            oldest, start = next(iter(self._pages))
            self._drop(oldest, start)

    def get(self, place: Place, offset: int) -> Page | None:
        starts = self._starts.get(place, ())
        index = bisect_right(starts, offset) - 1
        if index < 0:
            return None
        page = self._pages[place, starts[index]]
        if offset >= page.end:
            return None
        self._pages.move_to_end((place, page.start))
        return page

    def forget(self, topic: str) -> None:
        for place, start in [found for found in self._pages if found[0][0] == topic]:
            self._drop(place, start)

    def _drop(self, place: Place, start: int) -> None:
        self._held -= self._pages.pop((place, start)).size
        self._starts[place].remove(start)


class _Thread:
    """A consumer without a group, and the thread that alone touches it."""

    def __init__(self, arguments: Mapping[str, Any], name: str, wait_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._arguments, self._wait_ms = arguments, wait_ms
        self._queue: SimpleQueue[Callable[[Any], None] | None] = SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def close(self) -> None:
        self._ended = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def ask(self, question: Callable[[Any], Any]) -> Any:
        """The answer of a function that gets the consumer."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def run(consumer: Any) -> None:
            try:
                self._tell(future.set_result, question(consumer), future)
            except Exception as error:
                self._tell(future.set_exception, unavailable(error), future)

        self._queue.put(run)
        if self._ended:
            raise BrokerUnavailable("it is closed")
        return await future

    def _tell(self, setter: Callable[[Any], None], value: Any, future: asyncio.Future[Any]) -> None:
        def tell() -> None:
            if not future.done():
                setter(value)

        self._call(tell)

    def _call(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        consumer = None
        while not self._ended:
            try:
                if consumer is None:
                    consumer = self._consumer()
                self._work(consumer)
            except Exception as error:  # a broker that is away comes back; the consumer may not
                log.warning("reading from Kafka failed, it begins again: %s", error)
                self._discard(consumer)
                consumer = None
        self._discard(consumer)
        self._fail()

    def _discard(self, consumer: Any) -> None:
        try:
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1000)
        except Exception as error:
            log.debug("closing a consumer: %s", error)

    def _consumer(self) -> Any:
        from kafka import KafkaConsumer

        return KafkaConsumer(
            **self._arguments,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._wait_ms,
            max_partition_fetch_bytes=_FETCH_BYTES,
            max_poll_records=_MOST_RECORDS,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def _commands(self, consumer: Any, *, block: bool) -> None:
        """Do what is asked for; with `block`, wait for something first."""
        try:
            command = self._queue.get(block)
            while command is not None:
                command(consumer)
                command = self._queue.get_nowait()
        except Empty:
            return

    def _work(self, consumer: Any) -> None:
        raise NotImplementedError

    def _fail(self) -> None:
        """The thread ends."""


class _Request(NamedTuple):
    offset: int
    future: asyncio.Future[Page]


class Fetcher(_Thread):
    """Pages from any offset."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._waiting: dict[Place, deque[_Request]] = {}
        super().__init__(arguments, "tidemill-kafka-fetch", 100)

    async def fetch(self, place: Place, offset: int) -> Page:
        """The records from `offset` on; waits until there are some, or until offsets turn out empty."""
        if self._ended:
            raise BrokerUnavailable("it is closed")
        request = _Request(offset, self._loop.create_future())

        def begin(consumer: Any) -> None:
            self._waiting.setdefault(place, deque()).append(request)
            if len(self._waiting[place]) == 1:
                self._aim(consumer, place)

        self._queue.put(begin)
        return await request.future

    def _aim(self, consumer: Any, place: Place) -> None:
        from kafka import TopicPartition

        partition = TopicPartition(*place)
        consumer.assign([TopicPartition(*one) for one in self._waiting])
        consumer.seek(partition, self._waiting[place][0].offset)

    def _work(self, consumer: Any) -> None:
        self._commands(consumer, block=not self._waiting)
        if not self._waiting:
            return
        for place in list(self._waiting):  # after a failure this consumer is new to them
            if place not in consumer.assignment():
                self._aim(consumer, place)
        found = consumer.poll(timeout_ms=_POLL_MS)
        for place in list(self._waiting):
            self._answer(consumer, place, found)

    def _answer(self, consumer: Any, place: Place, found: Mapping[Any, Sequence[Any]]) -> None:
        from kafka import TopicPartition

        partition = TopicPartition(*place)
        requests = self._waiting[place]
        while requests and requests[0].future.cancelled():
            requests.popleft()
        position = consumer.position(partition, timeout_ms=1000) if requests else None
        if requests and position is not None and position > requests[0].offset:
            request = requests.popleft()
            records = [stored(one) for one in found.get(partition, ()) if one.offset >= request.offset]
            page = Page(request.offset, position, records)
            self._tell(request.future.set_result, page, request.future)
        elif requests and requests[0].offset == position:
            return
        if requests:
            self._aim(consumer, place)
        else:
            del self._waiting[place]
            consumer.assign([TopicPartition(*one) for one in self._waiting])

    def drop(self, topic: str) -> None:
        """The topic is deleted."""

        def run(consumer: Any) -> None:
            for place in [place for place in self._waiting if place[0] == topic]:
                self._refuse(self._waiting.pop(place), f"the topic {topic} was deleted")

        self._queue.put(run)

    def _refuse(self, requests: Sequence[_Request] | deque[_Request], reason: str) -> None:
        for request in requests:
            self._tell(request.future.set_exception, BrokerUnavailable(reason), request.future)

    def _fail(self) -> None:
        self._commands(None, block=False)
        for requests in self._waiting.values():
            self._refuse(requests, "it is closed")


class Tail(_Thread):
    """What is written from now on, as it comes. `arrived` is called on the loop."""

    def __init__(self, arguments: Mapping[str, Any], arrived: Callable[[Place, Page], None]) -> None:
        self._arrived = arrived
        self._positions: dict[Place, int] = {}
        self._paused: set[Place] = set()
        super().__init__(arguments, "tidemill-kafka-tail", 250)

    def follow(self, place: Place, offset: int) -> None:
        def run(consumer: Any) -> None:
            self._positions[place] = offset
            self._paused.discard(place)
            self._assign(consumer)

        self._queue.put(run)

    def pause(self, place: Place) -> None:
        self._queue.put(lambda consumer: self._pause(consumer, place, True))

    def resume(self, place: Place) -> None:
        self._queue.put(lambda consumer: self._pause(consumer, place, False))

    def _pause(self, consumer: Any, place: Place, pause: bool) -> None:
        from kafka import TopicPartition

        if place in self._positions:
            (self._paused.add if pause else self._paused.discard)(place)
            (consumer.pause if pause else consumer.resume)(TopicPartition(*place))

    def drop(self, topic: str) -> None:
        def run(consumer: Any) -> None:
            for place in [place for place in self._positions if place[0] == topic]:
                del self._positions[place]
                self._paused.discard(place)
            self._assign(consumer)

        self._queue.put(run)

    def _assign(self, consumer: Any) -> None:
        from kafka import TopicPartition

        known = consumer.assignment()
        consumer.assign([TopicPartition(*place) for place in self._positions])
        for place, offset in self._positions.items():
            if place not in known:
                consumer.seek(TopicPartition(*place), offset)
                if place in self._paused:
                    consumer.pause(TopicPartition(*place))

    def _work(self, consumer: Any) -> None:
        self._commands(consumer, block=not self._positions)
        if not self._positions:
            return
        if not consumer.assignment():
            self._assign(consumer)
        pages = []
        for partition, records in consumer.poll(timeout_ms=_POLL_MS).items():
            place = (partition.topic, partition.partition)
            if place in self._positions:
                start, end = self._positions[place], records[-1].offset + 1
                self._positions[place] = end
                pages.append((place, Page(start, end, [stored(one) for one in records])))
        if pages:
            self._call(lambda: self._arrive(pages))

    def _arrive(self, pages: Sequence[tuple[Place, Page]]) -> None:
        for place, page in pages:
            self._arrived(place, page)


def unavailable(error: BaseException) -> BrokerUnavailable:
    """Any failure of the client, as ours."""
    if isinstance(error, BrokerUnavailable):
        return error
    failed = BrokerUnavailable(f"{type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed
