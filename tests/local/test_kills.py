"""Nothing accepted is lost, doubled or out of order, whatever is killed and whenever.

Each case runs the real platform: producers in parallel, two units (a built-in agent and user code),
kill -9, a restart, and then `tidemill verify` over the topics.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running import Run, producing

PIPELINE = """
topics:
  - {name: words, creation-mode: create-if-not-exists, partitions: 4}
  - {name: middle, creation-mode: create-if-not-exists, partitions: 4}
  - {name: loud, creation-mode: create-if-not-exists, partitions: 4}
pipeline:
  - id: number
    type: compute
    input: words
    output: middle
    configuration: {fields: [{name: value.seen, expression: "value.n + 1"}]}
  - id: shout
    type: python-processor
    input: middle
    output: loud
    configuration: {className: shout.Shout}
"""
SHOUT = """
import json

class Shout:
    def process(self, record):
        value = json.loads(record.value())
        return [(json.dumps({**value, "loud": True}), record.key(), record.headers())]
"""
BROKER_FAULTS = ["broker.before-write", "broker.before-sync", "broker.after-sync"]
WORKER_FAULTS = ["worker-before-handle", "worker-before-answer", "worker-after-answer"]
KEYS, COUNT = 8, 60


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    application = tmp_path / "words"
    (application / "python").mkdir(parents=True)
    (application / "pipeline.yaml").write_text(PIPELINE)
    (application / "python" / "shout.py").write_text(SHOUT)
    found = Run(application, tmp_path / "log")
    yield found
    if found.alive:
        found.kill_all()


def settle(run: Run) -> None:
    """Everything delivered, then the run ended in an orderly way with no child left."""
    run.wait_for(lambda: run.lag() == 0, "an empty backlog", 90)
    assert run.stop() == 0, run.tail()
    assert run.group() == []


def assert_whole(run: Run) -> None:
    for output in ("middle", "loud"):
        command = [sys.executable, "-m", "tidemill.cli.main", "verify", str(run.application), "words", output]
        result = subprocess.run([*command, "--field", "n"], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"{KEYS * COUNT} in, {KEYS * COUNT} out" in result.stderr


@pytest.mark.parametrize("point", BROKER_FAULTS)
def test_killed_at_a_point_of_the_broker(run: Run, point: str) -> None:
    run.start({"TIDEMILL_FAULT": f"{point}:40"})
    with producing(run, "words", KEYS, COUNT):
        run.wait_for(lambda: not run.alive, "the fault")
        run.start()
    settle(run)
    assert_whole(run)


@pytest.mark.parametrize("point", WORKER_FAULTS)
def test_killed_at_a_point_of_the_worker(run: Run, point: str) -> None:
    """Every worker dies at its 150th pass; the next one goes on."""
    run.start({"TIDEMILL_FAULT": f"{point}:150"})
    with producing(run, "words", KEYS, COUNT):
        pass
    settle(run)
    assert "ended with status -9" in run.tail()
    assert_whole(run)


@pytest.mark.parametrize("victim", ["main", "worker", "parent", "everything"])
def test_killed_at_random(run: Run, victim: str) -> None:
    chance = random.Random(victim)
    run.start()
    with producing(run, "words", KEYS, COUNT) as producers:
        for _ in range(3):
            run.wait_for(lambda: any(p.accepted > 3 for p in producers), "the first records")
            time.sleep(chance.uniform(0.05, 0.4))
            if victim == "worker":
                for pid in run.workers()[:1]:
                    run.kill(pid)
            elif victim == "parent":
                run.wait_for(lambda: run.info()["parent"], "a parent")
                run.kill(run.info()["parent"])
            elif victim == "main":
                run.kill()
                run.wait_for(lambda: run.group() == [], "the end of all children", 3)
                run.start()
            else:
                run.kill_all()
                run.start()
    settle(run)
    assert_whole(run)


def test_two_runs_on_one_state_are_refused(run: Run) -> None:
    run.start()
    command = [sys.executable, "-m", "tidemill.cli.main", "run", str(run.application), "--gateway-port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 5
    assert "in use" in second.stderr
    assert run.stop() == 0
