"""Mustache templates, as JMustache with its default settings renders them.

Used for prompts, texts to embed, and the headers and bodies of HTTP requests. `compile_template`
parses once when an agent starts; `Template.render` runs per record on a scope of plain values.
A missing or null variable is an error, on purpose: a prompt with a hole is worse than a failed
record. Double braces escape HTML, triple braces and `&` do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from ..errors import TemplateError
from .expressions import Scope, to_text

ROOT_NAMES = ("value", "key", "properties", "topicName", "eventTime", "destinationTopic")

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


def template_scope(scope: Scope) -> dict[str, Any]:
    """The root names of a template, from the variables of a record's expressions."""
    return {name: scope[name] for name in ROOT_NAMES}


# --- context ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Context:
    """One item that sections have opened, inside the item around it."""

    data: Any
    parent: _Context | None = None
    index: int = 0
    first: bool = False
    last: bool = False


_HELPERS: dict[str, Callable[[_Context], Any]] = {
    "-index": lambda context: context.index,
    "-first": lambda context: context.first,
    "-last": lambda context: context.last,
}


@dataclass(frozen=True, slots=True)
class _Path:
    """A name as written, and its parts for the look-up step by step."""

    name: str
    parts: tuple[str, ...]
    line: int

    def find(self, context: _Context) -> Any:
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

    def search(self, context: _Context | None, name: str) -> Any:
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


def _path(name: str, line: int) -> _Path:
    parts = name.split(".")
    while parts and not parts[-1]:
        parts.pop()
    return _Path(name, tuple(parts), line)


