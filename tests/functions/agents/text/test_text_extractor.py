"""text-extractor: the kinds of documents, told by content, and their visible text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from contract.context import results, running
from contract.documents import docx, odt, pdf, zipped

from tidemill.errors import RecordError
from tidemill.functions.agents.text._html import page_text
from tidemill.record import Record


def extract(value: Any) -> str:
    async def run() -> Any:
        async with running("text-extractor") as agent:
            given = Record(value, "k", (("h", "1"), ("h", "2")), "topic", 7)
            [found] = await results(agent, given)
            assert (found.key, found.headers, found.origin, found.timestamp) == given_parts(given)
            return found.value

    text = asyncio.run(run())
    assert isinstance(text, str)
    return text


def given_parts(record: Record) -> tuple[Any, ...]:
    return record.key, record.headers, record.origin, record.timestamp


# --- text ------------------------------------------------------------------------------------------

SENTENCES = {
    "utf-8": "plain  ünï\n\n\n text\t",
    "utf-8-sig": "with a mark",
    "utf-16": "with a mark, wide",
    "utf-32": "wider",
    "utf-16-le": "wide without a mark",
    "utf-16-be": "wide without a mark",
    "cp1252": "“smart quotes” – and €5 prices",
    "latin-1": "Une élève très sérieuse à l'école française",
    "iso-8859-2": "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "windows-1251": "Привет, это русский текст для проверки кодировки.",
    "koi8-r": "Привет, это русский текст для проверки кодировки.",
    "shift_jis": "これは日本語のテキストです。今日は天気がいいですね。",
    "euc-jp": "これは日本語のテキストです。",
    "gb18030": "这是一个中文文本，用于测试编码检测。",
    "big5": "這是一個繁體中文的測試文本",
    "euc-kr": "안녕하세요 한국어 텍스트입니다.",
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_text_of_any_encoding(encoding: str) -> None:
    assert extract(SENTENCES[encoding].encode(encoding)) == SENTENCES[encoding]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a,b\n1,2\n",
        '{"a": 1}',
        "# Title\n\n* item",
        "a < b and b > c",
        "From: you\n\nto me",
        "x\x00y",
        "Subject: a\nhi",
        "A file that begins with %PDF-1.4 is a PDF",
        "ID3 tags name a song",
    ],
)
def test_text_without_markup_stays(value: str) -> None:
    assert extract(value) == value


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (True, "true"), (1e10, "1.0E10"), ({"a": [1]}, '{"a":[1]}')]
)
def test_other_values_have_a_text_form(value: Any, text: str) -> None:
    assert extract(value) == text


# --- HTML ------------------------------------------------------------------------------------------

PAGES = {
    "<p>one</p><p>two</p>": "one\n\ntwo",
    "<h1>A &amp; B</h1>text": "A & B\n\ntext",
    "<nav><a href=/>Home</a> <a href=/s>Shop</a></nav><main>Body</main>": "Home Shop\n\nBody",
    "<ul><li>one<li>two</ul>": "one\ntwo",
    "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a\tb\nc",
    "a<br>b<br><br>c": "a\nb\n\nc",
    "<b>bold</b>er": "bolder",
    "  many \n\t spaces <i> here </i> ": "many spaces here ",
    "<pre>  kept\n   so</pre>": "  kept\n   so",
    "<script>if (a<b) '<p>no</p>'</script>yes": "yes",
    "<STYLE>p{}</STYLE><TITLE>t</TITLE>yes": "yes",
    "<template><p>no</p></template>yes": "yes",
    "<!-- <p>no</p> -->yes<!-->!": "yes!",
    "a<!-- never closed <p>no": "a",
    "a<script>never closed": "a",
    "1 < 2 <3": "1 < 2 <3",
    "<a title='x > y' href=\"a>b\">in</a>": "in",
    '<a href=x"y title=5">in</a>': "in",
    "<p title='never closed>in</p>": "in",
    "cut <a href=": "cut ",
    "&lt;b&gt; &#233; &copy; &nbsp;x &unknown;": "<b> é © \xa0x &unknown;",
    "<textarea>typed</textarea>": "typed",
}


@pytest.mark.parametrize("page", PAGES)
def test_visible_text(page: str) -> None:
    assert page_text(page) == PAGES[page]


@pytest.mark.parametrize(
    "start",
    [
        "<!DOCTYPE html>",
        "<html>",
        "\n\n <!-- c --><body class=x>",
        "<div>",
        '<?xml version="1.0"?><!DOCTYPE html>',
    ],
)
def test_what_counts_as_html(start: str) -> None:
    assert extract(f"{start}<p>text</p>".encode("utf-16")) == "text"
    assert extract(f"{start}<p>text</p>") == "text"
    assert extract(f"{start}<p>text</p>".encode()) == "text"


@pytest.mark.parametrize(
    ("stated", "encoding"),
    [
        ('<meta charset="utf-8">', "utf-8"),
        ('<meta charset="iso-8859-1">', "windows-1252"),
        ("<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>", "koi8-r"),
        ("<meta charset=nonsense>", "utf-8"),
        ("", "utf-8"),
    ],
)
def test_the_encoding_that_a_page_states(stated: str, encoding: str) -> None:
    text = "Привет" if encoding in ("koi8-r", "utf-8") else "“naïve” €"
    assert extract(f"<html><head>{stated}</head><body>{text}</body></html>".encode(encoding)) == text


HOSTILE = [
    "<!--",
    "<a ",
    "<div>",
    '<a b="',
    "<a b='\">",
    "<script>",
    "<br>",
    "<p> ",
    "<",
    "</",
    "&",
    "<a b= = =",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_page_takes_time_in_proportion_to_its_size(piece: str) -> None:
    """With a parser that is quadratic each of these takes minutes, and the suite hangs."""
    assert len(page_text("<html>" + piece * 100_000)) <= 100_000 * len(piece)


# --- other kinds -----------------------------------------------------------------------------------


def paragraph(*runs: str) -> str:
    return "<w:p>" + "".join(f"<w:r>{run}</w:r>" for run in runs) + "</w:p>"


def test_docx() -> None:
    both = "<mc:Choice><w:t>once</w:t></mc:Choice><mc:Fallback><w:t>once</w:t></mc:Fallback>"
    again = f"<mc:AlternateContent>{both}</mc:AlternateContent>"
    body = paragraph("<w:t>R&amp;D: a &lt; b, </w:t>", "<w:t>Ünïcode 漢字</w:t>")
    body += paragraph("<w:t>x</w:t><w:tab/><w:t>y</w:t><w:br/><w:t>z</w:t>")
    body += paragraph("<w:delText>deleted</w:delText><w:t>kept</w:t>", again)
    assert extract(docx(body)) == "R&D: a < b, Ünïcode 漢字\nx\ty\nz\nkeptonce\n"


def test_pdf() -> None:
    text = extract(pdf("Aurora Sport", "Water resistant IPX5."))
    assert text.split() == ["Aurora", "Sport", "Water", "resistant", "IPX5."]
    assert "\r" not in text


def test_a_large_document_is_read_in_a_thread() -> None:
    words = " ".join(f"word{n}" for n in range(20_000))
    assert extract(f"<html><body>{words}</body></html>") == words


def test_odt_and_rtf() -> None:
    assert extract(odt("Erster Absatz", "Zweiter Absatz")).split() == [
        "Erster",
        "Absatz",
        "Zweiter",
        "Absatz",
    ]
    assert "hello bold" in extract(b"{\\rtf1 hello {\\b bold}\\par next}")


def test_xml() -> None:
    assert extract("<?xml version='1.0'?><a><b>one</b><c>two &amp; x</c></a>").split() == [
        "one",
        "two",
        "&",
        "x",
    ]
    latin = "<?xml version='1.0' encoding='iso-8859-1'?><a>é</a>".encode("latin-1")
    assert extract(latin).strip() == "é"


MAIL = b"From: a@b.c\r\nTo: d@e.f\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        (b"\r\nBody\r\nline 2\r\n", "Body\r\nline 2\r\n"),
        (b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>B\xc3\xb6dy</p>", "Bödy"),
        (b"Content-Transfer-Encoding: base64\r\n\r\nQm9keQ==", "Body"),
        (
            b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n"
            b"<p>rich</p>\r\n--x\r\nContent-Type: text/plain\r\n\r\npoor\r\n--x--",
            "poor",
        ),
    ],
)
def test_mail(rest: bytes, text: str) -> None:
    assert extract(MAIL + rest) == text


def test_pictures_have_no_text() -> None:
    assert extract(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR") == ""


BROKEN = {
    "none": None,
    "pdf": b"%PDF-1.4 nothing follows",
    "zip": b"PK\x03\x04 nothing follows",
    "docx": zipped({"word/document.xml": "<w:document"}),
    "xml": b"<?xml version='1.0'?><a><b></a>",
    "binary": bytes(range(256)),
    "office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1nothing known",
    "laughs": "<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    + "]><l>&a11;</l>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read(name: str) -> None:
    with pytest.raises(RecordError):
        extract(BROKEN[name])
