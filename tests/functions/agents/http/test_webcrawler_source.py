"""webcrawler-source against a real site with traps: what is fetched, emitted and remembered, how politely."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from contract.context import TestContext, running
from support.s3_server import bucket, client
from support.web_server import Page, Site, site

from tidemill.errors import ConfigurationError
from tidemill.functions.agents.http.webcrawler_source import MAX_TEXT, on_disk
from tidemill.record import Record


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as found:
        yield found


def configured(web: Site, **more: Any) -> dict[str, Any]:
    named = {
        "seed-urls": [f"{web.url}/"],
        "allowed-domains": [web.url],
        "min-time-between-requests": 0,
        "http-timeout": 2000,
    }
    return named | {name.replace("_", "-"): value for name, value in more.items()}


async def crawl(crawler: Any, *, commit: bool = True) -> list[Record]:
    """Everything up to the end of the round."""
    found: list[Record] = []
    while crawler.info()["pending-urls"]:
        for record in await crawler.read():
            found.append(record)
            if commit:
                await crawler.commit(record)
    return found


def crawled(web: Site, state: Path, *, commit: bool = True, **more: Any) -> list[Record]:
    async def run() -> list[Record]:
        context = TestContext(state_directory=state)
        async with running("webcrawler-source", configured(web, **more), context) as crawler:
            return await crawl(crawler, commit=commit)

    return asyncio.run(run())


def paths(web: Site, records: list[Record]) -> list[str]:
    return [record.key.removeprefix(web.url) for record in records]


# --- what is fetched and emitted -------------------------------------------------------------------


def test_links_are_followed_once(web: Site, tmp_path: Path) -> None:
    web.pages |= {
        "/": '<a href="/a#x">a</a> <a href="b">b</a> <a href="/">home</a> <a href="/gone">gone</a>',
        "/a": Page("<p>A", kind="text/html; charset=utf-8"),
        "/b": '<a href="/a">a</a><a href="https://elsewhere.example.com/">else</a>',
    }
    records = crawled(web, tmp_path)
    assert paths(web, records) == ["/", "/a", "/b"]
    assert web.paths == ["/robots.txt", "/", "/a", "/b", "/gone"]
    page = replace(records[1], headers=records[1].headers[:2])  # the third names the record
    assert page == Record(
        b"<p>A", f"{web.url}/a", (("url", f"{web.url}/a"), ("content_type", "text/html; charset=utf-8"))
    )


def test_pages_are_emitted_in_utf_8(web: Site, tmp_path: Path) -> None:
    web.pages["/"] = Page('<meta charset="latin1">größe'.encode("latin-1"))
    [page] = crawled(web, tmp_path)
    assert page.value.decode() == '<meta charset="utf-8">größe'


def test_domains_paths_and_bounds(web: Site, tmp_path: Path) -> None:
    web.pages |= {
        "/": '<a href="/no/x">x</a><a href="/1">1</a>',
        **{f"/{n}": f'<a href="/{n + 1}">next</a>' for n in range(1, 9)},
    }
    assert paths(web, crawled(web, tmp_path / "a", forbidden_paths=["/no"], max_depth=3)) == [
        "/",
        "/1",
        "/2",
        "/3",
    ]
    assert "/no/x" not in web.paths
    # robots.txt counts too, and so does what is known but not wanted
    assert paths(web, crawled(web, tmp_path / "b", forbidden_paths=["/no"], max_urls=5)) == ["/", "/1", "/2"]
    assert crawled(web, tmp_path / "c", allowed_domains=[]) == []
    assert paths(web, crawled(web, tmp_path / "d", allowed_domains=["127.0.0.1"], max_depth=1)) == ["/", "/1"]
    assert crawled(web, tmp_path / "e", allowed_domains=["0.0.1"]) == []
    assert paths(web, crawled(web, tmp_path / "f", scan_html_documents=False)) == ["/"]


def test_redirects_are_links(web: Site, tmp_path: Path) -> None:
    web.pages |= {
        "/": Page(status=302, headers={"location": "/a"}),
        "/a": Page("<a href='/loop'>l</a><a href='/out'>o</a>"),
        "/loop": Page(status=301, headers={"location": "/loop2"}),
        "/loop2": Page(status=301, headers={"location": "/loop"}),
        "/out": Page(status=302, headers={"location": "https://elsewhere.example.com/"}),
        "/nowhere": Page(status=302),
    }
    assert paths(web, crawled(web, tmp_path)) == ["/a"]
    assert web.paths.count("/loop") == 1


def test_other_contents(web: Site, tmp_path: Path) -> None:
    web.pages |= {
        "/": '<a href="/f.pdf">pdf</a><a href="/t.txt">txt</a>',
        "/f.pdf": Page(b"%PDF\xff", kind="application/pdf"),
        "/t.txt": Page("plain", kind="text/plain"),
    }
    assert paths(web, crawled(web, tmp_path / "a")) == ["/", "/t.txt"]
    records = crawled(web, tmp_path / "b", allow_non_html_contents=True)
    assert [record.value for record in records[1:]] == [b"%PDF\xff", b"plain"]


def test_errors_are_tried_again_so_often(web: Site, tmp_path: Path) -> None:
    answers = iter([Page(status=500), Page(status=503), Page("back")])
    web.pages |= {
        "/": '<a href="/weak">w</a><a href="/dead">d</a><a href="/no">n</a>',
        "/weak": lambda asked: next(answers),
        "/dead": Page(status=500),
        "/no": Page(status=403),
    }
    assert paths(web, crawled(web, tmp_path, max_error_count=3)) == ["/", "/weak"]
    assert [web.paths.count(path) for path in ("/weak", "/dead", "/no")] == [3, 3, 1]


def test_traps(web: Site, tmp_path: Path) -> None:
    def endless(out: Any) -> None:
        while True:
            out.write(b"<p>more and more</p>" * 1000)

    def dripping(out: Any) -> None:
        while not web.stopping.wait(0.05):
            out.write(b"x")

    web.pages |= {
        "/": '<a href="/endless">e</a><a href="/slow">s</a><a href="/drip">d</a><a href="/cut">c</a>',
        "/endless": Page(trap=endless),
        "/slow": Page(trap=lambda out: web.stopping.wait(30)),
        "/drip": Page(trap=dripping),
        "/cut": Page(headers={"content-length": "10"}, trap=lambda out: out.write(b"abc")),
        "/deep": "<div>" * 100_000,
    }
    records = crawled(web, tmp_path, max_error_count=1, http_timeout=150)
    assert paths(web, records) == ["/", "/endless"]
    assert len(records[1].value) == MAX_TEXT


# --- robots and sitemaps ---------------------------------------------------------------------------


def test_robots_and_sitemaps(web: Site, tmp_path: Path) -> None:
    robots = f"User-agent: *\nDisallow: /private\nSitemap: {web.url}/map.xml\nSitemap: /list.txt"
    web.pages |= {
        "/robots.txt": Page(robots, kind="text/plain"),
        "/": '<a href="/private/x">x</a>',
        "/map.xml": Page(
            "<sitemapindex><sitemap><loc>/inner.xml</loc></sitemap></sitemapindex>", kind="text/xml"
        ),
        "/inner.xml": Page(f"<urlset><url><loc>{web.url}/a</loc></url></urlset>", kind="text/xml"),
        "/list.txt": Page(
            f"{web.url}/b\n{web.url}/private/y\nhttps://elsewhere.example.com/", kind="text/plain"
        ),
        "/a": "A",
        "/b": "B",
        "/private/x": "X",
        "/private/y": "Y",
    }
    assert sorted(paths(web, crawled(web, tmp_path / "a"))) == ["/", "/a", "/b"]
    assert not any(path.startswith("/private") for path in web.paths)
    assert "/private/x" in paths(web, crawled(web, tmp_path / "b", handle_robots_file=False))


def test_a_robots_file_that_fails_comes_before_the_pages(web: Site, tmp_path: Path) -> None:
    answers = iter([Page(status=503), Page("User-agent: *\nDisallow: /a", kind="text/plain")])
    web.pages |= {"/robots.txt": lambda asked: next(answers), "/": "<a href='/a'>a</a>", "/a": "A"}
    assert paths(web, crawled(web, tmp_path)) == ["/"]
    assert web.paths == ["/robots.txt", "/robots.txt", "/"]


def test_who_cannot_say_what_is_allowed_is_left_alone(web: Site, tmp_path: Path) -> None:
    web.pages |= {"/robots.txt": Page(status=500), "/": "home"}
    assert crawled(web, tmp_path, max_error_count=2) == []
    assert web.paths == ["/robots.txt"] * 2


# --- politeness ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("robots", "between"), [("", 100), ("User-agent: *\nCrawl-delay: 0.12", 10)])
def test_a_host_is_left_alone_for_a_while(web: Site, tmp_path: Path, robots: str, between: int) -> None:
    times: list[float] = []

    def timed(body: str) -> Any:
        def page(asked: Any) -> Page:
            times.append(time.monotonic())
            return Page(body)

        return page

    web.pages |= {"/robots.txt": Page(robots, kind="text/plain")}
    web.pages |= {"/": timed('<a href="/a">a</a><a href="/b">b</a>'), "/a": timed(""), "/b": timed("")}
    crawled(web, tmp_path, min_time_between_requests=between)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) == 2
    assert min(gaps) >= 0.09


# --- state -----------------------------------------------------------------------------------------

CHAIN = {
    "/": '<a href="/1">1</a><a href="/2">2</a>',
    "/1": '<a href="/3">3</a>',
    "/2": "two",
    "/3": "three",
}


def test_a_new_process_goes_on(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN

    async def until_the_second() -> list[str]:
        """Reads three pages, commits two, and dies: nothing is closed."""
        context = TestContext(state_directory=tmp_path)
        manager = running("webcrawler-source", configured(web), context)
        crawler = await manager.__aenter__()
        records: list[Record] = []
        while len(records) < 3:
            records += await crawler.read()
        for record in records[:2]:
            await crawler.commit(record)
        await crawler._client.close()
        return paths(web, records)

    assert asyncio.run(until_the_second()) == ["/", "/1", "/2"]
    web.asked.clear()
    # Only what was in flight is read again, and nothing is lost.
    assert paths(web, crawled(web, tmp_path)) == ["/2", "/3"]
    assert "/robots.txt" not in web.paths
    assert crawled(web, tmp_path) == []


def test_a_page_has_one_name_in_a_round(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN
    first = crawled(web, tmp_path, commit=False)
    names = [record.header("tidemill-id") for record in first]
    assert len(set(names)) == 4
    assert [record.header("tidemill-id") for record in crawled(web, tmp_path)] == names
    (tmp_path / "test-agent.webcrawler.status.json").unlink()
    assert crawled(web, tmp_path)[0].header("tidemill-id") not in names


def test_what_is_not_committed_is_read_again(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN
    first = crawled(web, tmp_path, commit=False)
    assert crawled(web, tmp_path) == first


def test_the_state_file_is_langstreams(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN | {"/robots.txt": Page("User-agent: *\nDisallow: /3", kind="text/plain")}
    crawled(web, tmp_path)
    stored = json.loads((tmp_path / "test-agent.webcrawler.status.json").read_text())
    assert stored["remainingUrls"] == []
    assert stored["urls"][0] == {"url": f"{web.url}/robots.txt", "type": "ROBOTS", "depth": 0}
    assert stored["robotFiles"][f"{web.url}/robots.txt"]["contentType"] == "text/plain"
    assert set(stored) == {
        "remainingUrls",
        "urls",
        "lastIndexEndTimestamp",
        "lastIndexStartTimestamp",
        "robotFiles",
    }


def test_the_rules_survive_a_restart(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN | {"/robots.txt": Page("User-agent: *\nDisallow: /3", kind="text/plain")}
    crawled(web, tmp_path, max_depth=1)
    web.pages["/1"] = Page("", 500)
    assert "/3" not in web.paths
    assert crawled(web, tmp_path, seed_urls=[f"{web.url}/3", f"{web.url}/4"]) == []
    assert "/3" not in web.paths


@pytest.mark.parametrize("content", ["", "{", '{"urls": "x"}'])
def test_a_damaged_state_means_to_begin_anew(web: Site, tmp_path: Path, content: str) -> None:
    web.pages |= CHAIN
    (tmp_path / "test-agent.webcrawler.status.json").write_text(content)
    assert len(crawled(web, tmp_path)) == 4


def test_a_new_round(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN

    async def run() -> tuple[int, int]:
        context = TestContext(state_directory=tmp_path)
        async with running(
            "webcrawler-source", configured(web, reindex_interval_seconds=1), context
        ) as crawler:
            first = await crawl(crawler)
            again: list[Record] = []
            while not again:
                again += await crawler.read()
            return len(first), len(again + await crawl(crawler, commit=False))

    assert asyncio.run(run()) == (4, 4)


def test_the_round_ends_when_all_is_committed(web: Site, tmp_path: Path) -> None:
    web.pages |= CHAIN

    async def run() -> None:
        context = TestContext(state_directory=tmp_path)
        async with running("webcrawler-source", configured(web), context) as crawler:
            records = await crawl(crawler, commit=False)
            assert list(await crawler.read()) == []
            assert crawler.info()["last-index-end"] == 0
            for record in records:
                await crawler.commit(record)
            assert list(await crawler.read()) == []
            assert crawler.info()["last-index-end"] > 0

    asyncio.run(run())


def test_the_state_in_s3(web: Site) -> None:
    web.pages |= CHAIN
    place = bucket()

    async def run() -> list[Record]:
        async with running("webcrawler-source", configured(web) | place | {"state-storage": "s3"}) as crawler:
            return await crawl(crawler)

    assert len(asyncio.run(run())) == 4
    stored = client().get_object(Bucket=place["bucketName"], Key="test-agent.webcrawler.status.json")
    assert json.loads(stored["Body"].read())["remainingUrls"] == []
    assert asyncio.run(run()) == []


def test_where_the_state_goes() -> None:
    assert on_disk({})
    assert on_disk({"state-storage": "disk", "endpoint": "https://s3.example.com"})
    assert not on_disk({"endpoint": "https://s3.example.com"})
    assert not on_disk({"state-storage": "s3"})


def test_a_state_without_a_place_stops_the_start(web: Site) -> None:
    async def start(**more: Any) -> None:
        async with running("webcrawler-source", configured(web, **more)):
            pass

    with pytest.raises(ConfigurationError, match="no disk"):
        asyncio.run(start())
    with pytest.raises(ConfigurationError, match="endpoint"):
        asyncio.run(start(state_storage="s3"))
