"""Records as user code sees them, and what it may give back.

Used by the Python agents. In: text, bytes, numbers and booleans as they are; maps and lists as JSON
text, which is what they would be after a topic, so that code works the same fused or not. Header
text is `str`, with a `decode` for code that was written for headers in bytes. Out: an object with
the five methods of a Record, a dict with its parts, or a tuple or list in the order value, key,
headers, origin, timestamp; maps and lists become JSON text.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ....errors import RecordError
from ....record import Incoming, JsonText, Record, json_text, topic_form

PARTS = ("value", "key", "headers", "origin", "timestamp")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class HeaderText(str):
    """Header text that also answers like bytes to `decode`."""

    __slots__ = ()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str.__str__(self)


def to_user(record: Record) -> Any:
    """The `langstream.SimpleRecord` for a record."""
    headers = [(name, _header_to_user(value)) for name, value in record.headers]
    simple: Any = import_module("langstream").SimpleRecord
    return simple(
        _to_user(record.value),
        key=_to_user(record.key),
        headers=headers,
        origin=record.origin,
        timestamp=record.timestamp,
    )


def _to_user(value: Any) -> Any:
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    return topic_form(value)


def _header_to_user(value: Any) -> Any:
    return HeaderText(value) if isinstance(value, str) else _to_user(value)


def as_list(results: Any, method: str) -> list[Any]:
    """The items of what `read` or `process` returned. Raises RecordError when it is no list."""
    if isinstance(results, str | bytes | dict) or not isinstance(results, Iterable):
        raise RecordError(
            f"{method} must return a list of records, and returned {_named(results)}",
            hint="put it in square brackets: return [record]; [] drops the record",
        )
    return list(results)


def from_user(item: Any, incoming: Incoming | None = None) -> Record:
    """The Record for any of the forms. Raises RecordError."""
    value, key, headers, origin, timestamp = _parts(item)
    if not (origin is None or isinstance(origin, str)):
        raise RecordError(f"a record's origin is text, not {_named(origin)}")
    if not (timestamp is None or isinstance(timestamp, int)):
        raise RecordError(f"a record's timestamp is a whole number of milliseconds, not {_named(timestamp)}")
    return Record(
        _from_user(value, "value"),
        _from_user(key, "key"),
        _headers_from_user(headers),
        origin,
        timestamp,
        incoming,
    )


def as_object(item: Any) -> Any:
    """What `commit` gets for an item that `read` returned: dicts and tuples become records."""
    if not isinstance(item, dict | tuple | list):
        return item
    return import_module("langstream").SimpleRecord(*_parts(item))


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        for name in item:
            if name not in PARTS:
                raise RecordError(f"a record as a dict has the parts {', '.join(PARTS)}, and no '{name}'")
        if "value" not in item:
            raise RecordError("a record as a dict needs a 'value'")
        return [item.get(part) for part in PARTS]
    if isinstance(item, tuple | list):
        if not 1 <= len(item) <= len(PARTS):
            raise RecordError(f"a record as a {type(item).__name__} has 1 to 5 parts: {', '.join(PARTS)}")
        return [*item, *[None] * (len(PARTS) - len(item))]
    methods = [getattr(item, part, None) for part in PARTS]
    if not all(callable(method) for method in methods):
        raise RecordError(
            f"{_named(item)} is no record: return a Record, a dict, or a tuple of {', '.join(PARTS)}"
        )
    return [method() for method in methods if method is not None]


def _headers_from_user(headers: Any) -> tuple[tuple[str, Any], ...]:
    found = []
    try:
        for name, value in headers or ():
            if not isinstance(name, str):
                raise RecordError(f"a header's name is text, not {_named(name)}")
            found.append((str.__str__(name), _from_user(value, f"header '{name}'")))
    except (TypeError, ValueError):
        raise RecordError(f"headers are a list of (name, value), not {_named(headers)}") from None
    return tuple(found)


def _from_user(value: Any, what: str) -> Any:
    if value is None or type(value) in (str, bytes, bool, float, JsonText):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if not _SMALLEST <= value <= _LARGEST:
            raise RecordError(f"the {what} {value} does not fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict | list):
        return JsonText(json_text(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if type(value).__name__ == "AvroValue":  # ours or that of an installed langstream
        return _from_user(value.value, what)
    raise RecordError(
        f"the {what} is {_named(value)}, which cannot leave Python code",
        hint="give text, bytes, a number, a boolean, a dict, a list or None",
    )


def _named(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
