"""What Knative Serving's webhook refuses in a Service or DomainMapping, and what it forgets to refuse.

Called by `validate.py` for objects whose structure is right. Each rule yields path and message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import durations
from .objects import AUTOSCALING, VISIBILITY, Object
from .shapes import Found

MOST_CONCURRENT, LONGEST_TIMEOUT = 1000, 600
RESERVED_PORTS = frozenset((8008, 8012, 8013, 8022, 9090, 9091))
RESERVED_ENV = frozenset(("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"))
_KPA, _HPA = "kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"

_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def is_quantity(value: Any) -> bool:
    """A Kubernetes quantity such as 500m or 1.5Gi."""
    return not isinstance(value, bool) and _QUANTITY.fullmatch(str(value)) is not None


def service(found: Object) -> Iterator[Found]:
    meta, spec = found["metadata"], found["spec"]
    for where in ("annotations", "labels"):
        for key in meta.get(where, {}):
            if key.startswith(AUTOSCALING):
                yield f"metadata.{where}.{key}", "belongs on the template (spec.template.metadata)"
    if meta.get("labels", {}).get(VISIBILITY, "cluster-local") != "cluster-local":
        yield f"metadata.labels.{VISIBILITY}", "must be cluster-local, or absent"
    template = spec.get("template", {})
    yield from _scaling(template.get("metadata", {}).get("annotations", {}))
    yield from _revision(template.get("spec", {}), "spec.template.spec")
    yield from _one_writer(template)
    yield from _traffic(spec.get("traffic", []))


def domain_mapping(found: Object) -> Iterator[Found]:
    ref = found["spec"].get("ref", {})
    if not (ref.get("apiVersion") and ref.get("kind") and ref.get("name")):
        yield "spec.ref", "must have apiVersion, kind and name"
    if ref.get("namespace", found["metadata"]["namespace"]) != found["metadata"]["namespace"]:
        yield "spec.ref.namespace", "must be the mapping's own"


# Bounds of the annotations that hold a number, a whole number, or a duration in seconds.
_NUMBERS: Mapping[str, tuple[float, float | None]] = {
    "target": (0.01, None),
    "target-utilization-percentage": (1, 100),
    "panic-window-percentage": (1, 100),
    "panic-threshold-percentage": (110, 1000),
    "target-burst-capacity": (-1, None),
}
_WHOLES = {"min-scale": 0, "max-scale": 0, "initial-scale": 0, "activation-scale": 2}
_DURATIONS = {"window": 6, "scale-down-delay": 0, "scale-to-zero-pod-retention-period": 0}
_HOUR = 3600
_WORDS = {"class": (_KPA, _HPA), "metric-aggregation-algorithm": ("linear", "weighted-exponential")}


def _scaling(annotations: Mapping[str, str]) -> Iterator[Found]:
    scale = {k.removeprefix(AUTOSCALING): v for k, v in annotations.items() if k.startswith(AUTOSCALING)}
    bad = list(_values(scale))
    yield from ((f"spec.template.metadata.annotations.{AUTOSCALING}{key}", why) for key, why in bad)
    if not bad:
        yield from (("spec.template.metadata.annotations", why) for why in _scale_pairs(scale))


def _values(scale: Mapping[str, str]) -> Iterator[Found]:
    for key, value in scale.items():
        if key in _NUMBERS:
            low, high = _NUMBERS[key]
            number = _number(value)
            if number is None or number < low or (high is not None and number > high):
                yield key, f"'{value}' is not a number from {low}" + (f" to {high}" if high else "")
        elif key in _WHOLES:
            if not re.fullmatch(r"\d{1,9}", value) or int(value) < _WHOLES[key]:
                yield key, f"'{value}' is not a whole number from {_WHOLES[key]}"
        elif key in _DURATIONS:
            yield from _duration(key, value)
        elif key in _WORDS:
            if value not in _WORDS[key]:
                yield key, f"'{value}' is none of {', '.join(_WORDS[key])}"
        elif key == "metric":
            if scale.get("class", _KPA) == _KPA and value not in ("concurrency", "rps"):
                yield key, f"'{value}' is neither concurrency nor rps"
        else:
            yield key, "is not an annotation of the autoscaler"


def _duration(key: str, value: str) -> Iterator[Found]:
    try:
        seconds = durations.from_go(value)
    except ValueError as error:
        yield key, str(error)
        return
    if not _DURATIONS[key] <= seconds <= _HOUR:
        yield key, f"'{value}' is not between {_DURATIONS[key]}s and 1h"


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", text) else None


def _scale_pairs(scale: Mapping[str, str]) -> Iterator[str]:
    least, most = int(scale.get("min-scale", 0)), int(scale.get("max-scale", 0))
    if most and least > most:
        yield f"min-scale {least} is more than max-scale {most}"
    if most and int(scale.get("activation-scale", 0)) > most:
        yield f"activation-scale is more than max-scale {most}"
    if scale.get("class") == _HPA and least == 0:
        yield "the hpa class cannot scale to zero; min-scale must be at least 1"


def _revision(spec: Mapping[str, Any], path: str) -> Iterator[Found]:
    if not 0 <= spec.get("containerConcurrency", 0) <= MOST_CONCURRENT:
        yield f"{path}.containerConcurrency", f"must be from 0 to {MOST_CONCURRENT}"
    timeout = spec.get("timeoutSeconds", 300)
    if not 0 < timeout <= LONGEST_TIMEOUT:
        yield f"{path}.timeoutSeconds", f"must be from 1 to {LONGEST_TIMEOUT}"
    for name in ("responseStartTimeoutSeconds", "idleTimeoutSeconds"):
        if not 0 <= spec.get(name, 0) <= timeout:
            yield f"{path}.{name}", f"must be from 0 to timeoutSeconds ({timeout})"
    if timeout > 300 and "responseStartTimeoutSeconds" not in spec:
        yield f"{path}.responseStartTimeoutSeconds", "is missing: a webhook would put 300 there"
    ports = [port for container in spec.get("containers", ()) for port in container.get("ports", ())]
    if len(ports) > 1:
        yield f"{path}.containers", "may have one port in all"
    yield from pod(spec, path)


def pod(spec: Mapping[str, Any], path: str) -> Iterator[Found]:
    """What holds for the pod of a Service and of a Job."""
    containers, volumes = spec.get("containers", []), spec.get("volumes", [])
    if not containers:
        yield f"{path}.containers", "is missing"
    for index, container in enumerate(containers):
        yield from _container(container, f"{path}.containers[{index}]")
        yield from _mounts(
            container.get("volumeMounts", []), volumes, f"{path}.containers[{index}].volumeMounts"
        )
    names = Counter(volume.get("name") for volume in volumes)
    mounted = {mount.get("name") for c in containers for mount in c.get("volumeMounts", ())}
    for index, volume in enumerate(volumes):
        if names[volume.get("name")] > 1:
            yield f"{path}.volumes[{index}]", f"'{volume.get('name')}' is there twice"
        if volume.get("name") not in mounted:
            yield f"{path}.volumes[{index}]", f"'{volume.get('name')}' is mounted nowhere"
        if not _LABEL.fullmatch(str(volume.get("name"))) or len(volume) != 2:
            yield f"{path}.volumes[{index}]", "must have a DNS label as name and one source"


def _container(container: Mapping[str, Any], path: str) -> Iterator[Found]:
    if not container.get("image"):
        yield f"{path}.image", "is missing"
    if container.get("name") == "queue-proxy":
        yield f"{path}.name", "'queue-proxy' is Knative's own"
    yield from _ports(container.get("ports", ()), path)
    yield from _env(container.get("env", ()), path)
    if container.get("securityContext", {}).get("privileged"):
        yield f"{path}.securityContext.privileged", "must be false"
    for which in ("requests", "limits"):
        for resource, quantity in container.get("resources", {}).get(which, {}).items():
            if not is_quantity(quantity):
                yield f"{path}.resources.{which}.{resource}", f"{quantity!r} is not a quantity"
    for which in ("readinessProbe", "livenessProbe", "startupProbe"):
        if which in container:
            yield from _probe(container[which], container.get("ports", ()), f"{path}.{which}")


def _ports(ports: Sequence[Mapping[str, Any]], path: str) -> Iterator[Found]:
    for index, port in enumerate(ports):
        number = port.get("containerPort", 0)
        if number in RESERVED_PORTS or not 0 < number < 65536:
            yield f"{path}.ports[{index}].containerPort", f"{number} is reserved or no port"
        if port.get("name", "") not in ("", "http1", "h2c"):
            yield f"{path}.ports[{index}].name", "must be http1 or h2c"


def _env(variables: Sequence[Mapping[str, Any]], path: str) -> Iterator[Found]:
    counts = Counter(variable.get("name") for variable in variables)
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if name in RESERVED_ENV or not _ENV_NAME.fullmatch(name):
            yield f"{path}.env[{index}].name", f"'{name}' is reserved or no name"
        if counts[name] > 1:
            yield f"{path}.env[{index}].name", f"'{name}' is there twice"
        if ("value" in variable) == ("valueFrom" in variable):
            yield f"{path}.env[{index}]", "must have either value or valueFrom"


def _probe(probe: Mapping[str, Any], ports: Sequence[Mapping[str, Any]], path: str) -> Iterator[Found]:
    ways = [way for way in ("httpGet", "tcpSocket", "grpc", "exec") if way in probe]
    if len(ways) > 1:
        yield path, f"has several ways: {', '.join(ways)}"
    if probe.get("successThreshold", 1) < 1:
        yield f"{path}.successThreshold", "must be at least 1"
    eager = probe.get("periodSeconds") == 0
    if eager and (probe.get("failureThreshold") or probe.get("timeoutSeconds")):
        yield path, "with periodSeconds 0, failureThreshold and timeoutSeconds must be 0 too"
    for way in ways:
        port = probe[way].get("port")
        if port is not None and port not in [
            p[key] for p in ports for key in ("containerPort", "name") if key in p
        ]:
            yield f"{path}.{way}.port", f"{port!r} is no port of the container"


def _mounts(
    mounts: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]], path: str
) -> Iterator[Found]:
    sources = {volume.get("name"): volume for volume in volumes}
    counts = Counter(str(mount.get("mountPath")).rstrip("/") for mount in mounts)
    for index, mount in enumerate(mounts):
        place = str(mount.get("mountPath", ""))
        if not place.startswith("/") or ".." in place.split("/") or ":" in place:
            yield f"{path}[{index}].mountPath", f"'{place}' is not an absolute path without '..' and ':'"
        if place.rstrip("/") in ("", "/dev", "/dev/log"):
            yield f"{path}[{index}].mountPath", f"'{place}' must not be mounted over"
        if counts[place.rstrip("/")] > 1:
            yield f"{path}[{index}].mountPath", f"'{place}' is mounted twice"
        source = sources.get(mount.get("name"))
        if source is None:
            yield f"{path}[{index}].name", f"'{mount.get('name')}' is no volume"
        elif not mount.get("readOnly") and {"secret", "configMap", "projected"} & source.keys():
            yield f"{path}[{index}].readOnly", "must be true for this kind of volume"


def _one_writer(template: Mapping[str, Any]) -> Iterator[Found]:
    """Ours: two pods that write one folder of state would destroy it."""
    scale = template.get("metadata", {}).get("annotations", {})
    claimed = any("persistentVolumeClaim" in v for v in template.get("spec", {}).get("volumes", ()))
    if claimed and scale.get(f"{AUTOSCALING}max-scale") != "1":
        yield "spec.template.metadata.annotations", "a unit with a disk runs as one copy: max-scale must be 1"


def _traffic(traffic: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    if not traffic:
        return
    if sum(entry.get("percent", 0) for entry in traffic) != 100:
        yield "spec.traffic", "percents must add up to 100"
    tags = Counter(entry["tag"] for entry in traffic if "tag" in entry)
    for index, entry in enumerate(traffic):
        path = f"spec.traffic[{index}]"
        if bool(entry.get("latestRevision")) == ("revisionName" in entry):
            yield path, "must have either latestRevision: true or revisionName"
        if "tag" in entry and (tags[entry["tag"]] > 1 or not _LABEL.fullmatch(entry["tag"])):
            yield f"{path}.tag", f"'{entry['tag']}' is not a DNS label of its own"
