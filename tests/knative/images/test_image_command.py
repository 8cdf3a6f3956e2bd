"""`tidemill image` as a person runs it: streams, statuses, and words that help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.image_registry import Contents
from support.image_world import AMD, ARM, put_base, reference

from tidemill.cli.main import main
from tidemill.knative.images import runtime
from tidemill.knative.images.runtime import Runtime

PIPELINE = """
topics: [{name: in, creation-mode: create-if-not-exists}]
pipeline:
  - {type: python-processor, input: in, configuration: {className: mine.Mine}}
"""


@pytest.fixture
def folder(application: Path, tmp_path: Path, small_tidemill: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An application; the cache and the Docker configuration are empty, and no packages are needed."""
    (application / "pipeline.yaml").write_text(PIPELINE)
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(runtime, "runtime", lambda extras, target: Runtime((), ()))
    return str(application)


@pytest.fixture
def base(own_registry: str, tmp_path: Path) -> str:
    return str(put_base(reference(own_registry, "library/python:3"), tmp_path, (AMD, ARM)))


def test_build_then_push(
    folder: str, base: str, own_registry: str, contents: Contents, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{own_registry}/me/app:1"
    assert main(["image", "build", folder, "--base", base, "-t", name]) == 0
    built, said = capsys.readouterr()
    assert built.startswith(f"{name}@sha256:")
    assert len(built.splitlines()) == 1
    assert "linux/amd64 application: 0." in said
    assert "me/app" not in contents.manifests  # a build sends nothing
    assert main(["image", "push", name]) == 0
    pushed, said = capsys.readouterr()
    assert pushed == built
    assert "base layer" in said
    assert built.strip().rpartition("@")[2] in contents.manifests["me/app"]


def test_both_platforms_into_a_file(
    folder: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "layout"
    words = ["--platform", "linux/amd64,linux/arm64", "--output", str(output)]
    assert main(["image", "build", folder, "--base", base, *words]) == 0
    (entry,) = json.loads((output / "index.json").read_text())["manifests"]
    assert capsys.readouterr().out.strip() == entry["digest"]
    assert entry["mediaType"].endswith("image.index.v1+json")


def test_a_dockerfile_is_printed_and_nothing_is_built(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", "build", folder, "--dockerfile", "--base", "ghcr.io/me/python:3.11"]) == 0
    text = capsys.readouterr().out
    assert "FROM ghcr.io/me/python:3.11" in text
    assert "tidemill[kafka]==" in text
    assert "requirements.txt" not in text
    assert not (tmp_path / "cache").exists()
    (Path(folder) / "python" / "requirements.txt").write_text("x\n")
    main(["image", "build", folder, "--dockerfile"])
    assert "-r /tmp/requirements.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--tag", "ghcr.io/Me/App"], 2, "write 'me/app'"),
        (["--tag", "ghcr.io/me/app@sha256:" + "0" * 64], 2, "not known before the build"),
        (["--platform", "linux/s390x"], 2, "one of linux/amd64, linux/arm64"),
        (["--platform", ","], 2, "names no platform"),
        (["--base", "python:3.11-alpine"], 2, "take a '-slim' image"),
        (["--base", "HOST/library/nothing:1"], 3, "name another base image with --base"),
        (["--base", "BASE", "--python", "3.11.2"], 2, "as 3.11"),
        (["--base", "BASE", "--python", "3.10"], 1, "Tidemill needs 3.11"),
    ],
)
def test_what_cannot_work_says_what_does(
    folder: str,
    base: str,
    own_registry: str,
    words: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [word.replace("HOST", own_registry).replace("BASE", base) for word in words]
    assert main(["image", "build", folder, *filled]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_push_that_is_not_allowed(
    folder: str, base: str, own_registry: str, contents: Contents, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{own_registry}/me/app:1"
    assert main(["image", "build", folder, "--base", base, "-t", name]) == 0
    contents.user = "me:secret"
    assert main(["image", "push", name]) == 4
    assert f"try: docker login {own_registry}" in capsys.readouterr().err
    assert main(["image", "push", f"{own_registry}/me/app:2"]) == 3
    assert "did you mean" in capsys.readouterr().err
