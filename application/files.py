"""The files of an application: which there are, what their names mean, and their text.

Called by the loader. Only regular `*.yaml` files directly in the folder count, in sorted order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import NotFound, Position, UsageError
from .problems import Problems
from .yaml import Node, read_yaml

CONFIGURATION = "configuration.yaml"
GATEWAYS = "gateways.yaml"
ARCHETYPE = "archetype.yaml"
SOURCES = "sources.yaml"
OUTSIDE = ("instance.yaml", "secrets.yaml")
_SPECIAL = {CONFIGURATION, GATEWAYS, ARCHETYPE, SOURCES, *OUTSIDE}


@dataclass(frozen=True, slots=True)
class Folder:
    """The YAML files of an application that could be read, by name; `unread` could not."""

    pipelines: dict[str, Node]
    special: dict[str, Node]
    unread: frozenset[str]


def read_folder(directory: Path, problems: Problems) -> Folder:
    paths = _yaml_files(directory, problems)
    _refuse_misplaced(directory, paths, problems)
    nodes: dict[str, Node] = {}
    for path in paths:
        if path.name not in (SOURCES, *OUTSIDE):
            node = read_file(path, problems)
            if node:
                nodes[path.name] = node
    return Folder(
        pipelines={name: node for name, node in nodes.items() if name not in _SPECIAL},
        special={name: node for name, node in nodes.items() if name in _SPECIAL},
        unread=frozenset(path.name for path in paths if path.name not in nodes),
    )


def read_file(path: Path, problems: Problems, *, opaque: bool = False) -> Node | None:
    """The content of a YAML file, or None with a problem."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problems.add(f"{path.name} is not UTF-8 text", Position(str(path), line))
        return None
    except OSError as error:
        problems.add(f"cannot read {path.name}", Position(str(path)), why=error.strerror)
        return None
    return read_yaml(text, str(path), problems, opaque=opaque)


def _yaml_files(directory: Path, problems: Problems) -> list[Path]:
    if not directory.exists():
        raise NotFound("folder", str(directory))
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a folder", hint="name the folder that holds the pipeline files")
    files = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files:
        if path.suffix == ".yml":
            what = f"{path.name} is not read: files of an application end in .yaml"
            problems.note(what, Position(str(path)), hint=f"rename it to {path.stem}.yaml")
    found = [path for path in files if path.suffix == ".yaml"]
    if all(path.name in OUTSIDE for path in found):
        inner = directory / "application"
        hint = f"did you mean {inner}?" if inner.is_dir() else None
        problems.add(f"{directory} holds no application: there is no pipeline file (*.yaml)", hint=hint)
    return found


def _refuse_misplaced(directory: Path, paths: list[Path], problems: Problems) -> None:
    for path in paths:
        if path.name in OUTSIDE:
            problems.add(
                f"{path.name} must not be included in the application",
                Position(str(path)),
                why="it belongs to the place where the application runs, not to the application",
                hint=f"move it beside the folder '{directory.name}' and name it with "
                + ("-i" if path.name == "instance.yaml" else "-s"),
            )
        if path.name == SOURCES:
            problems.add(
                f"{SOURCES} is a reserved name: sources come with a later version",
                Position(str(path)),
                hint="use source agents in a pipeline, or give the file another name",
            )
