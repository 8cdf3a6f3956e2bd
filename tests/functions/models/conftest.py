"""Real weights from the user's cache (fetched once), and model processes of the tests' own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tidemill.functions.models import process, weights


@pytest.fixture(scope="session", autouse=True)
def fetched() -> None:
    weights.fetch()


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    """A runtime folder of the module's own, so that its model process is nobody else's."""
    folder = tempfile.mkdtemp(prefix="tm-")  # pytest's own folders are too long for a socket
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield
        process.stop()
    shutil.rmtree(folder)


@pytest.fixture
def fresh_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="tm-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield
    process.stop()
    shutil.rmtree(folder)
