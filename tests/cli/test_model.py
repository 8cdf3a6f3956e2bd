"""`tidemill model`: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.cli.model import app
from tidemill.functions.models import weights


def run(*words: str) -> None:
    app(list(words), result_action="return_value")


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own, at a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        monkeypatch.setenv("TIDEMILL_CACHE", folder)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(folder)


def test_list_says_what_is_missing_and_how_to_get_it(
    empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("list")
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["smollm2-135m-instruct", "chat", "missing"],
        ["all-minilm-l6-v2", "embeddings", "missing"],
    ]
    assert "tidemill model fetch" in err


def test_list_as_json_is_one_value(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("list", "-o", "json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["fetched"] for row in rows] == [False, False]


def test_fetch_prints_the_folder_and_reports_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    run("fetch")
    out, err = capsys.readouterr()
    assert out == f"{weights.models_folder()}\n"
    assert len(err.splitlines()) == 3
    assert all(weights.is_fetched(model) for model in weights.MODELS)


def test_status_and_stop_without_a_process(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("status")
    run("status", "--output", "json")
    run("stop")
    text, data, stopped = capsys.readouterr().out.splitlines()
    assert "starts at first use" in text
    assert json.loads(data)["pid"] is None
    assert "was not running" in stopped
