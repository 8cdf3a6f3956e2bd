"""The life of the model process: one at a time, started at need, gone when idle, back after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tidemill.errors import TidemillError
from tidemill.functions.models import client, process
from tidemill.functions.models.process import ModelProcessError

HELLO: Any = [{"role": "user", "content": "Say hello."}]
START = "from tidemill.functions.models import process; process.ensure_running(); print(process.running())"

pytestmark = pytest.mark.usefixtures("fresh_machine")


def eventually(holds: Callable[[], bool], within: float = 15) -> bool:
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def loaded() -> list[str]:
    with client.connect_blocking() as models:
        found: Any = models.get("../health", cast_to=object)
        return found["loaded"]


def starter(code: str = START) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_nothing_runs_until_it_is_needed() -> None:
    assert process.running() is None
    assert process.stop() is None


def test_starters_at_once_get_one_process() -> None:
    starters = [starter() for _ in range(4)]
    pids = {int(one.communicate()[0]) for one in starters}
    assert pids == {process.running()}


def test_one_model_does_not_pay_for_the_other() -> None:
    process.ensure_running()
    assert loaded() == []
    with client.connect_blocking() as models:
        models.embeddings.create(model="m", input="a")
        assert loaded() == ["all-minilm-l6-v2"]


def test_it_outlives_its_starter() -> None:
    one = starter(START + "; import sys, time; sys.stdout.flush(); time.sleep(60)")
    assert one.stdout is not None
    pid = int(one.stdout.readline())
    os.killpg(one.pid, signal.SIGKILL)
    one.communicate()
    with client.connect_blocking() as models:
        assert models.models.list().data
    assert process.running() == pid


def test_one_client_survives_a_kill() -> None:
    with client.connect_blocking() as models:
        models.embeddings.create(model="m", input="a")
        first = process.running()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: process.running() is None)
        models.embeddings.create(model="m", input="a")
    assert process.running() not in (first, None)


def test_it_stops_when_idle_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_MODEL_IDLE", "0.3")
    with client.connect_blocking() as models:
        models.embeddings.create(model="m", input="a")
        assert eventually(lambda: process.running() is None)
        assert not process.place().socket.exists()
        assert models.embeddings.create(model="m", input="a").data


def test_stop_ends_it_even_after_llama_took_the_signals() -> None:
    with client.connect_blocking() as models:
        models.chat.completions.create(model="m", messages=HELLO, max_tokens=1)
    at, pid = process.place(), process.running()
    assert process.stop() == pid
    assert process.running() is None
    assert not at.socket.exists()
    assert "Traceback" not in at.log.read_text()


def test_a_process_that_cannot_start_is_reported_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_MODEL_IDLE", "soon")
    with pytest.raises(ModelProcessError, match="ended while it started") as caught:
        process.ensure_running()
    assert "soon" in caught.value.log.read_text()


def test_without_weights_the_answer_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path))
    with client.connect_blocking() as models:
        with pytest.raises(openai.InternalServerError, match="tidemill model fetch") as caught:
            models.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.status_code == 503
        assert caught.value.code == "weights_missing"
    process.stop()  # the fixture stops the one of the user's cache


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        with pytest.raises(TidemillError, match="too long"):
            process.place()


def test_only_the_user_can_reach_the_socket() -> None:
    path = process.ensure_running()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
