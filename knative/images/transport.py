"""Requests to registries: who we are, where things moved, and another attempt where that helps.

Used by `registry.py`. One object serves one command and keeps its tokens. It goes over urllib3 with the
user's proxies; a registry on this machine, and with `insecure` any, is spoken to without TLS.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from ... import __version__
from ...errors import MissingExtra
from . import answers
from .credentials import Credential, credential_for
from .faults import ImageError, RegistryUnreachable
from .references import DOCKER_HUB, Reference

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_HUB_HOST = "registry-1.docker.io"
_PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth attempt
_CHUNK = 32 << 20  # proxies in front of registries refuse bodies of 100 MB
_REDIRECTS = 5
T = TypeVar("T")


class Passing(Exception):
    """It may work when tried again; `wait` is what the registry asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        self.reason, self.wait = reason, wait
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `scopes` are what a token must allow; `stream`: the body is read by the caller."""

    method: str
    url: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    stream: bool = False


@dataclass(slots=True)
class Registries:
    """All registries of one command."""

    insecure: bool = False
    credentials: Callable[[str], Credential | None] = credential_for
    pause: Callable[[float], None] = time.sleep
    chunk: int = _CHUNK
    _known: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    _pools: dict[str, Any] = field(default_factory=dict)

    def base(self, reference: Reference) -> str:
        """The URL of a repository."""
        plain = self.insecure or reference.on_this_machine
        host = _HUB_HOST if reference.registry == DOCKER_HUB else reference.registry
        return f"{'http' if plain else 'https'}://{host}/v2/{reference.repository}"

    def patiently(self, reference: Reference, attempt: Callable[[], T]) -> T:
        """The attempt's result. Raises RegistryUnreachable when all attempts passed in vain."""
        for pause in (*_PAUSES, None):
            try:
                return attempt()
            except Passing as error:
                if pause is None:
                    raise RegistryUnreachable(
                        reference.registry, error.reason, _hint(error.reason)
                    ) from error
                self.pause(pause if error.wait is None else error.wait)
        raise AssertionError("the last attempt returns or raises")

    def request(self, request: Request, reference: Reference) -> BaseHTTPResponse:
        """With what the registry wants to know of us: its first refusal says what that is."""
        key = (reference.registry, request.scopes)
        answer = self._follow(request, self._known.get(key))
        if answer.status != 401:
            return answer
        answer.drain_conn()
        challenge = answer.headers.get("WWW-Authenticate", "")
        authorization = self._authorize(challenge, reference, request.scopes)
        if authorization is None:
            return answer
        self._known[key] = authorization
        return self._follow(request, authorization)

    def _follow(self, request: Request, authorization: str | None = None) -> BaseHTTPResponse:
        """Blobs often lie elsewhere; who we are is told to the registry alone."""
        url = request.url
        for _ in range(_REDIRECTS):
            headers = dict(request.headers)
            if authorization is not None and urlsplit(url)[:2] == urlsplit(request.url)[:2]:
                headers["Authorization"] = authorization
            answer = self._exchange(request, url, headers)
            if answer.status not in (301, 302, 303, 307, 308) or "Location" not in answer.headers:
                return answer
            answer.drain_conn()
            url = urljoin(url, answer.headers["Location"])
        raise ImageError(f"{urlsplit(url).netloc} redirects in circles")

    def _exchange(self, request: Request, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        pool = self._pool(url)
        from urllib3.exceptions import HTTPError

        try:
            answer: BaseHTTPResponse = pool.request(
                request.method,
                url,
                body=request.body,
                headers={"User-Agent": f"tidemill/{__version__}", **headers},
                redirect=False,
                retries=False,
                preload_content=not request.stream,
                decode_content=False,
            )
        except HTTPError as error:
            raise Passing(_plain(error)) from error
        if answer.status == 429 or answer.status >= 500:
            answer.drain_conn()
            raise Passing(f"it answers {answer.status}", answers.retry_after(answer))
        return answer

    def _authorize(self, challenge: str, reference: Reference, scopes: tuple[str, ...]) -> str | None:
        """The header that answers a challenge, or None where we have nothing to say."""
        scheme, words = answers.parse_challenge(challenge)
        credential = self.credentials(reference.registry)
        if scheme == "basic":
            return credential.basic() if credential else None
        if scheme != "bearer" or "realm" not in words:
            return None
        if credential is not None and credential.identity_token:
            return answers.token(self._follow(*_exchange_token(words, credential, scopes)), reference)
        return answers.token(self._follow(*_ask_token(words, credential, scopes)), reference)

    def _pool(self, url: str) -> PoolManager:
        """One for each proxy."""
        try:
            import urllib3
        except ImportError:
            raise MissingExtra("urllib3", "knative", "tidemill image") from None
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme, "")
        if urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = ""
        if proxy not in self._pools:
            timeout = urllib3.Timeout(connect=15, read=120)
            make = (
                urllib3.ProxyManager(proxy, timeout=timeout)
                if proxy
                else urllib3.PoolManager(timeout=timeout)
            )
            self._pools[proxy] = make
        found: PoolManager = self._pools[proxy]
        return found


def _ask_token(
    words: Mapping[str, str], credential: Credential | None, scopes: tuple[str, ...]
) -> tuple[Request, str | None]:
    asked = [("service", words.get("service", "")), *(("scope", scope) for scope in scopes)]
    mark = "&" if urlsplit(words["realm"]).query else "?"
    request = Request("GET", f"{words['realm']}{mark}{urlencode(asked)}", scopes)
    return request, credential.basic() if credential else None


def _exchange_token(
    words: Mapping[str, str], credential: Credential, scopes: tuple[str, ...]
) -> tuple[Request, str | None]:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": credential.identity_token,
        "service": words.get("service", ""),
        "client_id": "tidemill",
        "scope": " ".join(scopes),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", words["realm"], scopes, headers, urlencode(form).encode()), None


def _plain(error: Exception) -> str:
    """The innermost reason: urllib3 wraps the one of the system."""
    while isinstance(inner := getattr(error, "reason", None) or error.__cause__, Exception):
        error = inner
    return str(error) or type(error).__name__


def _hint(reason: str) -> str:
    if "CERTIFICATE" in reason.upper():
        return "set SSL_CERT_FILE to the certificates that your registry's owner gives"
    if "WRONG_VERSION_NUMBER" in reason or "record layer" in reason:
        return "--insecure, if this registry has no TLS"
    return "see that the name is right and the network is there, then run the command again"
