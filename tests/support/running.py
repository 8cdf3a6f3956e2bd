"""A real `tidemill run` in a process of its own, and producers that never give up: for tests with kills."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidemill.bindings import STRUCTURED, to_structured
from tidemill.brokers.embedded.reader import StateReader
from tidemill.record import Record, to_event, to_record

START_SECONDS = 40.0


class Run:
    """One run of one application; `start` may be called again after it died."""

    def __init__(self, application: Path, log: Path) -> None:
        self.application = application
        self.report_file = application / ".tidemill" / "run.json"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        variables: Mapping[str, str] | None = None,
        *,
        watch: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        self.report_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tidemill.cli.main", "run", str(self.application), *arguments]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--gateway-port", "0", "--watch" if watch else "--no-watch"],
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # its own process group: `kill_all` must not reach the tests
            )
        self.wait_for(lambda: self.report_file.exists() or not self.alive, "the run's report")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report_file.read_text())
        return found

    def info(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.report()["ingress"]["url"] + "/info", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def workers(self) -> list[int]:
        return [pid for unit in self.info()["units"].values() for pid in unit["workers"]]

    def lag(self) -> int:
        triggers = [
            trigger for unit in self.info()["units"].values() for trigger in unit["triggers"].values()
        ]
        return sum(trigger["lag"] for trigger in triggers)

    def wait_for(self, condition: Any, what: str, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {seconds:g} s; log:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self) -> str:
        return self.log.read_text()[-4000:]

    def kill(self, pid: int | None = None) -> None:
        """kill -9: the main process, unless another is named."""
        assert self.process is not None
        try:
            os.kill(pid or self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        if pid is None:
            self.process.wait()

    def kill_all(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        assert self.process is not None
        if self.alive:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def group(self) -> list[int]:
        """Processes of the run's group that live."""
        assert self.process is not None
        return [pid for pid in _pids() if _group_of(pid) == self.process.pid]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _group_of(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[2]) if fields[0] != "Z" else None


class Producer(threading.Thread):
    """Publishes numbered records of one key, each until it is accepted, with one id."""

    def __init__(self, run: Run, topic: str, key: str, count: int) -> None:
        super().__init__(daemon=True)
        self.run_, self.topic, self.key, self.count = run, topic, key, count
        self.accepted = 0
        self._connection: http.client.HTTPConnection | None = None
        self._address = ""

    def run(self) -> None:
        for number in range(self.count):
            value = json.dumps({"key": self.key, "n": number})
            event = to_event(Record(value, self.key), id=f"{self.key}-{number}", source="/producer")
            body = to_structured(event)
            while not self._publish(body):
                time.sleep(0.02)
            self.accepted += 1
        if self._connection is not None:
            self._connection.close()

    def _publish(self, body: bytes) -> bool:
        try:
            address = self.run_.report()["ingress"]["url"]
            if self._connection is None or address != self._address:
                if self._connection is not None:
                    self._connection.close()
                self._address = address
                self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
            self._connection.request("POST", f"/default/{self.topic}", body, {"content-type": STRUCTURED})
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException, ValueError):
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return False
        return answer.status == 202


@contextmanager
def producing(run: Run, topic: str, keys: int, count: int) -> Iterator[list[Producer]]:
    """Producers at work, one per key; at the end everything is accepted."""
    producers = [Producer(run, topic, f"k{number}", count) for number in range(keys)]
    for producer in producers:
        producer.start()
    yield producers
    for producer in producers:
        producer.join(timeout=90)
    assert all(producer.accepted == count for producer in producers), run.tail()


def publish(
    run: Run, topic: str, value: str, key: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> None:
    """One record, accepted."""
    event = to_event(Record(value, key, tuple(headers)), id=uuid.uuid4().hex, source="/tests")
    request = urllib.request.Request(
        f"{run.report()['ingress']['url']}/default/{topic}",
        to_structured(event),
        {"content-type": STRUCTURED},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202


def read_topic(run: Run, topic: str) -> list[Record]:
    """Every record of a topic, by partition and offset, from the state of the run."""
    with StateReader(run.application / ".tidemill") as reader:
        return [to_record(stored.event(), origin=topic) for stored in reader.events(topic)]
