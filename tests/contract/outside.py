"""What examples of agents find outside: real servers, whose addresses replace those of the example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from support.web_server import Page, site

Given = dict[str, Any]  # configuration that replaces the example's


@contextmanager
def _place() -> Iterator[Given]:
    page = Page('{"latitude":52.66,"longitude":4.63}', kind="application/json")
    with site({"/search": page}) as found:
        yield {"url": f"{found.url}/search"}


@contextmanager
def _joke() -> Iterator[Given]:
    page = Page('{"output":{"content":"A joke about cats."}}', kind="application/json")
    with site({"/joke/invoke": page}) as found:
        yield {"url": f"{found.url}/joke/invoke"}


@contextmanager
def _documents() -> Iterator[Given]:
    pages = {"/": "<a href='/guide'>guide</a>", "/guide": "<p>The guide</p>"}
    with site(pages) as found:
        seeds = [f"{found.url}/"]
        yield {"seed-urls": seeds, "allowed-domains": seeds, "min-time-between-requests": 0}


@contextmanager
def _bucket() -> Iterator[Given]:
    from support.s3_server import bucket

    yield bucket(guide__txt=b"The guide")


_OUTSIDE: dict[str, Callable[[], AbstractContextManager[Given]]] = {
    "http-request": _place,
    "langserve-invoke": _joke,
    "s3-source": _bucket,
    "webcrawler-source": _documents,
}


def outside(type_name: str) -> AbstractContextManager[Given]:
    """The world of one agent type; nothing for most."""
    make = _OUTSIDE.get(type_name)
    return make() if make else nullcontext({})
