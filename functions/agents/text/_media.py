"""What kind of document some bytes are, told by their content alone.

Used by `text-extractor`. Nothing else is known of a value: no file name, no content type. Text that
is not marked up (Markdown, CSV and JSON too) counts as plain.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Literal

from ....errors import MissingExtra, RecordError

PLAIN, HTML, XML, MAIL = "text/plain", "text/html", "application/xml", "message/rfc822"
_OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = f"{_OFFICE}wordprocessingml.document"

_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
    (b"OggS\x00", "audio/ogg"),
    (b"fLaC\x00", "audio/flac"),
    (b"\x1f\x8b", "application/gzip"),
)
# A member that only this kind of ZIP file has.
_ZIP_MEMBERS = {
    "word/document.xml": DOCX,
    "xl/workbook.xml": f"{_OFFICE}spreadsheetml.sheet",
    "ppt/presentation.xml": f"{_OFFICE}presentationml.presentation",
}
# Streams of the older Office formats; their names are in UTF-16.
_OLE_STREAMS = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "__substg1.0_": "application/vnd.ms-outlook",
}
_HTML = re.compile(
    rb"(?:<!--.*?-->|\s|\xef\xbb\xbf)*+"
    rb"<(?:!doctype\s+html|(?:html|head|body|title|meta|link|script|style|div|span|p|h[1-6]|table|ul|ol|"
    rb"section|article|main|header|footer|nav|form|a|b|i|br|img)[\s/>])",
    re.IGNORECASE | re.DOTALL,
)
_XHTML = re.compile(rb"<html[\s>]|<!doctype\s+html", re.IGNORECASE)
_XML = re.compile(rb"(?:\s|\xef\xbb\xbf)*<\?xml\s")
_MAIL_HEADER = re.compile(
    rb"^(From|Received|Return-Path|Message-ID|MIME-Version|Delivered-To|Date|Subject|To):", re.MULTILINE
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HEAD = 8192
_SAMPLE = 65536  # as much as the guess of an encoding looks at


def media_type(data: bytes, was_text: bool = False) -> str:
    """The kind of document. Raises RecordError for bytes that are none that is known, unless they
    `was_text`."""
    head = data[:_HEAD]
    for magic, media in _MAGIC:
        if head.startswith(magic):
            return media
    if was_text:
        return _kind_of_text(head)
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(data)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _kind_of_ole(data)
    if unicode_mark(head) or _wide(head):
        return _kind_of_text(decode(head).encode())
    media = _kind_of_text(head)
    if media == PLAIN and _CONTROL.search(head):
        raise RecordError("the value is binary data of a kind that holds no text, or is not known")
    return media


def _kind_of_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = set(file.namelist())
            if "mimetype" in names:  # OpenDocument and EPUB name themselves
                return file.read("mimetype").decode("ascii").strip()
    except (zipfile.BadZipFile, UnicodeDecodeError, RuntimeError, NotImplementedError, EOFError) as error:
        raise RecordError(f"the document is a damaged ZIP file: {error}") from error
    return next((media for name, media in _ZIP_MEMBERS.items() if name in names), "application/zip")


def _kind_of_ole(data: bytes) -> str:
    for name, media in _OLE_STREAMS.items():
        if name.encode("utf-16-le") in data:
            return media
    raise RecordError("the document is an Office file of a kind that is not known")


def _kind_of_text(head: bytes) -> str:
    if _XML.match(head):
        return HTML if _XHTML.search(head) else XML
    if _HTML.match(head):
        return HTML
    if len(set(_MAIL_HEADER.findall(_first_block(head)))) >= 3:
        return MAIL
    return PLAIN


def _first_block(head: bytes) -> bytes:
    """The lines before the first empty one, if they are headers."""
    block = head.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    lines = block.split(b"\n")
    return block if all(line[:1] in (b" ", b"\t") or b":" in line for line in lines) else b""


def unicode_mark(data: bytes) -> Literal["utf-8-sig", "utf-16", "utf-32"] | None:
    """The encoding that a byte order mark names."""
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    return "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _wide(data: bytes) -> Literal["utf-16-le", "utf-16-be"] | None:
    """UTF-16 without a mark: every other byte of western text is zero, and hardly any else."""
    sample = data[: _HEAD & ~1]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if len(sample) < 4 or max(even, odd) < len(sample) * 0.3 or min(even, odd) > len(sample) * 0.02:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def decode(data: bytes, stated: str | None = None) -> str:
    """Text in any encoding: by its mark, as stated in it, as UTF-8, else by its look."""
    encoding = unicode_mark(data) or stated or _wide(data)
    if encoding is None:
        try:
            return data.decode()
        except UnicodeDecodeError:
            encoding = _guess(data)
    try:
        return data.decode(encoding, "replace")
    except LookupError:
        return decode(data)


def _guess(data: bytes) -> str:
    try:
        from chardetng_py import detect
    except ImportError:
        raise MissingExtra("chardetng-py", "text", "text-extractor") from None
    guess: str = detect(data[:_SAMPLE])
    return guess
