"""cast, drop, drop-fields, flatten, merge-key-value, unwrap-key-value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tidemill.errors import ConfigurationError, RecordError
from tidemill.functions.expressions.values import kind_of
from tidemill.functions.registry import declaration
from tidemill.record import Record


def run(agent: str, record: Record, **configuration: Any) -> list[Record]:
    found = declaration(agent)
    options = {name.replace("_", "-"): value for name, value in configuration.items()}
    handler: Any = found.handler(found.config.model_validate(options), None)  # type: ignore[arg-type]
    return list(handler.process(record))


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        (Record("42", "7"), {"schema_type": "INT64"}, Record(42, 7)),
        (Record("42", "7"), {"schema_type": "INT64", "part": "key"}, Record("42", 7)),
        (Record("42", "7"), {"schema_type": "INT64", "part": "other"}, Record(42, "7")),
        (Record("42"), {"schema_type": "BYTES"}, Record(b"42")),
        (Record(42), {"schema_type": "STRING"}, Record("42")),
        (Record(None, "k"), {"schema_type": "BYTES"}, Record(None, b"k")),
        (Record('{"a": 1}'), {"schema_type": "STRING"}, Record('{"a":1}')),
        (Record(b'{"a": 1}'), {"schema_type": "STRING"}, Record('{"a":1}')),
        (Record({"a": 1}), {"schema_type": "STRING"}, Record('{"a":1}')),
        (Record("'q'"), {"schema_type": "BOOLEAN"}, Record(False)),
    ],
)
def test_cast(record: Record, options: dict[str, Any], expected: Record) -> None:
    assert run("cast", record, **options) == [expected]


def test_cast_sets_the_kind() -> None:
    (result,) = run("cast", Record(42, 7), schema_type="INT64")
    assert (kind_of(result.value), kind_of(result.key)) == ("long", "long")


@pytest.mark.parametrize(
    ("record", "target"),
    [(Record('{"a":1}'), "BYTES"), (Record("x"), "INT32"), (Record("x"), "MAP"), (Record(5), "INSTANT")],
)
def test_cast_that_fails(record: Record, target: str) -> None:
    with pytest.raises(RecordError):
        run("cast", record, schema_type=target)


@pytest.mark.parametrize("target", ["AVRO", "JSON", "PROTOBUF", "string", "NOPE"])
def test_cast_types_that_are_refused(target: str) -> None:
    with pytest.raises(ConfigurationError, match="is no type to cast to"):
        run("cast", Record("x"), schema_type=target)


def test_drop() -> None:
    assert run("drop", Record("x")) == []
    assert run("drop", Record("x"), when="value == 'x'") == []
    assert run("drop", Record('{"n": 1}'), when="value.n > 1") == [Record('{"n":1}')]
    assert run("drop", Record("x"), when="value.missing") == [Record("x")]
    with pytest.raises(ValidationError):
        run("drop", Record("x"), when="nosuch(")
    with pytest.raises(ValidationError):
        run("drop", Record("x"), fields=[])


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        (Record('{"a":1,"b":2}', '{"a":3}'), {}, Record('{"b":2}', "{}")),
        (Record('{"a":1,"b":2}', '{"a":3}'), {"part": "key"}, Record('{"a":1,"b":2}', "{}")),
        (Record('{"a":1,"b":2}', '{"a":3}'), {"part": "Key"}, Record('{"b":2}', '{"a":3}')),
        (Record({"a": 1, "b": {"a": 2}}), {}, Record({"b": {"a": 2}})),
        (Record("text"), {}, Record("text")),
        (Record(None, "k"), {}, Record(None, "k")),
        (Record(b'{"a":1}'), {}, Record(b"{}")),
    ],
)
def test_drop_fields(record: Record, options: dict[str, Any], expected: Record) -> None:
    assert run("drop-fields", record, fields=["a", "missing"], **options) == [expected]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record('{"a":1,"b":2}', '{"b":9,"c":3}'), Record('{"a":1,"b":2,"c":3}', '{"b":9,"c":3}')),
        (Record({"a": 1}, {"c": 3}), Record({"a": 1, "c": 3}, {"c": 3})),
        (Record('{"a":1}', "k"), Record('{"a":1}', "k")),
        (Record("text", '{"c":3}'), Record("text", '{"c":3}')),
        (Record('{"a":1}'), Record('{"a":1}')),
    ],
)
def test_merge_key_value(record: Record, expected: Record) -> None:
    assert run("merge-key-value", record) == [expected]


@pytest.mark.parametrize(
    ("record", "options", "expected"),
    [
        (Record("v", "k"), {}, Record("v")),
        (Record("v", "k"), {"unwrapKey": True}, Record("k")),
        (Record("v", "k"), {"unwrap-key": True}, Record("k")),
        (Record("v", {"a": 1}), {"unwrapKey": True}, Record({"a": 1})),
        (Record("v"), {"unwrapKey": True}, Record("v")),
    ],
)
def test_unwrap_key_value(record: Record, options: dict[str, Any], expected: Record) -> None:
    assert run("unwrap-key-value", record, **options) == [expected]


@pytest.mark.parametrize(
    "record", [Record('{"a":{"b":1}}', "k"), Record({"a": 1}), Record("x"), Record(None)]
)
def test_flatten_refuses_what_is_not_avro(record: Record) -> None:
    with pytest.raises(RecordError, match="flatten works on Avro"):
        run("flatten", record)


def test_flatten_knows_two_parts() -> None:
    with pytest.raises(ValidationError):
        run("flatten", Record("x"), part="other")


@pytest.mark.parametrize(
    "agent", ["cast", "compute", "drop", "drop-fields", "flatten", "merge-key-value", "unwrap-key-value"]
)
def test_the_declared_example_gives_its_result(agent: str) -> None:
    example = declaration(agent).example
    if example.results is not None and example.record is not None:
        assert run(agent, example.record, **example.configuration) == list(example.results)


@pytest.mark.parametrize("agent", ["cast", "drop-fields", "merge-key-value", "unwrap-key-value", "drop"])
def test_unknown_properties_are_refused(agent: str) -> None:
    required = {"cast": {"schema_type": "STRING"}, "drop-fields": {"fields": []}}.get(agent, {})
    with pytest.raises(ValidationError):
        run(agent, Record("x"), nosuch=1, **required)


def test_headers_origin_and_timestamp_pass_through() -> None:
    record = Record("x", None, (("h", "v"),), "topic", 5)
    assert run("drop-fields", record, fields=["a"]) == [record]
