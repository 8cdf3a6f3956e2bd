"""The shop assistant: the demo as a stranger runs it, and the application beside another endpoint."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.openai_server import StandIn, error, serving

# A loaded machine is slow at models; the demo itself gives up in good time.
pytestmark = pytest.mark.timeout(240)

DEMO = Path(__file__).parents[2] / "examples" / "shop-assistant" / "demo.py"
# In the passage that answers, and not in the question.
FACTS = ("the gym", "24 grams", "ear hooks")


@pytest.fixture
def stand_in():
    """A service that speaks OpenAI's protocol, in a thread of its own."""
    started, found = threading.Event(), []

    async def serve() -> None:
        stop = asyncio.Event()
        async with serving() as service:
            found.extend((service, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    service, loop, stop = found
    yield service
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def run_demo(**environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OPEN_AI_")}
    return subprocess.run(
        [sys.executable, str(DEMO)], env=variables | environment, capture_output=True, text=True, timeout=220
    )


def processes_marked(mark: str) -> list[str]:
    """The command lines of this demo's processes, but for the shared model process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if "functions.models.process" not in line]


def test_the_demo_answers_from_its_passages_and_finds_the_fresh_review():
    mark = uuid.uuid4().hex
    done = run_demo(TIDEMILL_DEMO_MARK=mark)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.split("A review arrives as an event")
    for part in (before, after):
        answer = re.search(r"^Answer:(.*)$", part, re.MULTILINE)[1]
        passages = dict(re.findall(r"^  \[([\w-]+#\d+)\] (.+)$", part, re.MULTILINE))
        cited = re.findall(r"\[([\w-]+#\d+)\]", answer)
        assert len(passages) == 3
        assert cited
        assert set(cited) <= set(passages)
        assert any(fact in answer and fact in passages[cited[0]] for fact in FACTS), answer
        assert ("review-107#0" in passages) is (part is after)
        hops = [(int(at), what) for at, what in re.findall(r"^ +(\d+) +\+\d+  (.+)$", part, re.MULTILINE)]
        assert hops == sorted(hops, key=lambda hop: hop[0])
        assert [what.split(":")[0] for _, what in hops] == [
            "topic questions",
            *["unit chat"] * 2,
            *["topic answers"] * 2,
            "unit chat",
            "topic log",
        ]
    assert "Model: smollm2-135m-instruct." in before
    assert "OPEN_AI_ACCESS_KEY=… make demo" in before
    assert re.search(r"review-107#0 found by retrieval \d+ ms after it was sent", after)
    assert processes_marked(mark) == []


def test_the_demo_says_what_failed(stand_in: StandIn):
    stand_in.will(*[error(400, "no such model")] * 200)
    done = run_demo(OPEN_AI_URL=stand_in.url)
    assert done.returncode == 1
    assert "not all 17 documents and reviews were stored:" in done.stderr
    assert ": the AI service 'models' answers HTTP 400: no such model" in done.stderr
    assert "The end of the run's log:" in done.stderr


def test_another_endpoint_answers_and_sessions_do_not_mix(stand_in: StandIn, tmp_path, monkeypatch):
    monkeypatch.setenv("OPEN_AI_URL", stand_in.url)
    monkeypatch.setenv("OPEN_AI_ACCESS_KEY", "key-of-the-test")
    monkeypatch.setenv("OPEN_AI_CHAT_COMPLETIONS_MODEL", "other-model")
    demo = load_demo()

    def ask(shop, name: str) -> list[str]:
        with demo.Session(shop, uuid.uuid4().hex) as session:
            answers = [session.ask(f"{name} {number}?") for number in range(5)]
        assert {answer.model for answer in answers} == {"other-model"}
        assert [answer.log["question"] for answer in answers] == [f"{name} {n}?" for n in range(5)]
        return [answer.text for answer in answers]

    with demo.running(tmp_path) as shop:
        shop.send_document(demo.DATA / "policies" / "returns.docx")
        assert shop.wait_until_stored(1) == 2
        with ThreadPoolExecutor(2) as both:
            ours, theirs = both.map(lambda name: ask(shop, name), ("jogging", "cooking"))
    # The stand-in repeats the prompt, which holds the question and the passages.
    assert all(f"jogging {number}?" in text for number, text in enumerate(ours))
    assert all(f"cooking {number}?" in text for number, text in enumerate(theirs))
    assert not any("cooking" in text for text in ours)
    assert not any("jogging" in text for text in theirs)
    assert all("60 days" in text and "[returns#0]" in text for text in ours + theirs)
    assert {request.headers["authorization"] for request in stand_in.requests} == {"Bearer key-of-the-test"}


def load_demo():
    spec = importlib.util.spec_from_file_location("shop_assistant_demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module
