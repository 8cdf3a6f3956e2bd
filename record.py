"""Record, what agents see, and Event, the CloudEvent that carries it between units.

Used by every room. `to_event` and `to_record` are inverse to each other for every value, key and
header type: what CloudEvents cannot express (a null key with a partition key, header names with
dashes, empty text against no data) travels in versioned extensions whose names start with
`tidemill`. Attribute values are always printable ASCII, but for `partitionkey` and the attributes
of events that others made. The wire forms of an Event are in `bindings.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from .errors import HeadersTooLarge, NewerVersion, RecordError

RECORD_TYPE = "dev.tidemill.record"
MAX_HEADER_BYTES = 32 * 1024

CORE_ATTRIBUTES = frozenset(
    {"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time", "data"}
)
TRACING = ("traceparent", "tracestate")
FOREIGN_KEPT = ("source", "type", "subject", "dataschema", "time")
# Extensions of our own. The second group is reserved, and never used for anything else.
KEY, HEADERS, VALUE = "tidemillkey", "tidemillheaders", "tidemillvalue"
RESERVED_FOR_LATER = ("tidemillstate", "tidemilldeadline", "tidemillcost", "tidemillhops", "dataref")
PARTITION_KEY = "partitionkey"
_NEVER_HEADERS = CORE_ATTRIBUTES.union(TRACING, RESERVED_FOR_LATER, (PARTITION_KEY,))
_NEVER_PREFIXES = ("knative", "tidemill")

STREAM_ID = "stream-id"

_PACK_VERSION = "1"
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}\Z")
# Printable ASCII that no HTTP binding escapes, trims or unquotes.
_PLAIN = re.compile(r"[!#$&-~](?:[ !#$&-~]*[!#$&-~])?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON_TYPE = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
_TEXT_TYPE = re.compile(r"text/|application/(?:[\w.-]+\+)?xml\b", re.IGNORECASE)
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)


class JsonText(str):
    """Text that is one JSON document: it travels as application/json. Otherwise a plain `str`."""

    __slots__ = ()


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A CloudEvent 1.0: attributes without `specversion`, all as text, and the data's bytes or None."""

    attributes: dict[str, str]
    data: bytes | None = None

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    @property
    def partition_key(self) -> str | None:
        return self.attributes.get(PARTITION_KEY)


@dataclass(frozen=True, slots=True)
class Incoming:
    """The event from which a record was read, and the value that its data gave."""

    event: Event
    value: Any


@dataclass(frozen=True, slots=True)
class Record:
    """Key, value, headers, origin (a topic's name) and timestamp (epoch milliseconds).

    Headers are ordered and may repeat; a look-up by name gives the first. `incoming` is set on
    records that were read from an event, and is no part of equality.
    """

    value: Any = None
    key: Any = None
    headers: tuple[tuple[str, Any], ...] = ()
    origin: str | None = None
    timestamp: int | None = None
    incoming: Incoming | None = field(default=None, compare=False, repr=False)

    def header(self, name: str) -> Any:
        """The first header of that name, or None."""
        return first_header(self.headers, name)

    def with_headers(self, added: Mapping[str, Any]) -> Record:
        """This record with headers set: those of the same name go."""
        kept = tuple(pair for pair in self.headers if pair[0] not in added)
        return replace(self, headers=kept + tuple(added.items()))


def first_header(headers: Sequence[tuple[str, Any]], name: str) -> Any:
    return next((value for key, value in headers if key == name), None)


def json_text(value: Any) -> str:
    """Compact JSON, non-ASCII as it is: the form in which maps and lists rest on a topic."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_default)
    except (TypeError, ValueError) as error:
        raise RecordError(f"the value cannot be written as JSON: {error}") from error


def _json_default(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, set | tuple):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def topic_form(value: Any) -> Any:
    """What a value becomes when it is written to a topic: maps and lists turn into JSON text,
    numbers and booleans into their text; text, bytes and null stay (LangStream's rule)."""
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, bool | int | float):
        return json_text(value)
    return JsonText(json_text(value))


