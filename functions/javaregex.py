"""Java regular expressions on Python's `re`: translation, splitting and replacing.

Called by `fn:split`, `fn:replace` and the text splitter. Translated are the constructs whose meaning
or spelling differs: predefined classes are ASCII, `.` and `$` know more line ends, `\\Q…\\E`, `\\R`,
`\\h`, `\\p{…}`, nested and intersected character classes, named groups, `$1` in replacements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ..errors import RecordError
from .regextranslation import Translation


class RegexError(RecordError):
    """A regular expression, or the replacement that goes with it, is not valid."""


class JavaPattern:
    """A compiled pattern with Java's `split` and `replaceAll`."""

    __slots__ = ("_pattern", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            text, flags = Translation(source).run()
            self._pattern = re.compile(text, flags)
        except (re.error, OverflowError, RecursionError, IndexError) as error:
            raise RegexError(f"'{source}' is no valid regular expression: {error}") from None

    def found_in(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """All matches; unlike Python's, the search goes on one character after an empty one."""
        position = 0
        while position <= len(text) and (match := self._pattern.search(text, position)) is not None:
            yield match
            position = match.end() + (match.end() == match.start())

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self.matches(text)]

    def split(self, text: str) -> list[str]:
        """The pieces; an empty match at the start yields none, empty pieces at the end are dropped."""
        pieces, start = [], 0
        for begin, end in self.spans(text):
            if end == 0:
                continue
            pieces.append(text[start:begin])
            start = end
        if not pieces and start == 0:
            return [text]
        pieces.append(text[start:])
        while pieces and not pieces[-1]:
            pieces.pop()
        return pieces

    def replace(self, text: str, replacement: str) -> str:
        parts = _replacement_parts(replacement, self._pattern) if self.found_in(text) else []
        out, start = [], 0
        for match in self.matches(text):
            out.append(text[start : match.start()])
            out.extend(part if isinstance(part, str) else match[part[0]] or "" for part in parts)
            start = match.end()
        return "".join(out) + text[start:]


@lru_cache(maxsize=512)
def compile_java(source: str) -> JavaPattern:
    """The compiled form of a Java regular expression. Raises RegexError."""
    return JavaPattern(source)


def _replacement_parts(replacement: str, pattern: re.Pattern[str]) -> list[str | tuple[int | str]]:
    """Literal text, and one-tuples that name a group."""
    parts: list[str | tuple[int | str]] = []
    position = 0
    while position < len(replacement):
        char = replacement[position]
        position += 1
        if char == "\\":
            if position == len(replacement):
                raise RegexError("the replacement ends with a single backslash")
            parts.append(replacement[position])
            position += 1
        elif char == "$":
            group, position = _group(replacement, position, pattern)
            parts.append((group,))
        else:
            parts.append(char)
    return parts


def _group(replacement: str, position: int, pattern: re.Pattern[str]) -> tuple[int | str, int]:
    named = re.compile(r"\{([a-zA-Z][a-zA-Z0-9]*)\}").match(replacement, position)
    if named:
        if named[1] not in pattern.groupindex:
            raise RegexError(f"the replacement names the group '{named[1]}', which the expression lacks")
        return named[1], named.end()
    if not replacement[position : position + 1].isdigit():
        raise RegexError("a '$' in a replacement must be followed by a group; write \\$ for the sign itself")
    number = int(replacement[position])
    position += 1
    while replacement[position : position + 1].isdigit():
        longer = number * 10 + int(replacement[position])
        if longer > pattern.groups:
            break
        number, position = longer, position + 1
    if number > pattern.groups:
        raise RegexError(f"the replacement names group {number}; the expression has {pattern.groups}")
    return number, position
