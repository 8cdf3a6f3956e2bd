"""Java's text forms, and the JSON that rests on topics."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import RecordError
from tidemill.functions.expressions import javatext, read_object, to_json, to_text
from tidemill.functions.expressions.values import (
    BigInteger,
    Float32,
    Instant,
    LocalDate,
    LocalDateTime,
    LocalTime,
    Long,
    SqlTime,
    Timestamp,
    UtilDate,
    ValueSet,
)
from tidemill.record import JsonText


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (100.0, "100.0"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (-1e10, "-1.0E10"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (1.5e-7, "1.5E-7"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (1e16, "1.0E16"),
        (1.2345678901234567, "1.2345678901234567"),
        (Float32(0.10000000149011612), "0.1"),
        (Float32(16777216.0), "1.6777216E7"),
        (Float32(1.5), "1.5"),
        (Decimal("1.0E+10"), "1.0E+10"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (None, "null"),
        ("x", "x"),
        (b"hi", "hi"),
        ({"a": 1, "b": {"c": None}}, "{a=1, b={c=null}}"),
        (["x", None, True, 2.5], "[x, null, true, 2.5]"),
        (Instant(1_500_000), "1970-01-01T00:00:00.001500Z"),
        (Timestamp(0), "1970-01-01T00:00:00Z"),
        (UtilDate(5), "1970-01-01T00:00:00.005Z"),
        (SqlTime(36_611_000), "10:10:11"),
        (LocalDate(-1), "1969-12-31"),
        (LocalDate(-719529), "-0001-12-31"),
        (LocalDate(10**7), "+29349-01-26"),
        (LocalTime(36_600 * 10**9), "10:10"),
        (LocalTime(36_600 * 10**9 + 10**8), "10:10:00.100"),
        (LocalDateTime(0), "1970-01-01T00:00"),
    ],
)
def test_text(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": [1.0, 1e10, None, True]}, '{"a":1,"b":[1.0,1.0E10,null,true]}'),
        ("caf\u00e9 <a> \u2028", '"caf\u00e9 <a> \u2028"'),
        ('"\\\n\t\x01\x1f', '"\\"\\\\\\n\\t\\u0001\\u001F"'),
        (b"key", '"a2V5"'),
        (math.nan, '"NaN"'),
        (Float32(0.10000000149011612), "0.1"),
        (Decimal("12.340"), "12.340"),
        (Timestamp(1_500_000), "1"),
        (UtilDate(-1), "-1"),
        (SqlTime(0), '"00:00:00"'),
        ({1: 2}, '{"1":2}'),
        ([Long(5), BigInteger(6)], "[5,6]"),
        (ValueSet([1, 2]), "[1,2]"),
        ((1, 2), "[1,2]"),
    ],
)
def test_json(value: object, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize("value", [Instant(0), LocalDate(0), LocalTime(0), LocalDateTime(0), object()])
def test_no_json_form(value: object) -> None:
    with pytest.raises(RecordError):
        to_json([value])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(st.floats() | st.floats(width=32).map(Float32) | st.integers() | st.text(max_size=3), max_size=3)
)
def test_the_fast_way_gives_the_careful_ways_text(value: list[object]) -> None:
    assert to_json(value) == javatext._write(value)


def test_a_value_within_itself_has_no_json_form() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(RecordError, match="in itself"):
        to_json(value)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_json_reads_back(value: dict[str, object]) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert read_object(text) == value
    assert read_object(JsonText(text)) == value
    assert read_object(text.encode("utf-8", "surrogatepass")) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_text_reads_back_and_has_javas_shape(value: float) -> None:
    text = to_text(value)
    assert float(text) == value
    assert ("E" in text) == (value != 0 and not 1e-3 <= abs(value) < 1e7)
    assert "." in text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_text_reads_back(value: float) -> None:
    assert struct.unpack(">f", struct.pack(">f", float(to_text(Float32(value)))))[0] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1} junk', {"a": 1}),
        ('{"a":1,"a":2}', {"a": 2}),
        ('{"a":1.10,"b":1e3}', {"a": 1.1, "b": 1000.0}),
        ('{"a":1e400}', {"a": math.inf}),
        ('{"a":"\\ud800"}', {"a": "\ud800"}),
        ("null", None),
        (" null ", None),
        ("nullx", "nullx"),
        ("[1,2]", "[1,2]"),
        ("5", "5"),
        ('"x"', '"x"'),
        ("", ""),
        ("{bad", "{bad"),
        ('{"a":NaN}', '{"a":NaN}'),
        (b"\xff", b"\xff"),
        (b'{"a":1}', {"a": 1}),
        ("{" * 100_000, "{" * 100_000),
        ('{"a":' + "[" * 100_000, '{"a":' + "[" * 100_000),
    ],
)
def test_the_attempt_to_read_an_object(text: str | bytes, value: object) -> None:
    assert read_object(text) == value
