"""Events go to the `cloudevents` package and back, in both of its lines, each in its own environment."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.bindings import STRUCTURED, from_http, to_http, to_structured
from tidemill.record import Event, Record, to_event, to_record

ROOT = Path(__file__).parent.parent
LINES = {"1": "cloudevents==1.12.0", "2": "cloudevents==2.2.0"}

RECORDS = {
    "json text": Record('{"a": 1}', "key", (("session", "s1"), ("Dashed-Name", "ü"))),
    "map": Record({"a": [1, None, "ü"]}, "ключ 50%", timestamp=1_700_000_000_123),
    "text": Record("plain text", None, (("stream-id", "s"),)),
    "bytes": Record(b"\x00\xff", b"\x01key"),
    "empty text": Record("", ""),
    "empty bytes": Record(b"", "k"),
    "tombstone": Record(None, "k"),
    "number": Record(1.5, 7),
    "text that looks like JSON": Record("null", "1"),
    "escapes in the key": Record("v", 'a%41"%', (("percent", "100%25 'q'"),)),
    "headers of every kind": Record("v", "k", (("id", "mine"), ("b", b"\x00"), ("none", None), ("n", 3))),
}

# What a program gives its SDK, and the value and content type that a record of it must have here.
MADE: dict[str, tuple[str, Any, Any]] = {
    "json": ("application/json", {"a": [1, "ü"]}, {"a": [1, "ü"]}),
    "text": ("text/plain", "ein Text, ü", "ein Text, ü"),
    "bytes": ("application/octet-stream", {"base64": "AP8="}, b"\x00\xff"),
    "nothing": ("application/json", None, None),
}
ATTRIBUTES = {
    "id": "42",
    "source": "/shop/orders",
    "type": "com.example.order.placed",
    "time": "2026-01-02T03:04:05Z",
    "subject": "orders/42",
    "partitionkey": "customer 7",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "session": "s1",
}
ESCAPED = [
    "plain",
    "two words",
    "50%",
    "100%25",
    "%41",
    'say "50%"',
    '"quoted"',
    "Köln",
    "ключ",
    "日本 %",
    "🙂",
]


class Sdk:
    """The program in its environment."""

    def __init__(self, line: str) -> None:
        # -S: nothing but the standard library and what PYTHONPATH names.
        self._process = subprocess.Popen(
            [sys.executable, "-S", str(ROOT / "tests/support/sdk_client.py"), line],
            env={**os.environ, "PYTHONPATH": str(_environment(line)), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, headers: list[tuple[bytes, bytes]], body: bytes) -> dict[str, Any]:
        """What the SDK makes of an event on the wire."""
        named = {name.decode(): value.decode() for name, value in headers}
        return self._ask({"headers": named, "body": base64.b64encode(body).decode()})

    def make(self, attributes: dict[str, str], data: Any = None) -> list[Event]:
        """An event of the SDK's, as we read its binary and its structured form."""
        return [received(form) for form in self._ask({"attributes": attributes, "data": data})["forms"]]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the SDK's program ended; its traceback is on stderr"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _environment(line: str) -> Path:
    """The folder with that line of the package; fetched once, and never seen half full."""
    folder = ROOT / ".cache" / f"interop-{LINES[line]}"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        part = tempfile.mkdtemp(dir=folder.parent)
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", part, LINES[line]]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            os.rename(part, folder)
        except OSError:  # another run of the tests was faster
            assert folder.is_dir()
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def received(form: dict[str, Any]) -> Event:
    """An event from the SDK at our edge: header values are percent-encoded there."""
    headers = [(name.lower().encode(), value.encode()) for name, value in form["headers"].items()]
    return from_http(headers, base64.b64decode(form["body"]), percent_encoded=True)


@pytest.fixture(scope="module", params=list(LINES))
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sdk(line: str) -> Iterator[Sdk]:
    program = Sdk(line)
    yield program
    program.close()


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_goes_to_the_sdk_and_back(sdk: Sdk, name: str) -> None:
    record = RECORDS[name]
    event = to_event(record, id="1", source="/tests")
    for headers, body in (to_http(event), ([(b"content-type", STRUCTURED.encode())], to_structured(event))):
        answer = sdk.read(headers, body)
        assert answer["seen"]["attributes"]["id"] == "1"
        for form in answer["forms"]:
            found = to_record(received(form))
            assert (found.value, found.key) == (record.value, record.key)
            assert type(found.value) is type(to_record(event).value)
            assert found.headers == record.headers


@pytest.mark.parametrize("name", MADE)
def test_an_event_of_the_sdk_becomes_a_record(sdk: Sdk, name: str) -> None:
    content_type, data, expected = MADE[name]
    for event in sdk.make({**ATTRIBUTES, "datacontenttype": content_type}, data):
        record = to_record(event)
        value = json.loads(record.value) if isinstance(expected, dict) else record.value
        assert value == expected
        assert record.key == "customer 7"
        assert record.headers == (("session", "s1"),)
        assert record.timestamp == 1_767_323_045_000
        again = to_event(record, id="43", source="/ours").attributes
        assert {**again, "id": "42"} == {**ATTRIBUTES, **content_type_of(event)}


def content_type_of(event: Event) -> dict[str, str]:
    """A record without a value has no content type: there is nothing that it would describe."""
    kind = event.attributes.get("datacontenttype")
    return {} if kind is None or event.data is None else {"datacontenttype": kind}


@pytest.mark.parametrize("text", ESCAPED)
def test_what_needs_escapes_in_a_header(sdk: Sdk, line: str, text: str) -> None:
    binary, structured = sdk.make({**ATTRIBUTES, "subject": text, "partitionkey": text})
    assert structured.partition_key == structured.attributes["subject"] == text
    if line == "1" and text in ("100%25", "%41"):
        # This line writes header values as they are, so what looks like an escape is read as one.
        assert binary.partition_key in ("100%", "A")
    else:
        assert binary.partition_key == binary.attributes["subject"] == text


@pytest.mark.parametrize("text", ESCAPED)
def test_the_sdk_reads_our_attributes_exactly(sdk: Sdk, text: str) -> None:
    event = to_event(Record("v", text), id="1", source="/tests")
    answer = sdk.read([(b"content-type", STRUCTURED.encode())], to_structured(event))
    assert answer["seen"]["attributes"]["partitionkey"] == text
