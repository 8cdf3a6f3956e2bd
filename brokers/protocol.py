"""Where events rest: what every broker gives to triggers, gateways and units.

A topic is a set of partitions; an event has an offset in one of them, decided by its partition key.
A group (one per trigger) remembers for each partition which offsets are finished. `commit` is the
transaction of delivery: outputs, acknowledgement and per-key state are written together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from ..record import Event

_events = msgspec.msgpack.Decoder(Event)


class Position(NamedTuple):
    """Where an event lies."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic as a broker makes it. `config` holds Kafka's names (retention.ms, cleanup.policy …)."""

    name: str
    partitions: int = 12
    config: Mapping[str, str] = field(default_factory=dict)
    replication: int | None = None  # copies, where a broker keeps more than one; None = its default


class Stored(NamedTuple):
    """An event at rest. `timestamp` is the time of writing (epoch ms); `blob` is the event in msgpack."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    blob: bytes

    def event(self) -> Event:
        return _events.decode(self.blob)


class StateWrite(NamedTuple):
    """New per-key state of a unit; None removes it."""

    unit: str
    key: str
    value: bytes | None


class Effects(NamedTuple):
    """What the end of one delivery writes, all or nothing."""

    group: str
    topic: str
    partition: int
    offset: int
    outputs: Sequence[tuple[str, Event]] = ()  # (topic, event)
    state: Sequence[StateWrite] = ()


class Progress(NamedTuple):
    """How far a group is in a partition: all below `offset` are finished, and those in `beyond`."""

    offset: int
    beyond: frozenset[int]


class Broker(Protocol):
    """Every method may be called from one event loop only; results are durable when they return."""

    async def create_topic(self, topic: TopicConfig) -> bool:
        """Make the topic; False when it was there already (it is never altered)."""
        ...

    async def delete_topic(self, name: str) -> None: ...

    def topics(self) -> Mapping[str, TopicConfig]: ...

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Position]:
        """Append in order. An event whose (source, id) the topic already holds is not written again:
        its position is returned. Raises NotFound for an unknown topic."""
        ...

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Stored]:
        """Events from `offset` on (the first that still exists), at most `limit`; empty at the end."""
        ...

    async def read_key(
        self, topic: str, partition: int, key: str, offset: int, before: int, limit: int
    ) -> Sequence[Stored]:
        """Events of one partition key with offset <= their offset < before, at most `limit`."""
        ...

    def bounds(self, topic: str) -> Sequence[tuple[int, int]]:
        """(first, end) offset per partition; `end` is where the next event goes."""
        ...

    async def wait(self, topic: str, partition: int, offset: int) -> None:
        """Return when the partition's end is beyond `offset`."""
        ...

    async def progress(self, group: str, topic: str) -> Sequence[Progress]:
        """Per partition. A group that never committed starts at the first offset."""
        ...

    async def commit(self, effects: Sequence[Effects]) -> None:
        """Write the effects of finished deliveries. Each entry is atomic; all are durable on return."""
        ...

    async def state(self, unit: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Per-key state of a unit, for the keys that have some."""
        ...

    async def close(self) -> None: ...


class GroupMember(Protocol):
    """Who works on partitions for a group, as long as the broker lets it have them."""

    async def take(self, partitions: Sequence[int]) -> None:
        """These are ours from now on."""
        ...

    async def give_up(self, partitions: Sequence[int], patience: float) -> None:
        """End all work on these, after at most `patience` seconds; others begin when this returns."""
        ...


@runtime_checkable
class SharedBroker(Broker, Protocol):
    """A broker whose groups span processes: each works on some partitions of a topic, which may change.
    Commits of a group that was joined are refused for partitions that it has lost."""

    async def join(self, group: str, topic: str, member: GroupMember) -> None: ...

    async def leave(self, group: str, topic: str) -> None: ...

    async def resume(self, group: str, topic: str, partition: int) -> Progress:
        """How far the group is. A failed commit has all later ones of its partition refused until this
        is called: none may overtake one that will be repeated."""
        ...


class PlatformBroker(Broker, Protocol):
    """What a platform asks beyond that."""

    def hold(self, group: str, topic: str) -> None:
        """From now on, nothing of the topic goes before this group has finished it."""
        ...

    async def maintain(self) -> bool:
        """A bounded step of upkeep; True when it should be called again soon."""
        ...
