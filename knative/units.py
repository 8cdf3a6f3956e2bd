"""A unit: its immutable ConfigMap, its volume claim if it has a disk, and its Service.

Called by `render.py`.
"""

from __future__ import annotations

from ..application.plan import UnitPlan
from ..functions.unit import UnitSpec, write_unit
from . import delivery, durations, names, objects, pods, scaling
from .objects import Object
from .scope import (
    TOPICS_FILE,
    UNIT_FILE,
    Scope,
    publishing,
    service_annotations,
    to_json,
    topic_paths,
)

MODULE = "tidemill.functions.serve"


def unit(scope: Scope, planned: UnitPlan) -> list[Object]:
    """ConfigMap, volume claim if there is a disk, and Service."""
    spec = planned.spec
    name = names.of_unit(scope.plan.application, spec.id)
    data = {UNIT_FILE: write_unit(spec).decode(), TOPICS_FILE: topic_paths(scope)}
    config = names.with_content(name, to_json(data).encode())
    found = [objects.config_map(scope.meta(config, spec.id), data, immutable=True)]
    disk = spec.resources.disk
    if disk is not None:
        storage = None if disk.type == "default" else disk.type
        found.append(objects.volume_claim(scope.meta(name, spec.id), disk.size, storage))
    return [*found, _unit_service(scope, spec, name, config)]


def _unit_service(scope: Scope, spec: UnitSpec, name: str, config: str) -> Object:
    """A source is a Service too, always one copy: the host publishes to several Brokers by itself, so a
    ContainerSource, with its one sink, would only cost the revisions and their roll-back."""
    bounds = scaling.scaling(spec, _partitions(scope, spec))
    work = pods.Workload(
        module=MODULE,
        image=scope.options.image,
        config=config,
        variables={"TIDEMILL_UNIT": f"{pods.CONFIG_FOLDER}/{UNIT_FILE}", **publishing(scope)},
        secrets=scope.secrets(
            *(agent.configuration for agent in spec.agents),
            *(service.configuration for service in spec.services.values()),
        ),
        size=spec.resources.size,
        port=pods.SERVICE_PORT if spec.kind == "service" else pods.PORT,
        probed=spec.kind != "service",
        claim=None if spec.resources.disk is None else name,
    )
    revision = pods.revision(work, bounds.concurrency, delivery.REQUEST_TIMEOUT)
    annotations = _scale_annotations(spec, bounds)
    visible = {objects.VISIBILITY: "cluster-local"}
    meta = scope.meta(name, spec.id, labels=visible, annotations=service_annotations(scope, spec.kind))
    return objects.service(meta, annotations, revision)


def _partitions(scope: Scope, spec: UnitSpec) -> int:
    """How many records Triggers can have in flight towards the unit."""
    return sum(scope.topics[t.topic].partitions for t in scope.plan.triggers if t.unit == spec.id)


def _scale_annotations(spec: UnitSpec, bounds: scaling.Scaling) -> dict[str, str]:
    scale = spec.resources.scale
    found = {
        "min-scale": str(bounds.least),
        "max-scale": str(bounds.most),
        "metric": scale.metric,
        "window": durations.go(scale.window),
    }
    if scale.target is not None:
        found["target"] = f"{scale.target:.10g}"
    if scale.delay:
        found["scale-down-delay"] = durations.go(scale.delay)
    return {objects.AUTOSCALING + key: value for key, value in found.items()}