# --- segments --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    opens: bool = False  # the template starts with it, which counts as the start of a line

    def render(self, context: _Context, out: list[str]) -> None:
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


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A comment or a change of delimiters: prints nothing, and may stand alone on its line."""

    def render(self, context: _Context, out: list[str]) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Variable:
    path: _Path
    escaped: bool

    def render(self, context: _Context, out: list[str]) -> None:
        value = self.path.find(context)
        if value is _MISSING:
            raise self.path.failed("is not there")
        if value is None:
            raise self.path.failed("is null")
        text = to_text(value)
        out.append(text.translate(_ESCAPES) if self.escaped else text)


@dataclass(frozen=True, slots=True)
class _Partial:
    name: str
    line: int

    def render(self, context: _Context, out: list[str]) -> None:
        raise TemplateError(f"partials such as '{self.name}' cannot be loaded", line=self.line)


@dataclass(slots=True)
class _Section:
    path: _Path
    inverted: bool
    segments: list[Segment]

    def render(self, context: _Context, out: list[str]) -> None:
        value = self.path.find(context)
        if value is _MISSING or value is None:
            value = ()
        if self.inverted:
            if value is False or (isinstance(value, list | tuple) and not value):
                _render(self.segments, context, out)
        elif isinstance(value, list | tuple):
            self.repeat(value, context, out)
        elif isinstance(value, bool):
            if value:
                _render(self.segments, context, out)
        else:
            inner = _Context(value, context, context.index, context.first, context.last)
            _render(self.segments, inner, out)

    def repeat(self, items: list[Any] | tuple[Any, ...], context: _Context, out: list[str]) -> None:
        for number, item in enumerate(items, start=1):
            _render(self.segments, _Context(item, context, number, number == 1, number == len(items)), out)


Segment: TypeAlias = _Text | _Hidden | _Variable | _Partial | _Section


def _render(segments: list[Segment], context: _Context, out: list[str]) -> None:
    for segment in segments:
        segment.render(context, out)


def _trim(segments: list[Segment], *, top: bool) -> None:
    """Removes the lines on which a section tag or a comment stands alone."""
    for at, segment in enumerate(segments):
        before = segments[at - 1] if at else None
        after = segments[at + 1] if at + 1 < len(segments) else None
        before_blank = (top and before is None) or _trail(before) is not None
        after_blank = (top and after is None) or _lead(after) is not None
        if isinstance(segment, _Section):
            inner = segment.segments
            if before_blank and inner and _lead(inner[0]) is not None:
                _cut_trail(segments, at - 1)
                _cut_lead(inner, 0)
            if after_blank and inner and _trail(inner[-1]) is not None:
                _cut_trail(inner, len(inner) - 1)
                _cut_lead(segments, at + 1)
        elif isinstance(segment, _Hidden) and before_blank and after_blank:
            _cut_trail(segments, at - 1)
            _cut_lead(segments, at + 1)


def _lead(segment: Segment | None) -> int | None:
    return segment.blank_lead() if isinstance(segment, _Text) else None


def _trail(segment: Segment | None) -> int | None:
    return segment.blank_trail() if isinstance(segment, _Text) else None


def _cut_lead(segments: list[Segment], at: int) -> None:
    if at < len(segments) and isinstance(text := segments[at], _Text):
        segments[at] = _Text(text.text[text.blank_lead() or 0 :])


def _cut_trail(segments: list[Segment], at: int) -> None:
    if at >= 0 and isinstance(text := segments[at], _Text):
        segments[at] = _Text(text.text[: text.blank_trail()])


# --- parsing ---------------------------------------------------------------------------------------


class _Level:
    """The segments of the template, or of one open section."""

    def __init__(self, opening: _Path | None = None, inverted: bool = False) -> None:
        self.opening, self.inverted = opening, inverted
        self.segments: list[Segment] = []


class _Parser:
    """Reads tags between delimiters; what looks like a tag and is not stays text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.opening, self.closing = "{{", "}}"
        self.levels = [_Level()]
        self.text: list[str] = []

    def parse(self) -> list[Segment]:
        position = 0
        while (start := self.source.find(self.opening, position)) >= 0:
            self.text.append(self.source[position:start])
            position = self.tag(start)
        self.text.append(self.source[position:])
        self.flush()
        level = self.levels[-1]
        if level.opening is not None:
            raise _invalid(f"the section '{level.opening.name}' is not closed", level.opening.line)
        _trim(level.segments, top=True)
        return level.segments

    def tag(self, start: int) -> int:
        """Handles what starts with an opening delimiter; the position after it."""
        inside = start + len(self.opening)
        end = self.source.find(self.closing, inside)
        restart = self.restart(inside, end)
        if restart is not None or end < 0:
            stop = len(self.source) if restart is None else restart
            self.text.append(self.source[start:stop])
            return stop
        content, line = self.source[inside:end], self.source.count("\n", 0, start) + 1
        position = end + len(self.closing)
        self.flush()
        if content.startswith("="):
            self.change_delimiters(content, line)
            return position
        if content.startswith("{") and self.opening == "{{":
            if not self.source.startswith("}", position):
                raise _invalid(f"'{{{{{content}}}}}' needs three closing braces", line)
            content, position = "&" + content[1:], position + 1
        self.add(content, line)
        return position

    def restart(self, inside: int, end: int) -> int | None:
        """Where another opening character makes what was read so far plain text, if it does."""
        if self.source.startswith("!", inside):
            return None
        stop = len(self.source) if end < 0 else end
        # The first character may repeat the opening one: `{{{`.
        again = self.source.find(self.opening[0], inside + 1, stop)
        return again if again >= 0 and self.opening[0] != self.closing[0] else None

    def flush(self) -> None:
        text = "".join(self.text)
        self.text.clear()
        if text:
            level = self.levels[-1]
            level.segments.append(_Text(text, opens=len(self.levels) == 1 and not level.segments))

    def change_delimiters(self, content: str, line: int) -> None:
        delimiters = content[1:-1].split(" ")
        if len(delimiters) != 2 or not all(1 <= len(delimiter) <= 2 for delimiter in delimiters):
            raise _invalid(f"'{content}' does not set two delimiters of one or two characters", line)
        self.opening, self.closing = delimiters
        self.levels[-1].segments.append(_Hidden())

    def add(self, content: str, line: int) -> None:
        tag = content.strip()
        if not tag:
            raise _invalid("a tag without a name", line)
        sigil, name = tag[0], tag[1:].strip()
        if sigil == "!":
            self.levels[-1].segments.append(_Hidden())
            return
        if "\n" in tag or "\r" in tag:
            raise _invalid(f"the tag '{tag}' holds a line break", line)
        if sigil in "#^":
            self.levels.append(_Level(_path(name, line), sigil == "^"))
        elif sigil == "/":
            self.close(name, line)
        elif sigil == ">":
            self.levels[-1].segments.append(_Partial(name, line))
        else:
            raw = sigil == "&"
            self.levels[-1].segments.append(_Variable(_path(name if raw else tag, line), escaped=not raw))

    def close(self, name: str, line: int) -> None:
        level = self.levels[-1]
        if level.opening is None:
            raise _invalid(f"the section '{name}' is closed but was not opened", line)
        if level.opening.name != name:
            opened = f"'{level.opening.name}' of line {level.opening.line}"
            raise _invalid(f"the section {opened} is closed as '{name}'", line)
        self.levels.pop()
        _trim(level.segments, top=False)
        self.levels[-1].segments.append(_Section(level.opening, level.inverted, level.segments))


def _invalid(message: str, line: int) -> TemplateError:
    return TemplateError(f"{message}, on line {line} of the template", stage="compile", line=line)


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    source: str
    segments: tuple[Segment, ...]

    def render(self, scope: Mapping[str, Any]) -> str:
        """The text. Raises TemplateError for what is missing or null."""
        out: list[str] = []
        _render(list(self.segments), _Context(scope), out)
        return "".join(out)


@lru_cache(maxsize=512)
def compile_template(source: str) -> Template:
    """Raises TemplateError of stage `compile`."""
    return Template(source, tuple(_Parser(source).parse()))


def without_legacy_braces(source: str) -> str:
    """Chat messages and texts to embed may still be written with `{{%`."""
    return source.replace("{{%", "{{")
