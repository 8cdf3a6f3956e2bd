"""The HTTP client of agents: bounded, careful with redirects, and without secrets in its errors.

Used by every agent of this family, through the package httpx2, which is imported when an agent
starts. Nothing is retried here: the trigger's policy does that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

from ....errors import MissingExtra, RecordError
from ...expressions import Scope
from ...templates import compile_template, template_scope

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request, Response

MAX_REDIRECTS = 5
MAX_BODY = 16 * 1024 * 1024
CONNECT_SECONDS = 10.0
_MAY_PASS = (408, 425, 429)  # client errors that another attempt may not meet


class HttpError(RecordError):
    """A request got no answer, or one that says no. Holds no query, header or body."""

    kind = "INTERNAL_ERROR"

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        self.url, self.reason, self.http_status = _shown(url), reason, status
        self.permanent = status is not None and 400 <= status < 500 and status not in _MAY_PASS
        super().__init__(f"{self.url} {reason}")


def _shown(url: str) -> str:
    """An address without its user and query, which may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Client:
    """One agent's client, with the cookies that it was given unless they are refused."""

    def __init__(
        self,
        *,
        redirects: bool = True,
        cookies: bool = True,
        agent: str = "tidemill",
        read: float | None = None,
    ) -> None:
        self._redirects, self._cookies, self._agent, self._read = redirects, cookies, agent, read
        self._client: AsyncClient | None = None
        self._errors: tuple[type[Exception], ...] = ()

    def start(self) -> None:
        """Raises MissingExtra."""
        try:
            import httpx2
        except ImportError as error:
            raise MissingExtra("httpx2", "http", "an agent that speaks HTTP") from error
        refusing = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._errors = (httpx2.HTTPError, httpx2.InvalidURL)
        self._client = httpx2.AsyncClient(
            headers={"user-agent": self._agent},
            timeout=httpx2.Timeout(self._read, connect=min(CONNECT_SECONDS, self._read or CONNECT_SECONDS)),
            cookies=None if self._cookies else refusing,
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        redirects: bool | None = None,
    ) -> AsyncIterator[Response]:
        """The answer, whose body is still to be read. Raises HttpError, also while it is read."""
        assert self._client is not None, "the client was not started"
        follow = self._redirects if redirects is None else redirects
        request, response = self._request(method, url, headers, body), None
        try:
            response = await self._client.send(request, stream=True)
            for _ in range(MAX_REDIRECTS if follow else 0):
                following = response.next_request
                if following is None or (response.url.scheme == "https" != following.url.scheme):
                    break
                await response.aclose()
                response = await self._client.send(following, stream=True)
            yield response
        except self._errors as error:
            raise HttpError(url, _reason(error)) from None
        finally:
            if response is not None:
                await response.aclose()

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None, body: str | None) -> Request:
        assert self._client is not None
        content = None if body is None else body.encode("utf-8", "replace")
        try:
            return self._client.build_request(method, url, headers=dict(headers or {}), content=content)
        except Exception as error:  # the library's errors, and Python's for what is no address or header
            raise HttpError(url, f"cannot be asked: {type(error).__name__}") from None

    async def fetch(self, method: str, url: str, **options: Any) -> str:
        """The text of an answer. Raises HttpError for a status of 400 or more, or a body beyond bounds."""
        async with self.stream(method, url, **options) as response:
            if response.status_code >= 400:
                raise HttpError(url, f"answers HTTP {response.status_code}", response.status_code)
            body = await read_bounded(response, url)
            return decoded(body, response.charset_encoding)


async def read_bounded(response: Response, url: str, limit: int = MAX_BODY) -> bytes:
    """The body. Raises HttpError if it is larger than the limit."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > limit:
            raise HttpError(url, f"sends more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if "Timeout" in name:
        return "did not answer in time"
    if "Connect" in name:
        return "cannot be reached"
    return f"cannot be asked, or broke off ({name})"


def decoded(body: bytes, charset: str | None) -> str:
    """Text in the encoding that the server names, else UTF-8."""
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


# --- what is templated -----------------------------------------------------------------------------


class Templates:
    """Named templates, such as headers. Raises TemplateError if one is none."""

    def __init__(self, sources: Mapping[str, str] | None) -> None:
        self._templates = {name: compile_template(text) for name, text in (sources or {}).items()}

    def render(self, scope: Scope) -> dict[str, str]:
        root = template_scope(scope)
        return {name: template.render(root) for name, template in self._templates.items()}


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """The address with parameters; values are encoded as in forms, names stand as they are."""
    if not parameters:
        return url
    joined = "&".join(f"{name}={_encoded(value)}" for name, value in parameters.items())
    return f"{url}{'&' if '?' in url else '?'}{joined}"


def _encoded(value: str) -> str:
    return quote_plus(value, safe="*").replace("~", "%7E")
