"""The fn: functions."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from tidemill.errors import ExpressionError
from tidemill.functions.expressions import compile_expression, empty_scope
from tidemill.functions.expressions.library import FUNCTIONS
from tidemill.functions.expressions.values import (
    Float32,
    Instant,
    LocalDate,
    LocalDateTime,
    Timestamp,
    UtilDate,
    kind_of,
)

SCOPE = empty_scope() | {
    "value": {
        "s": "Hello World",
        "l": [1, 2, 3],
        "o": {"x": {"y": 9}, "name": "Bob"},
        "u": "caf\u00e9 \U0001f600",
        "blank": "  pad\t ",
        "csv": "a,b,c",
        "bytes": b"\x01\x00",
        "date": LocalDate(19000),
        "dt": LocalDateTime(1_000_000),
        "ud": UtilDate(5),
        "ts": Timestamp(5_000_000),
    }
}


def run(text: str) -> object:
    return compile_expression(text).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fn:length(value.u)", 7),
        ("fn:length(value.l)", 9),
        ("fn:length(null)", 0),
        ("fn:uppercase('straße')", "STRASSE"),
        ("fn:lowercase(null)", None),
        ("fn:trim(value.blank)", "pad"),
        ("fn:contains(value.l, '1, 2')", True),
        ("fn:contains(null, 'a')", False),
        ("fn:concat('a', 1, null, 2.0)", "a12.0"),
        ("fn:concat('a')", "a"),
        ("fn:concat3('a', null, 'c')", "ac"),
        ("fn:coalesce(null, 'x')", "x"),
        ("fn:str(null)", ""),
        ("fn:toString(value.o)", "{x={y=9}, name=Bob}"),
        ("fn:split('a,,b,,', ',')", ["a", "", "b"]),
        ("fn:split('a|b', '|')", ["a", "|", "b"]),
        ("fn:split('abc', null)", ["a", "b", "c"]),
        ("fn:split('', ',')", []),
        ("fn:split(null, ',')", None),
        ("fn:replace(value.s, '(l+)', '<$1>')", "He<ll>o Wor<l>d"),
        ("fn:replace('abc', '', '-')", "-a-b-c-"),
        ("fn:replace('aab', 'a*?', 'x')", "xaxaxbx"),
        ("fn:replace(5, '5', null)", "5"),
        ("fn:toJson(value.o)", '{"x":{"y":9},"name":"Bob"}'),
        ("fn:toJson(null)", "null"),
        ("fn:fromJson('{\"a\":[1]} rest').a[0]", 1),
        ("fn:fromJson('')", None),
        ("fn:unpack(value.csv, 'f1,f2,f3,f4')", {"f1": "a", "f2": "b", "f3": "c", "f4": None}),
        ("fn:unpack('a,,c', 'x,y')", {"x": "a", "y": ""}),
        ("fn:unpack('a,b', null)", {"": "a"}),
        ("fn:emptyMap()", {}),
        ("fn:addAll(value.l, null)", [1, 2, 3]),
        ("fn:listAdd(fn:emptyList(), 'x')", ["x"]),
        ("fn:mapOf(1, 2)", {"1": 2}),
        ("fn:mapPut(null, 'k', 1)", {"k": 1}),
        ("fn:mapRemove(value.o, 'name')", {"x": {"y": 9}}),
        ("fn:mapToListOfStructs(value.o, 'name,q')", [{"name": "Bob", "q": None}]),
        ("fn:listToListOfStructs(value.l, 'v')", [{"v": 1}, {"v": 2}, {"v": 3}]),
        ("fn:filter(value.l, 'record > 1')", [2, 3]),
        ("fn:toInt('7.9')", 7),
        ("fn:toInt('99999999999')", 2**31 - 1),
        ("fn:toLong('9007199254740993')", 2**53),
        ("fn:toDouble(' 1.5f ')", 1.5),
        ("fn:decimalFromUnscaled(12345, 2)", Decimal("123.45")),
        ("fn:decimalFromUnscaled(value.bytes, 1)", Decimal("25.6")),
        ("fn:decimalFromNumber('3')", Decimal("3.0")),
        ("fn:timestampAdd('2023-01-31T00:00:00Z', 1, 'months')", Instant(1677542400 * 10**9)),
        ("fn:timestampAdd('2024-02-29', 1, 'years')", Instant(1740700800 * 10**9)),
        ("fn:timestampAdd(1700000000000, -5, 'seconds')", Instant(1699999995 * 10**9)),
        ("fn:timestampAdd(value.date, '2', 'nanos')", Instant(19000 * 86400 * 10**9 + 2)),
        ("fn:timestampAdd('1970-01-01', 3000000000, 'millis')", Instant(3_000_000 * 10**9)),
        ("fn:dateadd('2023-01-31T00:00:00Z', 1, 'hours')", 1675126800000),
        ("fn:toSQLTimestamp('1970-01-01 00:00:01.5')", Timestamp(1_500_000_000)),
        ("fn:toSQLTimestamp(5)", Timestamp(5_000_000)),
        ("fn:toSQLTimestamp(value.ud)", Timestamp(5_000_000)),
        ("fn:toSQLTimestamp(value.ts)", Timestamp(5_000_000)),
        ("fn:toSQLTimestamp(null)", None),
    ],
)
def test_result(text: str, expected: object) -> None:
    assert run(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "fn:concat()",
        "fn:listOf()",
        "fn:mapOf('a')",
        "fn:mapOf(null, 1)",
        "fn:mapPut(value.o, '', 1)",
        "fn:mapPut('x', 'k', 1)",
        "fn:mapRemove(value.o, null)",
        "fn:mapToListOfStructs(value.o, null)",
        "fn:mapToListOfStructs(null, 'x')",
        "fn:listToListOfStructs(null, 'x')",
        "fn:listAdd(null, 1)",
        "fn:addAll('x', value.l)",
        "fn:unpack(5, 'x')",
        "fn:filter(5, 'true')",
        "fn:toInt('x')",
        "fn:toInt(true)",
        "fn:toListOfFloat('x')",
        "fn:split('a', '(')",
        "fn:replace('a', 'a', '$')",
        "fn:replace('a', 'a', '$1')",
        "fn:fromJson('{bad')",
        "fn:fromJson('NaN')",
        "fn:fromJson('5abc')",
        "fn:toJson(fn:now())",
        "fn:random(0)",
        "fn:timestampAdd(null, 1, 'days')",
        "fn:timestampAdd(fn:toInt(5), 1, 'days')",
        "fn:timestampAdd('2023-01-01', 1, 'weeks')",
        "fn:timestampAdd('2023-01-01', null, 'days')",
        "fn:timestampAdd('2023-01-01', 1e18, 'years')",
        "fn:timestampAdd('2023-02-30', 1, 'days')",
        "fn:toSQLTimestamp('2023-01-02T03:04:05Z')",
        "fn:toSQLTimestamp(value.date)",
        "fn:decimalFromUnscaled('x', 2)",
        "fn:decimalFromUnscaled(5, null)",
        "fn:decimalFromNumber(null)",
    ],
)
def test_fault_names_the_function(text: str) -> None:
    name = text.partition("(")[0]
    with pytest.raises(ExpressionError, match=f"^{name}: "):
        run(text)


def test_a_list_of_floats_is_32_bit() -> None:
    result = run("fn:toListOfFloat([0.1, '2', null])")
    assert result == [Float32(0.10000000149011612), 2.0, None]
    assert kind_of(result[0]) == "float"  # type: ignore[index]


def test_what_depends_on_the_moment() -> None:
    assert isinstance(run("fn:now()"), Instant)
    assert uuid.UUID(str(run("fn:uuid()"))).version == 4
    assert 0 <= int(str(run("fn:random(3)"))) < 3


def test_functions_do_not_change_their_arguments() -> None:
    run("fn:mapPut(value.o, 'z', 1)")
    run("fn:listAdd(value.l, 4)")
    assert SCOPE["value"]["o"] == {"x": {"y": 9}, "name": "Bob"}
    assert SCOPE["value"]["l"] == [1, 2, 3]


def test_every_function_is_tried_here() -> None:
    with open(__file__) as file:
        source = file.read()
    assert [name for name in FUNCTIONS if f"fn:{name}(" not in source] == []
