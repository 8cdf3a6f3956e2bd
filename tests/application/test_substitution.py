"""Environment and files in instance.yaml and secrets.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.application.loader import load, load_secrets
from tidemill.application.substitution import fill
from tidemill.errors import ApplicationError, NotFound


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${HOST}", "db"),
        ("${HOST}:${PORT:-5432}", "db:5432"),
        ("${PORT:-}", ""),
        ("${UNSET}", "${UNSET}"),
        ("${secrets.a.b}", "${secrets.a.b}"),
        ("$${HOST}", "${HOST}"),
        ("${URL:-http://x:1/y}", "http://x:1/y"),
        ("no variable", "no variable"),
    ],
)
def test_fill(text: str, filled: str) -> None:
    assert fill(text, {"HOST": "db"}) == filled


def test_secrets_take_variables_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_TEST_KEY", "from-environment")
    (tmp_path / "note.txt").write_text("line\n")
    (tmp_path / "bundle.zip").write_bytes(b"\x00\x01")
    (tmp_path / "secrets.yaml").write_text(
        "secrets:\n"
        "  - id: a\n"
        "    data: {key: '${TIDEMILL_TEST_KEY}', n: 5, note: <file:note.txt>, zip: '<file:bundle.zip>'}\n"
    )
    secrets = load_secrets(tmp_path / "secrets.yaml")
    assert secrets.values == {
        "a": {"key": "from-environment", "n": 5, "note": "line\n", "zip": "base64:AAE="}
    }
    assert "from-environment" not in repr(secrets)


def test_a_file_that_is_missing_has_a_position(tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("secrets:\n  - {id: a, data: {k: <file:no.txt>}}\n")
    with pytest.raises(ApplicationError) as caught:
        load_secrets(tmp_path / "secrets.yaml")
    assert str(caught.value.problems[0].at).endswith("secrets.yaml:2:23")


def test_application_files_are_not_substituted(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_TOPIC", "x")
    folder = write({"pipeline.yaml": "topics: [{name: '${HOME_TOPIC:-a}'}]"})
    assert load(folder).pipelines[0].topics[0].name.value == "${HOME_TOPIC:-a}"


def test_outside_files_must_exist(write) -> None:
    folder = write({"pipeline.yaml": "topics: []"})
    for role in ("instance", "secrets"):
        with pytest.raises(NotFound):
            load(folder, **{role: folder / "none.yaml"})
