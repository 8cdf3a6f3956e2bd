"""`tidemill run` as a process: what it prints, answers, refuses, and leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.cli.main import main

INSTALLED = Path(sys.executable).with_name("tidemill")
PIPELINE = """
topics:
  - {name: in, creation-mode: create-if-not-exists}
  - {name: out, creation-mode: create-if-not-exists}
pipeline:
  - {type: identity, id: copy, input: in, output: out}
"""
GATEWAYS = "gateways: [{id: send, type: produce, topic: in}, {id: see, type: consume, topic: out}]\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "copier"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "gateways.yaml").write_text(GATEWAYS)
    return folder


class Running:
    """A run without a terminal, and what it has printed until it was ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        words = [INSTALLED, "run", folder, "--gateway-port", "0", *options]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.printed: list[str] = []
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed.append(line)
            if "Ctrl-C" in line:
                break
        self.report: dict[str, Any] = json.loads((folder / ".tidemill" / "run.json").read_text())

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    run = Running(folder, *options)
    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.communicate()


def group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def get(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_says_where_it_is_and_leaves_nothing_behind(app: Path, number: signal.Signals) -> None:
    with running(app) as run:
        gateway, ingress = run.report["gateway"]["url"], run.report["ingress"]["url"]
        printed = "".join(run.printed)
        assert gateway in printed
        assert f"{ingress}/default/<topic>" in printed
        assert f"ws{gateway.removeprefix('http')}/v1/produce/default/copier/send" in printed
        assert get(f"{gateway}/management/health")[0] == 200
        assert run.report["pid"] == run.process.pid
        status, errors = run.end(number)
        assert (status, "Traceback" in errors) == (0, False), errors
        assert not (app / ".tidemill" / "run.json").exists()
        assert group_is_empty(run.process.pid)


def test_an_event_goes_through_and_the_next_run_goes_on(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    consume = ["gateway", "consume", "see", "-a", str(app), "--position", "earliest", "-n"]
    with running(app) as run:
        url = run.report["gateway"]["url"]
        assert get(f"{url}/api/gateways/produce/default/copier/send", {"key": "k", "value": "1"})[0] == 200
        assert main([*consume, "1"]) == 0
        assert values(capsys.readouterr().out) == ["1"]
        assert main(["verify", str(app), "in", "out"]) == 0
        assert run.end(signal.SIGTERM)[0] == 0
    with running(app) as run:
        assert main(["gateway", "produce", "send", "-a", str(app), "-k", "k", "-v", "2"]) == 0
        capsys.readouterr()
        assert main([*consume, "2"]) == 0
        assert values(capsys.readouterr().out) == ["1", "2"]


def values(lines: str) -> list[str]:
    return [json.loads(line)["record"]["value"] for line in lines.splitlines()]


def test_two_runs_on_one_state_are_refused_and_side_by_side_work(
    app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(app):
        assert main(["run", str(app), "--gateway-port", "0"]) == 5
        shown = capsys.readouterr()
        assert "is in use by process" in shown.err
        assert "--state" in shown.err
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "pipeline.yaml").write_text(PIPELINE)
        with running(copy) as second:
            assert get(f"{second.report['gateway']['url']}/management/health")[0] == 200


def test_a_broken_application_is_not_started(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "pipeline.yaml").write_text(PIPELINE.replace("identity", "identiti"))
    assert main(["run", str(app), "--gateway-port", "0"]) == 1
    shown = capsys.readouterr()
    assert "pipeline.yaml:6:12: error: " in shown.err
    assert "did you mean 'identity'?" in shown.err
    assert not (app / ".tidemill").exists()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none")]) == 3
    assert "does not exist" in capsys.readouterr().err
