"""What the files of an application say, before anything is resolved.

Made by `loader.py`, read by the planner. Frozen values; a part that a message may point at is a Node
with its position. Defaults of LangStream are not filled in where inheritance needs to know that
nothing was said (None).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import Position
from ..functions.unit import OnFailure
from .plan import CreationMode, DeletionMode
from .yaml import Node

DEFAULT_MODULE = "default"
Cluster = Literal["embedded", "kafka", "pulsar", "pravega", "noop"]
GatewayType = Literal["produce", "consume", "chat", "service"]


@dataclass(frozen=True, slots=True)
class Schema:
    type: str
    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Topic:
    name: Node
    creation_mode: CreationMode
    deletion_mode: DeletionMode
    partitions: int | None
    value_schema: Schema | None
    key_schema: Schema | None
    options: Mapping[str, Any]
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asset:
    id: str
    type: Node
    creation_mode: CreationMode
    deletion_mode: DeletionMode
    config: Node
    at: Position


@dataclass(frozen=True, slots=True)
class Errors:
    """`errors` of a pipeline or an agent; None is inherited."""

    on_failure: OnFailure | None = None
    retries: int | None = None
    at: Position | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    enabled: bool | None = None
    type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    min: int | None = None
    max: int | None = None
    target: float | None = None
    metric: Literal["concurrency", "rps"] | None = None
    window: int | None = None
    delay: int | None = None
    concurrency: int | None = None
    at: Position | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """`resources` of a pipeline or an agent; None is inherited."""

    parallelism: int | None = None
    size: int | None = None
    disk: Disk = Disk()
    scale: Scale = Scale()


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    name: str | None
    type: Node
    input: Node | None
    output: Node | None
    configuration: Node
    errors: Errors
    resources: Resources
    at: Position

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class Pipeline:
    id: str
    module: str
    name: str | None
    topics: tuple[Topic, ...]
    assets: tuple[Asset, ...]
    agents: tuple[Agent, ...]
    errors: Errors
    resources: Resources
    at: Position


@dataclass(frozen=True, slots=True)
class Resource:
    id: str
    type: Node
    name: str | None
    configuration: Node
    at: Position


@dataclass(frozen=True, slots=True)
class Dependency:
    """A file that the application wants beside its code."""

    name: str
    url: str
    sha512sum: str
    type: str


@dataclass(frozen=True, slots=True)
class Header:
    key: str
    value: str | None
    from_parameter: str | None
    from_authentication: str | None


@dataclass(frozen=True, slots=True)
class Authentication:
    provider: str
    configuration: Node | None
    allow_test_mode: bool
    at: Position


@dataclass(frozen=True, slots=True)
class Gateway:
    """`topics` by role: topic, questions-topic, answers-topic, input-topic, output-topic."""

    id: str
    type: GatewayType
    topics: Mapping[str, Node]
    agent: Node | None
    parameters: tuple[str, ...]
    headers: tuple[Header, ...]
    authentication: Authentication | None
    events_topic: Node | None
    at: Position


@dataclass(frozen=True, slots=True)
class Instance:
    """instance.yaml: where the application runs."""

    cluster: Cluster
    configuration: Node | None
    compute: str
    globals: Node | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """secrets.yaml. The values never show, not even in a repr."""

    values: Mapping[str, Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Application:
    """An application as its files describe it. `unread` are the files that could not be read at
    all: what they declare is unknown, so nothing may be called undeclared because of them."""

    directory: Path
    id: str
    pipelines: tuple[Pipeline, ...] = ()
    resources: Mapping[str, Resource] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()
    default_globals: Node | None = None
    gateways: tuple[Gateway, ...] = ()
    instance: Instance | None = None
    secrets: Secrets | None = None
    unread: frozenset[str] = frozenset()
