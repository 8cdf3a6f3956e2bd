"""What Knative Eventing and its Kafka parts refuse, and what loses events without being refused.

Called by `validate.py` for objects whose structure is right. Each rule yields path and message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from . import durations
from .objects import BROKER_CLASS, DELIVERY_ORDER, EXTERNAL_TOPIC, Object
from .shapes import Found

_CLASSES = ("Kafka", "KafkaNamespaced")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*")
_SERVER = re.compile(r"[-a-zA-Z0-9.\[\]:]+:\d{1,5}")
_MOST_RETRIES = 2**31 - 1


def broker(found: Object) -> Iterator[Found]:
    annotations, spec = found["metadata"].get("annotations", {}), found["spec"]
    if annotations.get(BROKER_CLASS) not in _CLASSES:
        yield f"metadata.annotations.{BROKER_CLASS}", f"must be one of {', '.join(_CLASSES)}"
    if (topic := annotations.get(EXTERNAL_TOPIC)) is not None and not _is_topic(topic):
        yield f"metadata.annotations.{EXTERNAL_TOPIC}", f"'{topic}' is not a legal name of a Kafka topic"
    config = spec.get("config", {})
    if (config.get("apiVersion"), config.get("kind")) != ("v1", "ConfigMap") or not config.get("name"):
        yield "spec.config", "must name a ConfigMap"
    if "delivery" in spec:
        yield from _delivery(spec["delivery"], "spec.delivery")


def kafka_config(data: Mapping[str, str]) -> Iterator[str]:
    """The ConfigMap of a Kafka Broker."""
    servers = data.get("bootstrap.servers", "")
    if not servers or not all(_SERVER.fullmatch(server) for server in servers.split(",")):
        yield f"bootstrap.servers '{servers}' is not a list of host:port"
    for key in ("default.topic.partitions", "default.topic.replication.factor"):
        if not re.fullmatch(r"[1-9]\d{0,5}", data.get(key, "")):
            yield f"{key} must be a whole number from 1"


def trigger(found: Object) -> Iterator[Found]:
    spec = found["spec"]
    if not spec.get("broker"):
        yield "spec.broker", "is missing"
    order = found["metadata"].get("annotations", {}).get(DELIVERY_ORDER, "unordered")
    if order not in ("ordered", "unordered"):
        yield f"metadata.annotations.{DELIVERY_ORDER}", f"'{order}' is neither ordered nor unordered"
    yield from _destination(spec.get("subscriber"), "spec.subscriber")
    yield from _sure_delivery(spec)
    for index, part in enumerate(spec.get("filters", ())):
        yield from _filter(part, f"spec.filters[{index}]")
    yield from _attributes(spec.get("filter", {}).get("attributes"), "spec.filter.attributes")


def kafka_source(found: Object) -> Iterator[Found]:
    spec = found["spec"]
    for field, legal in (("bootstrapServers", _SERVER.fullmatch), ("topics", _is_topic)):
        values = spec.get(field, [])
        if not values or not all(map(legal, values)):
            yield f"spec.{field}", f"{values!r} is empty or holds what is not legal"
    if not spec.get("consumerGroup"):
        yield "spec.consumerGroup", "is missing: a generated one is lost when the source is made again"
    for field, words in (("initialOffset", ("earliest", "latest")), ("ordering", ("ordered", "unordered"))):
        if field in spec and spec[field] not in words:
            yield f"spec.{field}", f"'{spec[field]}' is none of {', '.join(words)}"
    if spec.get("consumers", 1) < 0:
        yield "spec.consumers", "must not be negative"
    yield from _destination(spec.get("sink"), "spec.sink")
    yield from _sure_delivery(spec)


def _is_topic(name: str) -> bool:
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def _sure_delivery(spec: Mapping[str, Any]) -> Iterator[Found]:
    """Ours: without a dead letter sink, an event whose attempts are used up is dropped in silence."""
    delivery = spec.get("delivery", {})
    if "deadLetterSink" not in delivery:
        yield "spec.delivery.deadLetterSink", "is missing: failed events would be dropped"
    yield from _delivery(delivery, "spec.delivery")


def _delivery(delivery: Mapping[str, Any], path: str) -> Iterator[Found]:
    if not 0 <= delivery.get("retry", 0) <= _MOST_RETRIES:
        yield f"{path}.retry", "must be a whole number from 0"
    if delivery.get("backoffPolicy", "linear") not in ("linear", "exponential"):
        yield f"{path}.backoffPolicy", f"'{delivery['backoffPolicy']}' is neither linear nor exponential"
    for field in ("backoffDelay", "timeout", "retryAfterMax"):
        if field in delivery:
            yield from _duration(delivery[field], f"{path}.{field}", positive=field == "timeout")
    if delivery.get("format", "json") not in ("json", "binary"):
        yield f"{path}.format", "must be json or binary"
    if "deadLetterSink" in delivery:
        yield from _destination(delivery["deadLetterSink"], f"{path}.deadLetterSink")


def _duration(text: str, path: str, *, positive: bool) -> Iterator[Found]:
    try:
        seconds = durations.from_iso(text)
    except ValueError as error:
        yield path, str(error)
        return
    if positive and seconds <= 0:
        yield path, "must be more than zero"


def _destination(place: Mapping[str, Any] | None, path: str) -> Iterator[Found]:
    if not place or not ("ref" in place or "uri" in place):
        yield path, "must have a ref or a uri"
        return
    ref, uri = place.get("ref"), place.get("uri")
    if ref is not None and not (ref.get("apiVersion") and ref.get("kind") and ref.get("name")):
        yield f"{path}.ref", "must have apiVersion, kind and name"
    if uri is not None and bool(urlsplit(uri).scheme and urlsplit(uri).netloc) == (ref is not None):
        yield f"{path}.uri", "must be relative beside a ref and absolute alone"


def _filter(part: Any, path: str) -> Iterator[Found]:
    if not isinstance(part, Mapping) or len(part) != 1:
        yield path, "must have exactly one dialect"
        return
    ((dialect, body),) = part.items()
    path = f"{path}.{dialect}"
    match dialect:
        case "exact" | "prefix" | "suffix":
            yield from _attributes(body or None, path)
            if not body:
                yield path, "must name an attribute"
        case "all" | "any":
            if not isinstance(body, list) or not body:
                yield path, "must be a list of at least one filter"
                return
            for index, inner in enumerate(body):
                yield from _filter(inner, f"{path}[{index}]")
        case "not":
            yield from _filter(body, path)
        case "cesql":
            if not isinstance(body, str) or not body.strip():
                yield path, "must be an expression"
        case _:
            yield path, "is not a dialect of filters"


def _attributes(body: Any, path: str) -> Iterator[Found]:
    if body is None:
        return
    if not isinstance(body, Mapping):
        yield path, "must be a mapping of attributes"
        return
    for name, value in body.items():
        if not _ATTRIBUTE.fullmatch(str(name)):
            yield f"{path}.{name}", "is not the name of an attribute"
        if not isinstance(value, str) or (value == "" and not path.endswith("filter.attributes")):
            yield f"{path}.{name}", "must be text that is not empty"
