"""text-normaliser, language-detector and document-to-json."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from contract.context import results, running

from tidemill.errors import RecordError
from tidemill.record import JsonText, Record


def process(agent: str, record: Record, **configuration: Any) -> list[Record]:
    async def run() -> Any:
        async with running(
            agent, {name.replace("_", "-"): v for name, v in configuration.items()}
        ) as handler:
            return await results(handler, record)

    found: list[Record] = asyncio.run(run())
    return found


def one(agent: str, value: Any, **configuration: Any) -> Any:
    [record] = process(agent, Record(value, "k", (("a", "1"), ("a", "2")), "t", 3), **configuration)
    assert (record.key, record.headers[:2], record.origin, record.timestamp) == (
        "k",
        (("a", "1"), ("a", "2")),
        "t",
        3,
    )
    return record.value


# --- text-normaliser -------------------------------------------------------------------------------

TIDIED = {
    "  A\t\tB  C  ": "A B C",
    "a\n\n\n\n\nb": "a\n\n\n\nb",
    "a \n \n b": "a\nb",
    "a \n\n \n\nb": "a\n\nb",
    "\x00\x1f a \x01": "a",
    "\u00a0a\u00a0": "\u00a0a\u00a0",
    "": "",
    " \n\t ": "",
}


@pytest.mark.parametrize("text", TIDIED)
def test_white_space(text: str) -> None:
    assert one("text-normaliser", text, make_lowercase=False) == TIDIED[text]


def test_each_step_can_be_switched_off() -> None:
    assert one("text-normaliser", " A\t ÉB ") == "a éb"
    assert one("text-normaliser", " A\t ÉB ", trim_spaces="false") == " a\t éb "
    assert one("text-normaliser", " A\t B ", make_lowercase=False, trim_spaces=False) == " A\t B "


@pytest.mark.parametrize(
    ("value", "text"), [(b"B\xc3\x89\xff", "bé\ufffd"), (1.0, "1.0"), (True, "true"), (["A", 1], '["a",1]')]
)
def test_other_values_are_taken_as_text(value: Any, text: str) -> None:
    assert one("text-normaliser", value) == text


# --- document-to-json ------------------------------------------------------------------------------


def test_text_and_headers() -> None:
    found = process(
        "document-to-json", Record(b"t\xc3\xa9", "k", (("n", 1), ("b", b"x"), ("n", 2), ("z", None)))
    )
    assert found == [
        Record('{"text":"té","n":2,"b":"x","z":null}', "k", (("n", 1), ("b", b"x"), ("n", 2), ("z", None)))
    ]
    assert type(found[0].value) is JsonText


def test_without_headers_and_with_another_field() -> None:
    assert one("document-to-json", "t", text_field="q", copy_properties=False) == '{"q":"t"}'


def test_a_header_of_the_fields_name_wins() -> None:
    assert one("document-to-json", "t", text_field="a") == '{"a":"2"}'


def test_null_and_json_stay_what_they_are() -> None:
    assert json.loads(one("document-to-json", None)) == {"text": None, "a": "2"}
    assert json.loads(one("document-to-json", '{"x":1}')) == {"text": '{"x":1}', "a": "2"}


# --- language-detector -----------------------------------------------------------------------------

SENTENCES = {
    "en": "The delivery was late but the headphones sound great.",
    "de": "Die Lieferung kam zu spät, aber der Klang ist großartig.",
    "fr": "La livraison est arrivée en retard, mais le son est excellent.",
    "es": "El pedido llegó tarde, pero el sonido es excelente.",
    "it": "La consegna è arrivata in ritardo, ma il suono è ottimo.",
    "no": "Leveringen kom for sent, men lyden er veldig god, og jeg er fornøyd.",
    "pl": "Przesyłka dotarła późno, ale dźwięk jest świetny.",
    "ru": "Доставка пришла поздно, но звук отличный.",
    "uk": "Доставка прийшла пізно, але звук чудовий.",
    "el": "Η παράδοση άργησε, αλλά ο ήχος είναι εξαιρετικός.",
    "th": "การจัดส่งล่าช้าแต่เสียงดีมาก",
    "fa": "تحویل دیر رسید اما صدا عالی است",
    "unknown": "12345 ... !",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_languages(language: str) -> None:
    record = Record(SENTENCES[language], "k", (("a", "1"),))
    assert process("language-detector", record) == [record.with_headers({"language": language})]


def test_other_languages_are_dropped() -> None:
    allowed = {"allowedLanguages": ["en", "de"], "property": "lang"}
    assert process("language-detector", Record(SENTENCES["fr"]), **allowed) == []
    [kept] = process("language-detector", Record(SENTENCES["de"]), **allowed)
    assert kept.headers == (("lang", "de"),)


def test_an_earlier_header_is_replaced() -> None:
    record = Record(SENTENCES["en"], None, (("language", "xx"), ("a", 1), ("language", "yy")))
    [found] = process("language-detector", record)
    assert found.headers == (("a", 1), ("language", "en"))


@pytest.mark.parametrize("agent", ["text-normaliser", "language-detector", "text-extractor"])
def test_null_is_an_error(agent: str) -> None:
    with pytest.raises(RecordError, match=f"{agent} needs a value"):
        process(agent, Record(None, "k"))
