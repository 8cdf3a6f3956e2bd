"""The gateway: one Service for all gateways of an application, open to the outside.

Called by `render.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import names, objects, pods
from .objects import Object
from .scope import (
    GATEWAY_FILE,
    TOPICS_FILE,
    Scope,
    kafka_variables,
    publishing,
    service_annotations,
    to_json,
    topic_paths,
)

MODULE = "tidemill.functions.gateway"
VERSION = 1
TIMEOUT = 600  # the longest that a stock cluster gives a connection
TARGET = 2000  # connections of one copy


def gateway(scope: Scope) -> list[Object]:
    """One Service for all gateways of the application, open to the outside."""
    if not scope.plan.gateways:
        return []
    name = names.of_gateway(scope.plan.application)
    content = _gateway_content(scope)
    data = {GATEWAY_FILE: to_json(content), TOPICS_FILE: topic_paths(scope)}
    config = names.with_content(name, to_json(data).encode())
    work = pods.Workload(
        module=MODULE,
        image=scope.options.image,
        config=config,
        variables={
            "TIDEMILL_GATEWAY": f"{pods.CONFIG_FOLDER}/{GATEWAY_FILE}",
            **publishing(scope),
            **kafka_variables(scope),
        },
        secrets=scope.secrets(content),
    )
    target = {objects.AUTOSCALING + "target": str(TARGET)}
    meta = scope.meta(name, annotations=service_annotations(scope, "gateway"))
    service = objects.service(meta, target, pods.revision(work, 0, TIMEOUT))
    return [objects.config_map(scope.meta(config), data, immutable=True), service, *_domain(scope, name)]


def _gateway_content(scope: Scope) -> dict[str, Any]:
    """The gateways, and where the service agents that they may forward to are found."""
    plan, namespace = scope.plan, scope.options.namespace
    hosts = {
        agent.id: f"http://{names.of_unit(plan.application, unit.spec.id)}.{namespace}.svc.cluster.local"
        for unit in plan.units
        if unit.spec.kind == "service"
        for agent in unit.spec.agents
    }
    content = {
        "version": VERSION,
        "tenant": plan.tenant,
        "application": plan.application,
        "cluster": plan.cluster,
        "gateways": plan.gateways,
        "services": hosts,
    }
    plain: dict[str, Any] = msgspec.to_builtins(content)
    return plain


def _domain(scope: Scope, service: str) -> list[Object]:
    if scope.options.domain is None:
        return []
    annotations = service_annotations(scope, "gateway")
    return [objects.domain_mapping(scope.meta(scope.options.domain, annotations=annotations), service)]
