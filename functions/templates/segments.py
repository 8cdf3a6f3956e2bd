"""What a compiled template is made of: segments, and the look-up of names.

Built by `parsing`, run by `Template.render`. A name is searched in the innermost item first, then
outwards; what is missing or null is an error where it is printed, and nothing where it is a section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from ...errors import TemplateError
from ..expressions import to_text

_MISSING = object()
_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        "'": "&#39;",
        "`": "&#x60;",
        "=": "&#x3D;",
    }
)
_INDEX = re.compile(r"[+-]?[0-9]{1,9}\Z")


class Context(Struct, frozen=True):
    """One item that sections have opened, inside the item around it."""

    data: Any
    parent: Context | None = None
    index: int = 0
    first: bool = False
    last: bool = False


_HELPERS: dict[str, Callable[[Context], Any]] = {
    "-index": lambda context: context.index,
    "-first": lambda context: context.first,
    "-last": lambda context: context.last,
}


class Path(Struct, frozen=True):
    """A name as written, and its parts for the look-up step by step."""

    name: str
    parts: tuple[str, ...]
    line: int

    def find(self, context: Context) -> Any:
        """The value; _MISSING if there is none. The whole name goes before its parts."""
        helper = _HELPERS.get(self.name)
        if helper is not None:
            return helper(context)
        found = self.search(context, self.name)
        if found is not _MISSING or len(self.name) < 2 or "." not in self.name:
            return found
        if not self.parts:
            raise self.failed("is no name")
        helper = _HELPERS.get(self.parts[0])
        found = helper(context) if helper is not None else self.search(context, self.parts[0])
        for part in self.parts[1:]:
            if found is None or found is _MISSING:
                return found
            found = _member(found, part)
        return found

    def search(self, context: Context | None, name: str) -> Any:
        """From the innermost item outwards."""
        if not name:
            raise self.failed("is an empty name")
        while context is not None:
            if context.data is None:
                raise self.failed("is looked up in an item that is null")
            found = _member(context.data, name)
            if found is not _MISSING:
                return found
            context = context.parent
        return _MISSING

    def failed(self, why: str) -> TemplateError:
        return TemplateError(f"'{self.name}' {why}, on line {self.line} of the template", line=self.line)


def _member(data: Any, name: str) -> Any:
    if name in (".", "this"):
        return data
    if isinstance(data, Mapping):
        return data.get(name, _MISSING)
    if isinstance(data, list | tuple) and _INDEX.match(name) and 0 <= int(name) < len(data):
        return data[int(name)]
    return _MISSING


def path_of(name: str, line: int) -> Path:
    parts = name.split(".")
    while parts and not parts[-1]:
        parts.pop()
    return Path(name, tuple(parts), line)


# --- segments --------------------------------------------------------------------------------------


class Text(Struct, frozen=True):
    text: str
    opens: bool = False  # the template starts with it, which counts as the start of a line

    def render(self, context: Context, out: list[str]) -> None:
        out.append(self.text)

    def blank_lead(self) -> int | None:
        """Where the first line ends, if it is blank."""
        line, newline, _ = self.text.partition("\n")
        return len(line) + 1 if newline and not line.strip() else None

    def blank_trail(self) -> int | None:
        """Where the last line begins, if it is blank."""
        before, newline, line = self.text.rpartition("\n")
        if line.strip() or not (newline or self.opens):
            return None
        return len(before) + len(newline)


class Hidden(Struct, frozen=True):
    """A comment or a change of delimiters: prints nothing, and may stand alone on its line."""

    def render(self, context: Context, out: list[str]) -> None:
        pass


class Variable(Struct, frozen=True):
    path: Path
    escaped: bool

    def render(self, context: Context, out: list[str]) -> None:
        value = self.path.find(context)
        if value is _MISSING:
            raise self.path.failed("is not there")
        if value is None:
            raise self.path.failed("is null")
        text = to_text(value)
        out.append(text.translate(_ESCAPES) if self.escaped else text)


class Partial(Struct, frozen=True):
    name: str
    line: int

    def render(self, context: Context, out: list[str]) -> None:
        raise TemplateError(f"partials such as '{self.name}' cannot be loaded", line=self.line)


class Section(Struct):
    path: Path
    inverted: bool
    segments: list[Segment]

    def render(self, context: Context, out: list[str]) -> None:
        value = self.path.find(context)
        if value is _MISSING or value is None:
            value = ()
        if self.inverted:
            if value is False or (isinstance(value, list | tuple) and not value):
                render(self.segments, context, out)
        elif isinstance(value, list | tuple):
            self.repeat(value, context, out)
        elif isinstance(value, bool):
            if value:
                render(self.segments, context, out)
        else:
            inner = Context(value, context, context.index, context.first, context.last)
            render(self.segments, inner, out)

    def repeat(self, items: list[Any] | tuple[Any, ...], context: Context, out: list[str]) -> None:
        for number, item in enumerate(items, start=1):
            render(self.segments, Context(item, context, number, number == 1, number == len(items)), out)


Segment: TypeAlias = Text | Hidden | Variable | Partial | Section


def render(segments: Sequence[Segment], context: Context, out: list[str]) -> None:
    for segment in segments:
        segment.render(context, out)


def trim(segments: list[Segment], *, top: bool) -> None:
    """Removes the lines on which a section tag or a comment stands alone."""
    for at, segment in enumerate(segments):
        before = segments[at - 1] if at else None
        after = segments[at + 1] if at + 1 < len(segments) else None
        before_blank = (top and before is None) or _trail(before) is not None
        after_blank = (top and after is None) or _lead(after) is not None
        if isinstance(segment, Section):
            inner = segment.segments
            if before_blank and inner and _lead(inner[0]) is not None:
                _cut_trail(segments, at - 1)
                _cut_lead(inner, 0)
            if after_blank and inner and _trail(inner[-1]) is not None:
                _cut_trail(inner, len(inner) - 1)
                _cut_lead(segments, at + 1)
        elif isinstance(segment, Hidden) and before_blank and after_blank:
            _cut_trail(segments, at - 1)
            _cut_lead(segments, at + 1)


def _lead(segment: Segment | None) -> int | None:
    return segment.blank_lead() if isinstance(segment, Text) else None


def _trail(segment: Segment | None) -> int | None:
    return segment.blank_trail() if isinstance(segment, Text) else None


def _cut_lead(segments: list[Segment], at: int) -> None:
    if at < len(segments) and isinstance(text := segments[at], Text):
        segments[at] = Text(text.text[text.blank_lead() or 0 :])


def _cut_trail(segments: list[Segment], at: int) -> None:
    if at >= 0 and isinstance(text := segments[at], Text):
        segments[at] = Text(text.text[: text.blank_trail()])
