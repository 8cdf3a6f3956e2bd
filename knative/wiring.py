"""Brokers, and what starts units: Triggers, and KafkaSources for topics that foreign programs write.

Called by `render.py`. One Broker for each topic, one Trigger or KafkaSource for each (unit, topic).
"""

from __future__ import annotations

from ..application.plan import TriggerPlan
from ..errors import ConfigurationError
from . import delivery, names, objects
from .objects import Object
from .options import BOOTSTRAP, ConfigMapRef
from .scope import Scope, kafka_servers, start_name


def _config(scope: Scope) -> ConfigMapRef:
    if not kafka_servers(scope):
        return scope.options.broker_config
    return ConfigMapRef(names.of_kafka(scope.plan.application), scope.options.namespace)


def kafka(scope: Scope) -> list[Object]:
    """The ConfigMap of the application's Brokers. Partitions and replication must be in it, though they
    count for nothing: the setup Job makes the topics."""
    servers = kafka_servers(scope)
    if not servers:
        return []
    data = {
        "bootstrap.servers": ",".join(servers),
        "default.topic.partitions": "12",
        "default.topic.replication.factor": "1",
    }
    if scope.options.kafka_secret is not None:
        data["auth.secret.ref.name"] = scope.options.kafka_secret
    meta = scope.meta(names.of_kafka(scope.plan.application))
    return [objects.config_map(meta, data, immutable=False)]


def brokers(scope: Scope) -> list[Object]:
    config = _config(scope)
    return [objects.broker(scope.meta(scope.broker(topic)), topic, config) for topic in scope.topics]


def starts(scope: Scope) -> list[Object]:
    return [_start(scope, trigger) for trigger in scope.plan.triggers]


def _start(scope: Scope, trigger: TriggerPlan) -> Object:
    """A Trigger; a KafkaSource where foreign programs write the topic in plain form."""
    namespace = scope.options.namespace
    service = names.of_unit(scope.plan.application, trigger.unit)
    net = delivery.dead_letter_topic(trigger)
    sink = (
        objects.service_sink(service, namespace, "/skipped")
        if net is None
        else objects.broker_sink(scope.broker(net), namespace)
    )
    spec = delivery.delivery(trigger, sink)
    policy = {objects.ON_FAILURE: trigger.on_failure, objects.RETRIES: str(trigger.retries)}
    meta = scope.meta(start_name(scope, trigger), trigger.unit, annotations=policy)
    subscriber = objects.service_sink(service, namespace)
    if scope.topics[trigger.topic].format != "plain":
        return objects.trigger(meta, scope.broker(trigger.topic), subscriber, spec, trigger.filters)
    if trigger.filters:
        raise ConfigurationError(
            f"events of '{trigger.topic}' cannot be filtered: the topic is in plain form", agent=trigger.unit
        )
    group = f"tidemill-{namespace}-{meta['name']}"
    servers = kafka_servers(scope) or (BOOTSTRAP,)
    return objects.kafka_source(meta, trigger.topic, servers, group, subscriber, spec)
