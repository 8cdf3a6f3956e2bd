"""A folder as a layer: a tar whose bytes depend on names, modes and contents alone.

Used by `build.py`. Entries are sorted; time, owner and group are 0; modes are 644, or 755 where the
owner may execute. A layer is made once for what decides its content (`Recipe.key`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .faults import ImageError
from .oci import LAYER, Descriptor, Layer
from .store import Store, remember_layer, remembered_layer, replacing

FORMAT = 1  # part of every key: raised when the same recipe gives other bytes
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a layer is made: `fill` writes its tree into an empty folder that stands for the image's root."""

    title: str
    key: str
    fill: Callable[[Path], None]


def make(recipe: Recipe, store: Store) -> Layer:
    """The layer, from the cache or made now."""
    key = hashlib.sha256(f"{FORMAT}\n{recipe.title}\n{recipe.key}".encode()).hexdigest()
    found = remembered_layer(store, key)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="tidemill-layer-") as folder:
        recipe.fill(Path(folder))
        made = pack(Path(folder), recipe.title, store)
    remember_layer(store, key, made)
    return made


def pack(root: Path, title: str, store: Store) -> Layer:
    """The folder's tree as a compressed layer in the store."""
    scratch = store.root / "blobs" / "sha256"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        packed = _Digesting(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=packed, mtime=0) as zipped:
            plain = _Digesting(zipped)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for path in _sorted_tree(root):
                    _add(archive, root, path)
        found = Descriptor(LAYER, packed.digest, packed.size)
        _keep(store, found, file)
    return Layer(found, plain.digest, title)


def _keep(store: Store, found: Descriptor, file: IO[bytes]) -> None:
    file.seek(0)
    with replacing(store.blob(found.digest)) as target:
        while chunk := file.read(1 << 20):
            target.write(chunk)


def _sorted_tree(root: Path) -> Iterator[Path]:
    """A folder before what is in it."""
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _sorted_tree(path)


def _add(archive: tarfile.TarFile, root: Path, path: Path) -> None:
    entry = tarfile.TarInfo(path.relative_to(root).as_posix())
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
    elif path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    elif path.is_file():
        status = path.stat()
        entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
        with path.open("rb") as file:
            archive.addfile(entry, file)
    else:
        raise ImageError(f"{path} is neither a file nor a folder", hint="name it in .langstreamignore")


class _Digesting(io.RawIOBase):
    """Passes on what is written, and knows its digest and size."""

    def __init__(self, target: IO[bytes] | gzip.GzipFile) -> None:
        self._target, self._hash, self.size = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
