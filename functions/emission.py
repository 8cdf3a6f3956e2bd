"""What becomes of the records that agents emit: events with ids that a redelivery repeats.

Used by the host for a unit's outputs and by the context's `publish` for side writes. The id of an
event depends on the input event and on where in the unit the record was made (record.derive_id),
so processing the same input again gives the same ids, and nothing else does.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ..record import Event, Incoming, Record, derive_id, make_event, topic_form
from .unit import UnitSpec


@dataclass(slots=True)
class Emission:
    """The input being processed, the branch of the chain, and how many events each channel has had."""

    parent: Event
    path: str = ""
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def branch(self, index: int) -> Emission:
        """For one of several records that a stage handles side by side."""
        return Emission(self.parent, f"{self.path}.{index}")


current: ContextVar[Emission] = ContextVar("current")


def emit(record: Record, unit: UnitSpec, emission: Emission, agent: str, channel: str) -> Event:
    """The event for a record that leaves the unit on a channel (a topic's name, or a side write's)."""
    place = (agent, channel)
    index = emission.counts.get(place, 0)
    emission.counts[place] = index + 1
    identity = derive_id(
        emission.parent, unit.application, unit.id, agent, channel + emission.path, index, unit.epoch
    )
    incoming = record.incoming
    return make_event(
        _resting(record.value),
        _resting(record.key),
        _resting_headers(record.headers),
        incoming if incoming is not None else Incoming(emission.parent, None),
        id=identity,
        source=unit.source,
    )


def _resting(part: Any) -> Any:
    """A value or key as topics hold it: maps and lists as JSON text. The time is left to the broker."""
    return part if part is None or isinstance(part, str | bytes) else topic_form(part)


def _resting_headers(headers: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    if not headers or all(value is None or isinstance(value, str | bytes) for _, value in headers):
        return headers
    return tuple((name, topic_form(value)) for name, value in headers)
