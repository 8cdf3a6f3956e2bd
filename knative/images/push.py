"""Brings a built image to a registry, and only what the registry does not have.

Called by `tidemill image push` and by a deployment. A layer of the base is mounted from the base's
repository where that is on the same registry, else fetched once and sent. Manifests come last, so a name
never points at something incomplete; a push that was cut short is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...errors import NotFound, UsageError
from . import oci, references, registry
from .oci import Descriptor, Document
from .references import Reference
from .store import Store, image_names, named_image
from .transport import Registries


@dataclass(frozen=True, slots=True)
class _Push:
    """One push. `settled`: blobs that the registry is known to have."""

    target: Reference
    registries: Registries
    store: Store
    report: Callable[[str], None]
    settled: set[str] = field(default_factory=set)


def push(target: Reference, registries: Registries, store: Store, report: Callable[[str], None]) -> Reference:
    """The pinned name of what was built as `target`, which the registry has now. Raises NotFound."""
    if target.digest:
        raise UsageError(f"'{target}' has a digest already", hint="push a name with a tag")
    found = built_as(target, store)
    work = _Push(target, registries, store, report)
    if registry.has_manifest(registries, target, target.version) == found.digest:
        report(f"{target} is there already")
        return target.at(found.digest)
    for child in _children(found, store):
        _push_blobs(work, store.document(child.digest))
        if child != found:
            _put(work, child, child.digest)
    _put(work, found, target.version)
    return target.at(found.digest)


def built_as(target: Reference, store: Store) -> Descriptor:
    found = named_image(store, str(target))
    if found is None:
        error = NotFound("built image", str(target), image_names(store))
        error.hint = error.hint or f"tidemill image build DIR --tag {target}"
        raise error
    return found


def _children(found: Descriptor, store: Store) -> Iterator[Descriptor]:
    """The manifests of an index, or the one that it is."""
    if found.media_type not in oci.INDEXES:
        yield found
        return
    for entry in store.document(found.digest)["manifests"]:
        yield oci.descriptor(entry)


def base_of(manifest: Document) -> Reference:
    notes = manifest["annotations"]
    return references.parse(notes[oci.BASE_NAME]).at(notes[oci.BASE_DIGEST])


def _push_blobs(work: _Push, manifest: Document) -> None:
    for entry in [*manifest["layers"], manifest["config"]]:
        found = oci.descriptor(entry)
        if found.digest in work.settled:
            continue
        title = entry.get("annotations", {}).get(oci.TITLE)
        own = title is not None or entry is manifest["config"]
        what = title or ("configuration" if own else "base layer")
        how = _bring(work, found, None if own else base_of(manifest))
        work.settled.add(found.digest)
        work.report(f"{what} {found.digest[:19]}: {how}")


def _bring(work: _Push, found: Descriptor, base: Reference | None) -> str:
    """Gets one blob to the registry, in the cheapest way that works."""
    if registry.has_blob(work.registries, work.target, found.digest):
        return "there already"
    if base is not None:
        if base.registry == work.target.registry and registry.mount(
            work.registries, base, work.target, found.digest
        ):
            return f"mounted from {base.repository}"
        registry.fetch_blob(work.registries, base, found, work.store)
    registry.upload(work.registries, work.target, found, work.store.blob(found.digest))
    return f"pushed, {oci.size_words(found.size)}"


def _put(work: _Push, found: Descriptor, version: str) -> None:
    content = work.store.blob(found.digest).read_bytes()
    registry.put_manifest(work.registries, work.target, version, found.media_type, content)
