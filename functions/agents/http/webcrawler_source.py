"""`webcrawler-source`: follows links and sitemaps from some seeds; each page becomes a record.

One address is fetched per read, politely: robots.txt is obeyed, and a host is left alone for a while
between two requests. The state is stored, so that a new process goes on where the old one was; a page
whose records were not safe yet is fetched again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from ....errors import ConfigurationError
from ....record import Record
from ...api import Context, Declaration, Example
from ...config import AgentConfig
from ...sourcing import NAMED
from ..storage._s3 import DEFAULT_BUCKET, DEFAULT_ENDPOINT, Bucket
from ._client import MAX_BODY, Client, HttpError, read_bounded
from ._frontier import Frontier, Reference, RobotsFile
from ._pages import as_utf8, decoded, is_html, is_text, links, origin_of, plain, sitemap
from ._robots import NOTHING, Robots, parse_robots
from ._state import BucketState, FileState, StateStore

if TYPE_CHECKING:
    from httpx2 import Response

MAX_TEXT = 2 * 1024 * 1024  # of a page with text; the rest is cut off
_PATIENCE = 6  # times http-timeout, for a whole page
_IDLE = 0.1  # seconds between two looks when there is nothing to fetch

log = logging.getLogger("tidemill.webcrawler-source")


class CrawlerConfig(AgentConfig):
    """`min-time-between-requests` and `http-timeout` in milliseconds.

    `state-storage` is `s3` if an endpoint is given, else `disk`. `max-unflushed-pages` is how many
    pages may be committed before the state is stored: on a disk one, in S3 a hundred.
    """

    seed_urls: tuple[str, ...] = ()
    allowed_domains: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    max_urls: int = 1000
    max_depth: int = 50
    handle_robots_file: bool = True
    scan_html_documents: bool = True
    allow_non_html_contents: bool = False
    min_time_between_requests: int = 500
    user_agent: str = "Mozilla/5.0 (compatible; Tidemill/0.1)"
    max_error_count: int = 5
    http_timeout: int = 10_000
    handle_cookies: bool = True
    reindex_interval_seconds: int = 86_400
    max_unflushed_pages: int | None = None
    state_storage: Literal["s3", "disk"] | None = None
    bucket: str = Field(DEFAULT_BUCKET, alias="bucketName")
    endpoint: str = DEFAULT_ENDPOINT
    access_key: str = "minioadmin"
    secret_key: str = "minioadmin"
    region: str = ""


def on_disk(configuration: Any) -> bool:
    """Whether the state of a crawler with this configuration goes to a disk."""
    stated = configuration.get("state-storage")
    return bool(
        stated == "disk" if stated else configuration.get("endpoint", DEFAULT_ENDPOINT) == DEFAULT_ENDPOINT
    )


class Crawler:
    def __init__(self, config: CrawlerConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._store: StateStore | None = None
        self._flush_after = config.max_unflushed_pages or (1 if on_disk(_written(config)) else 100)
        self._timeout = config.http_timeout / 1000
        self._client = Client(
            redirects=False, cookies=config.handle_cookies, agent=config.user_agent, read=self._timeout
        )
        self._frontier = Frontier(max_urls=config.max_urls, max_depth=config.max_depth)
        self._rules: dict[str, Robots] = {}
        self._seen: dict[str, float] = {}  # origin -> when its next request may begin
        self._unflushed = 0

    async def start(self) -> None:
        self._client.start()
        self._store = _storage(self._config, self._context)
        await self._store.start()
        known = self._frontier.restore(await self._store.load())
        if not known:
            self._frontier.begin(_now())
        for url, file in self._frontier.robots.items():
            self._rules[origin_of(url)] = parse_robots(file.content.encode(), self._config.user_agent)
        self._sow()
        if not known:
            await self._save()  # when the round began is part of the records' names

    async def close(self) -> None:
        if self._unflushed:
            await self._save()
        await self._client.close()
        if self._store:
            await self._store.close()

    def info(self) -> dict[str, Any]:
        return {**self._frontier.info(), "seed-urls": list(self._config.seed_urls)}

    # --- the agent's contract ----------------------------------------------------------------------

    async def read(self) -> Sequence[Record]:
        """The page of one address, or nothing."""
        reference = self._frontier.next()
        if reference is None:
            await self._rest()
            return ()
        await self._wait_for(reference.url)
        try:
            async with asyncio.timeout(_PATIENCE * self._timeout):
                return await self._fetch(reference)
        except HttpError as error:
            self._failed(reference, error.reason)
        except TimeoutError:
            self._failed(reference, "takes too long")
        finally:
            self._seen[origin_of(reference.url)] = time.monotonic() + self._delay(reference.url)
        return ()

    async def commit(self, record: Record) -> None:
        self._frontier.done(record.key)
        self._unflushed += 1
        if self._unflushed >= self._flush_after:
            await self._save()

    async def _save(self) -> None:
        assert self._store is not None, "the crawler was not started"
        await self._store.save(self._frontier.written())
        self._unflushed = 0

    async def _rest(self) -> None:
        """Nothing is left to fetch. The round has ended when all pages are committed too."""
        frontier, interval = self._frontier, self._config.reindex_interval_seconds
        if not frontier.ended and not frontier.remaining:
            frontier.ended = _now()
            await self._save()
        if interval > 0 and frontier.ended and _now() - frontier.ended >= interval * 1000:
            frontier.begin(_now())
            self._rules.clear()
            self._sow()
            await self._save()
            return
        await asyncio.sleep(_IDLE)

    # --- what may be fetched, and when -------------------------------------------------------------

    def _sow(self) -> None:
        for seed in self._config.seed_urls:
            url = plain(seed)
            if url is None or not self._permitted(url):
                log.warning("the seed %s is not allowed by allowed-domains and forbidden-paths", seed)
                continue
            if self._config.handle_robots_file:
                robots = Reference(f"{origin_of(url)}/robots.txt", "ROBOTS")
                self._frontier.add(robots, bounded=False)
            self._frontier.add(Reference(url))

    def _permitted(self, url: str) -> bool:
        """By the configuration alone."""
        parts = urlsplit(url)
        if any(parts.path.startswith(path) for path in self._config.forbidden_paths):
            return False
        return any(_within(url, parts.hostname or "", domain) for domain in self._config.allowed_domains)

    def _welcome(self, url: str) -> bool:
        """By the configuration and the host's robots.txt."""
        rules = self._rules.get(origin_of(url)) if self._config.handle_robots_file else None
        return self._permitted(url) and (rules is None or rules.allows(url))

    def _delay(self, url: str) -> float:
        rules = self._rules.get(origin_of(url))
        asked = (rules.delay if rules else None) or 0.0
        return max(asked, self._config.min_time_between_requests / 1000)

    async def _wait_for(self, url: str) -> None:
        await asyncio.sleep(max(0.0, self._seen.get(origin_of(url), 0.0) - time.monotonic()))

    # --- answers -----------------------------------------------------------------------------------

    async def _fetch(self, reference: Reference) -> Sequence[Record]:
        url = reference.url
        if not self._welcome(url) and reference.type != "ROBOTS":
            self._frontier.done(url)  # robots.txt came after the link
            return ()
        async with self._client.stream("GET", url, redirects=reference.type == "ROBOTS") as response:
            status = response.status_code
            if status >= 500 or status == 429:
                raise HttpError(url, f"answers HTTP {status}", status)
            if reference.type == "ROBOTS":
                await self._read_robots(reference, response)
            elif 300 <= status < 400:
                self._redirected(reference, response.headers.get("location"))
            elif status >= 400:
                log.info("%s answers HTTP %d and is left out", url, status)
                self._frontier.done(url)
            elif reference.type == "SITEMAP":
                self._read_sitemap(reference, await read_bounded(response, url))
            else:
                return await self._read_page(reference, response)
        return ()

    async def _read_robots(self, reference: Reference, response: Response) -> None:
        """A missing file allows everything."""
        self._frontier.done(reference.url)
        if response.status_code >= 300:
            return
        content = (await read_bounded(response, reference.url)).decode("utf-8", "replace")
        file = RobotsFile(content, response.headers.get("content-type", ""))
        self._frontier.robots[reference.url] = file
        rules = parse_robots(content.encode(), self._config.user_agent)
        self._rules[origin_of(reference.url)] = rules
        for named in rules.sitemaps:
            self._add_sitemap(urljoin(reference.url, named))

    def _add_sitemap(self, named: str) -> None:
        url = plain(named)
        if url is not None and self._welcome(url):
            self._frontier.add(Reference(url, "SITEMAP"))

    def _read_sitemap(self, reference: Reference, body: bytes) -> None:
        pages, further = sitemap(body)
        for named in further:
            self._add_sitemap(urljoin(reference.url, named))
        for named in pages:
            url = plain(urljoin(reference.url, named))
            if url is not None and self._permitted(url):
                self._frontier.add(Reference(url))
        self._frontier.done(reference.url)

    def _redirected(self, reference: Reference, target: str | None) -> None:
        self._frontier.done(reference.url)
        url = plain(urljoin(reference.url, target or ""))
        if url is not None and self._welcome(url):
            self._frontier.add(Reference(url, reference.type, reference.depth + 1))
        else:
            log.info("%s redirects to where the crawler may not go", reference.url)

    async def _read_page(self, reference: Reference, response: Response) -> Sequence[Record]:
        url, kind = reference.url, response.headers.get("content-type", "")
        if not is_text(kind):
            if not self._config.allow_non_html_contents:
                self._frontier.done(url)
                return ()
            return [self._page(url, kind, await read_bounded(response, url, MAX_BODY))]
        body = await _beginning(response)
        if not is_html(kind):
            return [self._page(url, kind, body)]
        text = decoded(body, response.charset_encoding)
        if self._config.scan_html_documents:
            self._follow(reference, links(text, str(response.url)))
        return [self._page(url, kind, as_utf8(text))]

    def _page(self, url: str, content_type: str, content: bytes) -> Record:
        """Read again in the same round, a page has the same name: a topic takes it once."""
        name = hashlib.sha256(f"{self._frontier.started} {url}".encode()).hexdigest()[:32]
        return Record(content, url, (("url", url), ("content_type", content_type), (NAMED, name)))

    def _follow(self, reference: Reference, found: Sequence[str]) -> None:
        for url in found:
            link = Reference(url, depth=reference.depth + 1)
            if self._welcome(url):
                self._frontier.add(link)
            else:
                self._frontier.discard(link)

    def _failed(self, reference: Reference, reason: str) -> None:
        again = self._frontier.again(reference, self._config.max_error_count)
        log.info("%s %s; %s", reference.url, reason, "it is tried again" if again else "it is given up")
        if reference.type == "ROBOTS" and not again:
            # Who cannot say what is allowed is left alone (RFC 9309, 2.3.1.4).
            self._rules[origin_of(reference.url)] = NOTHING


