"""The Plan: what an application is, on every platform.

Made by `planner.py` from an Application; rendered to manifests by `knative/`, printed by
`tidemill plan`. Deterministic: equal files give an equal plan, whatever the order of the files.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..functions.gateway.spec import AuthenticationSpec as AuthenticationSpec
from ..functions.gateway.spec import GatewayPlan as GatewayPlan
from ..functions.gateway.spec import HeaderSpec as HeaderSpec
from ..functions.unit import OnFailure, Spec, UnitSpec

PLAN_VERSION = 1
DEFAULT_PARTITIONS = 12

CreationMode = Literal["none", "create-if-not-exists"]
DeletionMode = Literal["none", "delete"]


class SchemaSpec(Spec, frozen=True, kw_only=True):
    """A topic's schema, as declared."""

    type: str
    schema: str | None = None
    name: str = "Schema"


class TopicPlan(Spec, frozen=True, kw_only=True):
    """A topic. `implicit` ones connect two units of a pipeline; `dead_letter_of` names the input."""

    name: str
    partitions: int = DEFAULT_PARTITIONS
    creation_mode: CreationMode = "none"
    deletion_mode: DeletionMode = "none"
    implicit: bool = False
    dead_letter_of: str | None = None
    value_schema: SchemaSpec | None = None
    key_schema: SchemaSpec | None = None
    options: dict[str, Any] = {}
    config: dict[str, str] = {}
    format: Literal["cloudevents", "plain"] = "cloudevents"


class TriggerPlan(Spec, frozen=True, kw_only=True):
    """What starts a unit: events of one topic, with the policy for failures."""

    name: str
    unit: str
    topic: str
    on_failure: OnFailure = "fail"
    retries: int = 0
    dead_letter: str | None = None
    filters: tuple[dict[str, Any], ...] = ()


class AssetPlan(Spec, frozen=True, kw_only=True):
    """Something outside that must exist: a table, a collection."""

    id: str
    type: str
    creation_mode: CreationMode = "none"
    deletion_mode: DeletionMode = "none"
    config: dict[str, Any] = {}
    datasource: str | None = None


class StreamingCluster(Spec, frozen=True, kw_only=True):
    """Where topics live, by instance.yaml; without one, what the platform gives."""

    type: Literal["embedded", "kafka", "pulsar", "pravega", "noop"] = "embedded"
    configuration: dict[str, Any] = {}


class UnitPlan(Spec, frozen=True, kw_only=True):
    """A unit and why it begins where it does."""

    spec: UnitSpec
    why: str


class Plan(Spec, frozen=True, kw_only=True):
    """Everything about an application, sorted by name where order has no meaning."""

    version: int = PLAN_VERSION
    tenant: str = "default"
    application: str
    units: tuple[UnitPlan, ...] = ()
    topics: tuple[TopicPlan, ...] = ()
    triggers: tuple[TriggerPlan, ...] = ()
    gateways: tuple[GatewayPlan, ...] = ()
    assets: tuple[AssetPlan, ...] = ()
    cluster: StreamingCluster = StreamingCluster()


def write_plan(plan: Plan) -> bytes:
    """Deterministic JSON, one object with the lists units, topics, triggers, gateways, assets."""
    return msgspec.json.format(msgspec.json.encode(plan, order="sorted"), indent=2)
