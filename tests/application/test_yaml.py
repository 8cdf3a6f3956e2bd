"""YAML as values with positions."""

from __future__ import annotations

import pytest

from tidemill.application.problems import Problems
from tidemill.application.yaml import Node, masked, plain, read_yaml


def read(text: str, *, opaque: bool = False) -> tuple[Node, Problems]:
    problems = Problems()
    node = read_yaml(text, "f.yaml", problems, opaque=opaque)
    assert node is not None
    return node, problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-12", -12),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("007", "007"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("2024-05-20", "2024-05-20"),
        ("~", None),
        ("null", None),
        ("''", ""),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("!!int '7'", 7),
        ("!!float 1", 1.0),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = read(f"key: {text}")[0].entries["key"].value
    assert found == value
    assert type(found) is type(value)


def test_every_node_knows_its_place() -> None:
    node, _ = read("é: {b: [1, two]}\nlist:\n  - x\n  - y: 1\n")
    inner = node.entries["é"].entries["b"]
    assert (inner.at.line, inner.at.column, inner.at.text) == (1, 8, "é: {b: [1, two]}")
    assert (inner.items[1].at.column, str(node.keys["list"])) == (12, "f.yaml:2:1")
    assert str(node.entries["list"].items[1].entries["y"].at) == "f.yaml:4:8"
    assert plain(node) == {"é": {"b": [1, "two"]}, "list": ["x", {"y": 1}]}


def test_anchors_are_shared_values() -> None:
    node, problems = read("a: &x {n: 1}\nb: *x\n")
    assert plain(node) == {"a": {"n": 1}, "b": {"n": 1}}
    assert not problems.found


def test_aliases_that_multiply_each_other_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problems = Problems()
    assert read_yaml("\n".join(lines), "f.yaml", problems) is None
    assert "aliases" in problems.found[0].message


def test_a_file_of_secrets_shows_nothing_of_itself() -> None:
    node, problems = read("hunter2: 1\nhunter2: !hunter2 2\n", opaque=True)
    assert "hunter2" not in str(problems.found)
    assert node.at.text == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password: hunter2", "password: ***"),
        ("  - {user: me, token: 'a b', x: 1}", "  - {user: me, token: ***, x: 1}"),
        ("configuration: {access-key: hunter2}", "configuration: {access-key: ***}"),
        ("access-key: ${secrets.a.b}", "access-key: ${secrets.a.b}"),
        ("secret: [hunter2, x]", "secret: ***"),
        ("max-tokens: 5", "max-tokens: 5"),
    ],
)
def test_lines_hide_literal_passwords(line: str, shown: str) -> None:
    assert masked(line) == shown


def test_a_password_on_its_own_line_is_not_shown() -> None:
    node, _ = read("a:\n  password:\n    - hunter2\n  b: 1\n")
    inner = node.entries["a"]
    assert inner.entries["password"].at.text == ""
    assert inner.entries["b"].at.text == "  b: 1"
