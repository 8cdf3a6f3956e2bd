"""Compares two topics key by key: what is missing, doubled, out of order, or from nowhere.

Used by `tidemill verify`, by tests and by whoever doubts a delivery. Every input identifies itself by a
sequence value that its output repeats, found by a function of the event. Order is promised per
key only: events without a key are checked for completeness alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import RecordError
from ..record import Event
from .protocol import Stored

Sequencer = Callable[[Event], Hashable]


class Reader(Protocol):
    """Something that can go through a topic, each partition in order."""

    def events(self, topic: str) -> Iterator[Stored]: ...


@dataclass(frozen=True, slots=True)
class KeyFindings:
    """What is wrong with one key; each list holds sequence values."""

    key: str | None
    missing: Sequence[Hashable] = ()  # in the input and not in the output
    doubled: Sequence[Hashable] = ()  # more often in the output than in the input
    disordered: Sequence[Hashable] = ()  # came after one that follows it in the input
    unknown: Sequence[Hashable] = ()  # in the output and not in the input

    def __bool__(self) -> bool:
        return bool(self.missing or self.doubled or self.disordered or self.unknown)


@dataclass(frozen=True, slots=True)
class Findings:
    """The result: how much was compared, and the keys with faults."""

    inputs: int
    outputs: int
    keys: int
    faults: Sequence[KeyFindings]


def whole_text(event: Event) -> Hashable:
    """The sequence value of events whose data is nothing else."""
    return (event.data or b"").decode("utf-8", "replace")


def json_field(name: str) -> Sequencer:
    """The sequence value in a field of JSON data; dots lead into nested objects."""

    def find(event: Event) -> Hashable:
        try:
            value: Any = json.loads(event.data or b"null")
            for part in name.split("."):
                value = value[part]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"event {event.id} of {event.source} has no JSON field '{name}'") from error
        return value if isinstance(value, Hashable) else json.dumps(value, sort_keys=True)

    return find


def verify(reader: Reader, inputs: str, outputs: str, *, sequence: Sequencer = whole_text) -> Findings:
    """Hold the events of topic `outputs` against those of topic `inputs`."""
    expected = _by_key(reader.events(inputs), sequence)
    found = _by_key(reader.events(outputs), sequence)
    keys = expected.keys() | found.keys()
    compared = (compare(key, expected.get(key, []), found.get(key, [])) for key in sorted(keys, key=str))
    return Findings(
        sum(map(len, expected.values())),
        sum(map(len, found.values())),
        len(keys),
        [findings for findings in compared if findings],
    )


def _by_key(events: Iterator[Stored], sequence: Sequencer) -> dict[str | None, list[Hashable]]:
    found: dict[str | None, list[Hashable]] = {}
    for stored in events:
        found.setdefault(stored.key, []).append(sequence(stored.event()))
    return found


def compare(key: str | None, expected: Sequence[Hashable], found: Sequence[Hashable]) -> KeyFindings:
    wanted, counted = Counter(expected), Counter(found)
    return KeyFindings(
        key,
        missing=[value for value in wanted if value not in counted],
        doubled=[value for value, count in counted.items() if 0 < wanted[value] < count],
        disordered=[] if key is None else _disordered(expected, found),
        unknown=[value for value in counted if value not in wanted],
    )


def _disordered(expected: Sequence[Hashable], found: Sequence[Hashable]) -> list[Hashable]:
    place = {value: index for index, value in reversed(list(enumerate(expected)))}
    late: list[Hashable] = []
    highest = -1
    for value in dict.fromkeys(found):  # a double is no disorder
        index = place.get(value)
        if index is None:
            continue
        if index < highest:
            late.append(value)
        highest = max(highest, index)
    return late
