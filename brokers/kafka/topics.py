"""The topics of the cluster: what there is, making and deleting them.

Called by the broker, off the event loop. Nothing is ever altered: a topic that is there is taken as
it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..protocol import TopicConfig

_COORDINATOR_SECONDS = 30.0
_BOUNDS_MS = 15_000


class Topics:
    """Kafka's admin client, made when it is first needed."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._made: Any = None

    def _admin(self) -> Any:
        if self._made is None:
            from kafka import KafkaAdminClient

            self._made = KafkaAdminClient(**self._arguments)
        return self._made

    def partitions(self) -> dict[str, int]:
        """Of every topic that is not Kafka's own."""
        with self._lock:
            found = self._admin().describe_topics()
        return {one["name"]: len(one["partitions"]) for one in found if not one.get("is_internal")}

    def create(self, topic: TopicConfig) -> bool:
        """False when it was there."""
        from kafka.errors import TopicAlreadyExistsError

        made = {"num_partitions": topic.partitions, "configs": dict(topic.config)}
        if topic.replication is not None:
            made["replication_factor"] = topic.replication
        with self._lock:
            try:
                self._admin().create_topics({topic.name: made}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return False
        return True

    def delete(self, name: str) -> None:
        with self._lock:
            self._admin().delete_topics([name])

    def config(self, name: str) -> dict[str, str]:
        """What differs from the cluster's defaults."""
        from kafka.admin import ConfigResource, ConfigResourceType

        with self._lock:
            found = self._admin().describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return _flat(found)

    def remove_members(self, group: str, client_id: str) -> None:
        """Members that a dead process left: nobody else has its client id."""
        from kafka.admin import MemberToRemove

        with self._lock:
            found = self._patiently(lambda: self._admin().describe_groups([group]))
            members = found[group].get("members") or []
            left = [MemberToRemove(one["member_id"]) for one in members if one["client_id"] == client_id]
            self._patiently(lambda: self._admin().remove_group_members(group, left))

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """A cluster makes its coordinators when the first group asks for one."""
        from kafka.errors import RetriableError

        until = time.monotonic() + _COORDINATOR_SECONDS
        while True:
            try:
                return ask()
            except RetriableError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None


def _flat(found: Any) -> dict[str, str]:
    values: dict[str, str] = {}
    for topics in found.values():
        for settings in topics.values():
            values.update({name: str(setting["value"]) for name, setting in settings.items()})
    return values


def bounds(consumer: Any, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """(first, end) of each place, as readers of committed records see it."""
    from kafka import TopicPartition

    partitions = [TopicPartition(*place) for place in places]
    first = consumer.beginning_offsets(partitions, timeout_ms=_BOUNDS_MS)
    end = consumer.end_offsets(partitions, timeout_ms=_BOUNDS_MS)
    return {tuple(one): (first[one], end[one]) for one in partitions}
