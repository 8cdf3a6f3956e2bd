"""A stand-in for Azure's Blob Storage: one container, spoken to by the vendor's own client library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from support.web_server import Asked, Page, Site, site

DATE = "Sat, 01 Jun 2024 10:00:00 GMT"


class BlobStorage(Site):
    """`blobs` by name. The account is a part of the path, as with Azure's emulator."""

    def __init__(self, container: str) -> None:
        super().__init__()
        self.container = container
        self.there = False
        self.blobs: dict[str, bytes] = {}

    def page(self, asked: Asked) -> Page:
        parts, query = urlsplit(asked.path), parse_qs(urlsplit(asked.path).query)
        _, container, name = [*unquote(parts.path).lstrip("/").split("/", 2), ""][:3]
        if "sig" not in query and not asked.headers.get("authorization", "").startswith(
            "SharedKey an-account:"
        ):
            return _error(403, "AuthenticationFailed")
        if container != self.container:
            return _error(400, "InvalidResourceName")
        if query.get("restype") == ["container"]:
            return self._container(asked, query)
        if name not in self.blobs:
            return _error(404, "BlobNotFound")
        return self._blob(asked, name)

    def _container(self, asked: Asked, query: dict[str, list[str]]) -> Page:
        if asked.method == "PUT":
            known, self.there = self.there, True
            return _error(409, "ContainerAlreadyExists") if known else Page(status=201)
        assert query["comp"] == ["list"]
        entries = "".join(map(self._entry, sorted(self.blobs)))
        body = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{self.container}">'
        return Page(
            f"{body}<Blobs>{entries}</Blobs><NextMarker /></EnumerationResults>", kind="application/xml"
        )

    def _entry(self, name: str) -> str:
        content = self.blobs[name]
        facts = f"<Last-Modified>{DATE}</Last-Modified><Etag>{_etag(content)}</Etag>"
        facts += f"<Content-Length>{len(content)}</Content-Length><BlobType>BlockBlob</BlobType>"
        return f"<Blob><Name>{escape(name)}</Name><Properties>{facts}</Properties></Blob>"

    def _blob(self, asked: Asked, name: str) -> Page:
        if asked.method == "DELETE":
            del self.blobs[name]
            return Page(status=202)
        content = self.blobs[name]
        last = len(content) - 1
        headers = {"etag": _etag(content), "last-modified": DATE, "x-ms-blob-type": "BlockBlob"}
        headers |= {"content-range": f"bytes 0-{last}/{len(content)}", "x-ms-version": "2024-01-01"}
        return Page(content, 206, "application/octet-stream", headers)


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:8]}"'


def _error(status: int, code: str) -> Page:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'
    return Page(body, status, "application/xml", {"x-ms-error-code": code})


@contextmanager
def blob_storage(container: str = "documents", **blobs: bytes) -> Iterator[BlobStorage]:
    storage = BlobStorage(container)
    storage.blobs.update({name.replace("__", "."): content for name, content in blobs.items()})
    with site(found=storage):
        yield storage
