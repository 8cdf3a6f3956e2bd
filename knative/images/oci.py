"""The documents of an image: descriptor, manifest, configuration, index.

Used by `build.py`, `push.py` and `store.py`. Written as JSON with sorted keys and a fixed time, so that
the same content has the same digest everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .faults import ImageError

Document = dict[str, Any]

EPOCH = "1970-01-01T00:00:00Z"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)
BASE_NAME = "org.opencontainers.image.base.name"
TITLE = "tidemill.dev/layer"  # only our layers have it
BASE_DIGEST = "org.opencontainers.image.base.digest"

# The bytes are the same in both worlds, only the names differ.
_AS_OCI = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What names a blob: type, digest, size."""

    media_type: str
    digest: str
    size: int

    def document(self, **more: Any) -> Document:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in the store; `diff_id` is the digest of its tar before compression."""

    descriptor: Descriptor
    diff_id: str
    title: str


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on."""

    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def document(self) -> Document:
        found = {"os": self.os, "architecture": self.architecture}
        return {**found, "variant": self.variant} if self.variant else found


def descriptor(found: Mapping[str, Any]) -> Descriptor:
    """A descriptor as it stands in a document."""
    try:
        return Descriptor(str(found["mediaType"]), str(found["digest"]), int(found["size"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ImageError(f"a manifest names a blob without type, digest or size: {found}") from error


def platform_of(found: Mapping[str, Any]) -> Platform:
    return Platform(found.get("os", ""), found.get("architecture", ""), found.get("variant"))


def to_bytes(document: Document) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def size_words(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def with_layers(
    base: Document, layers: Sequence[Layer], variables: Mapping[str, str], settings: Document
) -> Document:
    """The base's configuration with our layers on it. `settings` replaces keys of its `config`."""
    rootfs = base.get("rootfs", {})
    history = [{"created": EPOCH, "created_by": f"tidemill image build: {each.title}"} for each in layers]
    return {
        **{key: base[key] for key in ("os", "architecture", "variant", "os.version") if key in base},
        "created": EPOCH,
        "config": {
            **base.get("config", {}),
            "Env": merged_variables(base, variables),
            **settings,
        },
        "rootfs": {"type": "layers", "diff_ids": [*rootfs.get("diff_ids", []), *(x.diff_id for x in layers)]},
        "history": [*base.get("history", []), *history],
    }


def variables_of(configuration: Document) -> dict[str, str]:
    """The environment that an image's configuration sets."""
    pairs = (entry.partition("=") for entry in configuration.get("config", {}).get("Env") or ())
    return {name: value for name, _, value in pairs}


def merged_variables(base: Document, ours: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in {**variables_of(base), **ours}.items()]


def manifest(
    configuration: Descriptor, base_layers: Sequence[Document], layers: Sequence[Layer], notes: dict[str, str]
) -> Document:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": configuration.document(),
        "layers": [*map(_as_oci, base_layers), *map(_titled, layers)],
        "annotations": notes,
    }


def _titled(layer: Layer) -> Document:
    return layer.descriptor.document(annotations={TITLE: layer.title})


def _as_oci(layer: Document) -> Document:
    return {**layer, "mediaType": _AS_OCI.get(layer["mediaType"], layer["mediaType"])}


def index(manifests: Sequence[tuple[Descriptor, Platform]], notes: dict[str, str]) -> Document:
    entries = [found.document(platform=platform.document()) for found, platform in manifests]
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": notes}
