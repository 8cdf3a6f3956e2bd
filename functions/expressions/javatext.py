"""Java's text forms: of numbers, of maps and lists, and the compact JSON that Jackson writes.

Called by expressions, templates, the transform agents and whatever writes a map or list as text.
`to_json` is the write rule of topics: no spaces, non-ASCII as it is, nulls kept, doubles in Java
notation. Values that have no JSON form raise RecordError.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from json.encoder import JSONEncoder, encode_basestring
from typing import Any, NoReturn

from ...errors import RecordError
from . import times
from .values import (
    NANOS_PER_MILLI,
    BigInteger,
    Byte,
    Float32,
    Instant,
    LocalDate,
    LocalDateTime,
    LocalTime,
    Long,
    Short,
    SqlTime,
    Timestamp,
    UtilDate,
    ValueSet,
)

MILLIS_PER_DAY = 86_400_000


def double_text(value: float) -> str:
    """`1.0`, `1.0E10`, `1.0E-4`: scientific outside 10^-3 to 10^7, at least one digit after the point."""
    text = float.__repr__(value)
    if "e" not in text and (1e-3 <= value < 1e7 or -1e7 < value <= -1e-3):
        return text
    if value == 0:
        return text
    return _java_notation(text, value)


def _java_notation(text: str, value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = _decimal_digits(text)
    if -3 <= exponent < 7:
        return sign + _plain_notation(digits, exponent)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def _decimal_digits(text: str) -> tuple[str, str, int]:
    """Sign, significant digits, and the exponent of the first digit."""
    number = Decimal(text)
    sign, digits, _ = number.as_tuple()
    return "-" if sign else "", "".join(map(str, digits)).rstrip("0") or "0", number.adjusted()


def _plain_notation(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    return f"{whole}.{digits[exponent + 1 :] or '0'}"


def float_text(value: float) -> str:
    """Java's form of a 32-bit float: the fewest digits that read back as the same float."""
    if not math.isfinite(value) or value == 0:
        return double_text(float(value))
    text = next((short for n in range(1, 9) if _same_float(short := f"{value:.{n}g}", value)), f"{value:.9g}")
    sign, digits, exponent = _decimal_digits(text)
    if -3 <= exponent < 7:
        return sign + _plain_notation(digits, exponent)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def _same_float(text: str, value: float) -> bool:
    try:
        return bool(struct.unpack(">f", struct.pack(">f", float(text)))[0] == value)
    except OverflowError:
        return False


def _sql_time_text(value: SqlTime) -> str:
    return times.time_text(value.millis % MILLIS_PER_DAY // 1000 * 1_000_000_000)


def _map_text(value: dict[Any, Any]) -> str:
    return "{" + ", ".join(f"{to_text(key)}={to_text(item)}" for key, item in value.items()) + "}"


def _list_text(value: list[Any]) -> str:
    return "[" + ", ".join(map(to_text, value)) + "]"


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: lambda value: value,
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    Long: int.__repr__,
    Byte: int.__repr__,
    Short: int.__repr__,
    BigInteger: int.__repr__,
    float: double_text,
    Float32: float_text,
    Decimal: str,
    dict: _map_text,
    list: _list_text,
    tuple: lambda value: _list_text(list(value)),
    ValueSet: _list_text,
    bytes: lambda value: value.decode("utf-8", "replace"),
    Instant: lambda value: times.instant_text(value.nanos),
    Timestamp: lambda value: times.instant_text(value.nanos),
    UtilDate: lambda value: times.instant_text(value.millis * NANOS_PER_MILLI),
    SqlTime: _sql_time_text,
    LocalDate: lambda value: times.date_text(value.epoch_day),
    LocalTime: lambda value: times.time_text(value.nano_of_day, drop_zero_seconds=True),
    LocalDateTime: lambda value: times.date_time_text(value.nanos, drop_zero_seconds=True),
}
_FALLBACKS = (str, bool, int, float, dict, list, bytes)


