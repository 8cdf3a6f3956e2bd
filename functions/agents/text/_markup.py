"""The text that a reader of a marked-up document sees.

Used by `text-extractor` where kreuzberg, which serves the other kinds, loses text: it drops `&`, `<`
and `>` from DOCX, mixes tag names into XML, and headers into e-mail.
"""

from __future__ import annotations

import io
import zipfile
from email import message_from_bytes, policy
from xml.etree import ElementTree

from ....errors import RecordError
from ._html import page_text
from ._media import decode

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_WORD_TEXT = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}p": "\n"}
_LARGEST_PART = 256 * 1024 * 1024


def xml_text(data: bytes) -> str:
    """The text between the tags."""
    try:
        return "".join(f"{piece} " for piece in ElementTree.fromstring(data).itertext())
    except ElementTree.ParseError as error:
        raise RecordError(f"the XML document cannot be read: {error}") from error


def docx_text(data: bytes) -> str:
    """The paragraphs of a Word document's body, tables and text boxes included, one a line."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if file.getinfo("word/document.xml").file_size > _LARGEST_PART:
                raise RecordError("the text of the document is over 256 MiB")
            return _word_text(file.read("word/document.xml"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ElementTree.ParseError) as error:
        raise RecordError(f"the DOCX document cannot be read: {error}") from error


def _word_text(document: bytes) -> str:
    out: list[str] = []
    repeated = 0  # inside a fallback, which says again what stands before it
    for event, element in ElementTree.iterparse(io.BytesIO(document), ("start", "end")):
        if element.tag == _FALLBACK:
            repeated += 1 if event == "start" else -1
        elif event == "end" and not repeated:
            if element.tag == f"{_WORD}t":
                out.append(element.text or "")
            elif element.tag in _WORD_TEXT:
                out.append(_WORD_TEXT[element.tag])
    return "".join(out)


def mail_text(data: bytes) -> str:
    """The body of a message; its plain form where it has several."""
    message = message_from_bytes(data, policy=policy.default)
    body = message.get_body(("plain", "html"))
    if body is None:
        return ""
    content = body.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    text = decode(content, body.get_content_charset())
    return page_text(text) if body.get_content_subtype() == "html" else text
