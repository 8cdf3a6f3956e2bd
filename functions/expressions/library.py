"""The `fn:` functions.

The table at the end is the whole library; the parser checks names and argument counts against it,
the compiler calls through it. Arguments arrive evaluated. A fault is a FunctionError, to which the
compiler adds the function's name, expression and column.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from ...errors import RecordError
from ..javaregex import compile_java
from . import times
from .conversions import convert
from .javatext import double_text, to_json, to_text
from .jsontext import read_json
from .temporal import to_instant
from .values import (
    NANOS_PER_DAY,
    NANOS_PER_MILLI,
    NANOS_PER_SECOND,
    Instant,
    Long,
    Timestamp,
    UtilDate,
    Value,
    is_number,
    kind_of,
)

_TRIMMED = "".join(map(chr, range(33)))


class FunctionError(RecordError):
    """A function cannot work on these arguments."""


class Function(Struct, frozen=True):
    """`parameters` counts the fixed ones. With `predicate`, the last argument is an expression's
    text, which the compiler hands over as a callable on one item."""

    call: Callable[..., Value]
    parameters: int
    variadic: bool = False
    predicate: bool = False


def utf16_length(text: str) -> int:
    """The length in UTF-16 units, as Java counts."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text_or_empty(value: Value) -> str:
    return "" if value is None else to_text(value)


# --- text ------------------------------------------------------------------------------------------


def _length(value: Value) -> Long:
    return Long(utf16_length(_text_or_empty(value)))


def _uppercase(value: Value) -> str | None:
    return None if value is None else to_text(value).upper()


def _lowercase(value: Value) -> str | None:
    return None if value is None else to_text(value).lower()


def _trim(value: Value) -> str | None:
    return None if value is None else to_text(value).strip(_TRIMMED)


def _contains(value: Value, part: Value) -> bool:
    return value is not None and part is not None and to_text(part) in to_text(value)


def _concat(*parts: Value) -> str:
    _at_least_one(parts)
    return "".join(to_text(part) for part in parts if part is not None)


def _at_least_one(arguments: Sequence[Value]) -> None:
    if not arguments:
        raise FunctionError("needs at least one argument")


def _split(value: Value, separator: Value) -> list[str] | None:
    if value is None:
        return None
    text = to_text(value)
    return compile_java(_text_or_empty(separator)).split(text) if text else []


def _replace(value: Value, pattern: Value, replacement: Value) -> str | None:
    if value is None:
        return None
    text = to_text(value)
    if pattern is None or replacement is None:
        return text
    return compile_java(to_text(pattern)).replace(text, to_text(replacement))


def _to_json(value: Value) -> str:
    return to_json(value)


def _from_json(value: Value) -> Value:
    text = _text_or_empty(value)
    if not text:
        return None
    try:
        return read_json(text)
    except ValueError as error:
        raise FunctionError(f"this is no JSON: {error}") from None


# --- lists and maps --------------------------------------------------------------------------------


def _list(value: Value) -> list[Value]:
    if not isinstance(value, list | tuple):
        raise FunctionError(f"needs a list, not a value of kind {kind_of(value)}")
    return list(value)


def _map(value: Value) -> dict[Any, Value]:
    if not isinstance(value, dict):
        raise FunctionError(f"needs a map, not a value of kind {kind_of(value)}")
    return dict(value)


def _java_split(text: str) -> list[str]:
    """On commas, empty parts at the end dropped; an empty text has one empty part."""
    parts = text.split(",")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts if text.strip(",") or not text else []


def _unpack(value: Value, names: Value) -> dict[str, Value] | None:
    if value is None:
        return None
    if isinstance(value, str):
        values: Sequence[Value] = _java_split(value) if value else []
    else:
        values = _list(value)
    fields = _java_split(_text_or_empty(names))
    return {name: values[at] if at < len(values) else None for at, name in enumerate(fields)}


def _filter(items: Value, accepts: Callable[[Value], bool]) -> list[Value] | None:
    if items is None:
        return None
    return [item for item in _list(items) if item is not None and accepts(item)]


def _add_all(first: Value, second: Value) -> list[Value]:
    return [*(() if first is None else _list(first)), *(() if second is None else _list(second))]


def _list_of(*items: Value) -> list[Value]:
    _at_least_one(items)
    return list(items)


def _list_add(items: Value, item: Value) -> list[Value]:
    return [*_list(items), item]


