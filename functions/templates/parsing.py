"""Template text to segments.

Called by `compile_template`. Follows JMustache's reader: what looks like a tag and is not stays
text, and the lines on which section tags stand alone leave nothing behind.
"""

from __future__ import annotations

from ...errors import TemplateError
from .segments import Hidden, Partial, Path, Section, Segment, Text, Variable, path_of, trim


class _Level:
    """The segments of the template, or of one open section."""

    def __init__(self, opening: Path | None = None, inverted: bool = False) -> None:
        self.opening, self.inverted = opening, inverted
        self.segments: list[Segment] = []


class Parser:
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
        trim(level.segments, top=True)
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
            level.segments.append(Text(text, opens=len(self.levels) == 1 and not level.segments))

    def change_delimiters(self, content: str, line: int) -> None:
        delimiters = content[1:-1].split(" ")
        if len(delimiters) != 2 or not all(1 <= len(delimiter) <= 2 for delimiter in delimiters):
            raise _invalid(f"'{content}' does not set two delimiters of one or two characters", line)
        self.opening, self.closing = delimiters
        self.levels[-1].segments.append(Hidden())

    def add(self, content: str, line: int) -> None:
        tag = content.strip()
        if not tag:
            raise _invalid("a tag without a name", line)
        sigil, name = tag[0], tag[1:].strip()
        if sigil == "!":
            self.levels[-1].segments.append(Hidden())
            return
        if "\n" in tag or "\r" in tag:
            raise _invalid(f"the tag '{tag}' holds a line break", line)
        if sigil in "#^":
            self.levels.append(_Level(path_of(name, line), sigil == "^"))
        elif sigil == "/":
            self.close(name, line)
        elif sigil == ">":
            self.levels[-1].segments.append(Partial(name, line))
        else:
            raw = sigil == "&"
            self.levels[-1].segments.append(Variable(path_of(name if raw else tag, line), escaped=not raw))

    def close(self, name: str, line: int) -> None:
        level = self.levels[-1]
        if level.opening is None:
            raise _invalid(f"the section '{name}' is closed but was not opened", line)
        if level.opening.name != name:
            opened = f"'{level.opening.name}' of line {level.opening.line}"
            raise _invalid(f"the section {opened} is closed as '{name}'", line)
        self.levels.pop()
        trim(level.segments, top=False)
        self.levels[-1].segments.append(Section(level.opening, level.inverted, level.segments))


def _invalid(message: str, line: int) -> TemplateError:
    return TemplateError(f"{message}, on line {line} of the template", stage="compile", line=line)
