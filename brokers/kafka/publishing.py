"""Publishing: events are appended outside of transactions, by an idempotent producer.

Kafka cannot tell that a topic already holds an id, so an event that is published twice is there
twice, with the same id: at least once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import EventError
from ..protocol import Position
from .batches import Batches, Call
from .producers import Outgoing, offset_of, producer, send
from .reading import unavailable

_MOST_CALLS = 512


class Publisher(Batches[Sequence[Outgoing]]):
    """Answers each call with the positions of its events."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._producer: Any = None
        super().__init__("tidemill-kafka-publish", self._publish, self._end, _MOST_CALLS)

    def _publish(self, calls: Sequence[Call[Sequence[Outgoing]]]) -> None:
        sent = [(call, self._send(call)) for call in calls]
        for call, futures in sent:
            if futures is None:
                continue
            try:
                offsets = [offset_of(future) for future in futures]
            except Exception as error:
                self._refuse(call, error)
            else:
                places = zip(call.what, offsets, strict=True)
                call.answer([Position(one.partition, offset) for one, offset in places])

    def _send(self, call: Call[Sequence[Outgoing]]) -> list[Any] | None:
        try:
            if self._producer is None:
                self._producer = producer(self._arguments)
            return [send(self._producer, one) for one in call.what]
        except Exception as error:
            self._refuse(call, error)
            return None

    def _refuse(self, call: Call[Sequence[Outgoing]], error: Exception) -> None:
        call.refuse(error if isinstance(error, EventError) else unavailable(error))

    def _end(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)