def _map_of(*pairs: Value) -> dict[str, Value]:
    if not pairs or len(pairs) % 2:
        raise FunctionError(f"needs pairs of key and value, found {len(pairs)} arguments")
    return {_present_key(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _present_key(key: Value) -> str:
    if key is None:
        raise FunctionError("a key must not be null")
    return to_text(key)


def _key(key: Value) -> str:
    text = _present_key(key)
    if not text:
        raise FunctionError("a key must not be empty")
    return text


def _map_put(target: Value, key: Value, value: Value) -> dict[Any, Value]:
    return {**({} if target is None else _map(target)), _key(key): value}


def _map_remove(target: Value, key: Value) -> dict[Any, Value]:
    found = {} if target is None else _map(target)
    found.pop(_key(key), None)
    return found


def _map_to_structs(source: Value, names: Value) -> list[dict[str, Value]]:
    if names is None:
        raise FunctionError("needs the names of the fields")
    found = _map(source)
    return [{name: found.get(name) for name in _java_split(to_text(names))}]


def _list_to_structs(source: Value, name: Value) -> list[dict[str, Value]]:
    return [{to_text(name): item} for item in _list(source)]


# --- numbers ---------------------------------------------------------------------------------------


def _to(target: str) -> Callable[[Value], Value]:
    return lambda value: convert(value, target)


def _to_floats(value: Value) -> list[Value] | None:
    return None if value is None else [convert(item, "FLOAT") for item in _list(value)]


def _random(limit: Value) -> int:
    top = convert(limit, "INT32")
    if top is None or top <= 0:
        raise FunctionError("needs a limit above 0")
    return random.randrange(top)


def _decimal_from_unscaled(unscaled: Value, scale: Value) -> Decimal:
    places = convert(scale, "INT32")
    if places is None:
        raise FunctionError("needs a scale")
    if kind_of(unscaled) in ("int", "long", "biginteger"):
        number = int(unscaled)
    elif isinstance(unscaled, bytes) and unscaled:
        number = int.from_bytes(unscaled, "big", signed=True)
    elif isinstance(unscaled, str) and unscaled.lstrip("+-").isdecimal() and len(unscaled) < 4000:
        number = int(unscaled)
    else:
        raise FunctionError(f"needs a whole number, not a value of kind {kind_of(unscaled)}")
    sign, digits, _ = Decimal(number).as_tuple()
    return Decimal((sign, digits, -places))


def _decimal_from_number(value: Value) -> Decimal:
    if value is None:
        raise FunctionError("needs a number")
    number = convert(value, "DOUBLE")
    return convert(double_text(number), "DECIMAL")  # type: ignore[no-any-return]


# --- time ------------------------------------------------------------------------------------------

_UNITS = {
    "days": NANOS_PER_DAY,
    "hours": 3600 * NANOS_PER_SECOND,
    "minutes": 60 * NANOS_PER_SECOND,
    "seconds": NANOS_PER_SECOND,
    "millis": NANOS_PER_MILLI,
    "nanos": 1,
}
_MONTHS = {"years": 12, "months": 1}
_FARTHEST = 10**9 * 366 * NANOS_PER_DAY


def _now() -> Instant:
    return Instant(time.time_ns())


def _uuid() -> str:
    return str(uuid.uuid4())


def _timestamp_add(start: Value, amount: Value, unit: Value) -> Instant:
    if isinstance(start, bytes) or start is None:
        raise FunctionError("needs a point in time")
    nanos = to_instant(start).nanos
    count = convert(amount, "INT64")
    if count is None:
        raise FunctionError("needs an amount")
    name = _text_or_empty(unit)
    if name in _MONTHS:
        moved = times.add_months(nanos, count * _MONTHS[name])
    elif name in _UNITS:
        moved = nanos + count * _UNITS[name]
    else:
        raise FunctionError(f"knows the units {', '.join([*_MONTHS, *_UNITS])}, not '{name}'")
    if abs(moved) > _FARTHEST:
        raise FunctionError("the result is more than a billion years away")
    return Instant(moved)


def _date_add(start: Value, amount: Value, unit: Value) -> Long:
    return Long(_timestamp_add(start, amount, unit).nanos // NANOS_PER_MILLI)


def _to_sql_timestamp(value: Value) -> Timestamp | None:
    if value is None or isinstance(value, Timestamp):
        return value
    if isinstance(value, Instant):
        return Timestamp(value.nanos)
    if isinstance(value, UtilDate):
        return Timestamp(value.millis * NANOS_PER_MILLI)
    if is_number(value):
        return Timestamp(convert(value, "INT64") * NANOS_PER_MILLI)
    if not isinstance(value, str):
        raise FunctionError(f"cannot make a timestamp of a value of kind {kind_of(value)}")
    try:
        return Timestamp(times.parse_sql_timestamp(value))
    except ValueError as error:
        raise FunctionError(f"'{value}' is {error}") from None


FUNCTIONS: dict[str, Function] = {
    "length": Function(_length, 1),
    "toJson": Function(_to_json, 1),
    "fromJson": Function(_from_json, 1),
    "split": Function(_split, 2),
    "unpack": Function(_unpack, 2),
    "uppercase": Function(_uppercase, 1),
    "lowercase": Function(_lowercase, 1),
    "contains": Function(_contains, 2),
    "trim": Function(_trim, 1),
    "concat": Function(_concat, 0, variadic=True),
    "concat3": Function(_concat, 3),
    "coalesce": Function(lambda first, second: second if first is None else first, 2),
    "str": Function(_text_or_empty, 1),
    "toString": Function(_text_or_empty, 1),
    "toInt": Function(_to("INT32"), 1),
    "toLong": Function(_to("INT64"), 1),
    "toDouble": Function(_to("DOUBLE"), 1),
    "toListOfFloat": Function(_to_floats, 1),
    "filter": Function(_filter, 2, predicate=True),
    "addAll": Function(_add_all, 2),
    "listOf": Function(_list_of, 0, variadic=True),
    "emptyList": Function(list, 0),
    "emptyMap": Function(dict, 0),
    "listAdd": Function(_list_add, 2),
    "mapOf": Function(_map_of, 0, variadic=True),
    "mapPut": Function(_map_put, 3),
    "mapRemove": Function(_map_remove, 2),
    "mapToListOfStructs": Function(_map_to_structs, 2),
    "listToListOfStructs": Function(_list_to_structs, 2),
    "replace": Function(_replace, 3),
    "now": Function(_now, 0),
    "uuid": Function(_uuid, 0),
    "random": Function(_random, 1),
    "timestampAdd": Function(_timestamp_add, 3),
    "dateadd": Function(_date_add, 3),
    "toSQLTimestamp": Function(_to_sql_timestamp, 1),
    "decimalFromUnscaled": Function(_decimal_from_unscaled, 2),
    "decimalFromNumber": Function(_decimal_from_number, 1),
}
