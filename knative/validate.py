"""Refuses manifests that a cluster would refuse, or with which it would lose events.

Called by tests over everything rendered, and by `deploy` before anything is sent. Structure is in
`shapes.py`, the rules of Knative's webhooks in `serving_rules.py` and `eventing_rules.py`; here are
names, labels, and what objects say about each other.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import eventing_rules, serving_rules, shapes
from .faults import Fault, InvalidManifests
from .objects import Object

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_1123 = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MOST_DATA = 1024 * 1024  # bytes of a ConfigMap or Secret

Rule = Callable[[Object], Iterator[shapes.Found]]


def check(found: Sequence[Object]) -> None:
    """Raises InvalidManifests with every fault."""
    if faults := validate(found):
        raise InvalidManifests(faults)


def validate(found: Sequence[Object]) -> tuple[Fault, ...]:
    """All faults of a whole application. Secrets and Broker configurations may live elsewhere."""
    faults = [fault for item in found for fault in _alone(item)]
    if not faults:  # references are followed only through objects that are well formed
        faults = [*_doubles(found), *_together(found)]
    return tuple(dict.fromkeys(faults))


def _alone(found: Object) -> Iterator[Fault]:
    """Faults of one object; the rules read it only when its structure is right."""
    bad = [*shapes.misfits(found), *_metadata(found)]
    if not bad:
        bad = list(_RULES[found["kind"]](found))
    for path, message in bad:
        yield Fault(_title(found), path, message)


def _title(found: Object) -> str:
    meta = found.get("metadata")
    return f"{found.get('kind')}/{meta.get('name') if isinstance(meta, Mapping) else None}"


def _metadata(found: Object) -> Iterator[shapes.Found]:
    meta = found.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        yield "metadata.name", "is missing"
        return
    if found.get("kind") == "DomainMapping":
        if not _is_domain(meta["name"]):
            yield "metadata.name", f"'{meta['name']}' is not a domain name outside the cluster's"
    elif not _DNS_1035.fullmatch(meta["name"]):
        yield "metadata.name", f"'{meta['name']}' is not a DNS-1035 label of at most 63 characters"
    if not _DNS_1123.fullmatch(str(meta.get("namespace", ""))):
        yield "metadata.namespace", f"'{meta.get('namespace')}' is not a namespace"
    yield from _labels(meta, "metadata")


def _is_domain(name: str) -> bool:
    parts = name.split(".")
    legal = len(name) <= 253 and len(parts) > 1 and all(_DNS_1123.fullmatch(part) for part in parts)
    return legal and not name.endswith("svc.cluster.local")


def _labels(meta: Mapping[str, Any], path: str) -> Iterator[shapes.Found]:
    for where in ("labels", "annotations"):
        entries = meta.get(where, {})
        for key, value in entries.items() if isinstance(entries, Mapping) else ():
            if not _is_key(key):
                yield f"{path}.{where}", f"'{key}' is not a legal key"
            if where == "labels" and not _LABEL_VALUE.fullmatch(str(value)):
                yield f"{path}.labels.{key}", f"'{value}' is not a legal label value"


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    legal = not slash or (len(prefix) <= 253 and all(_DNS_1123.fullmatch(p) for p in prefix.split(".")))
    return legal and _QUALIFIED.fullmatch(name) is not None


def _service(found: Object) -> Iterator[shapes.Found]:
    template = found["spec"].get("template", {})
    yield from _labels(template.get("metadata", {}), "spec.template.metadata")
    yield from serving_rules.service(found)


def _config_map(found: Object) -> Iterator[shapes.Found]:
    yield from _data(found, lambda value: value.encode("utf-8", "surrogatepass"))


def _secret(found: Object) -> Iterator[shapes.Found]:
    def decoded(value: str) -> bytes:
        return base64.b64decode(value, validate=True)

    yield from _data(found, decoded)


def _data(found: Object, size_of: Callable[[str], bytes]) -> Iterator[shapes.Found]:
    size = 0
    for key, value in found.get("data", {}).items():
        if not _DATA_KEY.fullmatch(key) or key.startswith(".."):
            yield f"data.{key}", "is not a legal key"
        try:
            size += len(size_of(value))
        except binascii.Error:
            yield f"data.{key}", "is not base64"
    if size > _MOST_DATA:
        yield "data", f"holds {size} bytes; at most {_MOST_DATA} are allowed"


def _claim(found: Object) -> Iterator[shapes.Found]:
    storage = found["spec"].get("resources", {}).get("requests", {}).get("storage")
    if not serving_rules.is_quantity(storage):
        yield "spec.resources.requests.storage", f"{storage!r} is not a quantity"


def _job(found: Object) -> Iterator[shapes.Found]:
    pod = found["spec"].get("template", {}).get("spec", {})
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        yield "spec.template.spec.restartPolicy", "must be OnFailure or Never"
    yield from serving_rules.pod(pod, "spec.template.spec")


_RULES: Mapping[str, Rule] = {
    "Service": _service,
    "DomainMapping": serving_rules.domain_mapping,
    "Broker": eventing_rules.broker,
    "Trigger": eventing_rules.trigger,
    "KafkaSource": eventing_rules.kafka_source,
    "ConfigMap": _config_map,
    "Secret": _secret,
    "PersistentVolumeClaim": _claim,
    "Job": _job,
}


def _identity(found: Object) -> tuple[str, str, str]:
    return found["kind"], found["metadata"]["namespace"], found["metadata"]["name"]


def _doubles(found: Sequence[Object]) -> Iterator[Fault]:
    for (kind, _, name), count in Counter(map(_identity, found)).items():
        if count > 1:
            yield Fault(f"{kind}/{name}", "metadata.name", f"is used by {count} objects")


def _together(found: Sequence[Object]) -> Iterator[Fault]:
    """What an object names must be among the objects, unless it may live elsewhere."""
    known = {_identity(item): item for item in found}
    for item in found:
        space = item["metadata"]["namespace"]
        for path, kind, namespace, name in _references(item):
            target = known.get((kind, namespace or space, name))
            if target is None and item["kind"] != "Broker":
                yield Fault(_title(item), path, f"names {kind} '{name}', which is not there")
            elif target is not None and item["kind"] == "Broker":
                for message in eventing_rules.kafka_config(target.get("data", {})):
                    yield Fault(_title(target), "data", message)


Reference = tuple[str, str, str | None, str]


def _references(found: Object) -> Iterator[Reference]:
    """Path, kind, namespace and name of everything that an object refers to; Secrets may be the user's."""
    spec = found.get("spec", {})
    match found["kind"]:
        case "Trigger":
            yield "spec.broker", "Broker", None, spec["broker"]
            yield from _destinations(spec, "subscriber")
        case "KafkaSource":
            yield from _destinations(spec, "sink")
        case "Broker":
            config = spec["config"]
            yield "spec.config", "ConfigMap", config.get("namespace"), config["name"]
        case "DomainMapping":
            yield "spec.ref", spec["ref"]["kind"], spec["ref"].get("namespace"), spec["ref"]["name"]
        case "Service" | "Job":
            yield from _volumes(spec["template"]["spec"].get("volumes", ()))


def _destinations(spec: Mapping[str, Any], field: str) -> Iterator[Reference]:
    sink = spec.get("delivery", {}).get("deadLetterSink", {})
    for path, place in ((f"spec.{field}", spec[field]), ("spec.delivery.deadLetterSink", sink)):
        if ref := place.get("ref"):
            yield f"{path}.ref", ref["kind"], ref.get("namespace"), ref["name"]


def _volumes(volumes: Iterable[Mapping[str, Any]]) -> Iterator[Reference]:
    for index, volume in enumerate(volumes):
        path = f"spec.template.spec.volumes[{index}]"
        if "configMap" in volume:
            yield path, "ConfigMap", None, volume["configMap"].get("name", "")
        if "persistentVolumeClaim" in volume:
            yield path, "PersistentVolumeClaim", None, volume["persistentVolumeClaim"].get("claimName", "")
