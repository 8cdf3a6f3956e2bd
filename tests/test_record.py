"""Records survive their event, in every binding, over a real HTTP connection."""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.bindings import (
    STRUCTURED,
    from_http,
    from_kafka,
    from_structured,
    to_http,
    to_kafka,
    to_structured,
)
from tidemill.errors import EventError, HeadersTooLarge, NewerVersion, RecordError
from tidemill.functions.http import answer, lifespan, read_body
from tidemill.record import (
    HEADERS,
    KEY,
    PARTITION_KEY,
    Event,
    Incoming,
    JsonText,
    Record,
    derive_id,
    to_event,
    to_record,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
VALUES = (
    st.none()
    | st.text()
    | st.binary()
    | st.booleans()
    | INT64
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(JSON, max_size=4)
    | st.dictionaries(st.text(), JSON, max_size=4)
)
KEYS = st.none() | st.text() | st.binary() | INT64 | st.dictionaries(st.text(), JSON, max_size=3)
RESERVED = ["id", "type", "source", "time", "subject", "data", "specversion", "partitionkey", "traceparent"]
NAMES = (
    st.text(min_size=1)
    | st.sampled_from([*RESERVED, "datacontenttype", "knativeerrorcode", KEY, HEADERS, "stream-id", "a", "b"])
    | st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
)
HEADER_VALUES = st.none() | st.text() | st.binary() | INT64 | st.booleans()
HEADER_LISTS = st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=6)
RECORDS = st.builds(
    Record,
    value=VALUES,
    key=KEYS,
    headers=HEADER_LISTS.map(tuple),
    timestamp=st.none() | st.integers(0, 253402300799000),
)


def event_of(record: Record) -> Event:
    return to_event(record, id="1", source="/tests")


def same(left: Any, right: Any) -> bool:
    """Equal in type as well: 1, 1.0 and True are three values, and so are None, "" and b""."""
    if type(left) is not type(right) and not (isinstance(left, str) and isinstance(right, str)):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (isinstance(left, float) and math.isclose(left, right))


def assert_same(found: Record, record: Record) -> None:
    assert same(found.value, record.value)
    assert same(found.key, record.key)
    assert same(found.headers, record.headers)
    assert found.timestamp == record.timestamp


@given(RECORDS)
def test_event_and_back(record: Record) -> None:
    assert_same(to_record(event_of(record)), record)


@given(RECORDS)
def test_structured_form_and_back(record: Record) -> None:
    assert_same(to_record(from_structured(to_structured(event_of(record)))), record)


@given(RECORDS)
def test_kafka_binary_form_and_back(record: Record) -> None:
    key, value, headers = to_kafka(event_of(record))
    assert all(isinstance(raw, bytes) for _, raw in headers)
    assert (key is None) == (event_of(record).partition_key is None)
    assert_same(to_record(from_kafka(value, headers)), record)


