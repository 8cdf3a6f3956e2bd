"""The shop assistant from end to end: `make demo`, or `python demo.py` where tidemill is installed.

Starts the application with `tidemill run`, sends it the documents and reviews, asks a question, lets a
fresh review arrive and asks again. Uses what any client could: the gateways' HTTP and WebSockets, and the
run's own report; the times of the records are read from the state folder. Exit status 0 when every step
succeeded; else 1, with the run's log.
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.sync.client import connect

from tidemill.brokers.embedded.reader import StateReader
from tidemill.record import to_record

HERE = Path(__file__).parent
DATA = HERE / "data"
QUESTION = "Are the Aurora Sport headphones good for jogging?"
NAME = "shop-assistant"
TIDEMILL = [sys.executable, "-m", "tidemill.cli.main"]
START_SECONDS, STORE_SECONDS, ANSWER_SECONDS, FRESH_SECONDS, STOP_SECONDS = 30, 60, 60, 20, 30
SWITCH = "OPEN_AI_URL=https://api.openai.com/v1 OPEN_AI_ACCESS_KEY=… make demo"


class DemoFailed(Exception):
    """A step did not succeed; the text says which."""


def documents() -> list[Path]:
    folders = ("products", "manuals", "policies")
    return [path for folder in folders for path in sorted((DATA / folder).iterdir())]


def reviews() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / "reviews.jsonl").read_text().splitlines()]


@dataclass
class Shop:
    """A running shop assistant, seen from outside."""

    process: subprocess.Popen[bytes]
    state: Path
    log: Path
    gateway: str = ""
    ingress: str = ""

    def wait_until_up(self) -> None:
        report = self.state / "run.json"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DemoFailed(f"tidemill run ended with status {self.process.returncode}")
            if report.exists():
                found = json.loads(report.read_text())
                self.gateway, self.ingress = found["gateway"]["url"], found["ingress"]["url"]
                with contextlib.suppress(OSError):
                    if _get(f"{self.gateway}/management/health")[0] == 200:
                        return
            time.sleep(0.02)
        raise DemoFailed(f"the application was not up after {START_SECONDS} seconds")

    def units(self) -> dict[str, Any]:
        return json.loads(_get(f"{self.ingress}/info")[1])["units"]

    def produce(self, gateway: str, body: bytes, headers: dict[str, str]) -> None:
        url = f"{self.gateway}/api/gateways/produce/default/{NAME}/{gateway}"
        _post(url, body, headers)

    def send_document(self, path: Path) -> None:
        """A file as a CloudEvent: its bytes are the data."""
        kind = "text/markdown" if path.suffix == ".md" else mimetypes.guess_type(path.name)[0]
        headers = {
            "content-type": kind or "application/octet-stream",
            "ce-specversion": "1.0",
            "ce-id": uuid.uuid4().hex,
            "ce-source": "/shop/files",
            "ce-type": "shop.document",
            "ce-partitionkey": path.stem,
            "ce-subject": path.name,
        }
        self.produce("documents", path.read_bytes(), headers)

    def send_review(self, review: dict[str, Any]) -> None:
        request = {"key": review["id"], "value": review}
        self.produce("reviews", json.dumps(request).encode(), {"content-type": "application/json"})

    def search(self, words: str) -> dict[str, Any]:
        """The nearest passages, without asking a model."""
        url = f"{self.gateway}/api/gateways/service/default/{NAME}/search"
        pushed = _post(url, json.dumps({"value": words}).encode(), {"content-type": "application/json"})
        return json.loads(json.loads(pushed)["record"]["value"])

    def wait_until_stored(self, expected: int) -> int:
        """How many passages there are once `expected` documents and reviews can be searched."""
        deadline = time.monotonic() + STORE_SECONDS
        while any(
            trigger["lag"]
            for name, unit in self.units().items()
            if name in ("ingest", "reviews")
            for trigger in unit["triggers"].values()
        ):
            if time.monotonic() > deadline:
                raise DemoFailed(f"the documents were not stored after {STORE_SECONDS} seconds")
            time.sleep(0.05)
        if reasons := self.dead_letters():
            listed = "".join(f"\n  {reason}" for reason in reasons)
            raise DemoFailed(f"not all {expected} documents and reviews were stored:{listed}")
        searched = self.search(QUESTION)["searched"]
        if searched["documents"] != expected:
            raise DemoFailed(f"only {searched['documents']} of {expected} documents and reviews are stored")
        return searched["passages"]

    def dead_letters(self) -> list[str]:
        """Why documents and reviews were set aside."""
        with StateReader(self.state) as reader:
            stored = [*reader.events("documents-deadletter"), *reader.events("reviews-deadletter")]
        letters = [to_record(letter.event()) for letter in stored]
        return [f"{letter.key}: {letter.header('error-msg')}" for letter in letters]

    def wait_until_found(self, passage: str, since: float) -> float:
        """Milliseconds until retrieval finds a passage."""
        while time.monotonic() - since < FRESH_SECONDS:
            if passage in [found["id"] for found in self.search(QUESTION)["passages"]]:
                return (time.monotonic() - since) * 1000
            time.sleep(0.005)
        raise DemoFailed(f"{passage} was not found within {FRESH_SECONDS} seconds")

    def stop(self) -> None:
        """Drain and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise DemoFailed(f"tidemill run did not drain within {STOP_SECONDS} seconds") from None
        if status:
            raise DemoFailed(f"tidemill run ended with status {status}")


@dataclass
class Answer:
    """An answer, and what the application logged about it."""

    text: str
    log: dict[str, Any]
    events: list[tuple[int, str]] = field(default_factory=list)  # (epoch ms, what happened)

    @property
    def passages(self) -> list[dict[str, Any]]:
        return sorted(self.log["passages"], key=lambda passage: passage["distance"])

    @property
    def model(self) -> str:
        return json.loads(self.log["prompt"])["model"]