async def _beginning(response: Response) -> bytes:
    """The body up to the bound for text."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) >= MAX_TEXT:
            break
    return bytes(body[:MAX_TEXT])


def _within(url: str, host: str, domain: str) -> bool:
    """A domain is the beginning of an address, or a host's name."""
    if "://" in domain:
        return url.startswith(domain)
    return host.lower() == domain.lower()


def _written(config: CrawlerConfig) -> dict[str, Any]:
    return config.model_dump(by_alias=True)


def _storage(config: CrawlerConfig, context: Context) -> StateStore:
    """Where the state goes."""
    name = f"{context.application}-{context.agent}.webcrawler.status.json"
    if on_disk(_written(config)):
        if context.state_directory is None:
            hint = "set resources.disk.enabled, or state-storage: s3"
            raise ConfigurationError("webcrawler-source has no disk for its state", hint=hint)
        return FileState(context.state_directory / name)
    bucket = Bucket(config.bucket, config.endpoint, config.access_key, config.secret_key, config.region)
    return BucketState(bucket, name)


def _now() -> int:
    return int(time.time() * 1000)


AGENT = Declaration(
    type="webcrawler-source",
    kind="source",
    summary="Follows the links and sitemaps of web sites; each page becomes a record.",
    config=CrawlerConfig,
    handler=Crawler,
    extra="http",
    wants_disk=on_disk,
    example=Example(
        configuration={
            "seed-urls": ["https://docs.example.com/"],
            "allowed-domains": ["https://docs.example.com/"],
            "forbidden-paths": ["/private"],
            "max-urls": 100,
            "state-storage": "disk",
        },
    ),
)
