"""The text that a reader of a web page sees, navigation included.

Used by `text-extractor`. It looks at tags one by one and builds no tree: broken pages are normal, and
every page takes time in proportion to its size (the standard library's parser, and real browsers'
trees, take hours for some that are made to).
"""

from __future__ import annotations

import re
from html import unescape

from ._media import decode

# What is inside them is not shown. They hold no elements: all ends at their closing tag.
_UNSEEN = frozenset({"script", "style", "template", "title"})
# Elements that stand on lines of their own, and those with an empty line around them.
_LINES = frozenset(
    {"address", "caption", "dd", "div", "dt", "figcaption", "li", "option", "summary", "textarea", "tr"}
)
_PARAGRAPHS = frozenset(
    {"article", "aside", "blockquote", "body", "details", "dl", "figure", "footer", "form", "h1", "h2"}
    | {"h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul"}
)
_CELLS = frozenset({"td", "th"})

_OPENING = re.compile(r"<(?:!--|[!?]|(/?)([a-zA-Z][^\s/>]*+))")
_ATTRIBUTES = re.compile(
    r"""(?:[\s/]++|[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+))?+)*+>""",
)
_CLOSING = {tag: re.compile(rf"</{tag}[\s/>]", re.IGNORECASE) for tag in _UNSEEN}
_SPACE = re.compile(r"[ \t\n\r\f]+")
_META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
# What web pages call Latin-1 is Windows' superset of it.
_WEB_NAMES = {"iso-8859-1": "windows-1252", "latin1": "windows-1252", "us-ascii": "windows-1252"}


def html_text(data: bytes) -> str:
    """The text of a page in any encoding, one line per block."""
    found = _META_CHARSET.search(data[:4096])
    stated = found[1].decode("ascii").lower() if found else None
    return page_text(decode(data, _WEB_NAMES.get(stated, stated) if stated else None))


def page_text(page: str) -> str:
    """The same for a page that is text already."""
    out = _Lines()
    at = 0
    while (opening := _OPENING.search(page, at)) is not None:
        out.add(page[at : opening.start()])
        at = _take(page, opening, out)
        if at < 0:  # something that nobody closed: it takes the rest along
            return out.text()
    out.add(page[at:])
    return out.text()


def _take(page: str, opening: re.Match[str], out: _Lines) -> int:
    """Where the page goes on after a comment or tag; -1 when that never ends."""
    tag = opening[2]
    if tag is None:
        end = "-->" if opening[0] == "<!--" else ">"
        found = page.find(end, opening.start() + 2)
        return found if found < 0 else found + len(end)
    tag = tag.lower()
    whole = _ATTRIBUTES.match(page, opening.end())
    at = whole.end() if whole else page.find(">", opening.end()) + 1
    if at == 0:
        return -1
    if opening[1]:
        out.end(tag)
        return at
    if tag in _UNSEEN:
        closing = _CLOSING[tag].search(page, at)
        return page.find(">", closing.start()) + 1 or -1 if closing else -1
    out.start(tag)
    return at


class _Lines:
    """Text with the breaks between blocks, which wait until text follows, so that none pile up."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._break = ""
        self._exact = 0  # inside <pre>

    def add(self, raw: str) -> None:
        text = unescape(raw) if "&" in raw else raw
        if not self._exact:
            text = _SPACE.sub(" ", text)
            if self._break or not self._out or self._out[-1].endswith(" "):
                text = text.lstrip(" ")
        if not text:
            return
        if self._break and self._out:
            self._out[-1] = self._out[-1].rstrip(" ")
            self._out.append(self._break)
        self._break = ""
        self._out.append(text)

    def start(self, tag: str) -> None:
        if tag == "br":
            self._break = "\n\n" if self._break.startswith("\n") else "\n"
        elif tag in _CELLS:
            self._break = self._break or "\t"
        else:
            self._exact += tag == "pre"
            self._block(tag)

    def end(self, tag: str) -> None:
        if tag == "pre" and self._exact:
            self._exact -= 1
        self._block(tag)

    def _block(self, tag: str) -> None:
        mark = "\n\n" if tag in _PARAGRAPHS else "\n" if tag in _LINES else ""
        if len(mark) > len(self._break) or (mark and self._break == "\t"):
            self._break = mark

    def text(self) -> str:
        return "".join(self._out)
