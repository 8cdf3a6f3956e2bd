"""Splits a text into chunks that fit a size, at the coarsest separator that does.

Used by the `text-splitter` agent, whose configuration this is. Lengths are in tokens or UTF-16
units, separators are Java regular expressions, and chunks are equal to LangStream's, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from ..errors import ConfigurationError, nearest
from .config import AgentConfig
from .expressions.library import utf16_length
from .javaregex import compile_java
from .tokens import ENCODINGS, token_counter

LENGTH_FUNCTIONS = (*ENCODINGS, "length")
SEPARATORS = ("\n\n", "\n", " ", "")

_BLANKS = "".join(map(chr, range(33)))


def _truth(value: Any) -> Any:
    """Text other than `true` is false."""
    return value.lower() == "true" if isinstance(value, str) else value


class SplitterConfig(AgentConfig):
    """The keys are LangStream's, with underscores."""

    model_config = ConfigDict(alias_generator=None)

    splitter_type: Literal["RecursiveCharacterTextSplitter"] = "RecursiveCharacterTextSplitter"
    separators: tuple[str, ...] = SEPARATORS
    keep_separator: Annotated[bool, BeforeValidator(_truth)] = False
    chunk_size: int = 200
    chunk_overlap: int = 100
    length_function: str = "cl100k_base"


@dataclass(frozen=True, slots=True)
class Splitter:
    """`length` measures a text in the units of `chunk_size` and `chunk_overlap`."""

    separators: tuple[str, ...]
    keep_separator: bool
    chunk_size: int
    chunk_overlap: int
    length: Callable[[str], int]

    def split(self, text: str) -> list[str]:
        """The chunks in order, trimmed; a blank text has none."""
        return [_whole(chunk) for chunk in self._split(text, self.separators)] if text.strip(_BLANKS) else []

    def _split(self, text: str, separators: Sequence[str]) -> list[str]:
        separator, finer = _choose(text, separators)
        chunks: list[str] = []
        fitting: list[tuple[str, int]] = []
        for piece in _pieces(text, separator, keep=self.keep_separator):
            length = self.length(piece)
            if length < self.chunk_size:
                fitting.append((piece, length))
                continue
            chunks += self._merge(fitting, separator)
            fitting = []
            chunks += self._split(piece, finer) if finer else [piece]
        return chunks + self._merge(fitting, separator)

    def _merge(self, pieces: list[tuple[str, int]], separator: str) -> list[str]:
        """Joins neighbours while they fit; each chunk starts with the end of the one before it."""
        glue = "" if self.keep_separator else separator
        between = self.length(glue)
        chunks: list[str] = []
        window: list[tuple[str, int]] = []
        total = 0
        for piece, length in pieces:
            if window and total + length + between > self.chunk_size:
                chunks.append(glue.join(text for text, _ in window))
                while total > self.chunk_overlap or (
                    total > 0 and total + length + (between if window else 0) > self.chunk_size
                ):
                    _, gone = window.pop(0)
                    total -= gone + (between if window else 0)
            total += length + (between if window else 0)
            window.append((piece, length))
        chunks.append(glue.join(text for text, _ in window))
        return [trimmed for chunk in chunks if (trimmed := chunk.strip(_BLANKS))]


def _choose(text: str, separators: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The first separator that occurs, and those left for what is still too long."""
    for at, separator in enumerate(separators):
        if not separator:
            return separator, ()
        if compile_java(separator).found_in(text):
            return separator, separators[at + 1 :]
    return separators[-1], ()


def _pieces(text: str, separator: str, *, keep: bool) -> list[str]:
    if not separator:
        return _units(text)
    pattern = compile_java(separator)
    if not keep:
        return [piece for piece in pattern.split(text) if piece]
    starts = [begin for begin, _ in pattern.spans(text)]
    bounds = zip([0, *starts], [*starts, len(text)], strict=True)
    return [text[begin:end] for begin, end in bounds if end > begin]


def _units(text: str) -> list[str]:
    """Single UTF-16 units: what is beyond the basic plane falls into two surrogates."""
    if max(text, default="") <= "\uffff":
        return list(text)
    units = text.encode("utf-16-le", "surrogatepass")
    return [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]


def _whole(chunk: str) -> str:
    """Surrogates that meet again become one character."""
    if chunk.isascii():
        return chunk
    return chunk.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def length_function(name: str) -> Callable[[str], int]:
    """Raises ConfigurationError for a name that is none of LENGTH_FUNCTIONS."""
    if name not in LENGTH_FUNCTIONS:
        guess = nearest(name, LENGTH_FUNCTIONS)
        raise ConfigurationError(
            f"text-splitter: '{name}' is no length function; there are: {', '.join(LENGTH_FUNCTIONS)}",
            hint=f"did you mean '{guess}'?" if guess else None,
        )
    return utf16_length if name == "length" else token_counter(name)


def create_splitter(config: SplitterConfig) -> Splitter:
    """Raises ConfigurationError for settings that cannot work, RegexError for a bad separator."""
    if not config.separators:
        raise ConfigurationError("text-splitter: `separators` is empty")
    if not 0 <= config.chunk_overlap <= config.chunk_size:
        raise ConfigurationError(
            f"text-splitter: chunk_overlap {config.chunk_overlap} must be between 0 and"
            f" chunk_size, which is {config.chunk_size}"
        )
    for separator in config.separators:
        compile_java(separator)
    return Splitter(
        config.separators,
        config.keep_separator,
        config.chunk_size,
        config.chunk_overlap,
        length_function(config.length_function),
    )
