"""Java regular expressions: what is written or meant differently in Python."""

from __future__ import annotations

import pytest

from tidemill.functions.javaregex import RegexError, compile_java


@pytest.mark.parametrize(
    ("pattern", "text", "pieces"),
    [
        (",", "a,,b,,", ["a", "", "b"]),
        (",", ",a", ["", "a"]),
        (",", "a", ["a"]),
        (",", "", [""]),
        ("", "abc", ["a", "b", "c"]),
        ("(?=b)", "abab", ["a", "ba", "b"]),
        ("(,)(;)?", "a,b,;c", ["a", "b", "c"]),
        (r"\R", "a\r\nb\u2028c", ["a", "b", "c"]),
        (r"\h+", "a \u00a0\tb", ["a", "b"]),
        (r"\d", "a1b\u0663c", ["a", "b\u0663c"]),
        (r"\s", "a\u00a0b c", ["a\u00a0b", "c"]),
        (r"\Q.\E", "a.b", ["a", "b"]),
        (r"[a-z&&[^b]]", "1b2c3", ["1b2", "3"]),
        (r"[x[yz]]", "1y2x3", ["1", "2", "3"]),
        (r"[^x[yz]]+", "x1y", ["x", "y"]),
        (r"\p{Lu}", "aXbÉc", ["a", "b", "c"]),
        (r"\p{Punct}+", "a-!b", ["a", "b"]),
        (r"\P{L}+", "é1ü", ["é", "ü"]),
        (r"\p{IsGreek}", "aωb", ["a", "b"]),
        (r"(?i)X", "axb", ["a", "b"]),
        (r"a++", "baab", ["b", "b"]),
        (r"\x41|\u0042|\x{43}", "1A2B3C4", ["1", "2", "3", "4"]),
        (r"[\[\]]", "a[b]c", ["a", "b", "c"]),
        (r"#", "a#b", ["a", "b"]),
    ],
)
def test_split(pattern: str, text: str, pieces: list[str]) -> None:
    assert compile_java(pattern).split(text) == pieces


@pytest.mark.parametrize(
    ("pattern", "text", "replacement", "result"),
    [
        ("a*", "baac", "-", "-b--c-"),
        ("a*?", "aab", "x", "xaxaxbx"),
        ("(?<n>b)", "abc", "[${n}$1$0]", "a[bbb]c"),
        ("(a)|(b)", "ab", "[$1$2]", "[a][b]"),
        ("(b)", "abc", "$12", "ab2c"),
        ("b", "abc", r"\$\\", "a$\\c"),
        ("^abc", "abcabc", "x", "xabc"),
        ("(?m)^", "a\nb", ">", ">a\n>b"),
        ("c$", "abc\n", "x", "abx\n"),
        (".", "a\nb\r", "-", "-\n-\r"),
        ("(?s).", "a\n", "-", "--"),
        (r"(.)\1", "abbc", "=", "a=c"),
        (r"(?<c>.)\k<c>", "abbc", "=", "a=c"),
    ],
)
def test_replace(pattern: str, text: str, replacement: str, result: str) -> None:
    assert compile_java(pattern).replace(text, replacement) == result


@pytest.mark.parametrize(
    "pattern", ["(", "[a", "*", "a\\", r"\p{Nope}", r"\x4", r"\y", "(?Z)a", "[]", "[b-a]", r"\k<x>"]
)
def test_invalid_patterns(pattern: str) -> None:
    with pytest.raises(RegexError, match="no valid regular expression"):
        compile_java(pattern)


@pytest.mark.parametrize("replacement", ["$", "$x", "$1", "${n}", "\\"])
def test_invalid_replacements(replacement: str) -> None:
    with pytest.raises(RegexError, match="replacement"):
        compile_java("a").replace("a", replacement)
