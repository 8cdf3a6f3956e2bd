"""What a build and a push need of a registry, and no more: the OCI distribution API.

Used by `build.py` and `push.py`. Every function may be called again after it failed; a blob is checked
against its digest when it is read, and asked for before it is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from . import answers
from .faults import ImageError
from .oci import INDEXES, MANIFESTS, Descriptor, digest_of
from .references import Reference
from .store import Store, replacing
from .transport import Passing, Registries, Request

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_PIECE = 1 << 20
_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_BYTES = {"Content-Type": "application/octet-stream"}


def manifest(registries: Registries, reference: Reference) -> tuple[Descriptor, bytes]:
    """A manifest or an index, checked against its digest. Raises NotFound."""
    url = f"{registries.base(reference)}/manifests/{reference.version}"
    request = Request("GET", url, (_pull(reference),), _ACCEPT)
    answer = registries.patiently(reference, lambda: registries.request(request, reference))
    answers.check(answer, reference, "read")
    media = answer.headers.get("Content-Type", "").split(";")[0]
    found = Descriptor(media, digest_of(answer.data), len(answer.data))
    if reference.digest and found.digest != reference.digest:
        raise ImageError(f"{reference.registry} gave other content than {reference} names")
    return found, answer.data


def has_manifest(registries: Registries, target: Reference, version: str) -> str | None:
    """The digest of what the target's repository has under a tag or digest."""
    answer = _head(registries, target, f"manifests/{version}")
    return None if answer is None else answer.headers.get("Docker-Content-Digest", "")


def has_blob(registries: Registries, target: Reference, digest: str) -> bool:
    return _head(registries, target, f"blobs/{digest}") is not None


def fetch_blob(registries: Registries, source: Reference, found: Descriptor, store: Store) -> None:
    """Into the store."""
    if not store.has(found):
        registries.patiently(source, lambda: _fetch(registries, source, found, store))


def mount(registries: Registries, source: Reference, target: Reference, digest: str) -> bool:
    """Lets the target's repository have a blob of another repository of the same registry."""
    words = urlencode({"mount": digest, "from": source.repository})
    url = f"{registries.base(target)}/blobs/uploads/?{words}"
    request = Request("POST", url, (_push(target), _pull(source)), body=b"")
    return registries.patiently(target, lambda: _write(registries, request, target)).status == 201


def upload(registries: Registries, target: Reference, found: Descriptor, file: Path) -> None:
    """In one request, or in chunks where it is large. An attempt that failed begins anew."""
    registries.patiently(target, lambda: _upload(registries, target, found, file))


def put_manifest(registries: Registries, target: Reference, version: str, media: str, content: bytes) -> None:
    url = f"{registries.base(target)}/manifests/{version}"
    request = Request("PUT", url, (_push(target),), {"Content-Type": media}, content)
    registries.patiently(target, lambda: _write(registries, request, target))


def _pull(reference: Reference) -> str:
    return f"repository:{reference.repository}:pull"


def _push(reference: Reference) -> str:
    return f"repository:{reference.repository}:pull,push"


def _head(registries: Registries, target: Reference, path: str) -> BaseHTTPResponse | None:
    request = Request("HEAD", f"{registries.base(target)}/{path}", (_push(target),), _ACCEPT)
    answer = registries.patiently(target, lambda: registries.request(request, target))
    if answer.status == 404:
        return None
    answers.check(answer, target, "write")
    return answer


def _write(registries: Registries, request: Request, target: Reference) -> BaseHTTPResponse:
    answer = registries.request(request, target)
    answers.check(answer, target, "write")
    return answer


def _fetch(registries: Registries, source: Reference, found: Descriptor, store: Store) -> None:
    url = f"{registries.base(source)}/blobs/{found.digest}"
    answer = registries.request(Request("GET", url, (_pull(source),), stream=True), source)
    try:
        if answer.status >= 400:
            answer.drain_conn()
            answers.check(answer, source, "read")
        _receive(answer, found, store)
    finally:
        answer.release_conn()


def _receive(answer: BaseHTTPResponse, found: Descriptor, store: Store) -> None:
    digest = hashlib.sha256()
    with replacing(store.blob(found.digest)) as file:
        for piece in _pieces(answer):
            digest.update(piece)
            file.write(piece)
        if f"sha256:{digest.hexdigest()}" != found.digest:
            raise Passing(f"the content of {found.digest} arrived damaged")


def _pieces(answer: BaseHTTPResponse) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError

    try:
        yield from answer.stream(_PIECE, decode_content=False)
    except HTTPError as error:
        raise Passing(f"the connection broke: {error}") from error


def _upload(registries: Registries, target: Reference, found: Descriptor, file: Path) -> None:
    place = f"{registries.base(target)}/blobs/uploads/"
    place = _next(_write(registries, Request("POST", place, (_push(target),), body=b""), target), place)
    with file.open("rb") as content:
        if found.size <= registries.chunk:
            _finish(registries, target, place, found, content.read())
            return
        start = 0
        while piece := content.read(registries.chunk):
            headers = {**_BYTES, "Content-Range": f"{start}-{start + len(piece) - 1}"}
            request = Request("PATCH", place, (_push(target),), headers, piece)
            place, start = _next(_write(registries, request, target), place), start + len(piece)
        _finish(registries, target, place, found, b"")


def _finish(registries: Registries, target: Reference, place: str, found: Descriptor, content: bytes) -> None:
    mark = "&" if urlsplit(place).query else "?"
    url = f"{place}{mark}{urlencode({'digest': found.digest})}"
    headers: Mapping[str, str] = _BYTES
    _write(registries, Request("PUT", url, (_push(target),), headers, content), target)


def _next(answer: BaseHTTPResponse, asked: str) -> str:
    """Where an upload goes on."""
    return urljoin(asked, answer.headers["Location"])