class Session:
    """A customer's chat; use with `with`."""

    def __init__(self, shop: Shop, session: str) -> None:
        self._shop, self._id = shop, session

    def __enter__(self) -> Session:
        base = self._shop.gateway.replace("http", "ws", 1) + "/v1"
        session = f"default/{NAME}/{{}}?{quote('param:session-id')}={self._id}"
        with contextlib.ExitStack() as opened:
            self._chat = opened.enter_context(connect(f"{base}/chat/{session.format('chat')}"))
            self._log = opened.enter_context(connect(f"{base}/consume/{session.format('log')}"))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def ask(self, question: str, show: Callable[[str], None] = lambda text: None) -> Answer:
        """Ask, `show` the answer as it comes, and wait for its log record."""
        self._chat.send(json.dumps({"key": self._id, "value": question}))
        text, last = "", False
        try:
            while not last:
                message = json.loads(self._chat.recv(ANSWER_SECONDS))
                if "record" not in message:
                    if message["status"] != "OK":
                        raise DemoFailed(f"the question was refused: {message['reason']}")
                    continue
                record = message["record"]
                text += record["value"]
                show(record["value"])
                last = record["headers"]["stream-last-message"] == "true"
            logged = json.loads(json.loads(self._log.recv(ANSWER_SECONDS))["record"]["value"])
        except TimeoutError:
            raise DemoFailed(f"no answer came within {ANSWER_SECONDS} seconds") from None
        return Answer(text, logged, self._path(logged))

    def _path(self, logged: dict[str, Any]) -> list[tuple[int, str]]:
        """When the last question's records were written, and when the unit's agents noted the time."""
        with StateReader(self._shop.state) as reader:
            records = {
                topic: [stored for stored in reader.events(topic) if stored.key == self._id]
                for topic in ("questions", "answers", "log")
            }
        asked = records["questions"][-1].timestamp
        chunks = [stored.timestamp for stored in records["answers"] if stored.timestamp >= asked]
        return [
            (asked, "topic questions: the question is written by the chat gateway"),
            (logged["began"], "unit chat: the question has arrived (the unit may have been asleep)"),
            (logged["found"], "unit chat: embedding computed, passages found"),
            (chunks[0], "topic answers: the first words of the model"),
            (chunks[-1], f"topic answers: the last of {len(chunks)} messages"),
            (logged["answered"], "unit chat: answer complete"),
            (records["log"][-1].timestamp, "topic log: prompt, answer and passages; question acknowledged"),
        ]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Shop]:
    """The application with its state in `folder`; drained and ended on leaving."""
    log = folder / "run.log"
    command = [*TIDEMILL, "run", str(HERE / "application"), "-s", str(HERE / "secrets.yaml")]
    command += ["--name", NAME, "--state", str(folder / "state"), "--gateway-port", "0", "--no-watch"]
    with open(log, "wb") as out:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends the run in order.
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    shop = Shop(process, folder / "state", log)
    try:
        shop.wait_until_up()
        yield shop
    finally:
        shop.stop()


def demo(folder: Path) -> None:
    begun = time.monotonic()
    print(f"Starting {NAME} with tidemill run …")
    with running(folder) as shop:
        print(f"  up after {_since(begun)}: gateway {shop.gateway}")
        sent, start = [*documents(), *reviews()], time.monotonic()
        for path in documents():
            shop.send_document(path)
        for review in reviews():
            shop.send_review(review)
        kinds = "HTML, PDF, DOCX, Markdown"
        print(f"  sent {len(documents())} documents ({kinds}) and {len(reviews())} reviews as events")
        passages = shop.wait_until_stored(len(sent))
        print(f"  extracted, split, embedded and stored: {passages} passages after {_since(start)}")
        with Session(shop, uuid.uuid4().hex) as session:
            model = _show(session).model
            print(f"Model: {model}. To use another endpoint:\n  {SWITCH}\n")
            fresh = json.loads((DATA / "fresh-review.json").read_text())
            print(f'A review arrives as an event: {fresh["author"]}: "{fresh["text"]}"')
            start = time.monotonic()
            shop.send_review(fresh)
            passage = f"{fresh['id']}#0"
            freshness = shop.wait_until_found(passage, start)
            print(f"  {passage} found by retrieval {freshness:.0f} ms after it was sent")
            again = _show(session)
            if passage not in [found["id"] for found in again.passages]:
                raise DemoFailed(f"{passage} is not among the passages of the second answer")
            print(f"The new review {passage} is among the passages.")
    print(f"Drained and stopped; {_since(begun)} in all.")


def _show(session: Session) -> Answer:
    """Ask the question and print what happens."""
    print(f"\nQuestion: {QUESTION}\nAnswer:   ", end="", flush=True)
    answer = session.ask(QUESTION, lambda text: print(text, end="", flush=True))
    print("\n\nPassages, the nearest first:")
    for passage in answer.passages:
        print(f"  [{passage['id']}] {passage['text']}")
    print("\nThe event's path (ms since the question was written, and since the hop before):")
    origin = before = answer.events[0][0]
    for at, what in answer.events:
        print(f"  {at - origin:6} {at - before:+6}  {what}")
        before = at
    print()
    return answer


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"


def _get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read()


def _post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise DemoFailed(f"POST {url} was answered {error.code}: {error.read().decode()[:500]}") from None


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tidemill-demo-") as name:
        folder = Path(name)
        try:
            demo(folder)
        except KeyboardInterrupt:
            return 130
        except (DemoFailed, OSError) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            log = folder / "run.log"
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-40:]
                print(
                    "The end of the run's log:", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr
                )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
