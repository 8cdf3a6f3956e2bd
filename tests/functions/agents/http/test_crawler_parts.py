"""What the crawler reads: robots.txt, sitemaps, links, encodings; and what it remembers."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.functions.agents.http._frontier import Frontier, Reference
from tidemill.functions.agents.http._pages import as_utf8, decoded, links, plain, sitemap
from tidemill.functions.agents.http._robots import parse_robots

ROBOTS = b"""\xef\xbb\xbfUser-agent: *
Disallow: /private
Allow: /private/open
Disallow: /*.pdf$
Disallow: /a%2fb
Crawl-delay: 2
# comment
User-agent: tidemill
User-Agent: other
Disallow: /only-us  # comment
Disallow:
Crawl-delay: x

Sitemap: https://h/map.xml
Sitemap: /second.xml
User-agent: tidemill
Disallow: /again
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/private", False),
        ("/private/x?y=1", False),
        ("/private/open/x", True),
        ("/x/y.pdf", False),
        ("/x/y.pdf?download", True),
        ("/only-us", True),
        ("/prívate", True),
    ],
)
def test_rules_of_all(path: str, allowed: bool) -> None:
    assert parse_robots(ROBOTS, "Mozilla/5.0 (compatible; Someone/1)").allows(f"https://h{path}") == allowed


def test_rules_of_one_and_what_belongs_to_nobody() -> None:
    robots = parse_robots(ROBOTS, "Mozilla/5.0 (compatible; Tidemill/0.1)")
    assert robots.allows("https://h/private")
    assert not robots.allows("https://h/only-us")
    assert not robots.allows("https://h/again")  # groups of one name are one
    assert robots.delay is None
    assert robots.sitemaps == ("https://h/map.xml", "/second.xml")
    assert parse_robots(ROBOTS, "x").delay == 2


def test_of_equal_rules_the_one_that_allows_wins() -> None:
    assert parse_robots(b"User-agent: *\nDisallow: /a\nAllow: /a", "x").allows("https://h/a")


@given(st.binary(max_size=300))
def test_any_file_can_be_read(content: bytes) -> None:
    parse_robots(b"User-agent: *\nDisallow: " + content, "x").allows("https://h/a?b=%zz")
    sitemap(content)
    links(decoded(content, None), "https://h/")


MAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc> https://h/a </loc><lastmod>2024</lastmod></url><url><loc>https://h/b?x=1&amp;y=2</loc></url></urlset>"""
INDEX = b"<sitemapindex><sitemap><loc>https://h/one.xml</loc></sitemap></sitemapindex>"
FEED = b"<rss><channel><link>https://h/</link><item><link>https://h/post</link></item></channel></rss>"


@pytest.mark.parametrize(
    ("content", "pages", "further"),
    [
        (MAP, ["https://h/a", "https://h/b?x=1&y=2"], []),
        (gzip.compress(MAP), ["https://h/a", "https://h/b?x=1&y=2"], []),
        (INDEX, [], ["https://h/one.xml"]),
        (FEED, ["https://h/post"], []),
        (b"https://h/a\nhttps://h/b\n\nnothing", ["https://h/a", "https://h/b"], []),
        (b"<html", [], []),
        (b"\x1f\x8bbroken", [], []),
    ],
)
def test_sitemaps(content: bytes, pages: list[str], further: list[str]) -> None:
    assert sitemap(content) == (pages, further)


def test_links() -> None:
    page = """<base href="/docs/"><a href=" a.html#part ">x</a><A HREF='../b?x=1&amp;y=2'>y</A><a name=z>
    <a href="mailto:x@y"><a href="javascript:x"><link href="/style.css"><a href="//other/c"><a href="a.html">
    <a href="http://["><a href="/sp ace"><!-- <a href="/no"> --><script>"<a href='/no'>"</script>"""
    assert links(page, "https://h/x/y") == [
        "https://h/docs/a.html",
        "https://h/b?x=1&y=2",
        "https://other/c",
        "https://h/sp%20ace",
    ]


def test_addresses() -> None:
    assert plain("https://h") == "https://h/"
    assert plain("https://h/a#b") == "https://h/a"
    assert [plain(url) for url in ("ftp://h/", "/a", "https://", "http://h:x/", "http://[/")] == [None] * 5


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("größe".encode("latin-1"), "ISO-8859-1"),
        ('<meta charset="windows-1252">größe'.encode("cp1252"), None),
        ('<meta http-equiv=c content="text/html; charset=koi8-r">größe'.encode("koi8-r", "replace"), None),
        ("größe".encode(), None),
        ("größe".encode("cp1252"), None),
        ("größe".encode("utf-16"), "latin-1"),
        ("größe".encode(), "no-such-encoding"),
    ],
)
def test_encodings(body: bytes, charset: str | None) -> None:
    text = decoded(body, charset)
    assert "gr" in text
    assert text.endswith(("größe", "gr??e"))
    assert as_utf8(text).decode() == text.replace("windows-1252", "utf-8").replace("koi8-r", "utf-8")


# --- memory ----------------------------------------------------------------------------------------


def test_an_address_is_queued_once_and_within_bounds() -> None:
    frontier = Frontier(max_urls=3, max_depth=1)
    assert frontier.add(Reference("a"))
    assert not frontier.add(Reference("a"))
    assert not frontier.add(Reference("deep", depth=2))
    frontier.discard(Reference("b"))
    assert not frontier.add(Reference("b"))
    assert frontier.add(Reference("c", depth=1))
    assert not frontier.add(Reference("d"))
    assert frontier.add(Reference("robots", "ROBOTS"), bounded=False)


def test_what_was_in_flight_is_taken_up_again() -> None:
    frontier = Frontier(max_urls=0, max_depth=0)
    for name in "abc":
        frontier.add(Reference(name, depth=ord(name)))
    frontier.next()
    frontier.next()
    frontier.done("a")
    later = Frontier(max_urls=0, max_depth=0)
    assert later.restore(frontier.written())
    assert [later.next(), later.next(), later.next()] == [
        Reference("b", depth=98),
        Reference("c", depth=99),
        None,
    ]
    assert not later.add(Reference("a"))
    assert b'"remainingUrls":["b","c"]' in frontier.written()


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"urls": 1}'])
def test_a_state_that_cannot_be_read_is_none(content: bytes | None) -> None:
    frontier = Frontier(max_urls=0, max_depth=0)
    frontier.add(Reference("a"))
    assert not frontier.restore(content)
    assert frontier.next() == Reference("a")


def test_failures_are_counted_and_robots_come_first() -> None:
    frontier = Frontier(max_urls=0, max_depth=0)
    for reference in (Reference("r", "ROBOTS"), Reference("a"), Reference("b")):
        frontier.add(reference)
    assert frontier.again(frontier.next() or Reference(""), 2)
    assert frontier.next() == Reference("r", "ROBOTS")
    page = frontier.next()
    assert page
    assert frontier.again(page, 2)
    assert frontier.next() == Reference("b")
    assert not frontier.again(page, 2)
    assert "a" not in frontier.remaining
