"""Manifests → plain values: what a platform must know to run them.

Called by `local/` with the objects that `render.py` made. Fields that nobody wrote get the values
that Knative would give them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec

from ..application.plan import AssetPlan, TopicPlan
from ..errors import TidemillError
from ..functions.gateway.spec import GatewayPlan
from ..functions.unit import OnFailure, UnitSpec, read_unit
from . import durations, objects, pods
from .objects import Object
from .scope import GATEWAY_FILE, SETUP_FILE, TOPICS_FILE, UNIT_FILE

# Knative's defaults for what a manifest leaves open.
CONCURRENCY_TARGET, RPS_TARGET, WINDOW, TIMEOUT = 100.0, 200.0, 60, 300


class UnreadableManifest(TidemillError):
    """An object lacks what is needed to run it; `path` says what."""

    def __init__(self, found: Object, path: str, reason: str) -> None:
        self.object = f"{found.get('kind')}/{found.get('metadata', {}).get('name')}"
        self.path = path
        super().__init__(f"{self.object}: {path} {reason}")


@dataclass(frozen=True, slots=True)
class BrokerManifest:
    """A Broker and the Kafka topic behind it."""

    name: str
    topic: str


@dataclass(frozen=True, slots=True)
class TriggerManifest:
    """A Trigger or (`plain`) a KafkaSource. `delivery` is Knative's DeliverySpec as written;
    `on_failure` and `retries` are the user's words, where the object carries them."""

    name: str
    topic: str
    subscriber: str  # name of the Service
    delivery: Mapping[str, Any]
    filters: tuple[Mapping[str, Any], ...] = ()
    path: str = "/"
    broker: str | None = None
    ordered: bool = True
    plain: bool = False
    on_failure: OnFailure | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True)
class UnitManifest:
    """A unit's Service with the text of its ConfigMap. Times in seconds; `max_scale` and
    `container_concurrency` 0 = no bound; `secrets`: id → name of the Secret."""

    name: str
    config_name: str
    config: str
    topics: Mapping[str, str]  # topic → path of its Broker below the ingress
    min_scale: int
    max_scale: int
    metric: Literal["concurrency", "rps"]
    target: float
    window: int
    scale_down_delay: int
    container_concurrency: int
    timeout: int
    port: int
    secrets: Mapping[str, str] = field(default_factory=dict)
    claim: str | None = None  # of the volume with its state

    def spec(self) -> UnitSpec:
        """Raises NewerVersion."""
        return read_unit(self.config.encode())


@dataclass(frozen=True, slots=True)
class Manifests:
    """What an application consists of on a platform."""

    tenant: str
    application: str
    topics: tuple[TopicPlan, ...] = ()
    assets: tuple[AssetPlan, ...] = ()
    brokers: tuple[BrokerManifest, ...] = ()
    units: tuple[UnitManifest, ...] = ()
    triggers: tuple[TriggerManifest, ...] = ()
    gateways: tuple[GatewayPlan, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)  # service agent → its URL on a cluster


def read(found: Iterable[Object]) -> Manifests:
    """Everything in the objects of one application. Raises UnreadableManifest."""
    everything = list(found)
    configs = {_name(item): item["data"] for item in everything if item["kind"] == "ConfigMap"}
    brokers = tuple(_broker(item) for item in everything if item["kind"] == "Broker")
    topics = {broker.name: broker.topic for broker in brokers}
    setup, gateway = _content(configs, SETUP_FILE), _content(configs, GATEWAY_FILE)
    return Manifests(
        tenant=setup.get("tenant") or gateway.get("tenant") or _namespace(everything),
        application=setup.get("application") or gateway.get("application") or _application(everything),
        topics=tuple(msgspec.convert(setup.get("topics", ()), list[TopicPlan])),
        assets=tuple(msgspec.convert(setup.get("assets", ()), list[AssetPlan])),
        brokers=brokers,
        units=tuple(_units(everything, configs)),
        triggers=tuple(_triggers(everything, topics)),
        gateways=tuple(msgspec.convert(gateway.get("gateways", ()), list[GatewayPlan])),
        services=gateway.get("services", {}),
    )


def _name(found: Object) -> str:
    return cast(str, found["metadata"]["name"])


def _namespace(everything: list[Object]) -> str:
    return str(everything[0]["metadata"].get("namespace", "default")) if everything else "default"


def _application(everything: list[Object]) -> str:
    labels = everything[0]["metadata"].get("labels", {}) if everything else {}
    return str(labels.get(objects.APPLICATION_LABEL, ""))


def _content(configs: Mapping[str, Mapping[str, str]], file: str) -> dict[str, Any]:
    """The JSON of the one ConfigMap that holds such a file."""
    for data in configs.values():
        if file in data:
            return msgspec.json.decode(data[file], type=dict[str, Any])
    return {}


