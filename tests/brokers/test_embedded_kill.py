"""kill -9 at every fault point and at any moment: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import broker_process

from tidemill.brokers.embedded.reader import StateReader
from tidemill.brokers.verify import verify

COUNT = 60


def run(folder: Path, starts: list[int], fault: str = "", kill_after: float | None = None) -> list[int]:
    """One life of the process. The next number of each key, by what was acknowledged."""
    command = [sys.executable, broker_process.__file__, str(folder), str(COUNT), ",".join(map(str, starts))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"TIDEMILL_FAULT": fault}, start_new_session=True
    )
    if kill_after is not None:
        timer = threading.Timer(kill_after, process.kill)
        timer.start()
    output, _ = process.communicate(timeout=50)
    if kill_after is not None:
        timer.cancel()
    assert process.returncode in (0, -signal.SIGKILL)
    acknowledged = list(starts)
    for line in output.decode().split("\n")[:-1]:
        if line != "done":
            key, number = line.split()
            acknowledged[int(key[1:])] = max(acknowledged[int(key[1:])], int(number) + 1)
    assert process.returncode or "done" in output.decode()
    return acknowledged if process.returncode else []


def check(folder: Path) -> None:
    with StateReader(folder) as reader:
        findings = verify(reader, "in", "out")
        assert findings.faults == []
        assert (findings.inputs, findings.outputs) == (COUNT * 6, COUNT * 6)
        numbers: dict[str | None, list[int]] = {}
        for stored in reader.events("in"):
            numbers.setdefault(stored.key, []).append(int(stored.event().data or b""))
        assert numbers == {f"k{n}": list(range(COUNT)) for n in range(6)}


def check_acknowledged(folder: Path, acknowledged: list[int]) -> None:
    """Right after a kill, before the next life mends anything."""
    with StateReader(folder) as reader:
        found = [(stored.key, stored.event().data) for stored in reader.events("in")]
        assert len(set(found)) == len(found)
        expected = {(f"k{n}", str(i).encode()) for n, end in enumerate(acknowledged) for i in range(end)}
        assert expected <= set(found)


@pytest.mark.parametrize("point", ["before-write", "before-sync", "after-sync", "indexing", "removing"])
def test_killed_at_a_fault_point(memory_folder: Path, point: str) -> None:
    acknowledged = [0] * 6
    for number in (1, 2, 9):
        after = run(memory_folder, acknowledged, f"broker.{point}:{number if 'ing' not in point else 1}")
        if not after:
            break
        acknowledged = after
        if any(acknowledged):
            check_acknowledged(memory_folder, acknowledged)
    assert acknowledged != [0] * 6 or point == "before-write"
    assert run(memory_folder, acknowledged) == []
    check(memory_folder)


def test_killed_at_any_moment(memory_folder: Path) -> None:
    moments = random.Random(5)
    acknowledged = [0] * 6
    for _ in range(6):
        after = run(memory_folder, acknowledged, kill_after=moments.uniform(0.15, 0.6))
        if not after:
            break
        acknowledged = after
        if any(acknowledged):
            check_acknowledged(memory_folder, acknowledged)
    run(memory_folder, acknowledged)
    check(memory_folder)


def test_a_kill_is_a_kill(memory_folder: Path) -> None:
    assert run(memory_folder, [0] * 6, "broker.before-sync:30") != []
