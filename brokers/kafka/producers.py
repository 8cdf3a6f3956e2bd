"""kafka-python's producers: one for what is published, one for transactions.

Used by the two writers, each in its own thread. The partition is Java's choice for the key (see
partitioning.py); without a key the partitions take turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...bindings import to_kafka
from ...errors import EventError
from ...record import Event
from ..partitioning import partition_of

# A transaction that its process left behind blocks readers of committed records for that long.
TRANSACTION_MS = 15_000
_SEND_SECONDS = 60


class Outgoing(NamedTuple):
    """An event and where it goes."""

    topic: str
    partition: int
    event: Event


class Turns:
    """The partitions for events without key."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def place(self, topic: str, event: Event, partitions: int) -> Outgoing:
        key = event.partition_key
        if key is not None:
            return Outgoing(topic, partition_of(key, partitions), event)
        turn = self._next.get(topic, 0)
        self._next[topic] = turn + 1
        return Outgoing(topic, turn % partitions, event)


class _Nothing:
    """Stands for no value: the producer itself refuses a record that has neither key nor value."""


_NOTHING = _Nothing()


def _serializer() -> Any:
    from kafka.serializer import Serializer

    class Values(Serializer):  # type: ignore[misc]  # kafka-python has no types
        def serialize(self, topic: str, headers: Any, data: Any) -> bytes | None:
            return None if data is _NOTHING else data

    return Values()


def producer(arguments: Mapping[str, Any], transactional_id: str | None = None) -> Any:
    from kafka import KafkaProducer

    more: dict[str, Any] = {"enable_idempotence": True}
    if transactional_id is not None:
        more = {"transactional_id": transactional_id, "transaction_timeout_ms": TRANSACTION_MS}
    made = KafkaProducer(
        **arguments,
        **more,
        value_serializer=_serializer(),
        allow_auto_create_topics=False,
        max_block_ms=30_000,
        retry_backoff_ms=20,
        metrics_enabled=False,
    )
    if transactional_id is not None:
        made.init_transactions()  # ends what an earlier process of this id left
    return made


def send(made: Any, outgoing: Outgoing) -> Any:
    """Raises EventError for an event that Kafka would never take."""
    from kafka.errors import MessageSizeTooLargeError

    key, value, headers = to_kafka(outgoing.event)
    data = _NOTHING if value is None else value
    try:
        return made.send(outgoing.topic, data, key, headers, partition=outgoing.partition)
    except MessageSizeTooLargeError as error:
        raise EventError(f"the event is too large for the topic {outgoing.topic}: {error}") from error


def offset_of(future: Any) -> int:
    from kafka.errors import MessageSizeTooLargeError

    try:
        return int(future.get(timeout=_SEND_SECONDS).offset)
    except MessageSizeTooLargeError as error:
        raise EventError(f"the event is too large for its topic: {error}") from error
