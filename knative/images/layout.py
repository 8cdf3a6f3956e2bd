"""Writes a built image as an OCI layout: a folder, or a tar of one for `docker load` and others.

Called by `tidemill image build --output`. The layers of the base are fetched for it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import UsageError
from . import oci, registry
from .oci import Descriptor
from .push import base_of
from .references import Reference
from .store import Store, replacing, write
from .transport import Registries

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'


def export(
    found: Descriptor, name: Reference | None, output: Path, registries: Registries, store: Store
) -> None:
    """Raises UsageError where something else is at `output`."""
    folder = output.suffix != ".tar"
    if folder and not _may_be_written(output):
        what = f"{output} is there and is no OCI layout"
        raise UsageError(what, hint="name a new folder, or a .tar file")
    blobs = list(_blobs(found, registries, store))
    index = oci.to_bytes(_index(found, name))
    if folder:
        _write_folder(output, blobs, index, store)
    else:
        _write_archive(output, blobs, index, store)


def _may_be_written(folder: Path) -> bool:
    if folder.is_dir():
        return (folder / "oci-layout").is_file() or not any(folder.iterdir())
    return not folder.exists()


def _blobs(found: Descriptor, registries: Registries, store: Store) -> Iterator[Descriptor]:
    """Everything that the image consists of, all in the store by then."""
    yield found
    document = store.document(found.digest)
    if found.media_type in oci.INDEXES:
        for entry in document["manifests"]:
            yield from _blobs(oci.descriptor(entry), registries, store)
        return
    for entry in [document["config"], *document["layers"]]:
        blob = oci.descriptor(entry)
        registry.fetch_blob(registries, base_of(document), blob, store)
        yield blob


def _index(found: Descriptor, name: Reference | None) -> oci.Document:
    notes = {}
    if name is not None:
        notes = {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.version}
    return {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [found.document(annotations=notes)]}


def _write_folder(output: Path, blobs: list[Descriptor], index: bytes, store: Store) -> None:
    for blob in blobs:
        place = output / _place(blob)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _link(store.blob(blob.digest), place)
    write(output / "oci-layout", _VERSION)
    write(output / "index.json", index)


def _link(source: Path, place: Path) -> None:
    """A copy would double the space; other file systems get one."""
    try:
        os.link(source, place)
    except OSError:
        write(place, source.read_bytes())


def _write_archive(output: Path, blobs: list[Descriptor], index: bytes, store: Store) -> None:
    with replacing(output) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name, text in (("oci-layout", _VERSION), ("index.json", index)):
            _add(archive, io.BytesIO(text), name, len(text))
        for blob in sorted({_place(blob): blob for blob in blobs}.values(), key=_place):
            with store.blob(blob.digest).open("rb") as content:
                _add(archive, content, _place(blob), blob.size)


def _add(archive: tarfile.TarFile, content: IO[bytes], name: str, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, content)


def _place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"
