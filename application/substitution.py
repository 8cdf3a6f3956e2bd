"""`${VAR}`, `${VAR:-default}`, `$${X}` and `<file:…>` in instance and secrets files.

Called by the loader right after such a file is read, before anything looks at it. A variable that is
not set leaves its text as it is, so `${secrets.a.b}` reaches the planner. Only text is processed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .problems import Problems
from .yaml import Node

_VARIABLE = re.compile(r"(?P<escaped>\$)?\$\{(?P<name>[^{}]*?)(:-(?P<default>[^{}]*))?\}")
_FILE = re.compile(r"<file:([^<>]+)>")
_TEXT = {".txt", ".yaml", ".yml", ".json", ".text"}


def substitute(node: Node, folder: Path, environment: Mapping[str, str], problems: Problems) -> Node:
    """`node` with its texts filled from the environment and from files beside the YAML file."""
    if isinstance(node.value, dict):
        filled = {key: substitute(item, folder, environment, problems) for key, item in node.value.items()}
        return replace(node, value=filled)
    if isinstance(node.value, tuple):
        return replace(
            node, value=tuple(substitute(item, folder, environment, problems) for item in node.value)
        )
    if isinstance(node.value, str):
        text = fill(node.value, environment)
        if "<file:" in text:
            text = _FILE.sub(lambda found: _content(folder / found[1].strip(), node, problems), text)
        return replace(node, value=text, raw=text)
    return node


def fill(text: str, environment: Mapping[str, str]) -> str:
    """`text` with the variables of the environment."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return found[0][1:]
        default = found[0] if found["default"] is None else found["default"]
        return environment.get(found["name"].strip(), default)

    return _VARIABLE.sub(value, text) if "${" in text else text


def _content(path: Path, node: Node, problems: Problems) -> str:
    try:
        content = path.read_bytes()
        if path.suffix.lower() in _TEXT:
            return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.add(f"cannot read the file '{path.name}' that is named here", node.at, why=why)
        return ""
    return "base64:" + base64.b64encode(content).decode()