def _broker(found: Object) -> BrokerManifest:
    annotations = found["metadata"].get("annotations", {})
    return BrokerManifest(_name(found), annotations.get(objects.EXTERNAL_TOPIC, _name(found)))


def _units(everything: list[Object], configs: Mapping[str, Mapping[str, str]]) -> Iterable[UnitManifest]:
    for found in everything:
        if found["kind"] == "Service" and found["apiVersion"] == objects.SERVING:
            config = _volumes(found).get(pods.CONFIG_FOLDER, {}).get("configMap", {}).get("name")
            if config not in configs:
                raise UnreadableManifest(
                    found, "spec.template.spec.volumes", "names no ConfigMap that is here"
                )
            if UNIT_FILE in configs[config]:
                yield _unit(found, config, configs[config])


def _unit(found: Object, config: str, data: Mapping[str, str]) -> UnitManifest:
    revision = found["spec"]["template"]["spec"]
    notes = found["spec"]["template"]["metadata"].get("annotations", {})
    scale = {key.removeprefix(objects.AUTOSCALING): value for key, value in notes.items()}
    concurrency = revision.get("containerConcurrency", 0)
    volumes = _volumes(found)
    return UnitManifest(
        name=_name(found),
        config_name=config,
        config=data[UNIT_FILE],
        topics=msgspec.json.decode(data.get(TOPICS_FILE, "{}"), type=dict[str, str]),
        min_scale=int(scale.get("min-scale", 0)),
        max_scale=int(scale.get("max-scale", 0)),
        metric="rps" if scale.get("metric") == "rps" else "concurrency",
        target=_target(scale, concurrency),
        window=durations.from_go(scale["window"]) if "window" in scale else WINDOW,
        scale_down_delay=durations.from_go(scale.get("scale-down-delay", "0s")),
        container_concurrency=concurrency,
        timeout=revision.get("timeoutSeconds", TIMEOUT),
        port=revision["containers"][0]["ports"][0]["containerPort"],
        secrets=_secrets(volumes),
        claim=volumes.get(pods.STATE_FOLDER, {}).get("persistentVolumeClaim", {}).get("claimName"),
    )


def _target(scale: Mapping[str, str], concurrency: int) -> float:
    """What one copy should carry, before utilisation: a copy never carries more than it takes."""
    if scale.get("metric") == "rps":
        return float(scale.get("target", RPS_TARGET))
    target = float(scale.get("target", CONCURRENCY_TARGET))
    return min(target, float(concurrency)) if concurrency else target


def _volumes(service: Object) -> dict[str, Object]:
    """Mount path → volume."""
    revision = service["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in revision.get("volumes", ())}
    mounts = revision["containers"][0].get("volumeMounts", ())
    return {mount["mountPath"]: volumes[mount["name"]] for mount in mounts}


def _secrets(volumes: Mapping[str, Object]) -> dict[str, str]:
    folder = pods.SECRETS_FOLDER + "/"
    return {
        path.removeprefix(folder): volume["secret"]["secretName"]
        for path, volume in volumes.items()
        if path.startswith(folder)
    }


def _triggers(everything: list[Object], topics: Mapping[str, str]) -> Iterable[TriggerManifest]:
    for found in everything:
        if found["kind"] == "Trigger":
            yield _trigger(found, topics)
        elif found["kind"] == "KafkaSource":
            yield _kafka_source(found)


def _trigger(found: Object, topics: Mapping[str, str]) -> TriggerManifest:
    spec = found["spec"]
    if spec["broker"] not in topics:
        raise UnreadableManifest(found, "spec.broker", f"names '{spec['broker']}', which is no Broker here")
    notes = found["metadata"].get("annotations", {})
    return TriggerManifest(
        name=_name(found),
        topic=topics[spec["broker"]],
        broker=spec["broker"],
        filters=tuple(spec.get("filters", ())),
        ordered=notes.get(objects.DELIVERY_ORDER) == "ordered",
        **_common(found, spec["subscriber"]),
    )


def _kafka_source(found: Object) -> TriggerManifest:
    spec = found["spec"]
    return TriggerManifest(
        name=_name(found),
        topic=spec["topics"][0],
        ordered=spec.get("ordering", "ordered") == "ordered",
        plain=True,
        **_common(found, spec["sink"]),
    )


def _common(found: Object, subscriber: Object) -> dict[str, Any]:
    """What a Trigger and a KafkaSource have alike."""
    if "ref" not in subscriber:
        raise UnreadableManifest(found, "subscriber", "is not a Service")
    notes = found["metadata"].get("annotations", {})
    retries = notes.get(objects.RETRIES)
    return {
        "subscriber": subscriber["ref"]["name"],
        "path": subscriber.get("uri", "/"),
        "delivery": found["spec"].get("delivery", {}),
        "on_failure": notes.get(objects.ON_FAILURE),
        "retries": None if retries is None else int(retries),
    }
