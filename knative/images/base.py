"""The image that ours stand on: found in its registry, one manifest for each platform.

Used by `build.py`. A tag is resolved to a digest once, and the digest goes into what is built. Layers are
not fetched here: a push asks the target's registry for them first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import NotFound
from . import oci, registry
from .faults import ImageError
from .oci import Descriptor, Document, Platform
from .references import Reference
from .store import Store
from .transport import Registries

OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Base:
    """A base image for one platform. `reference` is pinned to what the user's name meant."""

    reference: Reference
    platform: Platform
    layers: tuple[Document, ...]
    configuration: Document

    @property
    def own_python(self) -> str | None:
        """`3.11`, as images of Python say in their environment."""
        parts = oci.variables_of(self.configuration).get("PYTHON_VERSION", "").split(".")
        return ".".join(parts[:2]) if len(parts) > 1 else None


def find_bases(
    reference: Reference, platforms: Sequence[Platform], registries: Registries, store: Store
) -> list[Base]:
    """The base for each platform. Raises NotFound, ImageError."""
    try:
        found, content = registry.manifest(registries, reference)
    except NotFound as error:
        error.hint = "see the name, or name another base image with --base"
        raise
    pinned = reference.at(found.digest)
    document = _document(content, reference)
    if found.media_type in oci.INDEXES:
        return [_of_index(document, pinned, platform, registries, store) for platform in platforms]
    base = _load(found, document, pinned, registries, store)
    for platform in platforms:
        if platform != base.platform:
            raise _not_there(pinned, platform, [base.platform])
    return [base]


def python_of(base: Base, stated: str | None) -> str:
    """The minor version of the base's Python. Raises ImageError."""
    found = stated or base.own_python
    if found is None:
        raise ImageError(
            f"{base.reference.name} does not say which Python it has (its environment has no PYTHON_VERSION)",
            hint="name it with --python, as 3.11",
        )
    if tuple(int(part) for part in found.split(".")) < OLDEST_PYTHON:
        raise ImageError(f"{base.reference.name} has Python {found}; Tidemill needs 3.11 or newer")
    return found


def _of_index(
    index: Document, pinned: Reference, platform: Platform, registries: Registries, store: Store
) -> Base:
    offered = {oci.platform_of(entry.get("platform", {})): entry for entry in index.get("manifests", ())}
    exact = offered.get(platform)
    # Indexes say arm64/v8 where a person says arm64.
    same = (entry for one, entry in offered.items() if (one.os, one.architecture) == _pair(platform))
    entry = exact or (None if platform.variant else next(same, None))
    if entry is None:
        raise _not_there(pinned, platform, [one for one in offered if one.os != "unknown"])
    found = oci.descriptor(entry)
    _, content = registry.manifest(registries, pinned.at(found.digest))
    return _load(found, _document(content, pinned), pinned, registries, store)


def _pair(platform: Platform) -> tuple[str, str]:
    return platform.os, platform.architecture


def _load(
    found: Descriptor, manifest: Document, pinned: Reference, registries: Registries, store: Store
) -> Base:
    if found.media_type not in oci.MANIFESTS:
        what = f"{pinned} is of a kind that is not supported: {found.media_type or 'unknown'}"
        raise ImageError(what, hint="take an image in the format of OCI or of Docker's version 2")
    described = oci.descriptor(manifest["config"])
    registry.fetch_blob(registries, pinned, described, store)
    configuration = store.document(described.digest)
    return Base(pinned, oci.platform_of(configuration), tuple(manifest["layers"]), configuration)


def _document(content: bytes, reference: Reference) -> Document:
    try:
        found: Document = json.loads(content)
    except ValueError as error:
        raise ImageError(f"the manifest of {reference} is no JSON: {error}") from error
    return found


def _not_there(pinned: Reference, platform: Platform, offered: Sequence[Platform]) -> ImageError:
    listing = ", ".join(map(str, offered))
    return ImageError(
        f"the base image {pinned.name} is not there for {platform}",
        hint=f"it is there for {listing}: choose with --platform, or another --base",
    )
