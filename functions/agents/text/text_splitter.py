"""`text-splitter`: one record per chunk of a text; the splitting itself is in `splitting.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from ....record import Record
from ...api import Context, Declaration, Example, Results
from ...expressions.library import utf16_length
from ...splitting import SplitterConfig, create_splitter
from ._text import text_in

_QUICK = 32 * 1024  # characters that are split without a thread


class TextSplitter:
    def __init__(self, config: SplitterConfig, context: Context) -> None:
        self._splitter = create_splitter(config)

    def process(self, record: Record) -> Results | Awaitable[Results]:
        text = text_in(record, "text-splitter")
        if len(text) <= _QUICK:
            return self._chunks(record, text)
        return asyncio.to_thread(self._chunks, record, text)

    def _chunks(self, record: Record, text: str) -> Results:
        chunks = self._splitter.split(text)
        return [
            replace(
                record.with_headers(
                    {
                        "chunk_id": str(number),
                        "chunk_text_length": str(utf16_length(chunk)),
                        "chunk_num_tokens": str(self._splitter.length(chunk)),
                        "text_num_chunks": str(len(chunks)),
                    }
                ),
                value=chunk,
            )
            for number, chunk in enumerate(chunks)
        ]


def _chunk(text: str, number: int) -> Record:
    headers = {
        "chunk_id": str(number),
        "chunk_text_length": str(len(text)),
        "chunk_num_tokens": str(len(text)),
        "text_num_chunks": "2",
    }
    return Record(text, "k", tuple(headers.items()))


AGENT = Declaration(
    type="text-splitter",
    kind="processor",
    summary="Splits a text into chunks that fit a size, one record each.",
    config=SplitterConfig,
    handler=TextSplitter,
    extra="text",
    example=Example(
        configuration={"chunk_size": 20, "chunk_overlap": 0, "length_function": "length"},
        record=Record("Returns within 30 days. No questions.", "k"),
        results=[_chunk("Returns within 30", 0), _chunk("days. No questions.", 1)],
    ),
)
