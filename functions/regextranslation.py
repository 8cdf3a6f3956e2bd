"""The syntax of Java's regular expressions, written for Python's `re`.

Called by `javaregex` alone. Raises `re.error` for what Java refuses too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import groupby

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


class Translation:
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
