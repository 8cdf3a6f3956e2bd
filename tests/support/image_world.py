"""Small base images, wheels and applications, and a way to build with them."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidemill.knative.images import build, layers, oci, references, registry
from tidemill.knative.images.oci import Descriptor, Platform
from tidemill.knative.images.references import Reference
from tidemill.knative.images.runtime import Runtime
from tidemill.knative.images.store import Store, put_document
from tidemill.knative.images.transport import Registries
from tidemill.knative.images.wheels import Target

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def registries(**more: Any) -> Registries:
    """A client that knows nobody and waits for nothing."""
    return Registries(**{"credentials": lambda registry: None, "pause": lambda seconds: None, **more})


def simple_fill(root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc" / "base").write_text("base\n")


def put_base(
    target: Reference,
    scratch: Path,
    platforms: Sequence[Platform] = (AMD,),
    settings: Mapping[str, Any] | None = None,
    fill: Callable[[Path], None] = simple_fill,
    client: Registries | None = None,
) -> Reference:
    """A base image in a registry, as an index if it has several platforms. Pinned."""
    client, store = client or registries(), Store(scratch / "base-store")
    chosen = settings if settings is not None else {"Env": ["PATH=/usr/bin", f"PYTHON_VERSION={HERE}.9"]}
    layer = layers.make(layers.Recipe("base", target.name, fill), store)
    made = [(_manifest(layer, platform, dict(chosen), store), platform) for platform in platforms]
    registry.upload(client, target, layer.descriptor, store.blob(layer.descriptor.digest))
    for found, _ in made:
        configuration = oci.descriptor(store.document(found.digest)["config"])
        registry.upload(client, target, configuration, store.blob(configuration.digest))
        _put(client, target, found.digest, found, store)
    whole = made[0][0] if len(made) == 1 else put_document(store, oci.index(made, {}), oci.INDEX)
    _put(client, target, target.version, whole, store)
    return target.at(whole.digest)


def _manifest(layer: oci.Layer, platform: Platform, settings: dict[str, Any], store: Store) -> Descriptor:
    base = {**platform.document(), "config": settings}
    configuration = oci.with_layers(base, [layer], {}, {})
    described = put_document(store, configuration, oci.CONFIG)
    plain = {**layer.descriptor.document()}
    return put_document(store, oci.manifest(described, [plain], [], {}), oci.MANIFEST)


def _put(client: Registries, target: Reference, version: str, found: Descriptor, store: Store) -> None:
    content = store.blob(found.digest).read_bytes()
    registry.put_manifest(client, target, version, found.media_type, content)


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    tag: str = "py3-none-any",
    needs: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A wheel with a module of its name; `needs` are its Requires-Dist."""
    stem = f"{name.replace('-', '_')}-{version}"
    place = folder / f"{stem}-{tag}.whl"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {need}\n" for need in needs)
    content = {
        f"{name.replace('-', '_')}/__init__.py": f"tag = {tag!r}\n",
        **(files or {}),
        f"{stem}.dist-info/METADATA": about,
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{stem}.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return place


@dataclass
class World:
    """A user: a cache, an application, and what was said."""

    store: Store
    directory: Path
    base: Reference
    client: Registries = field(default_factory=registries)
    roots: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)
    needs: Callable[[Target], Runtime] | None = None

    def build(self, platforms: Sequence[Platform] = (AMD,), **more: Any) -> build.Image:
        options = build.BuildOptions(
            directory=self.directory,
            application="app",
            base=self.base,
            platforms=tuple(platforms),
            needs=self.needs or (lambda target: Runtime(self.roots, ())),
            **more,
        )
        return build.build(options, self.client, self.store, self.said.append)


def reference(host: str, rest: str) -> Reference:
    return references.parse(f"{host}/{rest}")