def derive_id(parent: Event, *place: str | int) -> str:
    """The id of what an agent emits: equal for every delivery of one input, different for all else.

    `place` is (application, unit, agent, channel, index in the channel, epoch).
    """
    text = "\x00".join((parent.source, parent.id, *map(str, place)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# --- record to event -------------------------------------------------------------------------------


def to_event(record: Record, *, id: str, source: str, type: str = RECORD_TYPE) -> Event:
    """The event that carries `record`.

    A record that was read from somebody else's event keeps that event's source, type, subject,
    dataschema and time; every record keeps the trace context it came with.
    Raises RecordError when a part cannot travel.
    """
    time = None if record.timestamp is None else format_time(record.timestamp)
    return make_event(
        record.value, record.key, record.headers, record.incoming, id=id, source=source, type=type, time=time
    )


def make_event(
    value: Any,
    key: Any,
    headers: Sequence[tuple[str, Any]],
    incoming: Incoming | None,
    *,
    id: str,
    source: str,
    type: str = RECORD_TYPE,
    time: str | None = None,
) -> Event:
    """As `to_event`, from the parts of a record."""
    attributes = {"id": id, "source": source, "type": type}
    if incoming is not None:
        _inherit(attributes, incoming.event)
    if time is not None and "time" not in attributes:
        attributes["time"] = time
    data = _encode_value(value, incoming, attributes)
    _encode_key(key, headers, attributes)
    if headers:
        _encode_headers(headers, attributes)
    return Event(attributes, data)


def _inherit(attributes: dict[str, str], parent: Event) -> None:
    theirs = parent.attributes
    if theirs["type"] != RECORD_TYPE:
        attributes.update({name: theirs[name] for name in FOREIGN_KEPT if name in theirs})
    for name in TRACING:
        if name in theirs:
            attributes[name] = theirs[name]


def _encode_value(value: Any, incoming: Incoming | None, attributes: dict[str, str]) -> bytes | None:
    if value is None:
        return None
    if incoming is not None and incoming.value is value:
        original = incoming.event
        for name in ("datacontenttype", VALUE):
            if name in original.attributes:
                attributes[name] = original.attributes[name]
        return original.data
    if isinstance(value, str):
        kind, mark = ("application/json" if isinstance(value, JsonText) else "text/plain"), "text"
        data = _utf8(value)
    elif isinstance(value, bytes | bytearray | memoryview):
        kind, mark, data = "application/octet-stream", "bytes", bytes(value)
    else:
        kind, mark, data = "application/json", _kind(value), _utf8(json_text(value))
    attributes["datacontenttype"] = kind
    if not data or mark not in ("text", "bytes"):
        attributes[VALUE] = _PACK_VERSION + mark
    return data


def _kind(value: Any) -> str:
    return "json" if not isinstance(value, bool | int | float) else type(value).__name__


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"the text holds half of a character pair at position {error.start}") from error


def _encode_key(key: Any, headers: Sequence[tuple[str, Any]], attributes: dict[str, str]) -> None:
    if key is None:
        stream = first_header(headers, STREAM_ID) if headers else None
        if isinstance(stream, str) and stream:
            attributes[PARTITION_KEY] = _escape(stream)
            attributes[KEY] = pack(None)
    elif isinstance(key, str) and key and not _CONTROL.search(key):
        attributes[PARTITION_KEY] = key
        _utf8(key)
        if not _PLAIN.match(key):
            attributes[KEY] = pack(key)
    else:
        attributes[KEY] = pack(key)
        attributes[PARTITION_KEY] = _escape(_key_text(key))


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")
    return json_text(key)


def _escape(text: str) -> str:
    """Printable ASCII for any text, never empty; text that is plain already stays."""
    if _PLAIN.match(text):
        return text
    return quote(text, safe="!#$&'()*+,/:;=?@[]{}|^`<>\\", errors="surrogatepass") or "%"


def _encode_headers(headers: Sequence[tuple[str, Any]], attributes: dict[str, str]) -> None:
    size = sum(len(name) + (len(value) if isinstance(value, str | bytes) else 8) for name, value in headers)
    if size > MAX_HEADER_BYTES:
        raise HeadersTooLarge(size, MAX_HEADER_BYTES)
    packed: list[Any] = []
    in_order, last = True, ""
    for name, value in headers:
        if (
            type(value) is str
            and _EXTENSION_NAME.match(name)
            and name not in attributes
            and not is_reserved(name)
            and _PLAIN.match(value)
        ):
            attributes[name] = value
            packed.append(name)
            in_order, last = in_order and name > last, name
        else:
            packed.append((name, value))
            in_order = False
    if not in_order:
        attributes[HEADERS] = pack(packed)
        total = sum(len(attributes[item]) for item in packed if isinstance(item, str)) + len(
            attributes[HEADERS]
        )
        if total > MAX_HEADER_BYTES:
            raise HeadersTooLarge(total, MAX_HEADER_BYTES)


def is_reserved(name: str) -> bool:
    """Whether an attribute of this name can never be a user's header."""
    return name in _NEVER_HEADERS or name.startswith(_NEVER_PREFIXES)


def pack(value: Any) -> str:
    """Any key or header value in ASCII, with its type."""
    try:
        raw = msgspec.msgpack.encode(value, enc_hook=_plain)
    except (TypeError, OverflowError, ValueError) as error:
        raise RecordError(f"a key or header of type {type(value).__name__} cannot travel: {error}") from error
    return _PACK_VERSION + base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # a subclass: msgspec takes exact types only
        return str(value)
    raise TypeError(f"type {type(value).__name__} has no packed form")


def unpack(text: str, what: str) -> Any:
    """The inverse of `pack`; `what` names the extension for the error."""
    if not text.startswith(_PACK_VERSION):
        raise NewerVersion(f"the event extension '{what}'", text[:1], _PACK_VERSION)
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text[1:] + "=" * (-(len(text) - 1) % 4)))
    except ValueError as error:
        raise RecordError(f"the event extension '{what}' is damaged: {error}") from error


