"""The wire forms of an Event: HTTP structured, binary and batch; Kafka binary and structured.

Called by the ingress, the gateway, the host and the brokers. Attribute values in HTTP headers are
written as they are, because Knative's receivers do not decode them; `percent_encoded` is for
readers at the edge, where clients follow the CloudEvents HTTP binding (section 3.1.3.2) and escape.
Everything that is not a valid CloudEvents 1.0 event raises EventError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from .errors import EventError
from .record import CORE_ATTRIBUTES, PARTITION_KEY, TRACING, Event, parse_time

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

RawHeaders = Iterable[tuple[bytes, bytes]]

_NAME = re.compile(r"[a-z0-9]+\Z")
_USUAL = CORE_ATTRIBUTES.union(TRACING, (PARTITION_KEY,))
_REQUIRED = ("id", "source", "type")
_CONTENT_TYPE = "Content-Type"  # no attribute has such a name
_JSON_CONTENT = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
_raw_map = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


def content_type(headers: RawHeaders) -> str:
    """The request's media type with its parameters, or an empty string."""
    return next((value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"), "")


def from_http(headers: Sequence[tuple[bytes, bytes]], body: bytes, *, percent_encoded: bool = False) -> Event:
    """One event in binary or structured mode. Header names may be in any case."""
    attributes: dict[str, str] = {}
    kind = ""
    for raw_name, raw_value in headers:
        name = _attribute_name(raw_name)
        if name == _CONTENT_TYPE:
            kind = kind or raw_value.decode("latin-1")
        elif name:
            value = _header_text(raw_value)
            attributes[name] = _unescaped(value) if percent_encoded and "%" in value else value
    if kind and kind != "application/json":
        media = kind.split(";", 1)[0].strip().lower()
        if media == STRUCTURED:
            return from_structured(body)
        if media.startswith("application/cloudevents"):
            raise EventError(
                f"the content type '{media}' is not accepted here: send one event as {STRUCTURED}"
            )
    if not attributes:
        raise EventError(
            "the request is not a CloudEvent: it has no ce- headers and is not in structured mode"
        )
    if kind:
        attributes["datacontenttype"] = kind
    return checked(attributes, body or None)


@lru_cache(maxsize=256)  # a sender's headers have the same names in every request
def _attribute_name(raw: bytes) -> str:
    """The attribute that a header carries, `_CONTENT_TYPE`, or nothing for other headers."""
    name = raw.lower()
    if name.startswith(b"ce-"):
        return name[3:].decode("latin-1") or "-"  # no name at all is refused like any that is not legal
    return _CONTENT_TYPE if name == b"content-type" else ""


def _unescaped(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return unquote(value[1:-1] if quoted else value)


def _header_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def from_structured(body: bytes | msgspec.Raw) -> Event:
    """One event in the JSON format."""
    try:
        members = _raw_map.decode(body)
    except msgspec.MsgspecError as error:
        raise EventError(f"the body is not a CloudEvent in JSON: {error}") from error
    data = _structured_data(members)
    attributes = {
        name: text for name, raw in members.items() if (text := _attribute_text(name, raw)) is not None
    }
    if data is not None and "datacontenttype" not in attributes and "data" in members:
        attributes["datacontenttype"] = "application/json"
    elif data is not None and "data" in members and not _JSON_CONTENT.match(attributes["datacontenttype"]):
        data = _text_data(data)
    return checked(attributes, data)


def _structured_data(members: dict[str, msgspec.Raw]) -> bytes | None:
    plain, encoded = members.get("data"), members.get("data_base64")
    if plain is not None and encoded is not None:
        raise EventError("an event has either 'data' or 'data_base64', not both")
    if encoded is not None:
        text = msgspec.json.decode(encoded)
        try:
            return None if text is None else base64.b64decode(text, validate=True)
        except (ValueError, TypeError) as error:
            raise EventError(f"'data_base64' is not base64: {error}") from error
    if plain is None or bytes(plain) == b"null":
        return None
    return bytes(plain)


def _text_data(data: bytes) -> bytes:
    """`data` of an event whose content type is not JSON: a JSON string stands for its text."""
    return msgspec.json.decode(data, type=str).encode() if data[:1] == b'"' else data


def _attribute_text(name: str, raw: msgspec.Raw) -> str | None:
    if name in ("data", "data_base64"):
        return None
    value: Any = msgspec.json.decode(raw)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise EventError(f"the attribute '{name}' must be text, a whole number or a boolean")


def from_batch(body: bytes) -> list[Event]:
    """A batch in the JSON format; it may be empty."""
    try:
        items = _raw_list.decode(body)
    except msgspec.MsgspecError as error:
        raise EventError(f"the body is not a batch of CloudEvents: {error}") from error
    return [from_structured(item) for item in items]


def checked(attributes: dict[str, str], data: bytes | None) -> Event:
    """The event, when its attributes are valid CloudEvents 1.0 (section 3)."""
    version = attributes.pop("specversion", None)
    if version != "1.0":
        said = "is missing" if version is None else f"is '{version}'"
        raise EventError(f"the attribute 'specversion' {said}; it must be '1.0'")
    for name in _REQUIRED:
        if not attributes.get(name):
            raise EventError(f"the required attribute '{name}' is missing or empty")
    for name, value in attributes.items():
        if name not in _USUAL and not _NAME.match(name):
            raise EventError(f"the attribute name '{name}' may hold only a-z and 0-9")
        if value.isprintable():
            continue
        if "\r" in value or "\n" in value or "\x00" in value:
            raise EventError(f"the attribute '{name}' holds a line break or a null character")
    if "time" in attributes and parse_time(attributes["time"]) is None:
        raise EventError(f"the attribute 'time' is not an RFC 3339 time: '{attributes['time'][:64]}'")
    return Event(attributes, data)


# --- writing ---------------------------------------------------------------------------------------


def to_structured(event: Event) -> bytes:
    """The event in the JSON format. Data that is JSON stands as `data`, byte for byte; text as a string."""
    members: dict[str, Any] = {"specversion": "1.0", **event.attributes}
    if event.data is not None:
        _write_data(members, event.attributes.get("datacontenttype"), event.data)
    return msgspec.json.encode(members)


def _write_data(members: dict[str, Any], kind: str | None, data: bytes) -> None:
    if kind is not None and data:
        if _JSON_CONTENT.match(kind) and _is_json(data):
            members["data"] = msgspec.Raw(data)
            return
        if kind.startswith("text/plain"):
            try:
                members["data"] = data.decode()
                return
            except UnicodeDecodeError:
                pass
    members["data_base64"] = base64.b64encode(data).decode("ascii")


def _is_json(data: bytes) -> bool:
    if data == b"null":  # a JSON null as `data` means no data
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True


def to_batch(events: Iterable[Event]) -> bytes:
    """Events in the JSON batch format."""
    return b"[" + b",".join(map(to_structured, events)) + b"]"


def to_http(event: Event) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the event in binary mode."""
    headers = [(_header_name(name), value.encode()) for name, value in event.attributes.items()]
    headers.append((b"ce-specversion", b"1.0"))
    return headers, event.data or b""


@lru_cache(maxsize=256)
def _header_name(attribute: str) -> bytes:
    return b"content-type" if attribute == "datacontenttype" else b"ce-" + attribute.encode()


def to_kafka(event: Event) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Key, value and headers of the event in Kafka's binary mode, as Knative's Broker writes it."""
    headers = [("ce_specversion", b"1.0")]
    for name, value in event.attributes.items():
        headers.append(("content-type" if name == "datacontenttype" else "ce_" + name, value.encode()))
    key = event.partition_key
    return (None if key is None else key.encode()), event.data, headers


def from_kafka(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Event:
    """The event in a Kafka record, in binary or structured mode."""
    named = {name.lower(): raw for name, raw in headers if raw is not None}
    kind = named.pop("content-type", b"").decode()
    if kind.split(";", 1)[0].strip().lower() == STRUCTURED:
        return from_structured(value or b"")
    attributes = {name[3:]: _header_text(raw) for name, raw in named.items() if name.startswith("ce_")}
    if kind:
        attributes["datacontenttype"] = kind
    return checked(attributes, value)


__all__ = [
    "BATCH",
    "STRUCTURED",
    "checked",
    "content_type",
    "from_batch",
    "from_http",
    "from_kafka",
    "from_structured",
    "to_batch",
    "to_http",
    "to_kafka",
    "to_structured",
]
