"""Kafka's records and our events, both ways.

Called where records are read and written. What carries CloudEvents headers is a CloudEvent, as
Knative's Broker writes and reads them; everything else is a plain record that somebody wrote, and
becomes an event whose id is its place.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...bindings import STRUCTURED, from_kafka
from ...errors import TidemillError
from ...record import Event, Record, to_event
from ..protocol import Stored

_encode = msgspec.msgpack.Encoder().encode


def stored(found: Any) -> Stored:
    """A record as kafka-python gives it."""
    event = _event(found)
    key = event.partition_key
    if key is None and found.key is not None:
        text = _text(found.key)
        key = text if isinstance(text, str) else found.key.hex()
    return Stored(found.topic, found.partition, found.offset, found.timestamp, key, _encode(event))


def _event(found: Any) -> Event:
    if _is_event(found.headers):
        try:
            return from_kafka(found.value, found.headers)
        except TidemillError:
            pass  # only looks like one: it is delivered as the record that it is
    return _wrapped(found)


def _is_event(headers: Any) -> bool:
    for name, value in headers:
        lower = name.lower()
        if lower == "ce_specversion":
            return True
        if lower == "content-type" and value and value.lower().startswith(STRUCTURED.encode()):
            return True
    return False


def _wrapped(found: Any) -> Event:
    """Text where it is UTF-8, as LangStream's default deserializers would have it, else bytes."""
    headers = tuple((name, _text(value)) for name, value in found.headers)
    record = Record(_text(found.value), _text(found.key), headers)
    place = f"partition:{found.partition}/offset:{found.offset}"
    source = f"/kafka/{found.topic}"
    try:
        return to_event(record, id=place, source=source)
    except TidemillError:  # its headers are too many for an event
        return to_event(Record(record.value, record.key), id=place, source=source)


def _text(raw: bytes | None) -> str | bytes | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
