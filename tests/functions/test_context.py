"""From record to context and back, and field addresses."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.errors import RecordError
from tidemill.functions.context import open_record, write_field
from tidemill.functions.expressions.values import Float32, Long, kind_of
from tidemill.record import Record


@pytest.mark.parametrize(
    ("value", "schema_type", "opened", "closed"),
    [
        (' { "a" : 1.10 } ', "STRING", {"a": 1.1}, '{"a":1.1}'),
        (b'{"a": "\xc3\xa9"}', "BYTES", {"a": "é"}, '{"a":"é"}'.encode()),
        ({"a": 1}, "MAP", {"a": 1}, {"a": 1}),
        ("text", "STRING", "text", "text"),
        ("[1]", "STRING", "[1]", "[1]"),
        ("null", "STRING", None, None),
        (b"\xff", "BYTES", b"\xff", b"\xff"),
        (None, None, None, None),
        (5, "INT32", 5, 5),
        (2**40, "INT64", 2**40, 2**40),
        (True, "BOOLEAN", True, True),
        (1.5, "DOUBLE", 1.5, 1.5),
        (Float32(1.5), "FLOAT", 1.5, 1.5),
    ],
)
def test_key_and_value(value: Any, schema_type: str | None, opened: Any, closed: Any) -> None:
    context = open_record(Record(value, value))
    for part in (context.key, context.value):
        assert (part.schema_type, part.value) == (schema_type, opened)
    assert (context.closed().key, context.closed().value) == (closed, closed)


@pytest.mark.parametrize("value", [[1], 10**30, {1, 2}, object()])
def test_kinds_that_cannot_be_processed(value: Any) -> None:
    with pytest.raises(RecordError, match="cannot be processed"):
        open_record(Record(value))


def test_headers_become_text_and_the_last_of_a_name_counts() -> None:
    headers = (("h", b"v"), ("n", 5), ("none", None), ("h", "w"))
    context = open_record(Record("x", headers=headers))
    assert context.closed().headers == (("h", "w"), ("n", "5"))


def test_the_scope_has_the_variables_of_the_language() -> None:
    scope = open_record(Record('{"a":1}', "k", (("h", "v"),), "topic", 5)).scope()
    assert scope == {
        "value": {"a": 1},
        "key": "k",
        "properties": {"h": "v"},
        "topicName": "topic",
        "eventTime": 5,
        "messageKey": None,
        "destinationTopic": None,
        "record": None,
    }
    assert kind_of(scope["eventTime"]) == "long"


def test_the_record_itself_is_never_changed() -> None:
    record = Record({"a": 1}, {"b": 2})
    context = open_record(record)
    write_field(context, "value.x", 1)
    write_field(context, "key.x", 1)
    assert record == Record({"a": 1}, {"b": 2})
    assert context.closed() == Record({"a": 1, "x": 1}, {"b": 2, "x": 1})


@pytest.mark.parametrize(
    ("address", "written", "expected"),
    [
        (None, "C", Record("C", "k")),
        ("value", {"x": 1}, Record('{"x":1}', "k")),
        ("value", [1], Record([1], "k")),
        ("key", "C", Record('{"a":1}', "C")),
        ("value.b", None, Record('{"a":1,"b":null}', "k")),
        ("value.b.c", 1, Record('{"a":1,"b.c":1}', "k")),
        ("value.", 1, Record('{"a":1,"":1}', "k")),
        ("properties.p", 1.0, Record('{"a":1}', "k", (("p", "1.0"),))),
        ("destinationTopic", "t", Record('{"a":1}', "k")),
        ("messageKey", "t", Record('{"a":1}', "k")),
    ],
)
def test_field_addresses(address: str | None, written: Any, expected: Record) -> None:
    context = open_record(Record('{"a":1}', "k"))
    write_field(context, address, written)
    assert context.closed() == expected


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("record.x", 1),
        ("headers.x", 1),
        ("properties", 1),
        ("key.x", 1),  # the key is plain text
        ("properties.p", None),
        ("destinationTopic", None),
    ],
)
def test_addresses_that_cannot_be_written(address: str, written: Any) -> None:
    with pytest.raises(RecordError):
        write_field(open_record(Record('{"a":1}', "k")), address, written)


def test_a_write_is_seen_by_the_next_expression() -> None:
    context = open_record(Record("text"))
    assert context.scope()["value"] == "text"
    write_field(context, "value", Long(5))
    assert context.scope()["value"] == 5