def to_text(value: Any) -> str:
    """A value's string form: maps as `{k=v}`, lists as `[a, b]`, null as `null`, bytes as UTF-8."""
    writer = _TEXTS.get(type(value))
    if writer is None:
        writer = next((_TEXTS[base] for base in _FALLBACKS if isinstance(value, base)), str)
    return writer(value)


# --- JSON ------------------------------------------------------------------------------------------


def _json_string(value: str) -> str:
    text = encode_basestring(value)
    if "\\u00" in text:  # control characters: Jackson writes capital hexadecimal digits
        text = _capital_escapes(value)
    return text


def _capital_escapes(value: str) -> str:
    return (
        '"'
        + "".join(
            f"\\u{ord(c):04X}" if c < " " and c not in "\b\t\n\f\r" else encode_basestring(c)[1:-1]
            for c in value
        )
        + '"'
    )


def _json_double(value: float) -> str:
    return double_text(value) if math.isfinite(value) else f'"{double_text(value)}"'


def _json_float(value: float) -> str:
    return float_text(value) if math.isfinite(value) else f'"{float_text(value)}"'


def _json_map(value: dict[Any, Any]) -> str:
    return (
        "{"
        + ",".join(
            [
                f"{_json_string(key if type(key) is str else to_text(key))}:{_write(item)}"
                for key, item in value.items()
            ]
        )
        + "}"
    )


def _json_list(value: list[Any]) -> str:
    return "[" + ",".join(map(_write, value)) + "]"


def _json_bytes(value: bytes) -> str:
    return '"' + base64.b64encode(value).decode("ascii") + '"'


_JSON: dict[type, Callable[[Any], str]] = {
    str: _json_string,
    type(None): lambda value: "null",
    bool: _TEXTS[bool],
    int: int.__repr__,
    Long: int.__repr__,
    Byte: int.__repr__,
    Short: int.__repr__,
    BigInteger: int.__repr__,
    float: _json_double,
    Float32: _json_float,
    Decimal: str,
    dict: _json_map,
    list: _json_list,
    tuple: lambda value: _json_list(list(value)),
    ValueSet: _json_list,
    set: lambda value: _json_list(list(value)),
    bytes: _json_bytes,
    Timestamp: lambda value: str(value.nanos // NANOS_PER_MILLI),
    UtilDate: lambda value: str(value.millis),
    SqlTime: lambda value: f'"{_sql_time_text(value)}"',
}


def _write(value: Any) -> str:
    """The careful way: every value in Java's form."""
    writer = _JSON.get(type(value))
    if writer is None:
        writer = next((_JSON[base] for base in _FALLBACKS if isinstance(value, base)), None)
    if writer is None:
        raise RecordError(
            f"a value of type {type(value).__name__} has no JSON form; convert it to text or a number"
        )
    return writer(value)


class _NotPlain(Exception):
    """A value that the fast encoder does not know."""


def _refuse(value: Any) -> NoReturn:
    raise _NotPlain


# Whether the encoder in C gave Java's text is seen on the text: it is the same but for control
# characters and for floats that are large, small, not finite, or of so many digits that a 32-bit one
# would be shorter. Text that merely looks so costs time, not correctness.
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_refuse).encode
_DOUBTFUL_NUMBER = re.compile(r"[0-9](?:e[-+]?[0-9]|(?=[0-9.]{8})[0-9]*\.)")


def _is_doubtful(text: str) -> bool:
    if "\\u00" in text or "NaN" in text or "Infinity" in text or "0.000" in text:
        return True
    return _DOUBTFUL_NUMBER.search(text) is not None


def to_json(value: Any) -> str:
    """Compact JSON text as Jackson writes it. Raises RecordError for what has no JSON form."""
    try:
        text = _encode(value)
        return _write(value) if _is_doubtful(text) else text
    except (_NotPlain, TypeError):
        return _write(value)
    except (RecursionError, ValueError):
        raise RecordError("the value is nested too deeply, or in itself, and has no JSON form") from None
