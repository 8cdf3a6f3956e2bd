"""Dead letters: the record unchanged, the reason beside it, never too large to be written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.brokers.protocol import Stored
from tidemill.record import HEADERS, MAX_HEADER_BYTES, Event, Record, to_event, to_record
from tidemill.triggers.deadletter import dead_letter_event


def stored(event: Event, offset: int = 3) -> Stored:
    return Stored("in", 0, offset, 0, event.partition_key, msgspec.msgpack.encode(event))


def letter(event: Event, offset: int = 3, **why: Any) -> Event:
    reason = {"message": "bad", "error_class": "ValueError", "kind": "INVALID_RECORD", **why}
    return dead_letter_event(stored(event, offset), "g", **reason)


RECORD = Record({"a": 1}, {"key": [1]}, (("Trace-Id", "7"), ("n", 5)), timestamp=1000)
EVENT = to_event(RECORD, id="1", source="/test")


def test_key_value_and_headers_are_kept() -> None:
    read = to_record(letter(EVENT))
    assert (read.key, read.value, read.timestamp) == (RECORD.key, {"a": 1}, 1000)
    assert read.headers[:2] == RECORD.headers
    assert read.header("error-msg") == "bad"
    assert read.header("cause-msg") is None


def test_a_foreign_event_keeps_its_attributes() -> None:
    event = Event({"id": "1", "source": "/theirs", "type": "com.example", "subject": "s"}, b"\x00")
    attributes = letter(event).attributes
    assert (attributes["source"], attributes["type"], attributes["subject"]) == (
        "/theirs",
        "com.example",
        "s",
    )


def test_the_same_record_gives_the_same_id_and_no_other_does() -> None:
    assert letter(EVENT).id == letter(EVENT, message="another reason").id
    ids = {EVENT.id, letter(EVENT).id, letter(EVENT, 4).id}
    ids.add(dead_letter_event(stored(EVENT), "h", message="", error_class="", kind="").id)
    assert len(ids) == 4


def test_a_letter_that_dies_again_has_the_new_reason() -> None:
    again = to_record(letter(letter(EVENT), message="worse"))
    assert [value for name, value in again.headers if name == "error-msg"] == ["worse"]


def size(event: Event) -> int:
    return sum(len(value) for value in event.attributes.values())


def test_long_messages_are_cut() -> None:
    long = "x" * 10**6
    event = letter(EVENT, message=long, causes=[("A", long), ("B", long)])
    assert size(event) <= MAX_HEADER_BYTES + 1024
    assert to_record(event).header("error-msg").startswith("xxx")
    assert to_record(event).headers[:2] == RECORD.headers


@pytest.mark.parametrize("room", [0, 100, 2_000, 12_000])
def test_the_record_comes_before_the_reason(room: int) -> None:
    """Headers of 32 KiB less `room`: the letter is written, with all of them."""
    headers = tuple((f"h{n:02}", "v" * (MAX_HEADER_BYTES // 32 - 3 - room // 32)) for n in range(32))
    event = to_event(Record("v", "k", headers), id="1", source="/test")
    read = to_record(letter(event, message="m" * 9000, causes=[("A", "m" * 9000)]))
    assert read.value == "v"
    assert read.headers[:32] == headers
    assert (read.header("error-class") is not None) == (room >= 2_000)


def test_a_damaged_event_is_set_aside_with_its_data() -> None:
    event = Event({**EVENT.attributes, HEADERS: "1!!!", "tidemillkey": "9"}, b"data")
    read = to_record(letter(event))
    assert read.value in (b"data", "data")
    assert read.header("error-msg") == "bad"


@given(st.text(max_size=50), st.text(max_size=50), st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_any_reason_can_be_written(message: str, name: str, causes: list[tuple[str, str]]) -> None:
    read = to_record(letter(EVENT, message=message + "\ud800", error_class=name, causes=causes))
    assert read.header("error-msg") == message + "?"
    assert read.header("root-cause-msg") == (causes[-1][1] if causes else None)
