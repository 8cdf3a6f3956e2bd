"""What every part of the rendering looks at, and what several parts need.

Made by `render.py`, handed to `wiring.py`, `units.py`, `gateway.py` and `setup.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ..application.plan import Plan, TopicPlan, TriggerPlan
from . import delivery, names, objects, pods, secrets
from .objects import Object
from .options import BOOTSTRAP, RenderOptions

UNIT_FILE, TOPICS_FILE, GATEWAY_FILE, SETUP_FILE = "unit.json", "topics.json", "gateway.json", "setup.json"
KIND = "tidemill.dev/kind"  # annotation of Services: source, processor, sink, service, gateway


@dataclass(frozen=True, slots=True)
class Scope:
    """The plan and the options. `topics` includes the nets of `fail` Triggers, sorted by name."""

    plan: Plan
    options: RenderOptions
    topics: dict[str, TopicPlan]

    def meta(self, name: str, unit: str | None = None, **more: Any) -> Object:
        return objects.metadata(name, self.plan.application, self.options.namespace, unit=unit, **more)

    def secrets(self, *values: Any) -> dict[str, str]:
        """Id → name of the Secrets that the values refer to."""
        return {
            identity: names.of_secret(self.plan.application, identity)
            for identity in secrets.referenced(*values)
        }

    def broker(self, topic: str) -> str:
        """The name of a topic's Broker."""
        return names.of_broker(self.plan.application, topic)


def scope_of(plan: Plan, options: RenderOptions) -> Scope:
    """The topics of a plan, and a dead-letter topic for every `fail` Trigger whose input has none."""
    topics = {topic.name: topic for topic in plan.topics}
    for trigger in plan.triggers:
        net = delivery.dead_letter_topic(trigger)
        if net is not None and net not in topics:
            topics[net] = _net(net, topics[trigger.topic])
    return Scope(plan, options, dict(sorted(topics.items())))


def _net(name: str, source: TopicPlan) -> TopicPlan:
    """The dead-letter topic of a topic that declares none."""
    return TopicPlan(
        name=name,
        partitions=source.partitions,
        creation_mode="create-if-not-exists",
        deletion_mode=source.deletion_mode,
        implicit=source.implicit,
        dead_letter_of=source.name,
    )


def kafka_servers(scope: Scope) -> tuple[str, ...]:
    """Kafka's addresses as far as they are known; a secret among them stays a placeholder for `deploy`."""
    if scope.options.bootstrap_servers:
        return scope.options.bootstrap_servers
    if scope.plan.cluster.type != "kafka":
        return ()
    admin = scope.plan.cluster.configuration.get("admin")
    stated = admin.get("bootstrap.servers") if isinstance(admin, dict) else None
    found = stated.split(",") if isinstance(stated, str) else stated or ()
    return tuple(str(server).strip() for server in found)


def kafka_variables(scope: Scope) -> dict[str, str]:
    return {"TIDEMILL_KAFKA": ",".join(kafka_servers(scope) or (BOOTSTRAP,))}


def publishing(scope: Scope) -> dict[str, str]:
    return {
        "TIDEMILL_TOPICS": f"{pods.CONFIG_FOLDER}/{TOPICS_FILE}",
        "TIDEMILL_INGRESS": scope.options.ingress,
        "TIDEMILL_NAMESPACE": scope.options.namespace,
    }


def topic_paths(scope: Scope) -> str:
    """Topic → path of its Broker below the ingress."""
    return to_json({topic: f"/{scope.options.namespace}/{scope.broker(topic)}" for topic in scope.topics})


def service_annotations(scope: Scope, kind: str) -> dict[str, str]:
    found = {KIND: kind}
    if scope.options.ingress_class is not None:
        found[objects.INGRESS_CLASS] = scope.options.ingress_class
    return found


def start_name(scope: Scope, trigger: TriggerPlan) -> str:
    return names.of_trigger(scope.plan.application, trigger.unit, trigger.topic)


def to_json(value: Any) -> str:
    """Deterministic, and readable in a diff."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1).decode()
