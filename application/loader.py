"""Reads a folder into an Application: strict, and with all its problems together.

`load` is for callers who want the model; the planner uses `read`, which goes on after a problem, so
that faults of the files and faults of the plan are reported in one go. Needs no instance, secrets,
cluster or network.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from ..errors import NotFound
from .configuration import Configuration, check_archetype, read_configuration
from .files import ARCHETYPE, CONFIGURATION, GATEWAYS, read_file, read_folder
from .gateways import read_gateways
from .instance import read_instance, read_secrets
from .model import Application, Instance, Pipeline, Secrets
from .pipelines import read_pipeline
from .problems import Problems
from .substitution import substitute
from .yaml import Node

_LONGEST_ID = 40
_HASH = 6


def load(
    directory: str | Path,
    instance: str | Path | None = None,
    secrets: str | Path | None = None,
    name: str | None = None,
) -> Application:
    """The application in a folder. Raises ApplicationError with every problem of its files."""
    problems = Problems()
    application = read(directory, instance, secrets, name, problems)
    problems.raise_if_any()
    return application


def read(
    directory: str | Path,
    instance: str | Path | None,
    secrets: str | Path | None,
    name: str | None,
    problems: Problems,
) -> Application:
    """What can be read of an application; the rest is in `problems`."""
    directory = Path(directory)
    folder = read_folder(directory, problems)
    configuration = Configuration()
    if CONFIGURATION in folder.special:
        configuration = read_configuration(folder.special[CONFIGURATION], problems)
    gateways = folder.special.get(GATEWAYS)
    if ARCHETYPE in folder.special:
        check_archetype(folder.special[ARCHETYPE], problems)
    pipelines = [read_pipeline(node, file[:-5], problems) for file, node in folder.pipelines.items()]
    _refuse_duplicates(pipelines, problems)
    return Application(
        directory=directory,
        id=application_id(name or directory.resolve().name),
        pipelines=tuple(sorted(pipelines, key=lambda pipeline: (pipeline.module, pipeline.id))),
        resources=configuration.resources,
        dependencies=configuration.dependencies,
        default_globals=configuration.globals,
        gateways=read_gateways(gateways, problems) if gateways else (),
        instance=_load_instance(instance, problems),
        secrets=load_secrets(secrets, problems) if secrets else None,
        unread=folder.unread,
    )


def application_id(name: str) -> str:
    """A legal id from the name of a folder: lower case, digits and dashes, at most 40 characters."""
    legal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not legal or not legal[0].isalpha():
        legal = f"app-{legal}".rstrip("-")
    if len(legal) <= _LONGEST_ID:
        return legal
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
    return f"{legal[: _LONGEST_ID - _HASH - 1].rstrip('-')}-{digest}"


def load_secrets(path: str | Path, problems: Problems | None = None) -> Secrets:
    """secrets.yaml with its variables and files filled in. Without `problems`, raises them."""
    collected = problems or Problems()
    node = _read_outside(Path(path), "secrets file", collected, opaque=True)
    found = read_secrets(node, collected) if node else None
    if problems is None:
        collected.raise_if_any()
    return found or Secrets({})


def _load_instance(path: str | Path | None, problems: Problems) -> Instance | None:
    node = _read_outside(Path(path), "instance file", problems) if path else None
    return read_instance(node, problems) if node else None


def _read_outside(path: Path, what: str, problems: Problems, *, opaque: bool = False) -> Node | None:
    if not path.is_file():
        raise NotFound(what, str(path))
    node = read_file(path, problems, opaque=opaque)
    return substitute(node, path.parent, os.environ, problems) if node else None


def _refuse_duplicates(pipelines: list[Pipeline], problems: Problems) -> None:
    first: dict[tuple[str, str], Pipeline] = {}
    agents: dict[str, str] = {}
    for pipeline in pipelines:
        known = first.setdefault((pipeline.module, pipeline.id), pipeline)
        if known is not pipeline:
            what = f"Pipeline {pipeline.id} already exists in module {pipeline.module}"
            problems.add(what, pipeline.at, why=f"first at {known.at}")
        for agent in pipeline.agents:
            seen = agents.setdefault(agent.id, str(agent.at))
            if seen != str(agent.at):
                what = f"Agent {agent.id} already exists in the application"
                problems.add(what, agent.at, why=f"first at {seen}; an id is unique in all pipelines")
