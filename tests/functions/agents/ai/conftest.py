"""Real embedded models, in a model process of these tests' own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tidemill.functions.models import process, weights


@pytest.fixture
def models() -> Iterator[None]:
    weights.fetch()
    folder = tempfile.mkdtemp(prefix="tm-")  # pytest's own folders are too long for a socket
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield
        process.stop()
    shutil.rmtree(folder)
