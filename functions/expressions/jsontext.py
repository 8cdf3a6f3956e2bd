"""JSON text to values, as Jackson reads it.

`read_json` is `fn:fromJson`; `read_object` is the attempt that every agent makes on a text or bytes
value before it looks at it. Text after a complete document is ignored, duplicate keys: the last
wins, and numbers become int, long, big integer or double.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

import msgspec

from .values import Value

_BLANK = " \t\n\r"
_NULL = re.compile(r"[ \t\n\r]*null(?![\w$])")
_decode = msgspec.json.Decoder().decode


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_lenient = json.JSONDecoder(parse_constant=_refuse)


def _read_first(text: str) -> tuple[Value, int]:
    """The first document in the text and where it ends. Raises ValueError."""
    start = len(text) - len(text.lstrip(_BLANK))
    try:
        return _lenient.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(text: str) -> Value:
    """Any JSON document. Raises ValueError."""
    value, end = _read_first(text)
    if not isinstance(value, dict | list | str) and text[end : end + 1] not in ("", *_BLANK):
        raise ValueError(f"unexpected '{text[end]}' at position {end}")
    return value


def read_object(value: str | bytes) -> Value:
    """The object that the text holds; null for the text `null`; else the value unchanged."""
    try:
        # msgspec takes exact types only; the JSON text of a topic is a subclass of str.
        document = _decode(str(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        return _read_leniently(value)
    return document if type(document) is dict or document is None else value


def _read_leniently(value: str | bytes) -> Value:
    """For what the fast reader refuses: trailing text, lone surrogates, numbers beyond a double."""
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else value
        if not text.lstrip(_BLANK).startswith("{"):
            return None if _NULL.match(text) else value
        return _read_first(text)[0]
    except ValueError:
        return value
