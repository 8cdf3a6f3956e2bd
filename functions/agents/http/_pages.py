"""What the crawler reads in answers: links of pages, entries of sitemaps, text in any encoding."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from urllib.parse import urldefrag, urljoin, urlsplit
from xml.etree import ElementTree

_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9._:-]+)""", re.IGNORECASE)
_CHARSET_TEXT = re.compile(r"""(<meta[^>]{0,200}?charset\s*=\s*["']?\s*)[A-Za-z0-9._:-]+""", re.IGNORECASE)
_HEAD = 4096  # where a page may name its encoding
_MAX_SITEMAP = 50 * 1024 * 1024  # the protocol's bound, unpacked
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def is_text(content_type: str) -> bool:
    """Whether a page of this type is read for links."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind.endswith(("/xml", "+xml"))


def is_html(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def decoded(body: bytes, charset: str | None) -> str:
    """The text: by its byte order mark, else as the server says, as the page says, else as UTF-8."""
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return body.decode(codec, "replace")
    named = _CHARSET.search(body[:_HEAD])
    for name in (charset, named[1].decode("ascii") if named else None):
        try:
            if name:
                return body.decode(name, "replace")
        except LookupError:
            continue
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def as_utf8(text: str) -> bytes:
    """A page in UTF-8, that says so of itself."""
    head, rest = text[:_HEAD], text[_HEAD:]
    return (_CHARSET_TEXT.sub(r"\g<1>utf-8", head) + rest).encode("utf-8", "replace")


class _Links(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if target is None:
            return
        try:
            if tag == "base":
                self.base = urljoin(self.base, target.strip())
            elif tag == "a":
                self.found.append(urljoin(self.base, target.strip()))
        except ValueError:  # no address at all, such as http://[
            return


def links(text: str, url: str) -> list[str]:
    """The addresses that a page's `<a href>` name, in order, each once."""
    parser = _Links(url)
    try:
        parser.feed(text)
        parser.close()
    except AssertionError:  # html.parser's way to refuse broken declarations
        pass
    return list(dict.fromkeys(filter(None, map(plain, parser.found))))


def plain(url: str) -> str | None:
    """An address as the crawler knows it, without fragment; None if it is none of the web."""
    try:
        url = urldefrag(url).url
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not usable or any(ord(letter) < 32 for letter in url):
        return None
    return (url if parts.path else parts._replace(path="/").geturl()).replace(" ", "%20")


def origin_of(url: str) -> str:
    """scheme://host:port"""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def sitemap(body: bytes) -> tuple[list[str], list[str]]:
    """(pages, further sitemaps) of a sitemap in XML, text or either of them packed."""
    unpacked = _unpacked(body)
    try:
        entries = list(_entries(unpacked))
    except ElementTree.ParseError:
        lines = unpacked.decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip().startswith("http")], []
    pages = [url for parent, url in entries if parent != "sitemap"]
    return pages, [url for parent, url in entries if parent == "sitemap"]


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        with gzip.open(BytesIO(body)) as file:
            return file.read(_MAX_SITEMAP)
    except (OSError, EOFError, zlib.error):
        return b""


def _entries(body: bytes) -> Iterator[tuple[str, str]]:
    """(name of the element around it, address) of every `<loc>`, and the links of feeds."""
    parents: list[str] = []
    for event, element in ElementTree.iterparse(BytesIO(body), events=("start", "end")):
        name = element.tag.rpartition("}")[2].lower()
        if event == "start":
            parents.append(name)
            continue
        parents.pop()
        if name == "loc" and element.text:
            yield (parents[-1] if parents else ""), element.text.strip()
        elif name == "link" and "item" in parents and element.text:
            yield "item", element.text.strip()
        if name in ("url", "sitemap", "item"):
            element.clear()
