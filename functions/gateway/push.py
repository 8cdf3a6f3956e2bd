"""A stored record in the form in which consumers get it.

Made once per record by a tail or a catch-up, shared by all connections; the JSON is written when
the first of them needs it. Values and headers are text: JSON stays JSON text, bytes that are UTF-8
become text, other bytes base64.
"""

from __future__ import annotations

import base64
import json
import logging
from functools import cached_property
from typing import Any

import msgspec

from ...brokers.protocol import Stored
from ...record import Record, to_record, topic_form
from .handshake import Filter

log = logging.getLogger(__name__)


class Delivery:
    """One record on its way to consumers."""

    def __init__(self, stored: Stored, record: Record) -> None:
        self.partition, self.offset = stored.partition, stored.offset
        self.size = len(stored.blob)
        self._record = record
        self.headers: dict[str, str | None] = {}
        for name, value in record.headers:
            self.headers.setdefault(name, text_form(value))  # the first of a name counts

    @classmethod
    def read(cls, stored: Stored) -> Delivery | None:
        """None, and a line in the log, for what is no record: it must not stop those behind it."""
        try:
            return cls(stored, to_record(stored.event()))
        except Exception:
            log.exception(
                "topic %s, partition %d: no record at %d", stored.topic, stored.partition, stored.offset
            )
            return None

    def matches(self, filter: Filter) -> bool:
        """Whether every header of the filter is there with that very text."""
        return all(text is not None and self.headers.get(name) == text for name, text in filter)

    def push(self, token: str) -> str:
        """The message for a consumer that stands at `token` after it."""
        return f'{{"record":{self._body},"offset":"{token}"}}'

    @cached_property
    def _body(self) -> str:
        members = {"key": self._record.key, "value": text_form(self._record.value), "headers": self.headers}
        try:
            return msgspec.json.encode(members).decode()
        except (TypeError, ValueError):  # half of a character pair, a foreign type inside a key
            return json.dumps(members, separators=(",", ":"), skipkeys=True, default=repr)


def text_form(value: Any) -> str | None:
    """Any value or header as text; null stays null."""
    value = topic_form(value)
    if not isinstance(value, bytes):
        return value if value is None else str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")
