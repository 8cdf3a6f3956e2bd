"""The fields that each kind may have, with their types: a strict structural check.

Called by `validate.py`. A cluster drops unknown fields silently unless asked otherwise, and no typed
models exist for the kinds of Kafka; so an unknown field is a fault here, before anything is sent.
The tables hold what Knative accepts on a stock installation and what we could write, no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

# A type's name; {"field": shape}; [shape] = list of it. "map" = text → text, "object" = anything inside.
Shape: TypeAlias = "str | dict[str, Shape] | list[Shape]"
Found: TypeAlias = tuple[str, str]  # path, message

_REF: Final[Shape] = {"apiVersion": "text", "kind": "text", "name": "text", "namespace": "text"}
_DESTINATION: Final[Shape] = {"ref": _REF, "uri": "text", "CACerts": "text", "audience": "text"}
_DELIVERY: Final[dict[str, Shape]] = {
    "deadLetterSink": _DESTINATION,
    "retry": "number",
    "backoffPolicy": "text",
    "backoffDelay": "text",
    "timeout": "text",
    "retryAfterMax": "text",
    "format": "text",
}
_METADATA: Final[Shape] = {
    "name": "text",
    "namespace": "text",
    "labels": "map",
    "annotations": "map",
    "finalizers": ["text"],
}
_KEY_REF: Final[Shape] = {"name": "text", "key": "text", "optional": "bool"}
_ITEMS: Final[Shape] = [{"key": "text", "path": "text", "mode": "number"}]
_PROBE: Final[Shape] = {
    "httpGet": {"path": "text", "port": "port", "scheme": "text", "host": "text", "httpHeaders": ["object"]},
    "tcpSocket": {"port": "port", "host": "text"},
    "grpc": {"port": "number", "service": "text"},
    "exec": {"command": ["text"]},
    "initialDelaySeconds": "number",
    "periodSeconds": "number",
    "timeoutSeconds": "number",
    "successThreshold": "number",
    "failureThreshold": "number",
}
_CONTAINER: Final[Shape] = {
    "name": "text",
    "image": "text",
    "imagePullPolicy": "text",
    "command": ["text"],
    "args": ["text"],
    "workingDir": "text",
    "env": [
        {
            "name": "text",
            "value": "text",
            "valueFrom": {"configMapKeyRef": _KEY_REF, "secretKeyRef": _KEY_REF},
        }
    ],
    "envFrom": [
        {
            "prefix": "text",
            "configMapRef": {"name": "text", "optional": "bool"},
            "secretRef": {"name": "text", "optional": "bool"},
        }
    ],
    "ports": [{"containerPort": "number", "name": "text", "protocol": "text"}],
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "startupProbe": _PROBE,
    "resources": {"requests": "quantities", "limits": "quantities"},
    "securityContext": {
        "allowPrivilegeEscalation": "bool",
        "capabilities": {"add": ["text"], "drop": ["text"]},
        "privileged": "bool",
        "readOnlyRootFilesystem": "bool",
        "runAsGroup": "number",
        "runAsNonRoot": "bool",
        "runAsUser": "number",
        "seccompProfile": {"type": "text", "localhostProfile": "text"},
    },
    "terminationMessagePath": "text",
    "terminationMessagePolicy": "text",
    "volumeMounts": [{"name": "text", "mountPath": "text", "subPath": "text", "readOnly": "bool"}],
}
_POD: Final[dict[str, Shape]] = {
    "automountServiceAccountToken": "bool",
    "containers": [_CONTAINER],
    "enableServiceLinks": "bool",
    "imagePullSecrets": [{"name": "text"}],
    "serviceAccountName": "text",
    "volumes": [
        {
            "name": "text",
            "configMap": {"name": "text", "items": _ITEMS, "defaultMode": "number", "optional": "bool"},
            "secret": {"secretName": "text", "items": _ITEMS, "defaultMode": "number", "optional": "bool"},
            "emptyDir": {"medium": "text", "sizeLimit": "quantity"},
            "persistentVolumeClaim": {"claimName": "text", "readOnly": "bool"},
            "projected": "object",
        }
    ],
}
_REVISION: Final[Shape] = {
    **_POD,
    "containerConcurrency": "number",
    "timeoutSeconds": "number",
    "responseStartTimeoutSeconds": "number",
    "idleTimeoutSeconds": "number",
}
_SECRET_FIELD: Final[Shape] = {"secretKeyRef": _KEY_REF}

SPECS: Final[Mapping[tuple[str, str], Shape]] = {
    ("serving.knative.dev/v1", "Service"): {
        "template": {"metadata": _METADATA, "spec": _REVISION},
        "traffic": [{"revisionName": "text", "latestRevision": "bool", "percent": "number", "tag": "text"}],
    },
    ("serving.knative.dev/v1beta1", "DomainMapping"): {"ref": _REF, "tls": {"secretName": "text"}},
    ("eventing.knative.dev/v1", "Broker"): {"config": _REF, "delivery": _DELIVERY},
    ("eventing.knative.dev/v1", "Trigger"): {
        "broker": "text",
        "filter": {"attributes": "map"},
        "filters": ["object"],
        "subscriber": _DESTINATION,
        "delivery": _DELIVERY,
    },
    ("sources.knative.dev/v1", "KafkaSource"): {
        "bootstrapServers": ["text"],
        "topics": ["text"],
        "consumerGroup": "text",
        "consumers": "number",
        "initialOffset": "text",
        "ordering": "text",
        "delivery": {key: shape for key, shape in _DELIVERY.items() if key != "format"},
        "sink": _DESTINATION,
        "ceOverrides": {"extensions": "map"},
        "net": {
            "sasl": {
                "enable": "bool",
                **dict.fromkeys(("user", "password", "type", "tokenProvider", "roleARN"), _SECRET_FIELD),
            },
            "tls": {"enable": "bool", **dict.fromkeys(("cert", "key", "caCert"), _SECRET_FIELD)},
        },
    },
    ("v1", "PersistentVolumeClaim"): {
        "accessModes": ["text"],
        "resources": {"requests": "quantities"},
        "storageClassName": "text",
    },
    ("batch/v1", "Job"): {
        "backoffLimit": "number",
        "activeDeadlineSeconds": "number",
        "ttlSecondsAfterFinished": "number",
        "template": {"metadata": _METADATA, "spec": {**_POD, "restartPolicy": "text"}},
    },
}
# Kinds without a spec.
WHOLES: Final[Mapping[tuple[str, str], dict[str, Shape]]] = {
    ("v1", "ConfigMap"): {"data": "map", "binaryData": "map", "immutable": "bool"},
    ("v1", "Secret"): {"data": "map", "stringData": "map", "immutable": "bool", "type": "text"},
}


def misfits(found: Mapping[str, Any]) -> Iterator[Found]:
    """Everything in an object that its kind does not allow."""
    identity = (str(found.get("apiVersion")), str(found.get("kind")))
    head: dict[str, Shape] = {"apiVersion": "text", "kind": "text", "metadata": _METADATA}
    if identity in WHOLES:
        yield from _walk(found, {**head, **WHOLES[identity]}, "")
    elif identity in SPECS:
        yield from _walk(found, {**head, "spec": SPECS[identity]}, "")
        if "spec" not in found:
            yield "spec", "is missing"
    else:
        yield "kind", f"{identity[1]} of {identity[0]} is not a kind that an application consists of"


def _walk(value: Any, shape: Shape, path: str) -> Iterator[Found]:
    if isinstance(shape, str):
        if not _fits(value, shape):
            yield path, f"must be {_WORDS[shape]}, not {value!r}"
    elif isinstance(shape, list):
        yield from _list(value, shape[0], path)
    elif not isinstance(value, Mapping):
        yield path, f"must be a mapping, not {value!r}"
    else:
        for key, item in value.items():
            inner = f"{path}.{key}" if path else str(key)
            if key in shape:
                yield from _walk(item, shape[key], inner)
            else:
                yield inner, "is not a field that is known here"


def _list(value: Any, shape: Shape, path: str) -> Iterator[Found]:
    if not isinstance(value, list):
        yield path, f"must be a list, not {value!r}"
        return
    for index, item in enumerate(value):
        yield from _walk(item, shape, f"{path}[{index}]")


_WORDS: Final = {
    "text": "text",
    "number": "a whole number",
    "bool": "true or false",
    "map": "a mapping of text to text",
    "object": "a mapping",
    "quantity": "a quantity",
    "quantities": "a mapping of quantities",
    "port": "a port",
}


def _fits(value: Any, shape: str) -> bool:
    match shape:
        case "text":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "map":
            return isinstance(value, Mapping) and all(
                isinstance(part, str) for pair in value.items() for part in pair
            )
        case "port" | "quantity":
            return isinstance(value, str | int) and not isinstance(value, bool)
        case _:  # object, quantities: looked into by the rules
            return isinstance(value, Mapping)
