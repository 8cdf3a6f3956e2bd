"""Pipeline files: topics, assets and agents as they are declared.

Called by the loader for every `*.yaml` without a name of its own. Gives agents their ids; connects
nothing (that is the planner's).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, get_args

from .model import DEFAULT_MODULE, Agent, Asset, Pipeline, Schema, Topic
from .plan import CreationMode, DeletionMode
from .problems import Problems
from .reading import Reader
from .settings import read_errors, read_resources
from .yaml import Node

_PIPELINE = ("module", "id", "name", "topics", "assets", "resources", "errors", "pipeline")
_TOPIC = (
    "name",
    "creation-mode",
    "deletion-mode",
    "partitions",
    "schema",
    "keySchema",
    "options",
    "config",
)
_ASSET = ("id", "name", "asset-type", "creation-mode", "deletion-mode", "config")
_AGENT = ("type", "id", "name", "input", "output", "configuration", "resources", "errors")
_CREATION: tuple[CreationMode, ...] = get_args(CreationMode)
_DELETION: tuple[DeletionMode, ...] = get_args(DeletionMode)
# An id becomes part of a URL, a folder and the names of manifests.
_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

Item = TypeVar("Item")


def read_pipeline(node: Node, stem: str, problems: Problems) -> Pipeline:
    """A pipeline file; `stem` is its name without `.yaml`."""
    reader = Reader(node, "a pipeline file", _PIPELINE, problems, at=node.at)
    module, pipeline = reader.text("module") or DEFAULT_MODULE, reader.text("id") or stem
    _check_id(pipeline, "pipeline", reader.get("id") or node, problems)
    _check_id(module, "module", reader.get("module") or node, problems)
    prefix = pipeline if module == DEFAULT_MODULE else f"{module}-{pipeline}"
    return Pipeline(
        id=pipeline,
        module=module,
        name=reader.text("name"),
        topics=_each(reader.list("topics"), read_topic, problems),
        assets=_each(reader.list("assets"), read_asset, problems),
        agents=_read_agents(reader.list("pipeline"), prefix, problems),
        errors=read_errors(reader.get("errors"), problems, node.at),
        resources=read_resources(reader.get("resources"), problems, node.at),
        at=node.at,
    )


def _check_id(name: str, what: str, node: Node, problems: Problems) -> None:
    if not _ID.fullmatch(name):
        why = "letters and digits, with '-', '_' and '.' between them: it becomes part of names and addresses"
        hint = "give the file an 'id'" if isinstance(node.value, dict) else None
        problems.add(f"'{name}' cannot be the {what}'s id", node.at, why=why, hint=hint)


def _each(
    nodes: Sequence[Node], read: Callable[[Node, Problems], Item | None], problems: Problems
) -> tuple[Item, ...]:
    return tuple(item for node in nodes if (item := read(node, problems)) is not None)


def read_topic(node: Node, problems: Problems) -> Topic | None:
    reader = Reader(node, "a topic", _TOPIC, problems, at=node.at)
    topic_name = reader.checked_scalar("name", reader.required("name"))
    creation = reader.choice("creation-mode", _CREATION, "Invalid creation mode {value}")
    deletion = reader.choice("deletion-mode", _DELETION, "Invalid deletion mode {value}")
    partitions = reader.integer("partitions")
    value_schema = _read_schema(reader.mapping("schema"), problems)
    key_schema = _read_schema(reader.mapping("keySchema"), problems)
    options, config = reader.plain_mapping("options"), _read_config(reader.mapping("config"), problems)
    _check_format(reader.mapping("options"), problems)
    if topic_name is None:
        return None
    return Topic(
        topic_name,
        creation or "none",
        deletion or "none",
        partitions,
        value_schema,
        key_schema,
        options,
        config,
    )


def _read_schema(node: Node | None, problems: Problems) -> Schema | None:
    if node is None:
        return None
    reader = Reader(node, "schema", ("type", "schema", "name"), problems, at=node.at)
    kind = reader.text("type")
    if not kind:
        problems.add("type cannot be empty", node.at, why="a schema says its type: string, bytes or avro")
        return None
    if kind not in ("string", "bytes", "avro"):
        problems.add(f"Unsupported schema type '{kind}'", node.at, why="it is string, bytes or avro")
    return Schema(kind, reader.text("schema"), reader.text("name") or "Schema")


def _read_config(node: Node | None, problems: Problems) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for key, value in (node.entries if node else {}).items():
        if isinstance(value.value, dict | tuple):
            problems.add(f"'{key}' of a topic's config must be text or a number", value.at)
        found[key] = value.raw
    return found


def _check_format(options: Node | None, problems: Problems) -> None:
    found = options.entries.get("tidemill.format") if options else None
    if found and found.value not in ("plain", "cloudevents"):
        problems.add("'tidemill.format' must be plain or cloudevents", found.at)


def read_asset(node: Node, problems: Problems) -> Asset | None:
    reader = Reader(node, "an asset", _ASSET, problems, at=node.at)
    asset = reader.text("id") or reader.text("name")
    kind = reader.checked_scalar("asset-type", reader.required("asset-type"))
    creation = reader.choice("creation-mode", _CREATION, "Invalid creation mode {value}")
    deletion = reader.choice("deletion-mode", _DELETION, "Invalid deletion mode {value}")
    config = reader.mapping("config") or Node({}, node.at)
    if not asset:
        problems.add("Asset id or name are required", node.at)
    if not asset or kind is None:
        return None
    return Asset(asset, kind, creation or "none", deletion or "none", config, node.at)


def _read_agents(nodes: Sequence[Node], prefix: str, problems: Problems) -> tuple[Agent, ...]:
    agents: list[Agent] = []
    unnamed = 0
    for node in nodes:
        reader = Reader(node, "an agent", _AGENT, problems, at=node.at)
        stated = reader.scalar("id")
        unnamed += stated is None
        kind = _agent_type(reader, stated, problems)
        if kind is not None:
            agent_id = stated.raw if stated else f"{prefix}-{kind.raw}-{unnamed}"
            _check_id(agent_id, "agent", stated or node, problems)
            agents.append(_read_agent(reader, agent_id, kind, problems))
    return tuple(agents)


def _agent_type(reader: Reader, stated: Node | None, problems: Problems) -> Node | None:
    known_as = f"id {stated.raw if stated else None} / name {reader.text('name')}"
    message = f"Agent type is always required (check agent {known_as})"
    found = reader.checked_scalar("type", reader.required("type", message))
    if found is not None and not found.raw:
        problems.add(message, found.at)
        return None
    return found


def _read_agent(reader: Reader, agent_id: str, kind: Node, problems: Problems) -> Agent:
    return Agent(
        id=agent_id,
        name=reader.text("name"),
        type=kind,
        input=reader.scalar("input"),
        output=reader.scalar("output"),
        configuration=reader.mapping("configuration") or Node({}, reader.at),
        errors=read_errors(reader.get("errors"), problems, reader.at),
        resources=read_resources(reader.get("resources"), problems, reader.at),
        at=reader.at,
    )
