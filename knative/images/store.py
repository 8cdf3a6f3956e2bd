"""The user's cache of images: blobs by digest, finished layers by what decides their content, names.

Used by `build.py` and `push.py`. Several commands may use it at once: a file is written beside its place
and renamed into it. Anything in it may be deleted; it is made or fetched again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

from ...functions.models.weights import cache_folder
from .faults import ImageError
from .oci import Descriptor, Document, Layer, digest_of, to_bytes

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with `blobs/`, `layers/` and `names/`."""

    root: Path

    def blob(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self.root / "blobs" / algorithm / value

    def has(self, found: Descriptor) -> bool:
        """By size: a file that was cut short never got its name, a damaged disk is not ours to find."""
        try:
            return self.blob(found.digest).stat().st_size == found.size
        except OSError:
            return False

    def document(self, digest: str) -> Document:
        content = self.blob(digest).read_bytes()
        if digest_of(content) != digest:
            raise ImageError(f"the cached blob {digest} is damaged", hint=f"delete {self.blob(digest)}")
        found: Document = json.loads(content)
        return found


def user_store() -> Store:
    return Store(cache_folder() / "images")


def put(store: Store, content: bytes, media_type: str) -> Descriptor:
    digest = digest_of(content)
    write(store.blob(digest), content)
    return Descriptor(media_type, digest, len(content))


def put_document(store: Store, document: Document, media_type: str) -> Descriptor:
    return put(store, to_bytes(document), media_type)


def write(place: Path, content: bytes) -> None:
    """The file is whole or not there."""
    with replacing(place) as file:
        file.write(content)


@contextmanager
def replacing(place: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place at the end, if all went well."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".new-", delete=False) as file:
        try:
            yield file
            file.flush()
            os.replace(file.name, place)
        except BaseException:
            os.unlink(file.name)
            raise


def remembered_layer(store: Store, key: str) -> Layer | None:
    """The layer that was made from what `key` stands for, if its blob is still there."""
    try:
        found: dict[str, Any] = json.loads((store.root / "layers" / key).read_bytes())
    except (OSError, ValueError):
        return None
    layer = Layer(Descriptor(**found["descriptor"]), found["diff_id"], found["title"])
    return layer if store.has(layer.descriptor) else None


def remember_layer(store: Store, key: str, layer: Layer) -> None:
    write(store.root / "layers" / key, to_bytes(asdict(layer)))


def remember_image(store: Store, name: str, found: Descriptor) -> None:
    write(store.root / "names" / quote(name, safe=""), to_bytes(asdict(found)))


def named_image(store: Store, name: str) -> Descriptor | None:
    try:
        return Descriptor(**json.loads((store.root / "names" / quote(name, safe="")).read_bytes()))
    except FileNotFoundError:
        return None


def image_names(store: Store) -> list[str]:
    folder = store.root / "names"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(unquote(name) for name in names if not name.startswith("."))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
