"""The transform context: a record opened for the agents that compute with it, and closed again.

Used by the transform agents and by all others that evaluate expressions or templates on a record.
A text or bytes key or value that holds a JSON object is opened once, and written back as compact
JSON; the original kind (the schema type) decides how. The input record is never changed: maps that
a step writes to are copied first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import RecordError
from ..record import Record
from .expressions import Scope, read_object, to_json, to_text
from .expressions.values import Long, Value, kind_of

# The schema type of each kind that a key or value may have.
_SCHEMA_TYPES = {
    "string": "STRING",
    "byte": "INT8",
    "short": "INT16",
    "int": "INT32",
    "long": "INT64",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BYTES",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "instant": "INSTANT",
    "local_date": "LOCAL_DATE",
    "local_time": "LOCAL_TIME",
    "local_date_time": "LOCAL_DATE_TIME",
    "map": "MAP",
}


def schema_type_of(value: Value) -> str | None:
    """The schema type of a key or value; null has none. Raises RecordError for other kinds."""
    if value is None:
        return None
    kind = kind_of(value)
    if kind not in _SCHEMA_TYPES:
        raise RecordError(f"a key or value of kind {kind} cannot be processed; convert it to text or a map")
    return _SCHEMA_TYPES[kind]


@dataclass(slots=True)
class Part:
    """The key or the value of a record. `schema_type` is None when there is nothing."""

    value: Value
    schema_type: str | None

    def writable(self) -> dict[str, Value] | None:
        """The map, free to be changed; None if this is no map."""
        return self.value if isinstance(self.value, dict) else None

    def put(self, value: Value) -> None:
        """Replace the whole by the result of a step, which counts as text even if it is a map."""
        self.value, self.schema_type = value, "STRING"

    def closed(self) -> Value:
        """The value as it leaves: a map that came as text or bytes leaves as JSON."""
        if isinstance(self.value, dict):
            if self.schema_type == "STRING":
                return to_json(self.value)
            if self.schema_type == "BYTES":
                return to_json(self.value).encode("utf-8", "replace")
        return self.value


def open_part(value: Value) -> Part:
    kind = schema_type_of(value)
    if kind == "STRING" or kind == "BYTES":
        return Part(read_object(value), kind)
    return Part(dict(value) if kind == "MAP" else value, kind)


def header_text(value: Any) -> str:
    """A header's value as text: bytes as UTF-8, else the string form."""
    return value if type(value) is str else to_text(value)


@dataclass(slots=True)
class TransformContext:
    """One record while a step works on it. Headers are text; of equal names the last one counts."""

    key: Part
    value: Part
    properties: dict[str, str]
    origin: str | None
    timestamp: int | None
    record: Record
    message_key: str | None = None
    destination: str | None = None
    dropped: bool = False
    _scope: Scope | None = field(default=None, repr=False)

    def scope(self) -> Scope:
        """The variables of expressions; call `changed` after writing to the context."""
        if self._scope is None:
            self._scope = {
                "value": self.value.value,
                "key": self.key.value,
                "properties": self.properties,
                "topicName": self.origin,
                "eventTime": None if self.timestamp is None else Long(self.timestamp),
                "messageKey": self.message_key,
                "destinationTopic": self.destination,
                "record": None,
            }
        return self._scope

    def changed(self) -> None:
        self._scope = None

    def parts(self, selected: str | None) -> tuple[Part, ...]:
        """What an agent's `part` selects: both, the key, or (any other text) the value."""
        if selected is None:
            return self.key, self.value
        return (self.key,) if selected == "key" else (self.value,)

    def closed(self, *, as_maps: bool = False) -> Record:
        """The record that leaves. `as_maps`: a map stays one, whatever it came as."""
        return Record(
            value=self.value.value if as_maps else self.value.closed(),
            key=self.key.value if as_maps else self.key.closed(),
            headers=tuple(self.properties.items()),
            origin=self.origin,
            timestamp=self.timestamp,
            incoming=self.record.incoming,
        )


def open_record(record: Record) -> TransformContext:
    """Raises RecordError when the key's or value's kind cannot be processed."""
    return TransformContext(
        key=open_part(record.key),
        value=open_part(record.value),
        properties={name: header_text(value) for name, value in record.headers if value is not None},
        origin=record.origin,
        timestamp=record.timestamp,
        record=record,
    )


# --- field addresses -------------------------------------------------------------------------------


def write_field(context: TransformContext, address: str | None, value: Value) -> None:
    """Store a step's result where an agent's configuration says. Raises RecordError."""
    context.changed()
    part, _, name = (address or "value").partition(".")
    if part in ("value", "key"):
        target = context.value if part == "value" else context.key
        if not name and "." not in (address or ""):
            target.put(value)
        else:
            _write_member(target, part, name, value)
    elif part == "properties" and name:
        context.properties[name] = _required_text(address, value)
    elif address in ("destinationTopic", "messageKey"):
        _required_text(address, value)
    else:
        raise RecordError(
            f"the field '{address}' is no part of a record; there are value, key, value.NAME, key.NAME"
            " and properties.NAME"
        )


def _write_member(target: Part, part: str, name: str, value: Value) -> None:
    members = target.writable()
    if members is None:
        found = target.schema_type or "null"
        raise RecordError(
            f"the field '{part}.{name}' cannot be set: the {part} is {found}, not a JSON object"
        )
    members[name] = value


def _required_text(address: str | None, value: Value) -> str:
    if value is None:
        raise RecordError(f"the field '{address}' cannot be set to null")
    return to_text(value)
