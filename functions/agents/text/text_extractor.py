"""`text-extractor`: the visible text of a document of whatever kind, told by its content alone.

Text in any encoding, HTML, XML, DOCX and e-mail are read here; PDF, the other office formats, RTF,
EPUB and archives by kreuzberg. Pictures and sound have no text: they give an empty one. Work that
may take long runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ....errors import MissingExtra, RecordError
from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...config import AgentConfig
from ._html import html_text
from ._markup import docx_text, mail_text, xml_text
from ._media import DOCX, HTML, MAIL, PLAIN, XML, decode, media_type
from ._text import text_in

_READERS: dict[str, Callable[[bytes], str]] = {
    PLAIN: decode,
    HTML: html_text,
    XML: xml_text,
    MAIL: mail_text,
    DOCX: docx_text,
}
_SILENT = ("image/", "audio/", "video/")
_QUICK = 32 * 1024  # bytes of markup that are read without a thread
_TIMEOUT = 240  # seconds, below the host's deadline


class TextExtractorConfig(AgentConfig):
    """No properties."""


class TextExtractor:
    def __init__(self, config: TextExtractorConfig, context: Context) -> None:
        pass

    def process(self, record: Record) -> Results | Awaitable[Results]:
        value = record.value
        was_text = not isinstance(value, bytes)
        data: bytes = text_in(record, "text-extractor").encode(errors="replace") if was_text else value
        media = media_type(data, was_text)
        if was_text and media == PLAIN:
            return (replace(record, value=data.decode()),)
        read = _reader(media)
        if media in _READERS and len(data) <= _QUICK:
            return (replace(record, value=read(data)),)
        return _in_thread(record, read, data)


async def _in_thread(record: Record, read: Callable[[bytes], str], data: bytes) -> Results:
    return (replace(record, value=await asyncio.to_thread(read, data)),)


def _reader(media: str) -> Callable[[bytes], str]:
    if media in _READERS:
        return _READERS[media]
    if media.startswith(_SILENT):
        return lambda data: ""
    return partial(_with_kreuzberg, media=media)


def _with_kreuzberg(data: bytes, media: str) -> str:
    try:
        import kreuzberg
    except ImportError:
        raise MissingExtra("kreuzberg", "text", "text-extractor") from None
    settings: Any = kreuzberg.ExtractionConfig(
        output_format="plain", use_cache=False, disable_ocr=True, extraction_timeout_secs=_TIMEOUT
    )
    try:
        found: str = kreuzberg.extract_bytes_sync(data, media, config=settings).content
    except (kreuzberg.KreuzbergError, ValueError) as error:
        raise RecordError(f"the document ({media}) cannot be read: {error}") from error
    return found.replace("\r\n", "\n")  # pdfium's line ends


AGENT = Declaration(
    type="text-extractor",
    kind="processor",
    summary="Replaces a document (PDF, DOCX, HTML, plain text and many more) by its text.",
    config=TextExtractorConfig,
    handler=TextExtractor,
    extra="text",
    example=Example(
        record=Record("<html><body><h1>Returns</h1><p>Within 30 days.</p></body></html>", "k"),
        results=[Record("Returns\n\nWithin 30 days.", "k")],
    ),
)
