"""The setup Job: makes topics and assets, then the consumer groups of Triggers at the earliest offset.

Called by `render.py`. The Job is named with a hash of all it does, so that a change runs it again. It
must run before the Triggers exist: a Trigger without a committed offset starts at the newest event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import names, objects, pods
from .objects import Object
from .scope import SETUP_FILE, Scope, kafka_variables, start_name, to_json

MODULE = "tidemill.functions.setup"
VERSION = 1


def setup(scope: Scope) -> list[Object]:
    """The Job that makes topics and assets, and then the consumer groups at the earliest offset."""
    if not (scope.topics or scope.plan.assets):
        return []
    content = _setup_content(scope)
    data = {SETUP_FILE: to_json(content)}
    base = names.named(scope.plan.application, "setup")
    config = names.with_content(base, to_json(data).encode())
    work = pods.Workload(
        module=MODULE,
        image=scope.options.image,
        config=config,
        variables={"TIDEMILL_SETUP": f"{pods.CONFIG_FOLDER}/{SETUP_FILE}", **kafka_variables(scope)},
        secrets=scope.secrets(content),
        port=None,
    )
    pod = pods.pod(work)
    job = objects.job(scope.meta(names.with_content(base, to_json([data, pod]).encode())), pod)
    return [objects.config_map(scope.meta(config), data, immutable=True), job]


def _setup_content(scope: Scope) -> dict[str, Any]:
    plan = scope.plan
    services = {key: value for unit in plan.units for key, value in unit.spec.services.items()}
    wanted = {asset.datasource for asset in plan.assets if asset.datasource in services}
    content = {
        "version": VERSION,
        "tenant": plan.tenant,
        "application": plan.application,
        "cluster": plan.cluster,
        "topics": list(scope.topics.values()),
        "assets": plan.assets,
        "resources": {key: services[key] for key in wanted if key is not None},
        "groups": _groups(scope),
    }
    plain: dict[str, Any] = msgspec.to_builtins(content)
    return plain


def _groups(scope: Scope) -> dict[str, str]:
    """Consumer group → topic, by the name that Knative gives to a Trigger's group."""
    return {
        f"knative-trigger-{scope.options.namespace}-{start_name(scope, trigger)}": trigger.topic
        for trigger in scope.plan.triggers
        if scope.topics[trigger.topic].format != "plain"
    }
