"""Builders of the Kubernetes objects that an application consists of: plain dicts, no decisions.

Called by `render.py` and `secrets.py`. Every object carries the application's labels, by which it is
found again and by which nothing of another application is ever touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import names
from .options import ConfigMapRef

Object = dict[str, Any]

EVENTING, SERVING = "eventing.knative.dev/v1", "serving.knative.dev/v1"
BROKER_CLASS = "eventing.knative.dev/broker.class"
EXTERNAL_TOPIC = "kafka.eventing.knative.dev/external.topic"
DELIVERY_ORDER = "kafka.eventing.knative.dev/delivery.order"
VISIBILITY = "networking.knative.dev/visibility"
INGRESS_CLASS = "networking.knative.dev/ingress-class"
AUTOSCALING = "autoscaling.knative.dev/"
# Ours. On a Trigger: the policy and its retries as the user wrote them. The local platform keeps more of
# `fail` than Knative's delivery fields can express (a lane that is held for ever).
ON_FAILURE, RETRIES = "tidemill.dev/on-failure", "tidemill.dev/retries"
APPLICATION_LABEL, UNIT_LABEL = "tidemill.dev/application", "tidemill.dev/unit"


def kind(version: str, name: str) -> Object:
    return {"apiVersion": version, "kind": name}


def metadata(
    name: str,
    application: str,
    namespace: str,
    *,
    unit: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Name, namespace and labels; annotations when there are any."""
    found: Object = {
        "name": name,
        "namespace": namespace,
        "labels": {**application_labels(application, unit), **(labels or {})},
    }
    if annotations:
        found["annotations"] = dict(annotations)
    return found


def application_labels(application: str, unit: str | None = None) -> dict[str, str]:
    value = names.label(application)
    labels = {
        "app.kubernetes.io/managed-by": "tidemill",
        "app.kubernetes.io/part-of": value,
        APPLICATION_LABEL: value,
    }
    return labels if unit is None else {**labels, UNIT_LABEL: names.label(unit)}


def reference(version: str, kind_: str, name: str, namespace: str) -> Object:
    """What a Destination's `ref` and a DomainMapping's hold."""
    return {"apiVersion": version, "kind": kind_, "name": name, "namespace": namespace}


def service_sink(name: str, namespace: str, path: str | None = None) -> Object:
    sink: Object = {"ref": reference(SERVING, "Service", name, namespace)}
    return sink if path is None else {**sink, "uri": path}


def broker_sink(name: str, namespace: str) -> Object:
    return {"ref": reference(EVENTING, "Broker", name, namespace)}


def config_map(meta: Object, data: Mapping[str, str], *, immutable: bool) -> Object:
    found: Object = {**kind("v1", "ConfigMap"), "metadata": meta, "data": dict(data)}
    return {**found, "immutable": True} if immutable else found


def broker(meta: Object, topic: str, config: ConfigMapRef) -> Object:
    """`meta` gets the two annotations that make it a Broker over an existing Kafka topic."""
    annotations = {**meta.get("annotations", {}), BROKER_CLASS: "Kafka", EXTERNAL_TOPIC: topic}
    return {
        **kind(EVENTING, "Broker"),
        "metadata": {**meta, "annotations": annotations},
        "spec": {"config": reference("v1", "ConfigMap", config.name, config.namespace)},
    }


def trigger(
    meta: Object, broker_name: str, subscriber: Object, delivery: Object, filters: tuple[Object, ...]
) -> Object:
    spec: Object = {"broker": broker_name, "subscriber": subscriber, "delivery": delivery}
    if filters:
        spec["filters"] = list(filters)
    annotations = {**meta.get("annotations", {}), DELIVERY_ORDER: "ordered"}
    return {**kind(EVENTING, "Trigger"), "metadata": {**meta, "annotations": annotations}, "spec": spec}


def kafka_source(
    meta: Object, topic: str, servers: tuple[str, ...], group: str, sink: Object, delivery: Object
) -> Object:
    """Reads a topic that others write. The group is fixed: a generated one would change on re-creation."""
    return {
        **kind("sources.knative.dev/v1", "KafkaSource"),
        "metadata": meta,
        "spec": {
            "bootstrapServers": list(servers),
            "topics": [topic],
            "consumerGroup": group,
            "initialOffset": "earliest",
            "ordering": "ordered",
            "delivery": delivery,
            "sink": sink,
        },
    }


def service(meta: Object, template_annotations: Mapping[str, str], revision: Object) -> Object:
    """A Knative Service. Traffic is left to whoever splits it; unsaid, all goes to the newest revision."""
    labels = {key: value for key, value in meta["labels"].items() if not key.startswith("networking.")}
    template = {"metadata": {"labels": labels, "annotations": dict(template_annotations)}, "spec": revision}
    return {**kind(SERVING, "Service"), "metadata": meta, "spec": {"template": template}}


def domain_mapping(meta: Object, service_name: str) -> Object:
    target = reference(SERVING, "Service", service_name, meta["namespace"])
    return {
        **kind("serving.knative.dev/v1beta1", "DomainMapping"),
        "metadata": meta,
        "spec": {"ref": target},
    }


def volume_claim(meta: Object, size: int, storage_class: str | None) -> Object:
    spec: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(size)}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {**kind("v1", "PersistentVolumeClaim"), "metadata": meta, "spec": spec}


def job(meta: Object, pod: Object) -> Object:
    """Runs once. No time to live: a GitOps tool would start it again whenever it is gone."""
    template = {"metadata": {"labels": dict(meta["labels"])}, "spec": {**pod, "restartPolicy": "OnFailure"}}
    return {
        **kind("batch/v1", "Job"),
        "metadata": meta,
        "spec": {"backoffLimit": 10, "template": template},
    }
