"""A real run with a source, killed in the middle and started again: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.running import Run
from support.s3_server import bucket, client, names
from support.web_server import Page, Site, site

from tidemill.brokers.embedded.reader import StateReader
from tidemill.errors import NotFound
from tidemill.record import to_record

COUNT = 16


def application(folder: Path, kind: str, configuration: dict[str, object]) -> Path:
    """JSON is YAML."""
    folder.mkdir()
    agents = [
        {"type": kind, "id": "source", "configuration": configuration},
        {"type": "identity", "id": "copy", "output": "pages"},
    ]
    topics = [{"name": "pages", "creation-mode": "create-if-not-exists"}]
    (folder / "pipeline.yaml").write_text(json.dumps({"topics": topics, "pipeline": agents}))
    return folder


def keys(folder: Path) -> list[str]:
    try:
        with StateReader(folder / ".tidemill") as state:
            return [str(to_record(stored.event()).key) for stored in state.events("pages")]
    except NotFound:
        return []


def run_with_a_kill(folder: Path, complete: Callable[[], bool]) -> list[str]:
    """Kills the run when a few records have arrived, and again when all have."""
    run = Run(folder, folder.parent / "log")
    for more in (6, COUNT):
        run.start()
        try:
            begun, wanted = time.monotonic(), min(COUNT, len(keys(folder)) + more)
            while len(keys(folder)) < wanted or (wanted == COUNT and not complete()):
                assert run.alive, run.log.read_text()
                assert time.monotonic() - begun < 80, (keys(folder), run.log.read_text())
                time.sleep(0.02)
        finally:
            run.kill_all()
    return keys(folder)


def test_the_crawler(tmp_path: Path) -> None:
    with site() as web:
        _chain(web)
        configuration = {
            "seed-urls": [f"{web.url}/0"],
            "allowed-domains": [web.url],
            "min-time-between-requests": 20,
        }
        folder = application(tmp_path / "crawl", "webcrawler-source", configuration)
        found = run_with_a_kill(folder, lambda: True)
        assert sorted(found) == sorted(f"{web.url}/{number}" for number in range(COUNT))
        pages = [path for path in web.paths if path != "/robots.txt"]
        assert len(pages) <= COUNT + 2  # what was in flight when it was killed


def _chain(web: Site) -> None:
    for number in range(COUNT):
        web.pages[f"/{number}"] = Page(f'<a href="/{number + 1}">next</a>')
    web.pages[f"/{COUNT - 1}"] = Page("the end")


@pytest.mark.slow  # like the crawler's, with another source
def test_the_objects_of_a_bucket(tmp_path: Path) -> None:
    place = bucket()
    for number in range(COUNT):
        client().put_object(Bucket=place["bucketName"], Key=f"{number}.txt", Body=b"x")
    folder = application(tmp_path / "objects", "s3-source", {"idle-time": 1, **place})
    found = run_with_a_kill(folder, lambda: not names(place["bucketName"]))
    assert sorted(found) == sorted(f"{number}.txt" for number in range(COUNT))
