"""A registry of the tests' own: the distribution API over HTTP, strict where real ones are.

`test_registry.py` runs the same suite against it and, with `make test-images`, against Debian's
docker-registry. It refuses unknown blobs in manifests, wrong digests, illegal names and gaps in chunks, and
records every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAME = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
ROUTE = re.compile(rf"/v2/({NAME})/(manifests|blobs/uploads|blobs)/([^/]*)")


@dataclass
class Contents:
    """What a registry holds, who may use it, and how it is to misbehave."""

    user: str | None = None  # "name:password"
    bearer: bool = False
    read_only: bool = False
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    redirect_blobs_to: str | None = None
    damaged: int = 0  # how many blob answers have a wrong byte
    allowed: int | None = None  # how many requests are still served
    fail_patch: int = 0  # which chunk from now on fails, once
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)  # repository → digest → content
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)  # token → scopes
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self, method: str, part: str = "") -> list[str]:
        return [path for verb, path, _ in self.log if verb == method and part in path]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    contents: Contents

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 (names that http.server looks for)

    def serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.address = urlsplit(self.path)
        self.query = parse_qs(self.address.query, keep_blank_values=True)
        with self.contents.lock:
            self.contents.log.append((self.command, self.path, dict(self.headers)))
            self.route()

    def route(self) -> None:
        if self.address.path == "/token":
            return self.token()
        if self.contents.allowed is not None:
            self.contents.allowed -= 1
            if self.contents.allowed < 0:
                return self.reply(503)
        if self.contents.failures:
            return self.reply(self.contents.failures.pop(0), headers={"Retry-After": "0"})
        if self.address.path.startswith("/elsewhere/"):
            return self.elsewhere()
        found = ROUTE.fullmatch(self.address.path)
        if found is None:
            return self.refuse(400 if self.address.path.startswith("/v2/") else 404, "NAME_INVALID")
        self.repository, kind, self.name = found.groups()
        if not self.allowed():
            return None
        if self.contents.read_only and self.command not in ("GET", "HEAD"):
            return self.refuse(403, "DENIED")
        serve: dict[str, Callable[[], None]] = {
            "manifests": self.manifest,
            "blobs": self.blob,
            "blobs/uploads": self.upload,
        }
        return serve[kind]()

    # -- who may

    def token(self) -> None:
        scopes = self.query.get("scope", [])
        if self.command == "POST":
            form = parse_qs(self.body.decode())
            if form["grant_type"] != ["refresh_token"] or form["refresh_token"] != ["the-identity"]:
                return self.refuse(401, "UNAUTHORIZED")
            scopes = form["scope"][0].split(" ")
        elif self.basic() not in (None, self.contents.user):
            return self.refuse(401, "UNAUTHORIZED")
        elif self.basic() is None:
            scopes = [scope.removesuffix(",push") for scope in scopes]
        made = secrets.token_hex(8)
        self.contents.tokens[made] = scopes
        return self.reply(200, json.dumps({"token": made}).encode())

    def basic(self) -> str | None:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if scheme == "Basic" else None

    def allowed(self) -> bool:
        if self.contents.bearer:
            _, _, token = self.headers.get("Authorization", "").partition(" ")
            needed = "pull" if self.command in ("GET", "HEAD") else "pull,push"
            scopes = self.contents.tokens.get(token, [])
            if any(scope.startswith(f"repository:{self.repository}:{needed}") for scope in scopes):
                return True
            host = self.headers["Host"]
            challenge = f'Bearer realm="http://{host}/token",service="tests",scope="x"'
        elif self.contents.user is None or self.basic() == self.contents.user:
            return True
        else:
            challenge = 'Basic realm="tests"'
        self.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return False

    # -- what is there

    def manifest(self) -> None:
        held = self.contents.manifests.setdefault(self.repository, {})
        if self.command == "PUT":
            return self.put_manifest(held)
        if self.name not in held:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        media, content = held[self.name]
        if media not in self.headers.get("Accept", ""):
            return self.refuse(404, "MANIFEST_UNKNOWN")
        return self.reply(200, content, {"Content-Type": media, "Docker-Content-Digest": digest(content)})

    def put_manifest(self, held: dict[str, tuple[str, bytes]]) -> None:
        document = json.loads(self.body)
        if document["mediaType"] != self.headers["Content-Type"]:
            return self.refuse(400, "MANIFEST_INVALID")
        blobs = self.contents.blobs.get(self.repository, {})
        for entry in [document["config"], *document["layers"]] if "config" in document else []:
            if len(blobs.get(entry["digest"], b"")) != entry["size"]:
                return self.refuse(400, "MANIFEST_BLOB_UNKNOWN")
        if any(entry["digest"] not in held for entry in document.get("manifests", [])):
            return self.refuse(400, "MANIFEST_UNKNOWN")
        if self.name.startswith("sha256:") and self.name != digest(self.body):
            return self.refuse(400, "DIGEST_INVALID")
        held[self.name] = held[digest(self.body)] = (self.headers["Content-Type"], self.body)
        return self.reply(201, headers={"Docker-Content-Digest": digest(self.body)})

    def blob(self) -> None:
        content = self.contents.blobs.get(self.repository, {}).get(self.name)
        if content is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        if self.command == "GET" and self.contents.redirect_blobs_to:
            place = f"{self.contents.redirect_blobs_to}/elsewhere/{self.repository}/{self.name}"
            return self.reply(307, headers={"Location": place})
        if self.command == "GET" and self.contents.damaged:
            self.contents.damaged -= 1
            content = content[:-1] + b"?"
        return self.reply(200, content)

    def elsewhere(self) -> None:
        """Storage that signs its URLs refuses a request with a second proof of who one is."""
        if "Authorization" in self.headers:
            return self.refuse(400, "DENIED")
        repository, _, name = self.address.path.removeprefix("/elsewhere/").rpartition("/")
        return self.reply(200, self.contents.blobs[repository][name])

    # -- uploads

    def upload(self) -> None:
        if self.command == "POST":
            return self.begin()
        if self.name not in self.contents.uploads:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "PATCH":
            self.contents.fail_patch -= 1
            if self.contents.fail_patch == 0:
                return self.reply(502)
            start = int(self.headers["Content-Range"].split("-")[0])
            if start != len(self.contents.uploads[self.name]):
                return self.refuse(416, "BLOB_UPLOAD_INVALID")
            self.contents.uploads[self.name] += self.body
            return self.reply(202, headers={"Location": self.address.path})
        content = self.contents.uploads.pop(self.name) + self.body
        if digest(content) != self.query["digest"][0]:
            return self.refuse(400, "DIGEST_INVALID")
        self.contents.blobs.setdefault(self.repository, {})[digest(content)] = content
        return self.reply(201)

    def begin(self) -> None:
        if "mount" in self.query:
            source, name = self.query["from"][0], self.query["mount"][0]
            content = self.contents.blobs.get(source, {}).get(name)
            if content is not None:
                self.contents.blobs.setdefault(self.repository, {})[name] = content
                return self.reply(201)
        name = secrets.token_hex(4)
        self.contents.uploads[name] = b""
        return self.reply(202, headers={"Location": f"/v2/{self.repository}/blobs/uploads/{name}?state=s"})

    # -- answers

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        self.reply(status, body, headers)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(contents: Contents) -> Iterator[str]:
    """The registry's host and port."""
    handler = type("Bound", (Handler,), {"contents": contents})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
