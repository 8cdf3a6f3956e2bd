"""`compute`: groups, types, stored forms, errors."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tidemill.errors import ConfigurationError, ExpressionError, RecordError
from tidemill.functions.agents.transform.compute import ComputeConfig, create
from tidemill.functions.expressions.values import Instant, LocalDate, Timestamp, kind_of
from tidemill.record import Record

JSON = '{"name":"Ann","age":30,"tags":["a"],"note":null}'
HEADERS = (("h1", "v1"),)


def compute(record: Record, *fields: dict[str, Any], **options: Any) -> Record:
    (result,) = create(ComputeConfig.model_validate({"fields": fields, **options}), None).process(record)  # type: ignore[arg-type]
    assert isinstance(result, Record)
    return result


def field(name: str, expression: str, type: str | None = None) -> dict[str, Any]:
    return {"name": name, "expression": expression} | ({} if type is None else {"type": type})


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ([field("value.x", "value.age + 1")], '"x":31'),
        ([field("value.x", "0.1", "FLOAT")], '"x":0.1'),
        ([field("value.x", "'2023-01-02'", "DATE")], '"x":19359'),
        ([field("value.x", "'10:11:12.5'", "LOCAL_TIME")], '"x":36672500'),
        ([field("value.x", "'10:11:12'", "TIME")], '"x":36672000'),
        ([field("value.x", "'2023-01-02'", "DATETIME")], '"x":1672617600000'),
        ([field("value.x", "'2023-01-02T00:00:00'", "LOCAL_DATE_TIME")], '"x":1672617600000'),
        ([field("value.x", "fn:toSQLTimestamp(5)")], '"x":5'),
        ([field("value.x", "value.name", "BYTES")], '"x":"QW5u"'),
        ([field("value.x", "'12.340'", "DECIMAL")], '"x":12.340'),
        ([field("value.x", "7", "INT8")], '"x":7'),
        ([field("value.x", "value.note", "STRING")], '"x":null'),
        ([field("value.x", "value.tags", "STRING")], '"x":"[a]"'),
        ([field("value.x", "value.tags")], '"x":["a"]'),
        ([field("value._x1", "key")], '"_x1":"k"'),
    ],
)
def test_fields_of_the_value(fields: list[dict[str, Any]], added: str) -> None:
    assert compute(Record(JSON, "k"), *fields) == Record(f"{JSON[:-1]},{added}}}", "k")


def test_order_of_the_groups() -> None:
    fields = [
        field("properties.p", "value.b"),
        field("value.b", "key.a"),
        field("key.a", "2"),
        field("properties.d", "destinationTopic"),
        field("destinationTopic", "'t'"),
    ]
    result = compute(Record("{}", "{}"), *fields)
    assert result == Record('{"b":2}', '{"a":2}', (("p", "2"), ("d", "t")))


def test_fields_of_one_group_do_not_see_one_another() -> None:
    with pytest.raises(RecordError, match="gave null"):
        compute(Record("{}"), field("value.a", "1"), field("value.b", "value.a"))


@pytest.mark.parametrize(
    ("record", "fields", "expected"),
    [
        (Record("a", "k"), [field("value", "fn:uppercase(value)")], Record("A", "k")),
        (Record(JSON, "k"), [field("value", "value.name")], Record("Ann", "k")),
        (Record(JSON), [field("value", "value.note", "STRING")], Record(None)),
        (Record("a", "k"), [field("value", "key"), field("key", "'x'")], Record("x", "x")),
        (Record(42, 7), [field("value", "value * 2"), field("key", "!true")], Record(84, False)),
        (Record({"a": 1}), [field("value", "1 + nosuch")], Record({"a": 1})),  # a native map stays
        (Record("a"), [field("key", "'x'")], Record("a")),  # an absent key stays absent
        (Record("a"), [field("value.x", "nosuch")], Record("a")),  # text has no fields
        (Record(None, "k"), [field("value.x", "1")], Record(None, "k")),
        (Record(b"\0\0\0\5"), [field("value", "value", "INT32")], Record(5)),
        (Record('{"a": 1} junk'), [field("value.b", "2")], Record('{"a":1,"b":2}')),
        (Record(b'{"a": 1}'), [field("value.b", "2")], Record(b'{"a":1,"b":2}')),
    ],
)
def test_what_is_replaced(record: Record, fields: list[dict[str, Any]], expected: Record) -> None:
    assert compute(record, *fields) == expected


def test_a_replaced_value_keeps_its_type() -> None:
    assert compute(Record("2023-01-02"), field("value", "value", "LOCAL_DATE")).value == LocalDate(19359)
    assert compute(Record("x"), field("value", "fn:toSQLTimestamp(5)")).value == Timestamp(5_000_000)
    assert compute(Record("x"), field("value", "'1970-01-01'", "INSTANT")).value == Instant(0)
    assert kind_of(compute(Record(42), field("value", "value + 1")).value) == "long"


def test_headers() -> None:
    result = compute(
        Record(JSON, "k", HEADERS), field("properties.h1", "value.age"), field("properties.a.b", "1.0")
    )
    assert result.headers == (("h1", "30"), ("a.b", "1.0"))


def test_the_condition() -> None:
    fields = [field("value.x", "1")]
    assert compute(Record('{"n": 1}'), *fields, when="value.n == 1").value == '{"n":1,"x":1}'
    assert compute(Record('{"n": 1}'), *fields, when="value.n == 2").value == '{"n":1}'
    assert compute(Record('{"n": 1}'), *fields, when="value.flag").value == '{"n":1}'
    with pytest.raises(ExpressionError):
        compute(Record('{"n": 1}'), *fields, when="value.n")


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (Record(JSON), [field("value.x", "value.note")]),
        (Record(JSON), [field("value.x", "value.note", "DECIMAL")]),
        (Record(JSON), [field("value.x", "{1}")]),
        (Record(JSON), [field("value.x.y", "1")]),
        (Record(JSON), [field("value.x-y", "1")]),
        (Record(JSON), [field("value.", "1")]),
        (Record(JSON), [field("value", "value.tags")]),
        (Record(JSON), [field("value", "value.note")]),
        (Record("x"), [field("value", "1.5", "DECIMAL")]),
        (Record(None), [field("value", "'x'")]),
        (Record(JSON), [field("properties.p", "value.note")]),
        (Record(JSON), [field("messageKey", "value.note")]),
        (Record([1]), [field("value.x", "1")]),
    ],
)
def test_records_that_fail(record: Record, fields: list[dict[str, Any]]) -> None:
    with pytest.raises(RecordError):
        compute(record, *fields)


@pytest.mark.parametrize(
    "fields",
    [
        [field("value.x", "1"), field("value.x", "2")],
        [field("record.x", "1")],
        [field("properties", "1")],
        [field("value.x", "1", "MAP")],
        [field("value.x", "1", "string")],
        [field("value", "'2023-01-01'", "DATE")],
    ],
)
def test_fields_that_are_refused_at_the_start(fields: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigurationError):
        create(ComputeConfig.model_validate({"fields": fields}), None)  # type: ignore[arg-type]


def test_a_bad_expression_is_found_with_the_configuration() -> None:
    for options in ({"fields": [field("value.x", "1 +")]}, {"fields": [field("value.x", "1")], "when": ""}):
        with pytest.raises(ValidationError, match="expected a"):
            ComputeConfig.model_validate(options)
