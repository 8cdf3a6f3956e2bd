"""The `tidemill` command itself: help, near misses, exit statuses, the two streams."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tidemill import __version__
from tidemill.cli import main as program
from tidemill.cli.main import COMMANDS, main
from tidemill.errors import ApplicationError, NotFound, Problem, StateInUse, TidemillError, UsageError

INSTALLED = Path(sys.executable).with_name("tidemill")


def ended(*words: str) -> tuple[int, str, str]:
    done = subprocess.run([INSTALLED, *words], text=True, capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def test_version_is_one_line_on_stdout() -> None:
    assert ended("--version") == (0, f"{__version__}\n", "")


def test_help_names_every_command_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for name in COMMANDS:
        assert re.search(rf"^. {name} ", shown.out, re.MULTILINE), name
    assert len(shown.out.splitlines()) <= 40


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: tidemill COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: tidemill {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (["rnu"], '"run"'),
        (["plan", "--outptu", "json"], "--output"),
        (["model", "fecth"], '"fetch"'),
        (["run", "--gateway-prot", "0"], "--gateway-port"),
    ],
)
def test_a_near_miss_names_what_was_meant(
    words: Sequence[str], guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert f"Did you mean {guess}?" in " ".join(shown.err.split())


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (TidemillError("it broke", hint="mend it"), 1),
        (ApplicationError([Problem("it is wrong", hint="mend it")]), 1),
        (UsageError("not so", hint="mend it"), 2),
        (NotFound("topic", "inn", ["in"]), 3),
        (StateInUse("/state", 7), 5),
        (KeyboardInterrupt(), 130),
        (ValueError("surprise"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_an_error_becomes_words_and_a_status(
    raised: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: list[str]) -> int:
        raise raised

    monkeypatch.setattr(program, "_run", fail)
    assert main(["plan"]) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    if not isinstance(raised, KeyboardInterrupt):
        assert "error: " in shown.err
        assert "  try: " in shown.err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    status, out, err = ended("plan", str(tmp_path / "nowhere"), "--debug")
    assert (status, out) == (1, "")
    assert "Traceback" in err
    assert "does not exist" in err
    status, _, err = ended("plan", str(tmp_path / "nowhere"))
    assert status == 3
    assert "Traceback" not in err


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("topics: [{name: in}]\npipeline: [{type: identity, input: in}]\n")
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([INSTALLED, "plan", tmp_path], text=True, **streams) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()
    assert running.returncode in (0, 1)
