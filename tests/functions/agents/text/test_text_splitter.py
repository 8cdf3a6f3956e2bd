"""text-splitter as an agent; the algorithm has its tests in test_splitting.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from contract.context import results, running

from tidemill.errors import ConfigurationError, RecordError
from tidemill.record import Record

SMALL = {"chunk_size": 5, "chunk_overlap": 0, "length_function": "length"}


def split(value: Any, headers: tuple[tuple[str, Any], ...] = (), **configuration: Any) -> list[Record]:
    async def run() -> Any:
        async with running("text-splitter", configuration) as agent:
            return await results(agent, Record(value, "k", headers, "t", 4))

    found: list[Record] = asyncio.run(run())
    assert all((record.key, record.origin, record.timestamp) == ("k", "t", 4) for record in found)
    return found


def test_headers_of_chunks() -> None:
    first, second = split("aa bb cc", (("h", "1"), ("chunk_id", "9")), **SMALL)
    assert (first.value, second.value) == ("aa bb", "cc")
    assert first.headers == (
        ("h", "1"),
        ("chunk_id", "0"),
        ("chunk_text_length", "5"),
        ("chunk_num_tokens", "5"),
        ("text_num_chunks", "2"),
    )
    assert second.header("chunk_id") == "1"


def test_tokens_and_characters_are_counted_apart() -> None:
    [chunk] = split("Hello world 😀")
    assert chunk.header("chunk_text_length") == "14"
    assert int(chunk.header("chunk_num_tokens")) < 14


@pytest.mark.parametrize("value", ["", "  \n "])
def test_a_blank_text_has_no_chunks(value: str) -> None:
    assert split(value) == []


def test_a_long_text_is_split_in_a_thread() -> None:
    found = split("word " * 10_000, **SMALL | {"chunk_size": 1000})
    assert " ".join(record.value for record in found) == ("word " * 10_000).strip()


def test_what_is_an_error() -> None:
    with pytest.raises(RecordError, match="needs a value"):
        split(None)
    with pytest.raises(ConfigurationError, match="chunk_overlap"):
        split("x", chunk_size=1, chunk_overlap=2)
