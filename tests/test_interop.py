"""Events go to the `cloudevents` package and back, in both of its lines, each in its own environment."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.bindings import STRUCTURED, from_http, to_http, to_structured
from tidemill.record import Event, Record, to_event, to_record

ROOT = Path(__file__).parent.parent
LINES = {"1": "cloudevents==1.12.0", "2": "cloudevents>=2.2,<3"}
RECORDS = [
    Record('{"a": 1}', "key", (("session", "s1"), ("Dashed-Name", "ü"))),
    Record({"a": [1, None, "ü"]}, "ключ 50%", timestamp=1_700_000_000_123),
    Record("plain text", None, (("stream-id", "s"),)),
    Record(b"\x00\xff", b"\x01key"),
    Record("", ""),
]


class Sdk:
    """The program in its environment."""

    def __init__(self, line: str) -> None:
        folder = ROOT / ".cache" / f"cloudevents-{line}"
        if not folder.is_dir():
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), LINES[line]]
            subprocess.run(command, check=True)
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/sdk_client.py"), line],
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, headers: list[tuple[bytes, bytes]], body: bytes) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        named = {name.decode(): value.decode() for name, value in headers}
        request = {"headers": named, "body": base64.b64encode(body).decode()}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module", params=list(LINES))
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    program = Sdk(request.param)
    yield program
    program.close()


def forms(event: Event) -> list[tuple[list[tuple[bytes, bytes]], bytes]]:
    return [to_http(event), ([(b"content-type", STRUCTURED.encode())], to_structured(event))]


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_record_goes_to_the_sdk_and_back(sdk: Sdk, record: Record) -> None:
    event = to_event(record, id="1", source="/tests")
    for headers, body in forms(event):
        answer = sdk.ask(headers, body)
        assert answer["seen"]["attributes"]["id"] == "1"
        for form in answer["forms"]:
            raw = [(name.lower().encode(), str(value).encode()) for name, value in form["headers"].items()]
            found = to_record(from_http(raw, base64.b64decode(form["body"]), percent_encoded=True))
            assert (found.value, found.key, found.headers) == (record.value, record.key, record.headers)
