"""Registries to talk to: one of the tests' own, and Debian's docker-registry for `make test-images`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.debian_registry import debian_registry
from support.image_registry import Contents, serving
from support.image_world import World, put_base, reference

from tidemill.knative.images import runtime
from tidemill.knative.images.store import Store


@pytest.fixture
def contents() -> Contents:
    return Contents()


@pytest.fixture
def own_registry(contents: Contents) -> Iterator[str]:
    with serving(contents) as host:
        yield host


@pytest.fixture(params=["own", pytest.param("debian", marks=pytest.mark.images)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Each registry in turn."""
    if request.param == "own":
        yield request.getfixturevalue("own_registry")
        return
    folder = tmp_path / "debian"
    folder.mkdir()
    with debian_registry(folder) as found:
        yield found


@pytest.fixture
def application(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "python").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text("topics: [{name: a}]\n")
    (folder / "python" / "mine.py").write_text("ANSWER = 41\n")
    return folder


@pytest.fixture
def small_tidemill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the whole package, which takes seconds to compile."""
    folder = tmp_path / "tidemill"
    folder.mkdir()
    for name in ("__init__.py", "record.py", "py.typed"):
        (folder / name).write_text("")
    monkeypatch.setattr(runtime, "PACKAGE", folder)
    return folder


@pytest.fixture
def world(host: str, tmp_path: Path, application: Path, small_tidemill: Path) -> World:
    base = put_base(reference(host, "library/python:3-slim"), tmp_path)
    return World(Store(tmp_path / "cache"), application, base)
