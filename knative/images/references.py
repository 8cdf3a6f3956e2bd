"""Names of images: `registry/repository:tag@digest`, read as Docker reads them.

Used by everything in this room. A name without a registry means Docker Hub; a name without a path
there means its `library`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...errors import UsageError

DOCKER_HUB = "docker.io"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$")


@dataclass(frozen=True, slots=True)
class Reference:
    """One image of one registry. Without tag and digest: `latest`."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What the registry is asked for: the digest where there is one."""
        return self.digest or self.tag or "latest"

    @property
    def on_this_machine(self) -> bool:
        return _LOOPBACK.match(self.registry) is not None

    def at(self, digest: str) -> Reference:
        """The same image, pinned."""
        return replace(self, digest=digest)


def parse(text: str) -> Reference:
    """The reference that a person wrote. Raises UsageError."""
    rest, _, digest = text.partition("@")
    registry, rest = _split_registry(rest)
    repository, colon, tag = rest.partition(":")
    _require(_HOST, registry, text, "the registry", None)
    _require(_REPOSITORY, repository, text, "the repository", _legal(repository))
    if colon:
        _require(_TAG, tag, text, "the tag", "a tag has letters, digits, '_', '.' and '-', at most 128")
    if digest:
        _require(_DIGEST, digest, text, "the digest", "a digest is 'sha256:' and 64 hexadecimal digits")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry, repository, tag or (None if digest else "latest"), digest or None)


def _split_registry(rest: str) -> tuple[str, str]:
    """The first part is a registry if it looks like a host."""
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (DOCKER_HUB if first in ("index.docker.io", "registry-1.docker.io") else first), remainder
    return DOCKER_HUB, rest


def _require(pattern: re.Pattern[str], found: str, text: str, what: str, hint: str | None) -> None:
    if not pattern.fullmatch(found):
        raise UsageError(f"'{text}' is no name of an image: {what} '{found}' is not legal", hint=hint)


def _legal(repository: str) -> str:
    guess = re.sub(r"[^a-z0-9/]+", "-", repository.lower()).strip("-/")
    return f"write '{guess}': lower case letters, digits, '-', '_', '.' and '/'" if guess else "name a path"
