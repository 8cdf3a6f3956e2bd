"""Writes a built image as an OCI layout: a folder, or a tar of one for `docker load` and others.

Called by `tidemill image build --output`. The layers of the base are fetched for it.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
    if folder and output.exists() and not (output.is_dir() and not any(output.iterdir())):
        if not (output / "oci-layout").is_file():
            raise UsageError(
                f"{output} is there and is no OCI layout", hint="name a new folder, or a .tar file"
            )
    blobs = list(_blobs(found, registries, store))
    index = oci.to_bytes(_index(found, name))
    if folder:
        _write_folder(output, blobs, index, store)
    else:
        _write_archive(output, blobs, index, store)


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
    with (
        replacing(output) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("oci-layout", _VERSION), ("index.json", index)):
                (Path(folder) / name).write_bytes(content)
                _add(archive, Path(folder) / name, name)
        for blob in sorted({_place(blob): blob for blob in blobs}.values(), key=_place):
            _add(archive, store.blob(blob.digest), _place(blob))


def _add(archive: tarfile.TarFile, file: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = file.stat().st_size, 0o644
    with file.open("rb") as content:
        archive.addfile(entry, content)


def _place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"
