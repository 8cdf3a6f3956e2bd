"""Writes applications for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes the folder `app` from texts by file name; `../x.yaml` comes to stand beside it."""

    def _write(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    return _write
