"""What a unit is told at its start: its part of the Plan, as plain values.

Written by `application/planner.py`, carried in an immutable ConfigMap (a file), read by the host.
Configurations keep `${secrets.…}` as text; the host resolves them, so a secret never enters a
ConfigMap, a hash or a diff.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..errors import NewerVersion

UNIT_VERSION = 1

Kind = Literal["source", "processor", "sink", "service"]
OnFailure = Literal["fail", "skip", "dead-letter"]


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of the parts of a plan: frozen, comparable, written as JSON without its defaults."""


class AgentSpec(Spec, frozen=True, kw_only=True):
    """One agent of a unit."""

    id: str
    type: str
    configuration: dict[str, Any] = {}
    disk: bool = False


class ErrorsSpec(Spec, frozen=True, kw_only=True):
    """What happens to a record that fails: `retries` further attempts, then `on_failure`."""

    on_failure: OnFailure = "fail"
    retries: int = 0


class DiskSpec(Spec, frozen=True, kw_only=True):
    """A volume; `size` in bytes."""

    type: str = "default"
    size: int = 256 * 1024 * 1024


class ScaleSpec(Spec, frozen=True, kw_only=True):
    """How many copies of a unit run: `resources.scale`. Times in seconds, `max` 0 = no bound."""

    min: int = 0
    max: int = 0
    target: float | None = None
    metric: Literal["concurrency", "rps"] = "concurrency"
    window: int = 60
    delay: int = 0
    concurrency: int | None = None


class ResourcesSpec(Spec, frozen=True, kw_only=True):
    """LangStream's `resources`, and Tidemill's `scale`."""

    parallelism: int = 1
    size: int = 1
    disk: DiskSpec | None = None
    scale: ScaleSpec = ScaleSpec()


class ResourceSpec(Spec, frozen=True, kw_only=True):
    """An entry of configuration.yaml's `resources` (a model, a database …)."""

    id: str
    type: str
    name: str | None = None
    configuration: dict[str, Any] = {}


class UnitSpec(Spec, frozen=True, kw_only=True):
    """The agents that run as one function, and all they need to know.

    `input`, `output` and `dead_letter` are names of topics. `topics` are all topics of the
    application, which its agents may name. `epoch` enters the ids of everything the unit emits.
    """

    version: int = UNIT_VERSION
    tenant: str = "default"
    application: str = "application"
    id: str
    kind: Kind
    agents: tuple[AgentSpec, ...]
    input: str | None = None
    output: str | None = None
    dead_letter: str | None = None
    errors: ErrorsSpec = ErrorsSpec()
    resources: ResourcesSpec = ResourcesSpec()
    services: dict[str, ResourceSpec] = {}  # the application's resources by id
    globals: dict[str, Any] = {}
    topics: tuple[str, ...] = ()
    epoch: int = 0

    @property
    def source(self) -> str:
        """The CloudEvents source of what this unit emits."""
        return f"/{self.tenant}/{self.application}/{self.id}"


def read_unit(text: bytes) -> UnitSpec:
    """The unit in a file written by `write_unit`. Raises NewerVersion."""
    version = msgspec.json.decode(text, type=dict[str, Any]).get("version", 1)
    if version > UNIT_VERSION:
        raise NewerVersion("the unit's plan", version, UNIT_VERSION)
    return msgspec.json.decode(text, type=UnitSpec)


def write_unit(unit: UnitSpec) -> bytes:
    """Deterministic JSON."""
    return msgspec.json.format(msgspec.json.encode(unit, order="sorted"), indent=1)