class Echo:
    """A server that reads an event as it comes and answers with it in the other mode."""

    def __init__(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        config = uvicorn.Config(self.app, log_level="error", lifespan="on", interface="asgi3")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        structured = (b"content-type", STRUCTURED.encode()) in scope["headers"]
        event = from_http(scope["headers"], await read_body(receive))
        if structured:
            headers, body = to_http(event)
        else:
            headers, body = [(b"content-type", STRUCTURED.encode())], to_structured(event)
        return await answer(send, 200, body, headers)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    server = Echo()
    server.thread.start()
    while server.thread.is_alive() and not server.server.started:
        threading.Event().wait(0.01)
    yield server
    server.server.should_exit = True
    server.thread.join()


def exchange(port: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Event:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest("POST", "/")
    for name, value in [*headers, (b"content-length", str(len(body)).encode())]:
        connection.putheader(name.decode(), value)
    connection.endheaders(body)
    response = connection.getresponse()
    data = response.read()
    assert response.status == 200
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.getheaders()]
    connection.close()
    return from_http(raw, data)


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_over_http_in_both_modes(echo: Echo, record: Record) -> None:
    structured = [(b"content-type", STRUCTURED.encode())]
    assert_same(to_record(exchange(echo.port, structured, to_structured(event_of(record)))), record)
    assert_same(to_record(exchange(echo.port, *to_http(event_of(record)))), record)


@given(RECORDS)
def test_attributes_are_ascii_but_for_the_partition_key(record: Record) -> None:
    attributes = event_of(record).attributes
    for name, value in attributes.items():
        assert name.isascii()
        assert name == PARTITION_KEY or (value.isascii() and value.isprintable())


def test_text_and_numbers_stay_what_they_are() -> None:
    record = Record(JsonText('{"price": 1.10, "big": 123456789012345678901}'), "k")
    event = from_structured(to_structured(event_of(record)))
    assert event.attributes["datacontenttype"] == "application/json"
    assert event.data == b'{"price": 1.10, "big": 123456789012345678901}'


@pytest.mark.parametrize("key", ["plain", "with space", "ключ", "50%25", 'quo"ted'])
def test_the_partition_key_is_the_exact_text_of_the_key(key: str) -> None:
    assert event_of(Record("v", key)).partition_key == key


def test_a_chunk_without_key_is_kept_with_its_stream() -> None:
    event = event_of(Record("v", None, (("stream-id", "s1"),)))
    assert event.partition_key == "s1"
    assert to_record(event).key is None


def test_headers_beyond_the_budget_are_the_records_error() -> None:
    with pytest.raises(HeadersTooLarge) as caught:
        event_of(Record("v", headers=(("big", "x" * 40_000),)))
    assert caught.value.limit == 32 * 1024


def test_half_a_character_pair_is_the_records_error() -> None:
    with pytest.raises(RecordError, match="position 1"):
        event_of(Record("a\ud800"))


def test_a_foreign_event_keeps_its_attributes_and_trace() -> None:
    foreign = Event(
        {
            "id": "7",
            "source": "https://github.com/x",
            "type": "com.github.push",
            "subject": "main",
            "time": "2026-01-02T03:04:05.678901Z",
            "dataschema": "https://schema/1",
            "datacontenttype": "application/xml",
            "traceparent": "00-aa-bb-01",
            "severity": "high",
        },
        b"<x/>",
    )
    record = to_record(foreign, origin="in")
    assert record.headers == (("severity", "high"),)
    assert record.value == "<x/>"
    event = to_event(record, id="8", source="/ours")
    assert event.attributes == {**foreign.attributes, "id": "8"}
    assert event.data == foreign.data


def test_what_users_set_cannot_pass_for_what_we_set() -> None:
    record = Record("v", "k", (("knativeerrorcode", "500"), (KEY, "1abc"), ("source", "/evil")))
    event = event_of(record)
    assert event.source == "/tests"
    assert "knativeerrorcode" not in event.attributes
    dead = Event({**event.attributes, "knativeerrordest": "http://x"}, event.data)
    assert to_record(dead).headers == record.headers


def test_a_newer_packed_form_is_refused_by_name() -> None:
    event = event_of(Record("v", "ü"))
    newer = Event({**event.attributes, KEY: "9abc"}, event.data)
    with pytest.raises(NewerVersion, match="tidemillkey"):
        to_record(newer)


def test_ids_repeat_for_one_place_and_for_nothing_else() -> None:
    parent, other = Event({"id": "1", "source": "/a"}), Event({"id": "1", "source": "/b"})
    place = ("app", "unit", "agent", "out", 0, 0)
    assert derive_id(parent, *place) == derive_id(parent, *place)
    different = {derive_id(parent, *place), derive_id(other, *place)}
    different |= {derive_id(parent, *place[:index], "x", *place[index + 1 :]) for index in range(6)}
    assert len(different) == 8


VALID = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"specversion": None}, "'specversion' is missing"),
        ({"specversion": "0.3"}, "'0.3'"),
        ({"id": ""}, "'id'"),
        ({"source": None}, "'source'"),
        ({"type": None}, "'type'"),
        ({"bad-name": "x"}, "'bad-name'"),
        ({"time": "yesterday"}, "'time'"),
        ({"a": {"nested": 1}}, "'a'"),
        ({"a": "x\ny"}, "line break"),
        ({"data": "x", "data_base64": "eA=="}, "not both"),
        ({"data_base64": "%%"}, "base64"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(change: dict[str, Any], complaint: str) -> None:
    import json

    members = {name: value for name, value in {**VALID, **change}.items() if value is not None}
    with pytest.raises(EventError, match=complaint):
        from_structured(json.dumps(members).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id":1', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(EventError):
        from_structured(body)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with contextlib.suppress(EventError):
        from_structured(body)


def test_a_batch_and_an_unknown_mode_are_refused_where_one_event_is_wanted() -> None:
    for kind in (b"application/cloudevents-batch+json", b"application/cloudevents+protobuf"):
        with pytest.raises(EventError, match="not accepted"):
            from_http([(b"content-type", kind)], b"[]")


def test_percent_escapes_are_read_only_at_the_edge() -> None:
    headers = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/s"), (b"ce-type", b"t")]
    escaped = [*headers, (b"ce-partitionkey", b"%C3%BC%2050%25")]
    assert from_http(escaped, b"", percent_encoded=True).partition_key == "ü 50%"
    assert from_http(escaped, b"").partition_key == "%C3%BC%2050%25"


@pytest.mark.parametrize(
    "attributes",
    [{HEADERS: "1AQ"}, {HEADERS: "1kQE"}, {HEADERS: "1!!"}, {KEY: "1wQ"}, {"tidemillvalue": "1json"}],
    ids=["no list", "no pairs", "no base64", "no value", "no json"],
)
def test_damaged_extensions_are_the_records_error(attributes: dict[str, str]) -> None:
    event = Event({"id": "1", "source": "/s", "type": "t", **attributes}, b"x")
    with pytest.raises(RecordError, match=r"damaged|no JSON"):
        to_record(event)


def test_a_charset_that_does_not_exist_leaves_bytes() -> None:
    kind = "text/plain;charset=undefined"
    event = Event({"id": "1", "source": "/s", "type": "t", "datacontenttype": kind}, b"x")
    assert to_record(event).value == b"x"


def test_equality_ignores_where_a_record_came_from() -> None:
    event = event_of(Record("v"))
    assert Record("v", incoming=Incoming(event, "v")) == Record("v")
