"""The client of registries: against a strict registry of our own, and Debian's with `make test-images`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.image_registry import Contents, serving
from support.image_world import put_base, reference, registries

from tidemill.errors import NotFound
from tidemill.knative.images import registry
from tidemill.knative.images.credentials import Credential
from tidemill.knative.images.faults import (
    ImageError,
    RegistryDenied,
    RegistryError,
    RegistryUnreachable,
)
from tidemill.knative.images.oci import MANIFEST, Descriptor
from tidemill.knative.images.store import Store, put

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def blob(store: Store) -> Descriptor:
    return put(store, CONTENT, "application/octet-stream")


def send(host: str, blob: Descriptor, store: Store, repository: str = "me/app", **client: object) -> None:
    target = reference(host, repository)
    registry.upload(registries(**client), target, blob, store.blob(blob.digest))


# -- what both registries must agree on


@pytest.mark.parametrize("chunk", [1 << 20, 1000, len(CONTENT), len(CONTENT) // 2])
def test_a_blob_is_sent_and_fetched(
    host: str, blob: Descriptor, store: Store, tmp_path: Path, chunk: int
) -> None:
    target = reference(host, "me/app")
    assert not registry.has_blob(registries(), target, blob.digest)
    send(host, blob, store, chunk=chunk)
    assert registry.has_blob(registries(), target, blob.digest)
    other = Store(tmp_path / "other")
    registry.fetch_blob(registries(), target, blob, other)
    assert other.blob(blob.digest).read_bytes() == CONTENT


def test_a_blob_is_mounted_from_a_neighbour(host: str, blob: Descriptor, store: Store) -> None:
    source, target = reference(host, "me/base"), reference(host, "me/app")
    assert not registry.mount(registries(), source, target, blob.digest)
    send(host, blob, store, "me/base")
    assert registry.mount(registries(), source, target, blob.digest)
    assert registry.has_blob(registries(), target, blob.digest)


def test_a_manifest_is_read_by_tag_and_by_digest(host: str, tmp_path: Path) -> None:
    pinned = put_base(reference(host, "me/base:1"), tmp_path)
    client = registries()
    by_tag = registry.manifest(client, reference(host, "me/base:1"))
    assert by_tag == registry.manifest(client, pinned)
    assert by_tag[0].media_type == MANIFEST
    assert registry.has_manifest(client, pinned, "1") == by_tag[0].digest
    assert registry.has_manifest(client, pinned, "2") is None


def test_what_is_not_there_is_named(host: str, tmp_path: Path) -> None:
    put_base(reference(host, "me/base:1"), tmp_path)
    for missing in ("me/base:2", "me/nothing:1"):
        with pytest.raises(NotFound, match=missing):
            registry.manifest(registries(), reference(host, missing))


def test_a_manifest_without_its_blobs_is_refused(host: str) -> None:
    target = reference(host, "me/app:1")
    named = f'{{"mediaType": "x", "digest": "sha256:{"0" * 64}", "size": 3}}'
    content = f'{{"schemaVersion": 2, "mediaType": "{MANIFEST}", "config": {named}, "layers": [{named}]}}'
    with pytest.raises(RegistryError) as caught:
        registry.put_manifest(registries(), target, "1", MANIFEST, content.encode())
    assert caught.value.answer == 400
    assert "push again" in str(caught.value.hint)


def test_content_that_is_not_what_it_says_is_refused(host: str, blob: Descriptor, store: Store) -> None:
    wrong = Descriptor(blob.media_type, "sha256:" + "0" * 64, blob.size)
    with pytest.raises(RegistryError) as caught:
        registry.upload(registries(), reference(host, "me/app"), wrong, store.blob(blob.digest))
    assert caught.value.code == "DIGEST_INVALID"


# -- what our own one can be made to do


def known(user: str, password: str) -> Callable[[str], Credential]:
    return lambda registry: Credential(user, password)


@pytest.mark.parametrize("bearer", [False, True])
def test_a_name_and_password_open_the_registry(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, bearer: bool
) -> None:
    contents.user, contents.bearer = "me:secret", bearer
    send(own_registry, blob, store, credentials=known("me", "secret"))
    assert contents.blobs["me/app"][blob.digest] == CONTENT
    tokens = contents.requests("GET", "/token")
    assert len(tokens) == bearer  # one token serves all requests of a push
    assert all("me%2Fapp%3Apull%2Cpush" in path for path in tokens)


def test_an_identity_token_is_exchanged(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store
) -> None:
    contents.bearer = True
    send(own_registry, blob, store, credentials=lambda _: Credential(identity_token="the-identity"))
    assert contents.blobs["me/app"][blob.digest] == CONTENT


def test_anybody_may_read_with_a_token_but_not_write(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, tmp_path: Path
) -> None:
    send(own_registry, blob, store)
    contents.bearer = True
    registry.fetch_blob(registries(), reference(own_registry, "me/app"), blob, Store(tmp_path / "other"))
    with pytest.raises(RegistryDenied, match="does not know who you are") as caught:
        send(own_registry, blob, store)
    assert (caught.value.status, caught.value.hint) == (4, f"docker login {own_registry}")


@pytest.mark.parametrize("bearer", [False, True])
def test_a_wrong_password_is_told_and_not_shown(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, bearer: bool
) -> None:
    contents.user, contents.bearer = "me:secret", bearer
    with pytest.raises(RegistryDenied, match="does not know who you are") as caught:
        send(own_registry, blob, store, credentials=known("me", "wrong-hunter2"))
    assert "hunter2" not in f"{caught.value}{caught.value.hint}{vars(caught.value)}"


def test_a_mount_asks_for_both_repositories(own_registry: str, contents: Contents, blob: Descriptor) -> None:
    contents.bearer, contents.user = True, "me:secret"
    contents.blobs["base"] = {blob.digest: CONTENT}
    client = registries(credentials=known("me", "secret"))
    assert registry.mount(
        client, reference(own_registry, "base"), reference(own_registry, "app"), blob.digest
    )
    (asked,) = contents.requests("GET", "/token")
    assert "repository%3Aapp%3Apull%2Cpush" in asked
    assert "repository%3Abase%3Apull" in asked


def test_a_repository_that_may_only_be_read(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store
) -> None:
    contents.read_only = True
    with pytest.raises(RegistryDenied, match="does not let you write to me/app") as caught:
        send(own_registry, blob, store)
    assert "choose another repository" in str(caught.value.hint)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_passes_is_tried_again(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, status: int
) -> None:
    pauses: list[float] = []
    contents.failures = [status, status, status]
    send(own_registry, blob, store, pause=pauses.append)
    assert contents.blobs["me/app"][blob.digest] == CONTENT
    assert pauses == [0.0, 0.0, 0.0]  # the registry said how long


def test_what_does_not_pass_is_told(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store
) -> None:
    contents.failures = [503] * 4
    with pytest.raises(RegistryUnreachable, match="answers 503"):
        send(own_registry, blob, store)


def test_nobody_answers(blob: Descriptor, store: Store) -> None:
    with serving(Contents()) as gone:
        pass
    pauses: list[float] = []
    with pytest.raises(RegistryUnreachable, match="Connection refused") as caught:
        send(gone, blob, store, pause=pauses.append)
    assert caught.value.registry == gone
    assert pauses == [0.5, 2.0, 5.0]


def test_an_upload_that_breaks_begins_anew(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store
) -> None:
    contents.fail_patch = 3
    send(own_registry, blob, store, chunk=1000)
    assert contents.blobs["me/app"][blob.digest] == CONTENT
    assert len(contents.requests("POST", "/uploads/")) == 2


def test_a_damaged_blob_is_fetched_again(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, tmp_path: Path
) -> None:
    send(own_registry, blob, store)
    contents.damaged = 2
    other = Store(tmp_path / "other")
    registry.fetch_blob(registries(), reference(own_registry, "me/app"), blob, other)
    assert other.blob(blob.digest).read_bytes() == CONTENT
    contents.damaged = 9
    with pytest.raises(RegistryUnreachable, match="arrived damaged"):
        registry.fetch_blob(registries(), reference(own_registry, "me/app"), blob, Store(tmp_path / "third"))
    assert not Store(tmp_path / "third").has(blob)


def test_storage_elsewhere_is_not_told_who_we_are(
    own_registry: str, contents: Contents, blob: Descriptor, store: Store, tmp_path: Path
) -> None:
    contents.user = "me:secret"
    send(own_registry, blob, store, credentials=known("me", "secret"))
    elsewhere = Contents(blobs=contents.blobs)
    with serving(elsewhere) as there:
        contents.redirect_blobs_to = f"http://{there}"
        other = Store(tmp_path / "other")
        client = registries(credentials=known("me", "secret"))
        registry.fetch_blob(client, reference(own_registry, "me/app"), blob, other)
    assert other.has(blob)
    ((_, _, headers),) = elsewhere.log
    assert "Authorization" not in headers


def test_other_content_under_a_digest_is_refused(
    own_registry: str, contents: Contents, tmp_path: Path
) -> None:
    pinned = put_base(reference(own_registry, "me/base:1"), tmp_path)
    media, content = contents.manifests["me/base"]["1"]
    contents.manifests["me/base"][str(pinned.digest)] = (media, content + b" ")
    with pytest.raises(ImageError, match="gave other content"):
        registry.manifest(registries(), pinned)
