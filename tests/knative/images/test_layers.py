"""Layers are their content and nothing else."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from tidemill.knative.images import layers
from tidemill.knative.images.faults import ImageError
from tidemill.knative.images.layers import Recipe
from tidemill.knative.images.oci import Layer
from tidemill.knative.images.store import Store


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def pack(root: Path, store: Store) -> Layer:
    return layers.pack(root, "x", store)


def entries(layer: Layer, store: Store) -> list[tarfile.TarInfo]:
    content = gzip.decompress(store.blob(layer.descriptor.digest).read_bytes())
    return tarfile.open(fileobj=io.BytesIO(content)).getmembers()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


FILES = {"b/two.txt": "2", "b/a/deep.txt": "3", "b.txt": "1", "ä" * 120 + ".txt": "long"}


def test_time_order_umask_and_place_do_not_matter(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "one", FILES)
    before = os.umask(0o077)
    try:
        write(tmp_path / "two", dict(reversed(FILES.items())))
    finally:
        os.umask(before)
    os.utime(tmp_path / "two" / "b.txt", (1, 1))
    assert pack(tmp_path / "one", store) == pack(tmp_path / "two", store)


@pytest.mark.parametrize("change", ["content", "name", "executable", "empty folder", "link"])
def test_what_is_in_it_does_matter(tmp_path: Path, store: Store, change: str) -> None:
    root = tmp_path / "one"
    write(root, FILES)
    before = pack(root, store)
    match change:
        case "content":
            (root / "b.txt").write_text("9")
        case "name":
            (root / "b.txt").rename(root / "c.txt")
        case "executable":
            (root / "b.txt").chmod(0o755)
        case "empty folder":
            (root / "empty").mkdir()
        case "link":
            (root / "link").symlink_to("b.txt")
    after = pack(root, store)
    assert after.descriptor.digest != before.descriptor.digest
    assert after.diff_id != before.diff_id


def test_entries_are_sorted_and_owned_by_nobody_in_particular(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "one", FILES)
    (tmp_path / "one" / "run").write_text("")
    (tmp_path / "one" / "run").chmod(0o700)
    found = entries(pack(tmp_path / "one", store), store)
    assert [entry.name for entry in found][:5] == ["b", "b/a", "b/a/deep.txt", "b/two.txt", "b.txt"]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in found} == {
        (0, 0, "", "", 0)
    }
    modes = {entry.name: entry.mode for entry in found}
    assert (modes["b"], modes["b.txt"], modes["run"]) == (0o755, 0o644, 0o755)


def test_digests_are_those_of_the_bytes(tmp_path: Path, store: Store) -> None:
    import hashlib

    write(tmp_path / "one", FILES)
    made = pack(tmp_path / "one", store)
    content = store.blob(made.descriptor.digest).read_bytes()
    assert made.descriptor.size == len(content)
    assert made.descriptor.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert made.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}"


def test_a_pipe_has_no_place_in_an_image(tmp_path: Path, store: Store) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        pack(tmp_path, store)


def test_a_recipe_is_followed_once_while_its_layer_is_there(tmp_path: Path, store: Store) -> None:
    filled: list[str] = []

    def fill(root: Path) -> None:
        filled.append("x")
        write(root, FILES)

    made = layers.make(Recipe("t", "key", fill), store)
    assert layers.make(Recipe("t", "key", fill), store) == made
    assert len(filled) == 1
    layers.make(Recipe("t", "other key", fill), store)
    assert len(filled) == 2
    store.blob(made.descriptor.digest).write_bytes(b"cut")
    assert layers.make(Recipe("t", "key", fill), store) == made
    assert len(filled) == 3
    assert store.has(made.descriptor)


def test_a_recipe_that_fails_leaves_nothing(tmp_path: Path, store: Store) -> None:
    def fill(root: Path) -> None:
        raise ImageError("no")

    with pytest.raises(ImageError):
        layers.make(Recipe("t", "key", fill), store)
    assert not store.root.exists()
