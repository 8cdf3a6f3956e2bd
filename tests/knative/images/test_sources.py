"""Which files of an application go into its image, and what Tidemill itself brings."""

from __future__ import annotations

import importlib.metadata
import os
import tomllib
from pathlib import Path

import pytest

from tidemill.application.planner import plan_directory
from tidemill.knative.images import runtime, sources
from tidemill.knative.images.faults import ImageError

ROOT = Path(__file__).parents[3]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def found(folder: Path) -> list[str]:
    return [file.as_posix() for file in sources.application_files(folder)]


def test_all_but_the_plan_caches_and_what_is_hidden(tmp_path: Path) -> None:
    kept = ["data/shop.yaml", "python/.keep", "python/lib/x.so", "python/mine.py", "readme.md"]
    write(tmp_path, *kept, "pipeline.yaml", "notes.yml", ".env", ".git/config", ".tidemill/run.json")
    write(tmp_path, "python/__pycache__/mine.pyc", "python/old.pyc", "data/.git/config", ".venv/x.py")
    assert found(tmp_path) == kept


def test_langstreamignore_has_the_syntax_of_git(tmp_path: Path) -> None:
    (tmp_path / ".langstreamignore").write_text(
        "# not these\n*.log\n/data\nbuild/\n!keep.log\n\nx/**/y.txt\n"
    )
    write(
        tmp_path, "a.log", "keep.log", "data/1", "python/data/2", "python/build/3", "x/a/b/y.txt", "x/z.txt"
    )
    assert found(tmp_path) == ["keep.log", "python/data/2", "x/z.txt"]


def test_the_key_follows_what_is_in_the_image(tmp_path: Path) -> None:
    write(tmp_path, "python/mine.py", "pipeline.yaml", ".langstreamignore")
    key = sources.application_key(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("another prompt")
    os.utime(tmp_path / "python" / "mine.py", (5, 5))
    assert sources.application_key(tmp_path) == key
    (tmp_path / "python" / "mine.py").chmod(0o755)
    executable = sources.application_key(tmp_path)
    (tmp_path / "python" / "mine.py").write_text("x")
    assert len({key, executable, sources.application_key(tmp_path)}) == 3


def test_links_stay_inside(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    write(folder, "data/one.txt")
    (folder / "two.txt").symlink_to("data/one.txt")
    sources.copy_application(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / "two.txt").readlink() == Path("data/one.txt")
    (folder / "out.txt").symlink_to("/etc/passwd")
    with pytest.raises(ImageError, match="link out of the application, to /etc/passwd"):
        found(folder)


@pytest.mark.parametrize("kind", ["pipe", "broken link"])
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    else:
        (tmp_path / "x").symlink_to("gone")
    with pytest.raises(ImageError, match="cannot be put into an image") as caught:
        found(tmp_path)
    assert ".langstreamignore" in str(caught.value.hint)


# -- Tidemill's own part


def test_the_image_has_the_packages_that_the_wheel_has() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {"/".join(("tidemill", *file.parent.parts)) for file in runtime.package_files()}
    assert {folder.replace("/", ".") for folder in folders} == set(listed)
    assert Path("py.typed") in runtime.package_files()


def test_extras_are_those_of_the_agents_and_kafka(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "topics: [{name: a, creation-mode: create-if-not-exists}]\n"
        "pipeline:\n"
        "  - {type: text-splitter, input: a}\n"
        "  - {type: drop, configuration: {when: 'true'}}\n"
    )
    assert runtime.extras_of(plan_directory(tmp_path)) == ("kafka", "text")


def test_roots_are_pinned_to_what_runs_here() -> None:
    found = runtime.runtime(("kafka",))
    assert any(root.startswith("kafka-python[crc32c]") for root in found.roots)
    assert any(root.startswith("pydantic>=") for root in found.roots)
    assert not any("boto3" in root or "pytest" in root for root in found.roots)
    pins = dict(pin.split("==") for pin in found.pins)
    assert pins["pydantic"] == importlib.metadata.version("pydantic")
    assert pins["pydantic-core"] == importlib.metadata.version("pydantic-core")  # as deep as it goes
    assert pins["crc32c"] == importlib.metadata.version("crc32c")
    assert "boto3" not in pins


def test_an_extra_that_the_installation_does_not_know_is_named() -> None:
    with pytest.raises(ImageError, match="does not know its extra 'teleport'"):
        runtime.runtime(("kafka", "teleport"))
