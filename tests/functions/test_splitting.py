"""Chunks, their lengths, and the settings that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tidemill.errors import ConfigurationError, RecordError
from tidemill.functions.splitting import Splitter, SplitterConfig, create_splitter
from tidemill.functions.tokens import ENCODINGS, token_counter

LINES = "aa bb cc dd ee\n\nff gg hh ii jj kk\nll mm nn"
GREAT = "Hello world. This is a great day"


def splitter(size: int, overlap: int, **configuration: Any) -> Splitter:
    configuration = {
        "length_function": "length",
        "chunk_size": size,
        "chunk_overlap": overlap,
    } | configuration
    return create_splitter(SplitterConfig.model_validate(configuration))


@pytest.mark.parametrize(
    ("text", "made", "chunks"),
    [
        (LINES, splitter(10, 0), ["aa bb cc", "dd ee", "ff gg hh", "ii jj kk", "ll mm nn"]),
        (LINES, splitter(10, 4), ["aa bb cc", "cc dd ee", "ff gg hh", "hh ii jj", "jj kk", "ll mm nn"]),
        (
            LINES,
            splitter(8, 5),
            ["aa bb cc", "bb cc dd", "cc dd ee", "ff gg hh", "gg hh ii", "hh ii jj", "ii jj kk", "ll mm nn"],
        ),
        ("abcdefghijklmnopqrstuvwxyz", splitter(10, 3), ["abcdefghij", "hijklmnopq", "opqrstuvwx", "vwxyz"]),
        (
            "aaa|bbb|ccc",
            splitter(5, 0, separators=["\\|"], keep_separator=True),
            ["aaa", "|bbb", "|ccc"],
        ),
        (GREAT, splitter(15, 5), ["Hello world.", "This is a great", "great day"]),
        (GREAT, splitter(15, 5, keep_separator=True), ["Hello world.", "This is a", "is a great day"]),
        (GREAT, splitter(15, 5, keep_separator="yes"), ["Hello world.", "This is a great", "great day"]),
        ("aaa.bbb", splitter(5, 0, separators=["."]), []),
        ("a1b22c", splitter(2, 0, separators=["\\d+"]), ["a", "b", "c"]),
        ("aaa bbb", splitter(4, 0, separators=["x"]), ["aaa bbb"]),
        ("\u00a0x\u00a0", splitter(10, 0), ["\u00a0x\u00a0"]),
        ("one two", splitter(0, 0), ["o", "n", "e", "t", "w", "o"]),
        ("", splitter(10, 0), []),
        (" \n\t ", splitter(10, 0), []),
        ("\U0001f600\U0001f601", splitter(3, 0, separators=[""]), ["\U0001f600\ud83d", "\ude01"]),
        ("\U0001f600\U0001f601", splitter(2, 0, separators=[""]), ["\U0001f600", "\U0001f601"]),
        (
            "Hello world, I would like to see some overlap here",
            splitter(10, 2, length_function="cl100k_base"),
            ["Hello world, I would like", "like to see some overlap", "overlap here"],
        ),
    ],
)
def test_chunks(text: str, made: Splitter, chunks: list[str]) -> None:
    assert made.split(text) == chunks


@pytest.mark.parametrize(
    "configuration",
    [
        {"chunk_size": 10},  # less than the default overlap
        {"chunk_size": 10, "chunk_overlap": -1},
        {"length_function": "LENGTH"},
        {"separators": []},
        {"separators": ["("]},
    ],
)
def test_settings_that_cannot_work(configuration: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, RecordError)):
        create_splitter(SplitterConfig.model_validate(configuration))


@pytest.mark.parametrize(
    "configuration", [{"splitter_type": "Other"}, {"chunk_size": 1.5}, {"chunk-size": 10}]
)
def test_settings_that_are_refused(configuration: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SplitterConfig.model_validate(configuration)


def test_numbers_may_be_written_as_text() -> None:
    assert splitter(5, 0, chunk_size="7").chunk_size == 7


@given(st.text(alphabet="ab \n\U0001f600"), st.integers(1, 9), st.data())
@settings(max_examples=60)
def test_nothing_is_lost_and_nothing_is_too_long(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size))
    chunks = splitter(size, overlap).split(text)
    wanted = {c for c in text if not c.isspace() and c.isascii()}
    assert {c for chunk in chunks for c in chunk if not c.isspace() and c.isascii()} == wanted
    assert all(len(chunk) <= size for chunk in chunks)
    if overlap == 0:
        assert "".join("".join(chunks).split()).count("a") == text.count("a")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("r50k_base", [2, 9, 2, 10]),
        ("p50k_base", [2, 7, 2, 10]),
        ("p50k_edit", [2, 7, 2, 10]),
        ("cl100k_base", [2, 7, 2, 6]),
    ],
)
def test_token_counts(name: str, counts: list[int]) -> None:
    count = token_counter(name)
    texts = ["Hello world", "def f():\n    return 1", "12345", "caf\u00e9 \U0001f600 \u4f60\u597d"]
    assert [count(text) for text in texts] == counts


@pytest.mark.parametrize("name", ENCODINGS)
def test_special_tokens_are_refused_and_lone_surrogates_are_one_sign(name: str) -> None:
    count = token_counter(name)
    with pytest.raises(RecordError, match="special token"):
        count("a <|endoftext|> b")
    assert count("\ud83d") == count("?")