# --- event to record -------------------------------------------------------------------------------


def to_record(event: Event, *, origin: str | None = None, timestamp: int | None = None) -> Record:
    """The record that `event` carries; `timestamp` defaults to the event's time."""
    attributes = event.attributes
    value = _decode_value(event)
    if timestamp is None and "time" in attributes:
        timestamp = parse_time(attributes["time"])
    packed_key = attributes.get(KEY)
    key = attributes.get(PARTITION_KEY) if packed_key is None else unpack(packed_key, KEY)
    return Record(value, key, _decode_headers(attributes), origin, timestamp, Incoming(event, value))


def _decode_value(event: Event) -> Any:
    mark = event.attributes.get(VALUE, "")
    if mark and mark[0] != _PACK_VERSION:
        raise NewerVersion(f"the event extension '{VALUE}'", mark[:1], _PACK_VERSION)
    data = event.data
    if not data and not mark:
        return None
    data = data or b""
    if mark[1:] in ("json", "int", "float", "bool"):
        try:
            return json.loads(data)
        except ValueError as error:
            raise RecordError(f"the data is marked as {mark[1:]} but is no JSON: {error}") from error
    return decode_data(data, event.attributes.get("datacontenttype"))


def decode_data(data: bytes, content_type: str | None) -> str | bytes:
    """Data as text where its content type says so (JSON too: it is not parsed), else as bytes."""
    charset, is_json = _text_kind(content_type)
    if charset is None:
        return data
    try:
        text = data.decode(charset)
    except (UnicodeError, LookupError):  # not that charset, or none that is known
        return data
    return JsonText(text) if is_json else text


@lru_cache(maxsize=64)  # few are used, and each by all events of a topic
def _text_kind(content_type: str | None) -> tuple[str | None, bool]:
    """(charset of a text, or None for bytes; whether it is JSON)."""
    if content_type is None:
        return "utf-8", False
    is_json = _JSON_TYPE.match(content_type) is not None
    if not is_json and not _TEXT_TYPE.match(content_type):
        return None, False
    found = _CHARSET.search(content_type)
    return (found[1] if found else "utf-8"), is_json


def _decode_headers(attributes: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    packed = attributes.get(HEADERS)
    if packed is None:
        if _NEVER_HEADERS.issuperset(attributes):
            return ()
        return tuple(sorted(item for item in attributes.items() if not is_reserved(item[0])))
    listed: list[tuple[str, Any]] = []
    items = unpack(packed, HEADERS)
    if not isinstance(items, list):
        raise RecordError(f"the event extension '{HEADERS}' is damaged: it holds no list")
    for item in items:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            listed.append((item[0], item[1]))
        elif not isinstance(item, str):
            raise RecordError(f"the event extension '{HEADERS}' is damaged: an entry is no name and value")
        elif item in attributes:
            listed.append((item, attributes[item]))
    named = {name for name, _ in listed}
    added = sorted((n, v) for n, v in attributes.items() if n not in named and not is_reserved(n))
    return tuple(listed + added)  # `added`: extensions that somebody set on the way


def format_time(timestamp: int) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp % 1000:03d}Z"


@lru_cache(maxsize=64)  # an event's time is read twice: when it is checked, and for its record
def parse_time(text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time; None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return round(moment.timestamp() * 1000)
