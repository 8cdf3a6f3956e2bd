"""A record's value as text, for the text agents.

Bytes are read as UTF-8, maps and lists as the JSON text that they would be on a topic (so that a
fused unit gives what two units give), other values in the form that Java would print.
"""

from __future__ import annotations

from typing import Any

from ....errors import RecordError
from ....record import Record
from ...expressions.javatext import to_json, to_text


def text_of(value: Any) -> str | None:
    """None for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return to_json(value)
    return to_text(value)


def text_in(record: Record, agent: str) -> str:
    """The value's text. Raises RecordError for null."""
    text = text_of(record.value)
    if text is None:
        raise RecordError(f"{agent} needs a value, and the record has none")
    return text
