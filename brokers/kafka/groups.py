"""Our part in a consumer group: which partitions of a topic this process works on.

A membership is a consumer that never fetches: all its partitions are paused, and records are read by
the threads of reading.py. Rebalances are cooperative: who gives a partition up first ends its lanes,
and Kafka hands it on only then. Called by the broker; `listener` is the dispatcher's side.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Collection, Coroutine, Mapping
from concurrent.futures import wait
from typing import Any

from ..protocol import GroupMember
from .committing import Ledger, Share
from .finished import Finished, read_finished

log = logging.getLogger("tidemill.kafka")

SESSION_MS = 10_000  # a process that says nothing for that long has lost its partitions
GIVE_UP_SECONDS = 8.0  # of it, for lanes to end; the client is silent meanwhile
_POLL_MS = 100


class Membership:
    """One group on one topic."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        client_id: str,
        group: str,
        topic: str,
        listener: GroupMember,
        ledger: Ledger,
    ) -> None:
        self.group, self.topic = group, topic
        self._arguments = {**arguments, "client_id": client_id}
        self._listener, self._ledger = listener, ledger
        self._loop = asyncio.get_running_loop()
        self._owned: set[int] = set()  # that the dispatcher has
        self._assigned: set[int] = set()  # that Kafka gave us
        self._consumer: Any = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"tidemill-kafka-{group}", daemon=True)
        self._thread.start()

    def share(self, partition: int) -> Share:
        return self.group, self.topic, partition

    def metadata(self, partition: int) -> Any:
        """Who we are to the group; None when the partition is not ours."""
        consumer = self._consumer
        if partition not in self._owned or consumer is None:
            return None
        return consumer.group_metadata()

    async def leave(self) -> None:
        """Give everything back. The dispatchers are closed by their owner first."""
        self._ended = True
        await asyncio.to_thread(self._thread.join)

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended:
            try:
                self._consumer = self._join()
                while not self._ended:
                    self._consumer.poll(timeout_ms=_POLL_MS, max_records=1)
                    self._begin_new()
            except Exception as error:
                log.warning("the group %s is joined again: %s", self.group, error)
                self._lost(set(self._owned | self._assigned))
            finally:
                self._close()

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        try:
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=3000)
        except Exception as error:
            log.debug("leaving the group %s: %s", self.group, error)

    def _join(self) -> Any:
        from kafka import KafkaConsumer
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

        consumer = KafkaConsumer(
            **self._arguments,
            group_id=self.group,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            enable_auto_commit=False,
            isolation_level="read_committed",  # so that committed offsets are not read in mid-transaction
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=1500,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        consumer.subscribe([self.topic], listener=_listener(self))
        return consumer

    def gained(self, partitions: Collection[int]) -> None:
        """Part of the listener: on the client's own thread, so nothing is asked of Kafka here."""
        self._assigned.update(partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        """Part of the listener: returns when nothing of them runs here any more."""
        self._assigned.difference_update(partitions)
        held = self._owned & set(partitions)
        if held:
            self._tell(self._listener.give_up(sorted(held), GIVE_UP_SECONDS / 2))
            self._forget(held)

    def _lost(self, partitions: Collection[int]) -> None:
        """Somebody else may have them already: commits are refused from now on."""
        self._assigned.difference_update(partitions)
        held = self._owned & set(partitions)
        self._forget(held)
        if held:
            self._tell(self._listener.give_up(sorted(held), 0.0))

    lost = _lost

    def _forget(self, partitions: Collection[int]) -> None:
        self._owned.difference_update(partitions)
        for partition in partitions:
            self._ledger.forget(self.share(partition))

    def _begin_new(self) -> None:
        from kafka import TopicPartition

        new = self._assigned - self._owned
        if not new:
            return
        places = {partition: TopicPartition(self.topic, partition) for partition in new}
        self._consumer.pause(*places.values())
        for partition, place in places.items():
            found = self._consumer.committed(place, metadata=True, timeout_ms=30_000)
            state = _state(self._consumer, place, found)
            with self._ledger.lock:
                self._ledger.finished[self.share(partition)] = state
        new &= self._assigned  # one may have gone while we asked
        self._owned |= new
        self._tell(self._listener.take(sorted(new)))

    def _tell(self, what: Coroutine[Any, Any, None]) -> None:
        """Wait until the dispatcher has done it."""
        if self._ended or self._loop.is_closed():
            what.close()
            return
        done = asyncio.run_coroutine_threadsafe(what, self._loop)
        while not self._ended and not done.done():  # the loop may be waiting for this thread to end
            wait([done], timeout=0.1)
        if done.done() and done.exception() is not None:
            log.error("the dispatcher of %s", self.group, exc_info=done.exception())


def _state(consumer: Any, place: Any, found: Any) -> Finished:
    if found is None or found.offset < 0:
        return Finished(consumer.beginning_offsets([place], timeout_ms=30_000)[place])
    return read_finished(found.offset, found.metadata)


def _listener(membership: Membership) -> Any:
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
        def on_partitions_assigned(self, assigned: Any) -> None:
            membership.gained({one.partition for one in assigned})

        def on_partitions_revoked(self, revoked: Any) -> None:
            membership.revoked({one.partition for one in revoked})

        def on_partitions_lost(self, lost: Any) -> None:
            membership.lost({one.partition for one in lost})

    return Listener()


class Committed:
    """Progress of groups in which we have no part; asked from any thread."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._consumers: dict[str, Any] = {}

    def read(self, share: Share) -> Finished:
        from kafka import TopicPartition

        group, topic, partition = share
        place = TopicPartition(topic, partition)
        with self._lock:
            consumer = self._consumers.get(group)
            if consumer is None:
                consumer = self._consumers[group] = self._consumer(group)
            return _state(consumer, place, consumer.committed(place, metadata=True, timeout_ms=30_000))

    def _consumer(self, group: str) -> Any:
        from kafka import KafkaConsumer

        return KafkaConsumer(
            **self._arguments,
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            metrics_enabled=False,
        )

    def membership(self, group: str) -> Any:
        """Of one who is no member: it is not fenced."""
        from kafka.structs import ConsumerGroupMetadata

        return ConsumerGroupMetadata(group)

    def close(self) -> None:
        with self._lock:
            for consumer in self._consumers.values():
                consumer.close(autocommit=False, timeout_ms=1000)
            self._consumers.clear()
