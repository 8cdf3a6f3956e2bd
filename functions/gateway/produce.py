"""From a client's request to an event on a topic.

Called by the WebSocket sessions, HTTP produce and service. A request is a JSON object, plain text,
or one or more CloudEvents; the gateway's own headers are added, and a client may not set them.
Every event of Tidemill's own has a fresh id; a CloudEvent keeps its id and source, so that a retry
is stored once. An answer is given when the broker has made the events durable.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ...bindings import BATCH, STRUCTURED, content_type, from_batch, from_http, from_structured
from ...brokers.protocol import Broker
from ...errors import NewerVersion, RecordError, TidemillError
from ...record import Event, Record, json_text, to_event, to_record, topic_form
from .problems import explicit

log = logging.getLogger(__name__)

_CHARSET = re.compile(r";\s*charset=\"?([^\s;\"]+)", re.IGNORECASE)
# Only plain encodings: Python knows some that cost more than they give (idna, unicode_escape …).
_CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252", "utf-16"}
)


class Answer(msgspec.Struct, frozen=True):
    """What a client is told about one request: OK, BAD_REQUEST or PRODUCER_ERROR."""

    status: str
    reason: str | None = None

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


ACCEPTED = Answer("OK")


class BadRequest(RecordError):
    """A produce request that cannot become a record."""


@dataclass(frozen=True, slots=True)
class Producer:
    """Writes a client's requests to one topic, with the gateway's headers."""

    broker: Broker
    topic: str
    source: str
    headers: Mapping[str, str]

    def from_json(self, body: str | bytes) -> Event:
        """The event for a JSON request. Raises RecordError."""
        return self._own(_parse(body))

    def from_http(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> list[Event]:
        """The events in an HTTP request, by its content type. Raises TidemillError."""
        kind = content_type(headers)
        media = kind.split(";", 1)[0].strip().lower()
        if media == BATCH:
            return [self._foreign(event) for event in from_batch(body)]
        if media == STRUCTURED:
            return [self._foreign(from_structured(body))]
        if any(name.lower() == b"ce-specversion" for name, _ in headers):
            return [self._foreign(from_http(headers, body, percent_encoded=True))]
        if media == "application/json":
            return [self.from_json(_decoded(body, kind))]
        if media in ("", "text/plain"):
            return [self._own(Record(_decoded(body, kind) if body else None))]
        raise explicit(400, f"Unsupported content type: {kind}")

    async def publish(self, events: Sequence[Event]) -> Answer:
        """Write events in order, and answer when they are durable."""
        try:
            await self.broker.publish(self.topic, events)
        except TidemillError as error:
            return Answer("PRODUCER_ERROR", error.message)
        except Exception as error:
            log.exception("topic %s cannot be written", self.topic)
            return Answer("PRODUCER_ERROR", f"the topic cannot be written: {type(error).__name__}")
        return ACCEPTED

    def _own(self, record: Record) -> Event:
        if record.key is None and record.value is None:
            raise BadRequest("Either key or value must be set.")
        timed = replace(self._with_headers(record), timestamp=int(time.time() * 1000))
        return to_event(timed, id=uuid.uuid4().hex, source=self.source)

    def _foreign(self, event: Event) -> Event:
        try:
            record = self._with_headers(to_record(event))
            return to_event(record, id=event.id, source=event.source, type=event.attributes["type"])
        except NewerVersion as error:
            raise BadRequest(error.message) from error
        except (ValueError, TypeError, LookupError) as error:
            # Extensions in our own packed form, which somebody else filled with something else.
            raise BadRequest("the event's extensions are damaged") from error

    def _with_headers(self, record: Record) -> Record:
        for name, _ in record.headers:
            if name in self.headers:
                raise BadRequest(f"Header {name} is configured as parameter-level header.")
        return record.with_headers(self.headers)


def _parse(body: str | bytes) -> Record:
    try:
        request = json.loads(body, parse_constant=_no_constant)
        if not isinstance(request, dict):
            raise ValueError("the request must be a JSON object")
        unknown = [name for name in request if name not in ("key", "value", "headers")]
        if unknown:
            raise ValueError(f'Unrecognized field "{unknown[0]}"; there are: key, value, headers')
        headers = _parse_headers(request.get("headers"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Error while parsing JSON payload: {error}") from error
    return Record(topic_form(request.get("value")), request.get("key"), headers)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse_headers(headers: Any) -> tuple[tuple[str, Any], ...]:
    if headers is None:
        return ()
    if not isinstance(headers, dict):
        raise ValueError("headers must be an object of texts")
    for name, value in headers.items():
        if isinstance(value, dict | list):
            raise ValueError(f"the header '{name}' must be text")
    return tuple((name, _header_text(value)) for name, value in headers.items())


def _header_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)


def _decoded(body: bytes, kind: str) -> str:
    found = _CHARSET.search(kind)
    charset = found[1].lower() if found else "utf-8"
    if charset not in _CHARSETS:
        raise explicit(400, f"Unsupported content type: {kind}")
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The body is not text in {charset}: {error.reason} at byte {error.start}"
        ) from error
