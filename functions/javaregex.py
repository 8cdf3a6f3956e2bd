"""Java regular expressions on Python's `re`: translation, splitting and replacing.

Called by `fn:split`, `fn:replace` and the text splitter. Translated are the constructs whose meaning
or spelling differs: predefined classes are ASCII, `.` and `$` know more line ends, `\\Q…\\E`, `\\R`,
`\\h`, `\\p{…}`, nested and intersected character classes, named groups, `$1` in replacements.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import groupby

from ..errors import RecordError

# Inside a character class: what each predefined class stands for.
_CLASSES = {
    "d": "0-9",
    "w": "a-zA-Z_0-9",
    "s": r" \t\n\x0b\f\r",
    "h": r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0b\f\r\x85\u2028\u2029",
}
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0b\f\r",
}
_SCRIPTS = {
    "Latin": "LATIN",
    "Greek": "GREEK",
    "Cyrillic": "CYRILLIC",
    "Han": "CJK UNIFIED",
    "Hiragana": "HIRAGANA",
    "Katakana": "KATAKANA",
    "Hangul": "HANGUL",
    "Arabic": "ARABIC",
    "Hebrew": "HEBREW",
    "Thai": "THAI",
}
_BINARY: dict[str, Callable[[str], bool]] = {
    "Alphabetic": str.isalpha,
    "Lowercase": str.islower,
    "Uppercase": str.isupper,
    "White_Space": str.isspace,
    "WhiteSpace": str.isspace,
    "Letter": str.isalpha,
    "Digit": str.isdecimal,
    "Punctuation": lambda c: unicodedata.category(c)[0] == "P",
}
_NEWLINE = r"(?:\r\n|[\n\x0b\f\r\x85\u2028\u2029])"
_LINE_END = r"(?:\r\n|[\n\r\x85\u2028\u2029])"
_LINE_ENDS = r"\n\r\x85\u2028\u2029"
_ASSIGNED = 0x40000
_CONTROLS = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "a": r"\x07", "e": r"\x1b"}


class RegexError(RecordError):
    """A regular expression, or the replacement that goes with it, is not valid."""


class JavaPattern:
    """A compiled pattern with Java's `split` and `replaceAll`."""

    __slots__ = ("_pattern", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            text, flags = _Translation(source).run()
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


class _Translation:
    """One pass over a Java pattern, writing the Python one."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.flags = re.NOFLAG
        self.unicode = False

    def run(self) -> tuple[str, re.RegexFlag]:
        # Flags that open the pattern become flags of the whole.
        while (found := re.compile(r"\(\?([a-zA-Z]+)\)").match(self.source, self.at)) is not None:
            for letter in found[1]:
                self._flag(letter)
            self.at = found.end()
        out: list[str] = []
        while self.at < len(self.source):
            out.append(self._item())
        return "".join(out), self.flags

    def _flag(self, letter: str) -> None:
        known = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
        if letter in known:
            self.flags |= known[letter]
        elif letter == "U":
            self.unicode = True
        elif letter not in "ud":
            raise re.error(f"unknown flag '{letter}'")

    def _item(self) -> str:
        char = self.source[self.at]
        self.at += 1
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._class()
        if char == "(":
            return self._group_start()
        if char == ".":
            return "." if self.flags & re.DOTALL else f"[^{_LINE_ENDS}]"
        if char == "^" and self.flags & re.MULTILINE:
            return rf"(?:\A|(?<=[{_LINE_ENDS}])(?<!\r(?=\n))(?!\Z))"
        if char == "$":
            return rf"(?=[{_LINE_ENDS}]|\Z)" if self.flags & re.MULTILINE else rf"(?={_LINE_END}?\Z)"
        if char == "#" and not self.flags & re.VERBOSE:
            return r"\#"
        return char

    def _group_start(self) -> str:
        found = re.compile(r"\?<([a-zA-Z][a-zA-Z0-9]*)>").match(self.source, self.at)
        if found is None:
            return "("
        self.at = found.end()
        return f"(?P<{found[1]}>"

    def _escape(self) -> str:
        if self.at >= len(self.source):
            raise re.error("a single backslash at the end")
        char = self.source[self.at]
        self.at += 1
        simple = {
            "R": _NEWLINE,
            "z": r"\Z",
            "Z": rf"(?={_LINE_END}?\Z)",
            "G": r"\A",
            "X": r"(?:.)",
            "b": r"\b",
        }
        if char in simple:
            return simple[char]
        if char == "Q":
            return self._quoted()
        if char == "k":
            found = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)>").match(self.source, self.at)
            if found is None:
                raise re.error("\\k without a group's name")
            self.at = found.end()
            return f"(?P={found[1]})"
        if char in "AB123456789":
            return "\\" + char
        inside, negated = self._class_escape(char)
        return f"[{'^' if negated else ''}{inside}]" if len(inside) > 1 or negated else re.escape(inside)

    def _quoted(self) -> str:
        end = self.source.find("\\E", self.at)
        text = self.source[self.at :] if end < 0 else self.source[self.at : end]
        self.at = len(self.source) if end < 0 else end + 2
        return re.escape(text)

    def _class_escape(self, char: str) -> tuple[str, bool]:
        """What `\\char` stands for inside a class, and whether it is the complement."""
        if char.lower() in _CLASSES:
            inside = _CLASSES[char.lower()]
            if self.unicode and char in "dDwWsS":
                inside = "\\" + char.lower()
            return inside, char.isupper()
        if char in "pP":
            return self._property(), char == "P"
        if char in _CONTROLS:
            return _CONTROLS[char], False
        if char in "xu0c":
            return self._code_point(char), False
        if char.isascii() and char.isalpha():
            raise re.error(f"unknown escape \\{char}")
        return "\\" + char if char in r"\]^-[&~|" else re.escape(char), False

    def _code_point(self, char: str) -> str:
        forms = {
            "x": r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})",
            "u": r"([0-9a-fA-F]{4})",
            "0": r"([0-3]?[0-7]{1,2})",
        }
        if char == "c":
            self.at += 1
            return re.escape(chr(ord(self.source[self.at - 1]) ^ 64))
        found = re.compile(forms[char]).match(self.source, self.at)
        if found is None:
            raise re.error(f"\\{char} without its digits")
        self.at = found.end()
        return re.escape(chr(int(next(filter(None, found.groups())), 8 if char == "0" else 16)))

    def _property(self) -> str:
        found = re.compile(r"\{(\^?)([^}]+)\}|(.)").match(self.source, self.at)
        if found is None:
            raise re.error("\\p without a name")
        self.at = found.end()
        return _property_class(found[2] or found[3])

    def _class(self) -> str:
        """A character class as a union, an intersection or a plain class."""
        negated = self.source[self.at : self.at + 1] == "^"
        self.at += negated
        operands: list[list[str]] = [[]]
        first = True
        while True:
            if self.at >= len(self.source):
                raise re.error("a character class without end")
            char = self.source[self.at]
            if char == "]" and not first:
                self.at += 1
                break
            first = False
            if self.source.startswith("&&", self.at):
                self.at += 2
                operands.append([])
            else:
                self._class_member(char, operands[-1])
        parts = [_union(members) for members in operands if members]
        if len(parts) == 1 and parts[0].startswith("[") and not parts[0].startswith("[^"):
            return f"[^{parts[0][1:]}" if negated else parts[0]
        together = "".join(f"(?={part})" for part in parts[:-1]) + parts[-1]
        return rf"(?:(?!{together})[\s\S])" if negated else f"(?:{together})"

    def _class_member(self, char: str, members: list[str]) -> None:
        """Appends plain class content, or a whole nested class, which starts with `[` or `(`."""
        self.at += 1
        if char == "[":
            members.append(self._class())
        elif char != "\\":
            members.append("\\" + char if char in r"[&~|\^" else char)
        elif self.source.startswith("Q", self.at):
            self.at += 1
            members.append(self._quoted())
        else:
            self.at += 1
            inside, negated = self._class_escape(self.source[self.at - 1])
            members.append(f"[^{inside}]" if negated else inside)


def _union(members: list[str]) -> str:
    nested = [member for member in members if member[0] in "[(" and len(member) > 1]
    plain = "".join(member for member in members if not (member[0] in "[(" and len(member) > 1))
    if not nested:
        return f"[{plain}]"
    return "(?:" + "|".join([*nested, *([f"[{plain}]"] if plain else [])]) + ")"


@cache
def _property_class(name: str) -> str:
    if name in _POSIX:
        return _POSIX[name]
    bare = re.sub(r"^(?:Is|In|general_category=|gc=|script=|sc=)", "", name)
    if name.startswith("java"):
        bare = {
            "javaLowerCase": "Lowercase",
            "javaUpperCase": "Uppercase",
            "javaWhitespace": "WhiteSpace",
        }.get(name, name)
    if name == "L1":
        return r"\x00-\xff"
    if bare in _BINARY and bare != name:
        return _ranges(_BINARY[bare])
    if bare in _SCRIPTS:
        prefix = _SCRIPTS[bare]
        return _ranges(lambda c: unicodedata.name(c, "").startswith(prefix))
    if re.fullmatch(r"[LMNPSZC][a-z]?", bare):
        return _ranges(lambda c: unicodedata.category(c).startswith(bare))
    raise re.error(f"unknown character property '{name}'")


def _ranges(test: Callable[[str], bool]) -> str:
    """The class content of all characters that pass; what lies beyond the assigned planes is left out."""
    out: list[str] = []
    for passes, run in groupby(range(_ASSIGNED), key=lambda code: test(chr(code))):
        if passes:
            codes = list(run)
            out.append(f"\\U{codes[0]:08x}" + (f"-\\U{codes[-1]:08x}" if len(codes) > 1 else ""))
    return "".join(out)
